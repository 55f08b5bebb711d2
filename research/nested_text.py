"""The search for nested prime squares of orders 5 and 7, written out in small steps, as tokens of search_text.py.

It begins as the search for order 3, each member of the list numbered, and goes on after the 3x3 square:

    p q  p q * #k ...           the list goes on until it has enough members, or `none`
    All #1 p q #2 p q used ...  the members by number, q = 2c - p, and whether they are in the square
    Free #1 p q #3 p q ...      those that are not
    Ring #i p1 q1 #j p2 q2      the first two: p1 comes to the top left, q2 to the top right, so q1 and p2 opposite
    Top q1 p2 s s+c             what the top row still needs: c + q1 + p2 for order 5, 2c more for order 7
      v - #i a u                a free cell is taken away (p3, then q3, p4 ...), so two have to add to u
      #k p z q z' ... + #j      for each later pair, what p and q leave of u, until that is in a still later pair
    x a b z y                   the top row
    Free ...                    what is left of the list
    Left q1 q2 s s+c ...        the same for the left column, then its cells
    ! rows /                    the whole square; order 7 goes on with another ring

Where a line cannot be found, `Again` begins the ring with the list turned by one.
The practice documents are the same over numbers that are no primes, around a made up 3x3 square; in part
from `Free` on, or sums and differences alone.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress

from research import search_text as st
from research.search_text import Text

ENOUGH = {5: 28, 7: 52}
"""Members that are listed for a square of each order."""

Rows = list[list[int]]
Pair = tuple[int, int, int]
"""A number in the list, p and q."""


class CutError(Exception):
    """A text has reached the most tokens that it may have."""


def header(text: Text, order: int, c: int, start: int) -> None:
    text.word({5: st.ORDER5, 7: st.ORDER7}[order], st.UNASKED)
    st.header(text, c, start, 0, st.UNASKED)


def nested(text: Text, order: int, c: int, lower: Iterator[int], start: int, role: int, most: int) -> Rows | None:
    """Write the whole search; return the square, or None where there is none. Raises CutError where room ends."""
    members: list[int] = []
    found = st.search(text, c, lower, start, 0, role, most, members)
    if found is None:
        return None
    return surround(text, order, c, lower, square3(c, *found), members, role, most)


def square3(c: int, p: int, y: int, z: int) -> Rows:
    t = c - y + p
    return [[y, 2 * c - z, 2 * c - t], [2 * c - p, c, p], [t, z, 2 * c - y]]


def surround(
    text: Text, order: int, c: int, lower: Iterator[int], rows: Rows, members: list[int], role: int, most: int
) -> Rows | None:
    """Write everything after the 3x3 square."""
    extend(text, order, c, lower, members, role)
    used = {n for row in rows for n in row}
    write_all(text, c, members, used)
    free = [(i + 1, p, 2 * c - p) for i, p in enumerate(members) if p not in used]
    for size in range(5, order + 1, 2):
        ring = find_ring(text, size, c, free, most)
        if ring is None:
            text.word(st.NONE, st.IS_MEMBER)
            text.word(st.END, st.LAST)
            return None
        top, left, free = ring
        rows = enclose(rows, top, left, c)
        write_square(text, rows, st.ROWS)
    text.word(st.END, st.LAST)
    return rows


def write_all(text: Text, c: int, members: Sequence[int], used: set[int]) -> None:
    text.word(st.ALL, st.CORNER)
    for i, p in enumerate(members):
        text.word(st.NUMBERED + i + 1, st.FREED)
        text.number(p, st.FREED)
        text.number(2 * c - p, st.FREED)
        if p in used:
            text.word(st.USED, st.FREED)


def enclose(rows: Rows, top: list[int], left: list[int], c: int) -> Rows:
    return [
        top,
        *([n, *row, 2 * c - n] for n, row in zip(left, rows, strict=True)),
        [2 * c - top[-1], *(2 * c - n for n in top[1:-1]), 2 * c - top[0]],
    ]


def write_square(text: Text, rows: Rows, role: int) -> None:
    text.word(st.FOUND, role)
    for i, row in enumerate(rows):
        if i:
            text.word(st.ROW, role)
        for n in row:
            text.number(n, role)


def extend(text: Text, order: int, c: int, lower: Iterator[int], members: list[int], role: int) -> None:
    while len(members) < ENOUGH[order]:
        p = next(lower, 0)
        if not p:
            text.word(st.NONE, st.NEXT if role == st.NEXT else st.UNASKED)
            return
        text.number(p, role)
        text.number(2 * c - p, st.Q)
        if 2 * c - p in st.PRIMES:
            members.append(p)
            text.word(st.STAR, st.STARRED)
            text.word(st.NUMBERED + len(members), st.COUNTED)


def find_ring(
    text: Text, order: int, c: int, free: list[Pair], most: int, role: int = st.FREED
) -> tuple[list[int], list[int], list[Pair]] | None:
    """Write the search for a ring; return its top row, its left cells from the top down, and what is left."""
    for turn in range(len(free)):
        if turn:
            text.word(st.AGAIN, st.IS_MEMBER)
        turned = free[turn:] + free[:turn]
        write_free(text, turned, st.FREED if turn else role)
        if len(free) < 2 * (order - 1):
            return None
        (_, p1, q1), (_, p2, q2), *rest = turned
        text.word(st.RING, st.CORNER)
        for number, p, q in turned[:2]:
            text.word(st.NUMBERED + number, st.CORNER)
            text.number(p, st.CORNER)
            text.number(q, st.CORNER)
        text.word(st.TOP, st.CORNER)
        top = find_line(text, order, c, (q1, p2), rest, most)
        if top is None:
            continue
        for n in (p1, *top, q2):
            text.number(n, st.ROWS)
        rest = without(rest, top)
        write_free(text, rest, st.FREED)
        text.word(st.LEFT_LINE, st.CORNER)
        left = find_line(text, order, c, (q1, q2), rest, most)
        if left is not None:
            for n in left:
                text.number(n, st.ROWS)
            return [p1, *top, q2], left, without(rest, left)
    return None


def without(free: Sequence[Pair], cells: Sequence[int]) -> list[Pair]:
    return [pair for pair in free if pair[1] not in cells and pair[2] not in cells]


def write_free(text: Text, free: Sequence[Pair], role: int) -> None:
    text.word(st.FREE, st.CORNER if role == st.FREED else role)
    for number, p, q in free:
        text.word(st.NUMBERED + number, role)
        text.number(p, role)
        text.number(q, role)


def find_line(
    text: Text, order: int, c: int, corners: tuple[int, int], free: Sequence[Pair], most: int
) -> list[int] | None:
    """Write the search for the cells of a line between two corners."""
    place = {n: i for i, pair in enumerate(free) for n in pair[1:]}
    for n in corners:
        text.number(n, st.CORNER)
    need = sum(corners)
    text.number(need, st.SUM)
    need += c
    if need >= 20_000:
        raise CutError
    text.number(need, st.SUM)
    taken = []
    for i in range(order - 5):
        taken.append(free[i][1 + i % 2])
        take(text, free[i][0], taken[i], need, st.SUM)
        need += c - taken[i]
        text.number(need, st.SUM)
    for i in range(len(taken), len(free)):
        for a in free[i][1:]:
            first = i == len(taken) and a == free[i][1]
            if not first:
                text.number(need, st.IS_MEMBER)
            take(text, free[i][0], a, need, st.SUM if first else st.IS_MEMBER)
            for k in range(i + 1, len(free)):
                text.word(st.NUMBERED + free[k][0], st.INDEX)
                for b in free[k][1:]:
                    rest = leave(text, need - a, b)
                    j = place.get(rest, -1)
                    if j > k:
                        text.word(st.PLUS, st.IS_MEMBER)
                        text.word(st.NUMBERED + free[j][0], st.MATCH)
                        return [*taken, a, b, rest]
            if len(text.tokens) > most:
                raise CutError
    return None


def take(text: Text, number: int, a: int, need: int, role: int) -> None:
    text.word(st.MINUS, role)
    text.word(st.NUMBERED + number, st.INDEX)
    text.number(a, st.SUM)
    text.number(need - a, st.SUM)


def leave(text: Text, need: int, b: int) -> int:
    """Write a cell and what it leaves of a sum, `no` where that is no number of the text; return what is left."""
    text.number(b, st.PAIR)
    rest = need - b
    if 0 < rest < 20_000:
        text.number(rest, st.REST)
    else:
        text.word(st.NO, st.REST)
    return rest


SMALL = [c for c in st.ODD if c < 5000]
MIDDLING = [c for c in st.TRAIN if 150 < c < 5000 and c % 2]
SMALL_PRIMES = [c for c in SMALL if c in st.PRIMES]


def draw(rng: random.Random, most: int = 5600) -> Text:
    """Return one training document: a search at a train centre, or practice."""
    while True:
        text = Text()
        text.word(st.BEGIN, st.UNASKED)
        order = rng.choice((5, 5, 7))
        with suppress(CutError):
            rng.choice((drill, drill, marks, marks, sums, practice, at_centre))(text, rng, order, most)
        if len(text.tokens) > 20 and max(text.tokens) < len(st.SYMBOLS):
            return text


def at_centre(text: Text, rng: random.Random, order: int, most: int) -> None:
    """Write the search at a train centre, from the centre on or from further down."""
    c = rng.choice(SMALL_PRIMES if rng.random() < 0.4 else SMALL)
    start = rng.randrange(c) if rng.random() < 0.5 else 0
    lower = [p for p in st.below(c) if p <= (start or c)]
    start = lower[0] if start and lower else 0
    header(text, order, c, start)
    nested(text, order, c, iter(lower) if start else st.below(c), start, st.NEXT, most)


def begin_practice(text: Text, rng: random.Random, order: int) -> int:
    c = rng.choice(MIDDLING)
    text.word(st.PRACTICE, st.UNASKED)
    header(text, order, c, 0)
    text.word(st.TWICE, st.IS_TWICE)
    text.number(2 * c, st.IS_TWICE)
    return c


def practice(text: Text, rng: random.Random, order: int, most: int) -> None:
    """Write practice: a made up 3x3 square, then a list of numbers seldom primes, and all that follows."""
    c = begin_practice(text, rng, order)
    step = rng.choice((1, 2, 6, 6, 6))
    span = rng.randrange(min(100 * step, c - 1) // 2, min(300 * step, c - 1) + 1)
    pool = [n for n in range(c - step, c - span, -step) if n > 3]
    good = [n for n in pool if 2 * c - n in st.PRIMES]
    wanted = rng.randrange(12, ENOUGH[order] + 8)
    rng.shuffle(good)
    chosen = set(good[:wanted]) | set(rng.sample(pool, min(len(pool), rng.randrange(0, 40))))
    u, w = (c - n for n in rng.sample(good if len(good) > 1 and rng.random() < 0.7 else pool, 2))
    if u + w >= c:
        u, w = 1, 3
    rows = [[c - u, c + u + w, c - w], [c + u - w, c, c - u + w], [c + w, c - u - w, c + u]]
    write_square(text, rows, st.UNASKED)
    members: list[int] = []
    surround(text, order, c, iter(sorted(chosen, reverse=True)), rows, members, st.UNASKED, most)


def drill(text: Text, rng: random.Random, order: int, most: int) -> None:
    """Write practice that begins with a square and free pairs, any numbers at all, and ends with the ring."""
    c = begin_practice(text, rng, order)
    lower = made_up(rng, c, rng.randrange(10, ENOUGH[order]))
    numbers = sorted(rng.sample(range(1, 64), len(lower)))
    free = [(number, p, 2 * c - p) for number, p in zip(numbers, lower, strict=True)]
    rows: Rows = []
    if rng.random() < 0.5:
        rows = [[c]]
        for size in range(3, order, 2):
            cells = [rng.randrange(4, 2 * c - 3) for _ in range(2 * size - 2)]
            rows = enclose(rows, cells[:size], cells[size:], c)
        write_square(text, rows, st.UNASKED)
    ring = find_ring(text, order, c, free, min(most, 2500), st.UNASKED)
    if rows and ring:
        write_square(text, enclose(rows, ring[0], ring[1], c), st.ROWS)


def made_up(rng: random.Random, c: int, wanted: int) -> list[int]:
    """Return falling numbers below c, any at all; some of them share their last two digits."""
    step = rng.choice((1, 2, 6, 6, 6))
    first = c - step * (1 if rng.random() < 0.7 else rng.randrange(1, c // (2 * step)))
    pool = range(first, 3, -step)[: int(wanted / rng.uniform(0.06, 0.4)) + 1]
    chosen = set(rng.sample(pool, min(wanted, len(pool))))
    if rng.random() < 0.5:
        alike = {p - 100 * rng.randint(1, 4) for p in rng.sample(sorted(chosen), len(chosen) // 3)}
        chosen |= {p for p in alike if p > 3}
    return sorted(rng.sample(sorted(chosen), min(wanted, len(chosen))), reverse=True)


def marks(text: Text, rng: random.Random, order: int, _: int) -> None:
    """Write practice of what is used: a list, a square of four of its pairs, the list again and what is free."""
    c = begin_practice(text, rng, order)
    lower = made_up(rng, c, rng.randrange(8, ENOUGH[order] + 1))
    if len(lower) < 4:
        raise CutError
    at = rng.randrange(4, len(lower) + 1)
    used = rng.sample(lower[:at] if rng.random() < 0.8 else lower, 4)
    y, z, t, p = used
    rows = [[y, 2 * c - z, 2 * c - t], [2 * c - p, c, p], [t, z, 2 * c - y]]
    for i in range(len(lower) + 1):
        if i == at:
            write_square(text, rows, st.UNASKED)
        if i < len(lower):
            text.number(lower[i], st.UNASKED)
            text.number(2 * c - lower[i], st.UNASKED)
            text.word(st.STAR, st.UNASKED)
            text.word(st.NUMBERED + i + 1, st.UNASKED)
    write_all(text, c, lower, set(used))
    free = [(i + 1, p, 2 * c - p) for i, p in enumerate(lower) if p not in used]
    for turn in range(rng.randrange(4)):
        if turn:
            text.word(st.AGAIN, st.UNASKED)
        write_free(text, free[turn:] + free[:turn], st.FREED)
    text.word(st.RING, st.CORNER)


def sums(text: Text, rng: random.Random, order: int, most: int) -> None:
    """Write sums and differences as they stand in lines, of any numbers."""
    c = begin_practice(text, rng, order)
    for _ in range(12):
        text.word(rng.choice((st.TOP, st.LEFT_LINE)), st.UNASKED)
        near = min(c, rng.choice((30, 300, 2400)))
        x, y, a, *others = (c + rng.randrange(1 - near, near) for _ in range(6))
        text.number(x, st.UNASKED)
        text.number(y, st.UNASKED)
        text.number(x + y, st.SUM)
        text.number(x + y + c, st.SUM)
        text.word(st.MINUS, st.SUM)
        text.word(st.NUMBERED + rng.randrange(1, 64), st.UNASKED)
        text.number(a, st.UNASKED)
        text.number(x + y + c - a, st.SUM)
        for b in others:
            text.word(st.NUMBERED + rng.randrange(1, 64), st.UNASKED)
            text.number(b, st.UNASKED)
            text.number(x + y + c - a - b, st.REST)
            leave(text, x + y + c - a, 2 * c - b)


def is_valid(tokens: list[int], order: int, c: int) -> bool:
    """Tell whether a text ends in a nested square of that order and centre: distinct primes, equal sums."""
    if tokens[-1] != st.END or st.FOUND not in tokens:
        return False
    last = len(tokens) - 1 - tokens[::-1].index(st.FOUND)
    rows: Rows = []
    for row in split(tokens[last + 1 : -1], st.ROW):
        if len(row) != 2 * order or any(lo >= st.HI or not st.HI <= hi < st.WORD for lo, hi in pairs_of(row)):
            return False
        rows.append([lo + 100 * (hi - st.HI) for lo, hi in pairs_of(row)])
    cells = [n for row in rows for n in row]
    if len(rows) != order or len(set(cells)) != order**2 or rows[order // 2][order // 2] != c:
        return False
    if not all(n in st.PRIMES and n < st.LIMIT for n in cells):
        return False
    inside = [[row[k : order - k] for row in rows[k : order - k]] for k in range((order - 1) // 2)]
    return all(magic(square, c) for square in inside)


def magic(rows: Rows, c: int) -> bool:
    n = len(rows)
    lines = [
        *rows,
        *map(list, zip(*rows, strict=True)),
        [rows[i][i] for i in range(n)],
        [rows[i][~i] for i in range(n)],
    ]
    return all(sum(line) == n * c for line in lines)


def split(tokens: list[int], at: int) -> list[list[int]]:
    parts: list[list[int]] = [[]]
    for token in tokens:
        if token == at:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def pairs_of(row: list[int]) -> list[tuple[int, int]]:
    return list(zip(row[::2], row[1::2], strict=True))
