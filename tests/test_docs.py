"""What the documents tell a reader to type and to open: it exists, and says the same in both languages."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.exceptions import TyperException
from typer.testing import CliRunner

from aritmo.cli import app
from aritmo.numbers.squares import check_square
from aritmo.tasks import find_task
from aritmo.tasks.addition import Sum
from aritmo.tasks.squares import Square

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("README*.md"), *ROOT.glob("docs/**/*.md")])
PAIRS = [
    ("README.md", "README.es.md"),
    ("docs/guide.md", "docs/guia.md"),
    ("docs/playground.md", "docs/juego.md"),
    ("docs/experiments/README.md", "docs/experimentos/README.md"),
    ("docs/experiments/squares.md", "docs/experimentos/cuadrados.md"),
    ("docs/experiments/decomposition.md", "docs/experimentos/descomposicion.md"),
    ("docs/experiments/addition.md", "docs/experimentos/suma.md"),
    ("docs/experiments/step-by-step.md", "docs/experimentos/paso-a-paso.md"),
    ("docs/experiments/primality.md", "docs/experimentos/primos.md"),
    ("docs/probe.md", "docs/sondeo.md"),
    ("docs/threats.md", "docs/amenazas.md"),
    ("docs/tools.md", "docs/herramientas.md"),
    ("docs/tokenizer.md", "docs/tokenizador.md"),
    ("docs/trust.md", "docs/confianza.md"),
]
ENGLISH_ONLY = {"docs/dependencies.md", "docs/log.md"}
LANGUAGES = ("experiments", "experimentos")
"""The folders of the pages on the experiments, one a language."""
COMMAND = typer.main.get_command(app)

_BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_MAKE = re.compile(r"(?:^|`)make ([a-z]+)", re.MULTILINE)
_TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)


def blocks(document: Path) -> list[str]:
    return _BLOCK.findall(document.read_text("utf-8"))


def command_lines(document: Path) -> list[str]:
    """Return the lines of code blocks that are typed, a line that ends in a backslash joined to the next."""
    lines = "".join(blocks(document)).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith(("aritmo ", "make "))]


def verbs(command: Any = COMMAND, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the words of every verb, such as («corpus», «build»), and its command."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, below in command.commands.items():
        yield from verbs(below, (*path, name))


VERBS = dict(verbs())


def understood(line: str) -> dict[str, Any]:
    """Return the parameters that a command line sets; raise where the command would refuse its words."""
    program, *words = shlex.split(line)
    assert program == "aritmo"
    found = next((path for path in VERBS if path == tuple(words[: len(path)])), None)
    assert found, f"no verb of aritmo begins «{line}»"
    context = VERBS[found].make_context(found[-1], words[len(found) :])
    given: dict[str, Any] = context.params
    return given


DOCUMENTED = {
    f"{document.relative_to(ROOT)}: {line}": line
    for document in DOCUMENTS
    for line in command_lines(document)
    if line.startswith("aritmo ")
}


def test_the_documents_are_there() -> None:
    paired = {name for pair in PAIRS for name in pair}
    assert paired | ENGLISH_ONLY == {str(path.relative_to(ROOT)) for path in DOCUMENTS}
    assert len(DOCUMENTED) > 40


@pytest.mark.parametrize("line", DOCUMENTED.values(), ids=DOCUMENTED)
def test_every_command_is_understood(line: str) -> None:
    given = understood(line)
    if given.get("task"):
        find_task(given["task"], given["style"])
    # Files that a reader makes on the way are not here; those that come with the documents are.
    for word in shlex.split(line):
        assert not word.startswith("docs/") or (ROOT / word).is_file()


@pytest.mark.parametrize(
    "line", ["aritmo bake", "aritmo run --bogus 1", "aritmo corpus build", "aritmo judge", "aritmo run --budget x"]
)
def test_a_wrong_command_would_be_noticed(line: str) -> None:
    with pytest.raises((AssertionError, TyperException)):
        understood(line)


def test_settings_and_files_in_commands_are_read() -> None:
    from aritmo.config import load_config, read_yaml
    from aritmo.experiment import PartConfig

    given = [understood(line) for line in DOCUMENTED.values() if " --set " in line]
    assert given
    for words in given:
        layers = [read_yaml(ROOT / words["config"])] if words["config"] else []
        load_config(PartConfig, layers, words["override"])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_exist(document: Path) -> None:
    targets = set(_TARGET.findall((ROOT / "Makefile").read_text("utf-8")))
    assert set(_MAKE.findall(document.read_text("utf-8"))) <= targets
    assert "run" in targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_resolve(document: Path) -> None:
    for link in _LINK.findall(_BLOCK.sub("", document.read_text("utf-8"))):
        if "://" not in link:
            target, _, anchor = link.partition("#")
            assert not anchor, f"{link}: link to the document, not to a place in it"
            assert (document.parent / target).exists(), link


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[1])
def test_both_languages_say_the_same(pair: tuple[str, str]) -> None:
    english, spanish = (ROOT / name for name in pair)
    assert blocks(english) == blocks(spanish)
    assert command_lines(english) == command_lines(spanish) != []
    assert _headings(english) == _headings(spanish)
    assert _figures(english) == _figures(spanish)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_experiment_has_a_page_with_its_command(language: str) -> None:
    index = (ROOT / "docs" / language / "README.md").read_text("utf-8")
    for page in pages(language):
        if page.name != "README.md":
            assert f"({page.name})" in index
            assert any(line.startswith("aritmo run --task") for line in command_lines(page)), page.name


def _headings(document: Path) -> list[int]:
    """Return the levels of the headings, in order."""
    found = re.findall(r"^(#+) ", _BLOCK.sub("", document.read_text("utf-8")), re.MULTILINE)
    return [len(marks) for marks in found]


def _figures(document: Path) -> list[str]:
    """Return the shares in per cent that a document quotes, sorted, with the decimal point of English."""
    return sorted(figure.replace(",", ".") for figure in re.findall(r"([\d.,]+)\s%", document.read_text("utf-8")))


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_help_shows_an_example_that_works(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*path, "--help"], env={"NO_COLOR": "1", "TERM": "dumb"})
    assert shown.exit_code == 0
    example = VERBS[path].epilog
    assert example.startswith(f"Example: aritmo {' '.join(path)}")
    # Help is folded to the width of the terminal.
    assert "".join(example.split()) in "".join(shown.output.split())
    understood(example.removeprefix("Example: "))


def pages(language: str) -> list[Path]:
    """Return the pages on the experiments in a language."""
    return [document for document in DOCUMENTS if document.parent.name == language]


def page_blocks(language: str) -> list[str]:
    return [block for page in pages(language) for block in blocks(page)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("task", "style", "problem"),
    [
        ("squares", "listing", Square(5001, (17, 89, 71, 113, 59, 5, 47, 29, 101))),
        ("decomposition", "joined", 57),
        ("decomposition", "spaced", 57),
        ("addition", "plain", Sum(8292, 29039)),
        ("addition", "tutorial", Sum(8292, 29039)),
        ("primality", "plain", 7919),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_pages_show_what_a_model_sees(language: str, task: str, style: str, problem: Any) -> None:
    found, _ = find_task(task, style)
    text = found.prompt(problem, style) + found.completion(problem, style)
    assert f"{text.rstrip()}\n" in page_blocks(language)


def test_the_pages_show_every_style() -> None:
    from aritmo.tasks import TASKS

    for language in LANGUAGES:
        text = "".join(page.read_text("utf-8") for page in pages(language))
        assert all(
            f"`{style}`" in text for task in TASKS.values() if task.name != "primality" for style in task.styles
        )


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pages_quote_the_verdict_on_prueba_3(language: str) -> None:
    found = page_blocks(language)
    record = next(json.loads(block) for block in found if block.startswith("{"))
    task, style = find_task(record["task"], record["style"])
    verdict = task.judge(task.read_prompt(record["prompt"], style), record["text"], style)
    assert not verdict.valid
    assert "\n".join(verdict.reasons) + "\n" in found


@pytest.mark.parametrize(("name", "language"), [("docs/tokenizer.md", "en"), ("docs/tokenizador.md", "es")])
def test_the_tables_on_the_tokenizer_are_those_of_the_results(name: str, language: Any) -> None:
    from aritmo.trials.tables import table

    file = ROOT / "research/logs/tokenizer-trial/trial/results.jsonl"
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert table(lines, language) in (ROOT / name).read_text("utf-8")


def test_the_square_on_the_pages_is_valid() -> None:
    assert check_square(Square(5001, (17, 89, 71, 113, 59, 5, 47, 29, 101)).array).valid
