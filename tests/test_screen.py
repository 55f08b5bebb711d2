"""Text that goes to a screen cannot act on it, and JSON reads back as it was."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.screen import json_line, printable, show

_ANY = st.text(st.characters(exclude_categories=[]))
_CLI = Path(__file__).parent.parent / "aritmo" / "cli"


@given(_ANY)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert (shown == text) == text.isprintable()
    line = json_line({text: [text]})
    assert line.isprintable()
    assert json.loads(line) == {text: [text]}


def test_lines_are_shown_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    show("a\x1b[2J", "b\nc", "ñ «»")
    assert capsys.readouterr().out == "a\\x1b[2J\nb\\nc\nñ «»\n"
    show("x\u202e", err=True)
    assert capsys.readouterr().err == "x\\u202e\n"


def test_no_verb_prints_past_it() -> None:
    """What is printed plainly is a constant, or made of numbers and names that are printable already."""
    plain = re.compile(r"^\s*(?:print|typer\.echo)\((?!f?\"aritmo|json_line)", re.MULTILINE)
    found = {path.name: len(plain.findall(path.read_text("utf-8"))) for path in _CLI.glob("*.py")}
    allowed = {"squares_check.py", "squares_make.py", "squares_stats.py", "play.py"}
    assert {name for name, count in found.items() if count} <= allowed
