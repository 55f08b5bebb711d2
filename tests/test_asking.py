"""Texts that come in pieces: the same as whole ones, and each model opened once."""

from itertools import islice
from typing import Any

import pytest

from aritmo.asking import Line, Manner, Writer, ask, open_asked


@pytest.mark.parametrize(
    ("task", "style", "problem", "order"),
    [
        ("addition", None, "9+71421", 3),
        ("addition", "tutorial", "8292+29039", 3),
        ("decomposition", "joined", "80959", 3),
        ("squares", None, "263", 3),
        ("squares", None, "1607", 5),
        ("primality", None, "7919", 3),
    ],
)
def test_pieces_make_up_the_text(task: str, style: str | None, problem: str, order: int) -> None:
    (whole,) = ask(task, [Line("", problem)], style=style, order=order)
    asked = open_asked(task, style=style)
    read = asked.read(Line("", problem), order)
    pieces = list(asked.stream(read))
    assert "".join(pieces) == whole["text"]
    assert asked.record(read, "".join(pieces)) == whole
    assert len(pieces) > 4 or task == "primality"


def test_a_model_is_opened_once() -> None:
    opened: dict[str, Writer] = {}
    squares, prime = (open_asked(task, opened=opened) for task in ("squares", "primality"))
    assert squares.writer is prime.writer
    assert list(opened) == ["squares"]
    other = open_asked("addition", opened=opened)
    assert other.writer is not prime.writer
    assert list(opened) == ["squares", "adder"]


def test_any_square_hangs_on_the_seed() -> None:
    asked = open_asked("squares")
    problem: Any = asked.read(Line("", "any"))
    first, again, other = (list(islice(asked.stream(problem, Manner(seed=seed)), 4)) for seed in (1, 1, 2))
    assert first == again != other
