"""What the nested orders are trained on: searches at train centres, and practice of their parts.

Practice is the same text over numbers that are seldom primes, around a made up square, so that no list can be
known by heart. It begins with «Practice», and what is made up is not asked.
"""

from collections.abc import Generator, Iterable
from functools import cache
from itertools import islice

from aritmo.tasks.squares_documents import Document, Draws, odd_centres, train_centres
from aritmo.tasks.squares_nested import (
    BELOW,
    ENOUGH,
    Pair,
    Rows,
    all_steps,
    enclose,
    find_ring,
    leave,
    list_all,
    list_free,
    pairs_of,
    surround,
    write_rows,
)
from aritmo.tasks.squares_search import LIMIT, MEMBERS, Search, Step, is_prime, lower_primes

MOST = 5_600
"""Symbols from which on a document is cut."""
_MOST_OF_A_RING = 2_500
_SHORTEST = 20
_LIST = frozenset({"next", "none"})
"""Kinds of steps that only a list of primes says."""


def draw_nested(draws: Draws) -> Document:
    """Return one document: a search at a train centre, or practice."""
    while True:
        document, order = Document(), draws.pick((5, 5, 7))
        draws.pick(_DRILLS)(document, draws, order)
        if len(document) > _SHORTEST:
            return document


@cache
def _small_centres() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the train centres of nested squares that no small factor divides, and those that are primes."""
    small = tuple(c for c in odd_centres() if c < BELOW)
    return small, tuple(c for c in small if is_prime(c))


@cache
def _practice_centres() -> tuple[int, ...]:
    return tuple(c for c in train_centres() if 150 < c < BELOW and c % 2)


def _at_centre(document: Document, draws: Draws, order: int) -> None:
    """Write the search at a train centre, if that is no prime perhaps from further down.

    So the squares of order 3 that training shows are the first ones of their centres, and no others.
    """
    small, primes = _small_centres()
    c = draws.pick(primes if draws.share() < 0.4 else small)
    start = draws.below(c) if draws.share() < 0.5 and not is_prime(c) else 0
    if start:
        start = next(lower_primes(Search(c, start)), 0)
    search = Search(c, start, order=order)
    document.ask(search)
    if document.write(all_steps(search), MOST):
        document.end()


def _begin(document: Document, draws: Draws, order: int) -> int:
    """Write the beginning of practice, and return its centre."""
    c = draws.pick(_practice_centres())
    document.put("Practice")
    document.ask(Search(c, order=order))
    document.put("Twice", "twice")
    document.put(2 * c, "twice")
    return c


def _give(document: Document, steps: Iterable[Step]) -> None:
    """Write steps of which nothing is asked."""
    for step in steps:
        document.put(step.item)


def _practice(document: Document, draws: Draws, order: int) -> None:
    """Write a made up 3x3 square, then a list of numbers seldom primes, and all that follows."""
    c = _begin(document, draws, order)
    step = draws.pick((1, 2, 6, 6, 6))
    least, most = min(100 * step, c - 1) // 2, min(300 * step, c - 1)
    span = draws.between(least, most)
    # As in practice of order 3, no square of primes is to be shown.
    pool = [n for n in range(c - step, c - span, -step) if n > 3 and not (is_prime(c) and is_prime(n))]
    good = [n for n in pool if is_prime(2 * c - n)]
    wanted = draws.between(12, ENOUGH[order] + 7)
    good = draws.sample(good, len(good))
    chosen = set(good[:wanted]) | set(draws.sample(pool, min(len(pool), draws.below(40))))
    u, w = (c - n for n in draws.sample(good if len(good) > 1 and draws.share() < 0.7 else pool, 2))
    if u + w >= c:
        u, w = 1, 3
    rows = [[c - u, c + u + w, c - w], [c + u - w, c, c - u + w], [c + w, c - u - w, c + u]]
    _give(document, write_rows(rows))
    if document.write(surround(order, c, iter(sorted(chosen, reverse=True)), rows, []), MOST, _LIST):
        document.end()


def _rings(document: Document, draws: Draws, order: int) -> None:
    """Write any free pairs, perhaps inside them a square of any numbers, and the search for a ring."""
    c = _begin(document, draws, order)
    lower = _made_up(draws, c, draws.between(10, ENOUGH[order] - 1))
    numbers = sorted(draws.sample(range(1, MEMBERS), len(lower)))
    free = [Pair(number, p, 2 * c - p) for number, p in zip(numbers, lower, strict=True)]
    rows: Rows = []
    if draws.share() < 0.5:
        rows = [[c]]
        for size in range(3, order, 2):
            cells = [draws.between(4, 2 * c - 4) for _ in range(2 * size - 2)]
            rows = enclose(c, rows, cells[:size], cells[size:])
        _give(document, write_rows(rows))
    steps = _ring_and_rows(order, c, free, rows)
    _give(document, islice(steps, sum(1 for _ in list_free(free))))
    document.write(steps, _MOST_OF_A_RING)


def _ring_and_rows(order: int, c: int, free: list[Pair], rows: Rows) -> Generator[Step, None, None]:
    ring = yield from find_ring(order, c, free)
    if rows and ring:
        yield from write_rows(enclose(c, rows, ring.top, ring.left))


def _made_up(draws: Draws, c: int, wanted: int) -> list[int]:
    """Return falling numbers below c, any at all; some of them share their last two digits."""
    step = draws.pick((1, 2, 6, 6, 6))
    first = c - step * (1 if draws.share() < 0.7 else draws.between(1, c // (2 * step) - 1))
    spread = 0.06 + 0.34 * draws.share()
    pool = range(first, 3, -step)[: int(wanted / spread) + 1]
    chosen = set(draws.sample(pool, min(wanted, len(pool))))
    if draws.share() < 0.5:
        alike = [p - 100 * draws.between(1, 4) for p in draws.sample(sorted(chosen), len(chosen) // 3)]
        chosen |= {p for p in alike if p > 3}
    return sorted(draws.sample(sorted(chosen), min(wanted, len(chosen))), reverse=True)


def _marks(document: Document, draws: Draws, order: int) -> None:
    """Write practice of what is used: a list, a square of four of its pairs, the list again and what is free."""
    c = _begin(document, draws, order)
    lower = _made_up(draws, c, draws.between(8, ENOUGH[order]))
    if len(lower) < 4:
        return
    at = draws.between(4, len(lower))
    used = draws.sample(lower[:at] if draws.share() < 0.8 else lower, 4)
    y, z, t, p = used
    rows = [[y, 2 * c - z, 2 * c - t], [2 * c - p, c, p], [t, z, 2 * c - y]]
    for pair in pairs_of(c, lower):
        if pair.number == at + 1:
            _give(document, write_rows(rows))
        for item in (pair.p, pair.q, "*", f"#{pair.number}"):
            document.put(item)
    if at == len(lower):
        _give(document, write_rows(rows))
    listed = list_all(c, lower, set(used))
    _give(document, islice(listed, 1))  # Nothing says that the list ends here.
    document.write(listed, MOST)
    free = [pair for pair in pairs_of(c, lower) if pair.p not in used]
    for turn in range(draws.below(4)):
        if turn:
            document.put("Again")
        document.write(list_free(free[turn:] + free[:turn]), MOST)
    document.put("Ring", "ring")


def _enclosures(document: Document, draws: Draws, order: int) -> None:
    """Write squares of any numbers, the top and left cells of a ring, and the square with that ring."""
    c = _begin(document, draws, order)
    for _ in range(3):
        size = draws.pick((5, order))
        cells = _alike(draws, c, (size - 2) ** 2 // 2 + 2 * size - 2)
        rows: Rows = [[c]]
        for inner in range(3, size, 2):
            ring = [cells.pop() for _ in range(2 * inner - 2)]
            rows = enclose(c, rows, ring[:inner], ring[inner:])
        top, left = cells[:size], cells[size:]
        _give(document, write_rows(rows))
        for line in (top, left):
            _give(document, list_free(pairs_of(c, _made_up(draws, c, draws.pick((2, 6, 20, 40))))))
            document.put("+")
            document.put(f"#{draws.between(1, MEMBERS - 1)}")
            _give(document, (Step("decide", cell) for cell in line))
        document.write(write_rows(enclose(c, rows, top, left)), MOST)


def _alike(draws: Draws, c: int, count: int) -> list[int]:
    """Return so many cells of a square around c; in half of the lists many share their last two digits."""
    cells = [draws.between(4, 2 * c - 4) for _ in range(count)]
    if draws.share() < 0.5:
        ends = [draws.pick(cells) % 100 for _ in range(4)]
        alike = [cell - cell % 100 + draws.pick(ends) for cell in cells]
        cells = [
            new if draws.share() < 0.5 and 3 < new < 2 * c - 3 else old
            for old, new in zip(cells, alike, strict=True)
        ]
    return cells


def _sums(document: Document, draws: Draws, order: int) -> None:
    """Write sums and differences as they stand in lines, of any numbers."""
    c = _begin(document, draws, order)
    for _ in range(12):
        head = draws.pick(("Top", "Left"))
        near = min(c, draws.pick((30, 300, 2_400)))
        x, y, a, *others = (c + draws.between(1 - near, near - 1) for _ in range(6))
        need = x + y + c
        if not a < need < 2 * LIMIT:
            continue
        _give(document, (Step("total", item) for item in (head, x, y)))
        document.put(x + y, "total")
        document.put(need, "total")
        document.put("-", "less")
        _give(document, (Step("less", item) for item in (f"#{draws.between(1, MEMBERS - 1)}", a)))
        document.put(need - a, "less")
        for b in others:
            _give(document, (Step("pair", item) for item in (f"#{draws.between(1, MEMBERS - 1)}", b)))
            document.put(leave(need - a, b).item, "rest")
            document.put(2 * c - b, "pair")
            document.put(leave(need - a, 2 * c - b).item, "rest")


_DRILLS = (_rings, _rings, _marks, _sums, _practice, _practice, _at_centre, _enclosures, _enclosures)
"""What is drawn, each equally likely."""
