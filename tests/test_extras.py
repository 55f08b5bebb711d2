"""``make test-extras`` without installing anything: what it would run, and that it notices what is wrong."""

import sys
from pathlib import Path

import pytest

from scripts.environment import Environment
from scripts.extras import ASKED, Step, main, steps_of, wrong
from scripts.extras_table import Result, line_of, write_table
from scripts.pages import commands_down_to, sections

PAGE = """# Top

```
make corpus
```

## Tools

```text
what comes out
```

### One

```
pip install 'aritmo[one]'
run one
```

```python
# a comment
print(1)
```

## Other

```
run other
```
"""


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    """An environment whose commands are those of the one that runs the tests."""
    environment = Environment(tmp_path, tmp_path)
    environment.variables["PATH"] = f"{Path(sys.executable).parent}:{environment.variables['PATH']}"
    return environment


def test_a_section_is_run_with_what_stands_above_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    found = sections(page)
    assert [(section.level, section.title) for section in found] == [
        (1, "Top"),
        (2, "Tools"),
        (3, "One"),
        (2, "Other"),
    ]
    (one,) = [section for section in found if section.installs("one")]
    commands = [["sh", "-c", "make corpus"], ["sh", "-c", "run one"], ["python", "-c", "# a comment\nprint(1)\n"]]
    assert commands_down_to(one) == commands
    assert commands_down_to(found[-1]) == [["sh", "-c", "make corpus"], ["sh", "-c", "run other"]]


@pytest.mark.parametrize("extra", ASKED)
def test_every_extra_has_a_page_that_says_how_it_is_used(extra: str) -> None:
    assert steps_of(extra)


def test_what_goes_wrong_is_noticed(here: Environment, tmp_path: Path) -> None:
    def tried(command: str, says: str = "") -> str:
        return wrong(Step(["sh", "-c", command], says), here, tmp_path)

    assert tried("true") == ""
    assert "ended with 3" in tried("echo no >&2; exit 3")
    assert tried("echo 'install aritmo[x]' >&2; exit 2", "aritmo[x]") == ""
    assert "last line: other" in tried("echo 'aritmo[x]' >&2; echo other >&2; exit 2", "aritmo[x]")
    assert "ended with 0" in tried("echo 'aritmo[x]' >&2", "aritmo[x]")
    with pytest.raises(ValueError, match="no page"):
        steps_of("nothing")


def test_what_serves_a_page_is_asked_and_ended(here: Environment, tmp_path: Path) -> None:
    asked: list[str] = []
    serve = ["sh", "-c", "echo at http://127.0.0.1:1/; exec sleep 60"]
    assert here.serve(serve, tmp_path, lambda address: asked.append(address) or "") == ""
    assert asked == ["http://127.0.0.1:1"]
    assert here.serve(serve, tmp_path, lambda address: "empty") == "empty"
    assert "it served nothing: no" in here.serve(["sh", "-c", "echo no"], tmp_path, lambda address: "")


def test_the_table_says_what_holds(tmp_path: Path) -> None:
    results = [
        Result("one", ["peft 0.19"], 50, 60.0, 30.0, ["run one"], ""),
        Result("two", [], 0, 1.0, 0.0, [], "pip: no such package"),
    ]
    assert "holds" in line_of(results[0])
    assert line_of(results[1]).endswith("\n    pip: no such package")
    page = write_table(tmp_path, results).read_text()
    assert "| one | peft 0.19 | 50 | 60 | 1 | 30 | yes |" in page
    assert "1 of 2 hold; 91 seconds." in page


def test_an_unknown_extra_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["extras", "nothing"])
    assert main() == 2
    assert "no extra 'nothing': there are bare, lora" in capsys.readouterr().err
