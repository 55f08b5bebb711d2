"""What a row of the table is: a promise, how it is checked, and the figure that comes out.

A group of rows is a file here with ``ROWS``, a list of ``Row``, and a line in ``trust/table.py``. A check takes
the size that is asked for and returns a figure. It may use ``size.workers`` processes and prints nothing itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Size(NamedTuple):
    """How much is checked: ``full`` is what is promised, without it the same checks on a small scale.

    ``workers`` is how many processes a check may start; 0 means that it does all in this one.
    """

    full: bool
    workers: int = 0
    seed: int = 0

    def of(self, small: T, full: T) -> T:
        """Return the value for this size."""
        return full if self.full else small


class Figure(NamedTuple):
    """What a check found, as it stands in the table, and whether that is what the row aims at.

    ``details`` are further lines, printed under the table: what went wrong, or what the figure hangs on.
    """

    shown: str
    holds: bool
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One promise: its group and short name, what is aimed at in words, and the check.

    ``needs`` is a module without which it cannot be checked, and so does not hold.
    """

    group: str
    name: str
    aim: str
    check: Callable[[Size], Figure]
    needs: str | None = None
