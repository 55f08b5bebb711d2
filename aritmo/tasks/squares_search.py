"""The search for a prime magic square of order 3, written out in small steps that a model can learn.

A number n is two symbols, its last two digits and then the rest: 1607 is ``07'16``. So sums and differences are
carried in the order in which they are written. With centre c (numbers are shown whole here):

    Centre c                    the request; ``from p`` begins the list there, ``skip 2x`` passes over two squares
    Twice 2c  c c               what pairs add to; the list begins at the centre
    p q                         the next lower prime in steps of 6, and its mirror q = 2c - p
    p q * y z y z ... .         q is prime too, so p is a member. For each earlier member y, from the nearest on,
                                z = 2y - p, until z passes c
      + a t t' !                where z is a member: a = y - p, t = c - a, t' = c + a; if t and t' are prime and
                                t is not z, this is a square, and the end; or ``~`` and how many are left to skip
    y z' t' / p' c p / t z y'   p, y and z are in steps of a; primes mirror them around c

Every such square is found: of its cells below c take the least for p and the next for y (``search.py``).
"""

from collections.abc import Generator, Iterator
from functools import lru_cache
from typing import NamedTuple

from aritmo.numbers.primes import sieve

LIMIT = 10_000
"""Every cell is below this."""
COUNTS = 16
"""Counts of squares to pass over that are symbols, from 0. One square in fifteen needs a higher one."""
_PRIME = sieve(2 * LIMIT).tobytes()

MEMBERS = 64
"""Numbers of members that are symbols, from 0."""
_SPELT = [
    *(" *", " .\n", "\n  +", " ~", " !\n", " /\n", "Ask: ", "<end>", "Any\n", "Centre", " from", " skip"),
    *("\nTwice", " none", "Practice\n", "Prime", " yes\n", " no\n"),
]
_SPELT_NESTED = ["Order5 ", "Order7 ", "\nFree", "\nRing", "\nTop", "\nLeft", "\n  -", "\nAgain"]
_SPELT_USED = ["\nAll", " used"]
WORDS = {spelt.strip(" \n:<>"): spelt for spelt in [*_SPELT, *_SPELT_NESTED, *_SPELT_USED]}
"""Each word as it is spelt, with the white space around it, by its name."""
SYMBOLS = [
    *(f" {low:02}" for low in range(100)),
    *(f"'{high}" for high in range(2 * LIMIT // 100)),
    *_SPELT,
    *(f" {left}x" for left in range(COUNTS)),
    *_SPELT_NESTED,
    *(f" #{number}" for number in range(MEMBERS)),
    *_SPELT_USED,
]
"""Every symbol by its number in a model's vocabulary. No sequence of them spells what another one spells."""


class Search(NamedTuple):
    """What is searched: a square of a centre, in a list from ``start`` on (0: from the centre), after ``skip``.

    An ``order`` above 3 asks for a nested square (``squares_nested``), which passes over none.
    """

    centre: int
    start: int = 0
    skip: int = 0
    order: int = 3


class Step(NamedTuple):
    """One number or word of a search: its kind, and the entry of the list (from 1) and the numbers it comes of."""

    kind: str
    item: int | str
    entry: int = 0
    about: tuple[int, ...] = ()


Found = tuple[int, int, int]
"""The (p, y, z) of a square."""


def spell(item: int | str) -> str:
    """Return a number as its two symbols, or a word with the white space around it."""
    if isinstance(item, int):
        return f" {item % 100:02}'{item // 100}"
    return WORDS.get(item) or f" {item}"


def is_prime(n: int) -> bool:
    return 0 <= n < len(_PRIME) and bool(_PRIME[n])


def request(search: Search) -> list[int | str]:
    """Return the items that ask for a search."""
    centre, start, skip, order = search
    items: list[int | str] = [] if order == 3 else [f"Order{order}"]
    items += ["Centre", centre]
    items += ["from", start] if start else []
    return items + (["skip", f"{skip}x"] if skip else [])


def starts(centre: int) -> range:
    """Return the numbers among which those of a list are: every sixth below the centre, falling to 5 at least."""
    return range(centre - 6, 3, -6)


def lower_primes(search: Search) -> Iterator[int]:
    """Yield the primes of a search's list, falling."""
    centre, start, *_ = search
    return (p for p in starts(centre) if _PRIME[p] and (not start or p <= start))


def steps(
    search: Search, lower: Iterator[int] | None = None, members: list[int] | None = None
) -> Generator[Step, None, Found | None]:
    """Yield every step of a search of order 3, the request aside, and return what it finds.

    The list is made of ``lower``, falling numbers below the centre: ``lower_primes`` unless something else is
    practised. Where ``members`` are given, they are filled and numbered, as a nested square wants it.
    """
    c, start, skip, _ = search
    yield Step("twice", "Twice")
    yield Step("twice", 2 * c)
    if not start:
        yield Step("centre", c)
        yield Step("centre", c)
    numbered, members = members is not None, [] if members is None else members
    known: set[int] = set()
    for entry, p in enumerate(lower_primes(search) if lower is None else lower, 1):
        q = 2 * c - p
        yield Step("next", p, entry)
        yield Step("mirror", q, entry, (p,))
        if q >= LIMIT:
            break
        if not _PRIME[q]:
            continue
        yield Step("star", "*", entry, (p, q))
        if numbered:
            yield Step("count", f"#{len(members) + 1}", entry)
        found, skip = yield from _walk(c, p, members, known, skip, entry)
        members.append(p)
        known.add(p)
        if found:
            return found
        yield Step("stop", ".", entry, (p,))
    yield Step("none", "none")
    return None


def _walk(
    c: int, p: int, members: list[int], known: set[int], skip: int, entry: int
) -> Generator[Step, None, tuple[Found | None, int]]:
    """Yield the steps of a new member; return its square if that came, and how many are left to skip."""
    for y in reversed(members):
        z = 2 * y - p
        yield Step("earlier", y, entry, (p,))
        yield Step("third", z, entry, (p, y))
        if z > c:
            break
        if z not in known:
            continue
        a = y - p
        yield Step("plus", "+", entry, (z,))
        yield Step("difference", a, entry, (y, p))
        yield Step("minus", c - a, entry, (c, a))
        yield Step("sum", c + a, entry, (c, a))
        if not is_square(c, p, y):
            continue
        if not skip:
            yield Step("found", "!", entry, (c - a, c + a, z))
            yield from (Step("square", item, 0, (cell,)) for cell, item in _rows(cells_of(c, p, y)))
            return (p, y, z), skip
        skip -= 1
        yield Step("pass", "~", entry, (c - a, c + a, z))
        yield Step("left", f"{skip}x", entry)
    return None, skip


def is_square(c: int, p: int, y: int) -> bool:
    """Say whether p, y and 2y - p, members of a list, and what mirrors y - p around c make a square."""
    a = y - p
    return is_prime(c - a) and is_prime(c + a) and c - a != y + a


def cells_of(c: int, p: int, y: int) -> tuple[int, ...]:
    """Return the nine cells of the square, row by row."""
    z, t = 2 * y - p, c - y + p
    return y, 2 * c - z, 2 * c - t, 2 * c - p, c, p, t, z, 2 * c - y


def _rows(cells: tuple[int, ...]) -> Iterator[tuple[int, int | str]]:
    """Yield the cells with their places from 1, and between rows the sign that parts them."""
    for place, cell in enumerate(cells, 1):
        yield place, cell
        if place in (3, 6):
            yield place, "/"


@lru_cache(maxsize=2 * LIMIT)
def squares_of(centre: int) -> tuple[Found, ...]:
    """Return the (p, y, z) of every square of a centre below LIMIT, in the order in which they are found."""
    members = [p for p in starts(centre) if _PRIME[p] and 2 * centre - p < LIMIT and _PRIME[2 * centre - p]]
    known = set(members)
    return tuple(
        (p, y, 2 * y - p)
        for place, p in enumerate(members)
        for y in reversed(members[:place])
        if 2 * y - p in known and is_square(centre, p, y)
    )


def found_by(search: Search) -> Found | None:
    """Return the square that a search finds, None where it finds none."""
    reached = [found for found in squares_of(search.centre) if not search.start or found[2] <= search.start]
    return reached[search.skip] if search.skip < len(reached) else None


def search_for(cells: tuple[int, ...]) -> Search:
    """Return the search that finds a valid square of order 3 below LIMIT and begins as late as it may."""
    c = cells[4]
    p, y = sorted(cells)[:2]
    found = p, y, 2 * y - p
    before = squares_of(c)[: squares_of(c).index(found)]
    return Search(c, found[2], sum(z <= found[2] for _, _, z in before))
