"""Column addition as it is taught at school: digits, carries and the names of the places."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_GROUPS = (
    "thousand", "million", "billion", "trillion", "quadrillion", "quintillion", "sextillion", "septillion",
    "octillion", "nonillion", "decillion", "undecillion", "duodecillion", "tredecillion",
    "quattuordecillion", "quindecillion", "sexdecillion", "septendecillion", "octodecillion",
    "novemdecillion", "vigintillion",
)  # fmt: skip
MAX_PLACES = 3 * len(_GROUPS) + 3
"""Places that have a name: up to hundred vigintillions, 66 digits."""

PLACE_WORDS = ("ones", "ten", "tens", "hundred", "hundreds", *_GROUPS, *(f"{group}s" for group in _GROUPS))
"""Every word that occurs in a place name."""


@lru_cache
def place_name(place: int) -> str:
    """Return the name of a decimal place: 0 is «ones», 4 is «ten thousands», 6 is «millions».

    Raises ValueError past the last named place.
    """
    if not 0 <= place < MAX_PLACES:
        raise ValueError(
            f"no name for decimal place {place}: numbers and their sums have at most {MAX_PLACES} digits here, "
            f"so use shorter ones"
        )
    group, within = divmod(place, 3)
    if group == 0:
        return ("ones", "tens", "hundreds")[within]
    return ("", "ten ", "hundred ")[within] + _GROUPS[group - 1] + "s"


class Column(NamedTuple):
    """One column of an addition: the digits that are there, top first, and the carry that came in."""

    place: int
    digits: tuple[int, ...]
    carry: int

    @property
    def total(self) -> int:
        return sum(self.digits) + self.carry


def add_columns(a: int, b: int) -> Iterator[Column]:
    """Yield the columns of ``a + b`` from the ones upwards, with a last one of only a carry where one is left."""
    top, bottom = str(a)[::-1], str(b)[::-1]
    carry = 0
    for place in range(max(len(top), len(bottom))):
        column = Column(place, tuple(int(n[place]) for n in (top, bottom) if place < len(n)), carry)
        yield column
        carry = column.total // 10
    if carry:
        yield Column(max(len(top), len(bottom)), (), carry)
