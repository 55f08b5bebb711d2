"""Files of records in the making: nobody takes them for whole, and the same request goes on with them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aritmo.records import read_jsonl
from aritmo.unfinished import Unfinished

REQUEST = {"model": "tiny", "seed": 1, "top_p": 0.5}


def begun(out: Path, lines: int, torn: bytes = b"") -> None:
    with Unfinished(out, REQUEST) as file:
        file.add({"index": index} for index in range(lines))
    with file.path.open("ab") as end:
        end.write(torn)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("torn", [b"", b'{"index": 5', b'{"index": 5}'])
def test_the_same_request_goes_on_at_a_border(tmp_path: Path, every: int, torn: bytes) -> None:
    out = tmp_path / "s.jsonl"
    begun(out, 5, torn)
    assert names(tmp_path) == ["s.jsonl.partial", "s.jsonl.progress"]
    with Unfinished(out, dict(REQUEST), every) as file:
        assert file.kept == 5 // every * every
        assert [record["index"] for record in file.records()] == list(range(file.kept))
        file.add({"index": index} for index in range(file.kept, 7))
        file.finish()
    assert names(tmp_path) == ["s.jsonl"]
    assert list(read_jsonl(out)) == [{"index": index} for index in range(7)]


def test_another_request_is_refused_or_begins_anew(tmp_path: Path) -> None:
    out = tmp_path / "s.jsonl"
    begun(out, 3)
    with pytest.raises(ValueError, match=r"was begun with seed 1, not 2: go on with that, remove .*partial"):
        Unfinished(out, REQUEST | {"seed": 2})
    with Unfinished(out, REQUEST) as file:  # the refusal took nothing away
        assert file.kept == 3
    with Unfinished(out, REQUEST | {"seed": 2}, anew=True) as file:
        assert file.kept == 0
        file.finish()
    assert out.read_bytes() == b""


def test_what_was_never_begun_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Unfinished(tmp_path / "s.jsonl", REQUEST):
        raise KeyError
    assert names(tmp_path) == []


def test_a_note_that_is_of_no_use_is_no_reason_to_trust_the_file(tmp_path: Path) -> None:
    out = tmp_path / "s.jsonl"
    for note in ('{"request": ', "[]", '{"request": 3}', "[" * 100_000):
        begun(out, 3)
        (tmp_path / "s.jsonl.progress").write_text(note)
        with Unfinished(out, REQUEST) as file:
            assert file.kept == 0
        assert names(tmp_path) == []


def test_a_link_in_its_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "s.jsonl.partial").symlink_to(tmp_path / "mine")
    with pytest.raises(ValueError, match="is a symbolic link"):
        Unfinished(tmp_path / "s.jsonl", REQUEST)
    assert (tmp_path / "mine").read_text() == "precious"


HOLD = """
import sys
from pathlib import Path
from aritmo.unfinished import Unfinished
file = Unfinished(Path(sys.argv[1]), {})
print("held", flush=True)
sys.stdin.read()
"""


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    out = tmp_path / "s.jsonl"
    command: Any = [sys.executable, "-c", HOLD, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="is being written by another process"):
            Unfinished(out, REQUEST)
        other.kill()
    with Unfinished(out, {}) as file:  # what a killed process held is free
        assert file.kept == 0


def test_the_note_says_what_was_asked(tmp_path: Path) -> None:
    begun(tmp_path / "s.jsonl", 1)
    assert json.loads((tmp_path / "s.jsonl.progress").read_text())["request"] == REQUEST
