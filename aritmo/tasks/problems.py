"""Reading a problem as a person writes it: one sum, one number, or one centre of a square, on a line.

Numbers have ASCII digits. Thousands may be set apart by commas, spaces (also the no-break and the narrow one) or
underscores: one kind in a number, groups of three. Points are refused, since in half the world they are decimal.
Leading zeros are dropped; white space around numbers is passed over, and so is an equals sign at the end.
"""

import re
from collections.abc import Callable
from typing import Any

from aritmo.tasks.addition import Sum
from aritmo.tasks.squares import Square, Wanted
from aritmo.tasks.task import Task

_GROUPED = r"[1-9][0-9]{0,2}([,_ \xa0\u202f])[0-9]{3}(?:\1[0-9]{3})*"
_NUMBER = re.compile(rf"[0-9]+|{_GROUPED}")
_SEPARATOR = re.compile(r"[,_ \xa0\u202f]")
_MINUS = ("-", "\u2212")
_SHOWN = 40


def read_sum(text: str, most: int) -> Sum:
    """Return the sum that a line asks for, its operands of at most ``most`` digits.

    Raises ValueError in one sentence for what is not two whole numbers from 0 upwards and one plus sign.
    """
    text = text.strip().removesuffix("=")
    parts = text.split("+")
    if not text.strip():
        raise ValueError("the problem is empty: write two numbers and a plus sign, like 8292+29039")
    if len(parts) == 1:
        _read_number(text, most)
        raise ValueError(f"{_short(text)} has no plus sign: write two numbers with one between, like 8292+29039")
    if len(parts) > 2:
        raise ValueError(f"{_short(text)} has {len(parts) - 1} plus signs: ask for two numbers at a time")
    for which, part in zip(("before", "behind"), parts, strict=True):
        if not part.strip():
            raise ValueError(f"{_short(text)} has no number {which} the plus sign: write both, like 8292+29039")
    return Sum(*(_read_number(part, most) for part in parts))


def read_number(text: str, most: int) -> int:
    """Return the whole number that a line asks for. Raises ValueError in one sentence for anything else."""
    if not text.strip():
        raise ValueError("the problem is empty: write a whole number, like 57")
    return _read_number(text, most)


def read_square(text: str, most: int) -> Square:
    """Return the square that a line asks for: by its centre, or ``any``. Raises ValueError for anything else."""
    asked = text.strip().removeprefix("centre").strip()
    if not asked:
        raise ValueError("the problem is empty: write the centre of a square, like 1607, or any")
    return Square(0, wanted=Wanted() if asked == ANY else Wanted(centre=_read_number(asked, most)))


def of_order(problem: Any, order: int) -> Any:
    """Return a problem that was read, a square as one of this order. Raises ValueError where that is none."""
    if order == 3:
        return problem
    if not isinstance(problem, Square) or problem.wanted is None:
        raise ValueError(f"--order {order} is for squares: leave it out")
    if problem.wanted.centre is None:
        raise ValueError(f"a square of order {order} is asked for by its centre: name one, like 1607")
    return problem._replace(wanted=problem.wanted._replace(order=order))


ANY = "any"
READERS: dict[str, Callable[[str, int], Any]] = {
    "squares": read_square,
    "addition": read_sum,
    "decomposition": read_number,
    "primality": read_number,
}
"""How a problem of each task is read where it is written on one line."""


def written(task: Task[Any], problem: Any) -> str:
    """Return a problem that was read, as one writes it."""
    if not isinstance(problem, Square):
        return task.key(problem)
    return ANY if problem.wanted is None or problem.wanted.centre is None else str(problem.wanted.centre)


def _read_number(text: str, most: int) -> int:
    text = text.strip()
    digits = _SEPARATOR.sub("", text)
    if text.startswith(_MINUS):
        raise ValueError(f"{_short(text)} is negative: numbers are 0 or greater")
    if wrong := re.search(r"[^0-9]", digits):
        remedy = " (a digit of another script)" if wrong[0].isdigit() else ""
        raise ValueError(
            f"{_short(text)} is no whole number because of {wrong[0]!r}{remedy}: write it with the digits 0 to 9"
        )
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"the digits of {_short(text)} are not set apart in groups of three: write 1234 or 1,234")
    digits = digits.lstrip("0") or "0"
    if len(digits) > most:
        raise ValueError(f"a number of {len(digits):,} digits is too long: the model takes at most {most:,}")
    return int(digits)


def _short(text: str) -> str:
    """Return a text as it is shown in a sentence, long ones cut."""
    text = text.strip()
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
