"""The search for a nested prime square of order 5 or 7, which goes on where the search for order 3 ends.

It begins as that search (``squares_search``), each member of the list with its number, and after the 3x3 square:

    p q  p q * #k ...           the list goes on until it has enough members, or ``none``
    All #1 p q #2 p q used ...  the members by number, p and q = 2c - p, and whether they are in the square
    Free #1 p q #3 p q ...      those that are not
    Ring #i p1 q1 #j p2 q2      the first two: p1 comes to the top left, q2 to the top right, so q1 and p2 opposite
    Top q1 p2 s s+c             what the top row still needs: c + q1 + p2 for order 5, 2c more for order 7
      v - #i a u                a free cell is taken away (p3, then q3, p4 ...), so two have to add to u
      #k p z q z' ... + #j      for each later pair what p and q leave of u, until that is in a still later pair
    x a b z y                   the top row
    Free ...                    what is left of the list
    Left q1 q2 s s+c ...        the same for the left column, then its cells
    ! rows /                    the whole square; order 7 goes on with another ring

Where a line cannot be found, ``Again`` begins the ring with the list turned by one.
"""

from collections.abc import Generator, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from aritmo.tasks.squares_search import LIMIT, Search, Step, cells_of, is_prime, lower_primes, steps

ENOUGH = {5: 28, 7: 52}
"""Members that are listed for a square of each order."""
BELOW = 5_000
"""Centres of nested squares are below this."""
ROOM = {5: 5_000, 7: 7_400}
"""Tokens that the text of each order may have; a longer search counts as one that finds nothing."""

Rows = list[list[int]]


class Pair(NamedTuple):
    """Two numbers that add to twice the centre, p below it, and the number of p in the list."""

    number: int
    p: int
    q: int


class Ring(NamedTuple):
    """A ring around a square: its top row, its left cells between the corners, and the pairs that are left."""

    top: list[int]
    left: list[int]
    free: list[Pair]


class RoomError(Exception):
    """A search has come to a number that no text can hold."""


def all_steps(search: Search) -> Generator[Step, None, Rows | None]:
    """Yield every step of a search of any order, the request aside, and return the square that it finds.

    Raises RoomError where a number comes that cannot be written.
    """
    lower = lower_primes(search)
    members: list[int] = []
    if search.order == 3:
        found = yield from steps(search, lower)
        return rows_of(search.centre, *found) if found else None
    found = yield from steps(search, lower, members)
    if found is None:
        return None
    rows = rows_of(search.centre, *found)
    return (yield from surround(search.order, search.centre, lower, rows, members))


def rows_of(c: int, p: int, y: int, z: int) -> Rows:
    """Return the square of order 3 that a search finds."""
    cells = cells_of(c, p, y)
    assert cells[7] == z
    return [list(cells[at : at + 3]) for at in (0, 3, 6)]


def surround(
    order: int, c: int, lower: Iterator[int], rows: Rows, members: list[int]
) -> Generator[Step, None, Rows | None]:
    """Yield everything after a square of order 3, and return the whole square."""
    yield from _extend(order, c, lower, members)
    used = {cell for row in rows for cell in row}
    yield from list_all(c, members, used)
    free = [pair for pair in pairs_of(c, members) if pair.p not in used]
    for size in range(5, order + 1, 2):
        ring = yield from find_ring(size, c, free)
        if ring is None:
            yield Step("decide", "none")
            return None
        rows, free = enclose(c, rows, ring.top, ring.left), ring.free
        yield from write_rows(rows)
    return rows


def pairs_of(c: int, members: Sequence[int]) -> list[Pair]:
    """Return the members with their mirrors, numbered from 1."""
    return [Pair(number, p, 2 * c - p) for number, p in enumerate(members, 1)]


def list_all(c: int, members: Sequence[int], used: set[int]) -> Iterator[Step]:
    """Yield the list of all members, those that are used marked."""
    yield Step("ring", "All")
    for pair in pairs_of(c, members):
        yield from _listed(pair)
        if pair.p in used:
            yield Step("free", "used")


def list_free(free: Sequence[Pair]) -> Iterator[Step]:
    """Yield a list of free pairs."""
    yield Step("ring", "Free")
    for pair in free:
        yield from _listed(pair)


def _listed(pair: Pair, kind: str = "free") -> Iterator[Step]:
    yield Step(kind, f"#{pair.number}")
    yield Step(kind, pair.p)
    yield Step(kind, pair.q)


def enclose(c: int, rows: Rows, top: list[int], left: list[int]) -> Rows:
    """Return a square with a ring around it."""
    return [
        top,
        *([cell, *row, 2 * c - cell] for cell, row in zip(left, rows, strict=True)),
        [2 * c - top[-1], *(2 * c - cell for cell in top[1:-1]), 2 * c - top[0]],
    ]


def write_rows(rows: Rows) -> Iterator[Step]:
    """Yield a square row by row, behind its sign."""
    yield Step("rows", "!")
    for at, row in enumerate(rows):
        if at:
            yield Step("rows", "/")
        yield from (Step("rows", cell) for cell in row)


def _extend(order: int, c: int, lower: Iterator[int], members: list[int]) -> Iterator[Step]:
    while len(members) < ENOUGH[order]:
        p = next(lower, 0)
        if not p:
            yield Step("none", "none")
            return
        yield Step("next", p)
        yield Step("mirror", 2 * c - p, 0, (p,))
        if is_prime(2 * c - p):
            members.append(p)
            yield Step("star", "*", 0, (p, 2 * c - p))
            yield Step("count", f"#{len(members)}")


def find_ring(order: int, c: int, free: list[Pair]) -> Generator[Step, None, Ring | None]:
    """Yield the search for a ring that makes a square one of this order, and return it."""
    for turn in range(len(free)):
        if turn:
            yield Step("decide", "Again")
        turned = free[turn:] + free[:turn]
        yield from list_free(turned)
        if len(free) < 2 * (order - 1):
            return None
        first, second, *rest = turned
        yield Step("ring", "Ring")
        for pair in (first, second):
            yield from _listed(pair, "ring")
        yield Step("ring", "Top")
        line = yield from _find_line(order, c, (first.q, second.p), rest)
        if line is None:
            continue
        top = [first.p, *line, second.q]
        yield from (Step("rows", cell) for cell in top)
        rest = _without(rest, line)
        yield from list_free(rest)
        yield Step("ring", "Left")
        left = yield from _find_line(order, c, (first.q, second.q), rest)
        if left is not None:
            yield from (Step("rows", cell) for cell in left)
            return Ring(top, left, _without(rest, left))
    return None


def _without(free: Sequence[Pair], cells: Sequence[int]) -> list[Pair]:
    return [pair for pair in free if pair.p not in cells and pair.q not in cells]


def _find_line(
    order: int, c: int, corners: tuple[int, int], free: Sequence[Pair]
) -> Generator[Step, None, list[int] | None]:
    """Yield the search for the cells of a line between two corners, from which the opposite ones are given."""
    place = {cell: at for at, pair in enumerate(free) for cell in pair[1:]}
    yield from (Step("ring", cell) for cell in corners)
    need = sum(corners)
    yield _total(need, corners)
    need += c
    yield _total(need, (need - c, c))
    taken: list[int] = []
    for at in range(order - 5):
        taken.append(free[at][1 + at % 2])
        yield from take(free[at].number, taken[at], need)
        need += c - taken[at]
        yield _total(need, (need - c, c))
    for at in range(len(taken), len(free)):
        for a in free[at][1:]:
            first = at == len(taken) and a == free[at].p
            if not first:
                yield Step("decide", need)
            yield from take(free[at].number, a, need, "less" if first else "decide")
            for k in range(at + 1, len(free)):
                yield Step("index", f"#{free[k].number}")
                for b in free[k][1:]:
                    rest = need - a - b
                    yield Step("pair", b)
                    yield leave(need - a, b)
                    found = place.get(rest, -1)
                    if found > k:
                        yield Step("decide", "+")
                        yield Step("match", f"#{free[found].number}")
                        return [*taken, a, b, rest]
    return None


def take(number: int, a: int, need: int, kind: str = "less") -> Iterator[Step]:
    """Yield the steps that take a cell away from what a line needs."""
    yield Step(kind, "-")
    yield Step("index", f"#{number}")
    yield Step("less", a)
    yield Step("less", need - a, 0, (need, a))


def leave(need: int, b: int) -> Step:
    """Return the step that says what a cell leaves of a sum, ``no`` where that is no number of a text."""
    rest = need - b
    return Step("rest", rest if 0 < rest < 2 * LIMIT else "no", 0, (need, b))


def _total(number: int, parts: tuple[int, ...]) -> Step:
    if number >= 2 * LIMIT:
        raise RoomError
    return Step("total", number, 0, parts)


@lru_cache(maxsize=2 * BELOW)
def nested_square(search: Search) -> tuple[tuple[int, ...], ...] | None:
    """Return the nested square that a search finds within its room, None where it finds none."""
    tokens, walk = 0, all_steps(search)
    try:
        while tokens <= ROOM[search.order]:
            tokens += 1 + isinstance(next(walk).item, int)
    except StopIteration as end:
        rows: Rows | None = end.value
        return tuple(map(tuple, rows)) if rows else None
    except RoomError:
        pass
    return None
