"""The compiled search behind ``rings``: offsets are drawn, two at a time looked up, and squares written.

All functions share one arrangement. ``pool`` holds the offsets in units, the used ones in front; ``at`` says of
each number from 0 to the greatest offset where in the pool it stands, -1 for what is no offset; ``signs`` holds
1 or -1 for each used place of the pool. So a draw never meets a used offset, one look-up tells whether a number is
a free offset, and to give offsets back is to forget how many were used. ``state`` is the state of the generator.
"""

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.primes import compiled

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

_TRIES = 8
"""So many corners are drawn for a ring before the whole square is begun anew."""
_EXCHANGES = 24
"""So many drawn offsets of a line are exchanged for others where no two free ones complete its sum."""
_EFFORT = 400_000
"""A draw ends after about so many squares over the size of the pool that failed or were old, one after another."""


@compiled
def _below(state: Words, n: int) -> int:
    """Draw from 0 to n - 1, n below 2**32: splitmix64 (Steele, Lea and Flood 2014), its upper half scaled."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return np.int64(((z >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))  # type: ignore[return-value]


@compiled
def shuffle(rows: Ints, state: Words) -> None:
    for i in range(len(rows) - 1):
        j = i + _below(state, len(rows) - i)
        for k in range(rows.shape[1]):
            rows[i, k], rows[j, k] = rows[j, k], rows[i, k]


@compiled
def list_cores(pool: Ints, at: Ints) -> Ints:
    """Return (N, 2): every u > a > 0 with u, a, u+a and u-a in the rising pool of offsets and u not 2a."""
    top = at.size - 1
    cores = np.empty((0, 2), dtype=np.int64)
    for _ in range(2):  # count, then write
        count = 0
        for u in pool:
            for a in pool:
                if a >= u or u + a > top:
                    break
                if at[u - a] >= 0 and at[u + a] >= 0 and u != 2 * a:
                    if count < len(cores):
                        cores[count, 0], cores[count, 1] = u, a
                    count += 1
        if len(cores) == 0:
            cores = np.empty((count, 2), dtype=np.int64)
    return cores


@compiled
def _swap(pool: Ints, at: Ints, i: int, j: int) -> None:
    first, second = pool[i], pool[j]
    pool[i], pool[j] = second, first
    at[second], at[first] = i, j


@compiled
def _find_core(pool: Ints, at: Ints, state: Words) -> tuple[int, int]:
    """Return u and a of a core of order 3: one is drawn, the other goes with it; 0, 0 where nothing does."""
    v = pool[_below(state, pool.size)]
    i = _below(state, pool.size)
    for _ in range(pool.size):
        w = pool[i]
        if v + w < at.size and at[v + w] >= 0 and at[abs(v - w)] >= 0 and v != 2 * w and w != 2 * v:
            return max(v, w), min(v, w)
        i = i + 1 if i + 1 < pool.size else 0
    return 0, 0


@compiled
def _begin_odd(pool: Ints, at: Ints, cores: Ints, work: Ints, half: int, unit: int, state: Words) -> int:
    """Write a core of order 3 into the middle, bring its offsets to the front, return how many: 0 for no core."""
    if len(cores) > 0:
        i = _below(state, len(cores))
        u, a = cores[i, 0], cores[i, 1]
    else:
        u, a = _find_core(pool, at, state)
    if u == 0:
        return 0
    middle = len(work) // 2
    offset = (-u, u - a, a, u + a, 0, -u - a, -a, a - u, u)
    for i in range(9):
        work[middle - 1 + i // 3, middle - 1 + i % 3] = half + unit * offset[i]
    for i in range(4):
        _swap(pool, at, i, at[offset[i] if i else u])
    return 4


@compiled
def _begin_even(pool: Ints, at: Ints, core: Ints, work: Ints, half: int, unit: int) -> int:
    """Write a core of order 4 into the middle; bring the offsets that it uses to the front and return how many."""
    first = len(work) // 2 - 2
    used = 0
    for i in range(16):
        cell = core[i // 4, i % 4]
        work[first + i // 4, first + i % 4] = cell
        distance = abs(cell - half)
        k = distance // unit
        if distance % unit == 0 and k < at.size and at[k] >= used:
            _swap(pool, at, used, at[k])
            used += 1
    return used


@compiled
def _take(pool: Ints, at: Ints, signs: Ints, i: int, j: int, total: int, state: Words) -> int:
    """Bring the offset at j to place i with a sign, random where the sum stays small; return the new sum."""
    _swap(pool, at, i, j)
    v = pool[i]
    sign = 1 - 2 * _below(state, 2)
    if abs(total + sign * v) >= at.size:
        sign = -1 if total > 0 else 1
    signs[i] = sign
    return int(total + sign * v)


@compiled
def _place_pair(pool: Ints, at: Ints, signs: Ints, first: int, total: int, state: Words) -> bool:
    """Bring two free offsets to ``first`` and the place after it, so signed that they add to -total."""
    size, top = pool.size, at.size - 1
    i = first + _below(state, size - first)
    for _ in range(size - first):
        v = pool[i]
        for sign in (1, -1):
            rest = -total - sign * v
            w = abs(rest)
            if w <= top and at[w] >= first and w != v:
                _swap(pool, at, first, i)
                _swap(pool, at, first + 1, at[w])
                signs[first], signs[first + 1] = sign, 1 if rest > 0 else -1
                return True
        i = i + 1 if i + 1 < size else first
    return False


@compiled
def _place_line(pool: Ints, at: Ints, signs: Ints, first: int, size: int, total: int, state: Words) -> bool:
    """Bring ``size`` free offsets to ``first`` and after it, so signed that they add to -total."""
    end = first + size - 2
    for i in range(first, end):
        total = _take(pool, at, signs, i, i + _below(state, pool.size - i), total, state)
    for _ in range(_EXCHANGES):
        if _place_pair(pool, at, signs, end, total, state):
            return True
        i = first + _below(state, size - 2)
        total -= signs[i] * pool[i]
        total = _take(pool, at, signs, i, end + _below(state, pool.size - end), total, state)
    return False


@compiled
def _place_ring(pool: Ints, at: Ints, signs: Ints, first: int, order: int, state: Words) -> bool:
    """Bring x, y, T and L of a ring to ``first`` and after it."""
    for _ in range(_TRIES):
        for i in (first, first + 1):
            _take(pool, at, signs, i, i + _below(state, pool.size - i), 0, state)
        x, y = signs[first] * pool[first], signs[first + 1] * pool[first + 1]
        if _place_line(pool, at, signs, first + 2, order - 2, x + y, state) and _place_line(
            pool, at, signs, first + order, order - 2, x - y, state
        ):
            return True
    return False


@compiled
def _write_ring(work: Ints, ring: Ints, order: int, half: int, state: Words) -> None:
    """Write a ring, given as the offsets x, y, T, L, around the middle; the order of T and of L is drawn."""
    low = (len(work) - order) // 2
    high = low + order - 1
    work[low, low], work[low, high] = half + ring[0], half + ring[1]
    work[high, low], work[high, high] = half - ring[1], half - ring[0]
    for i in range(order - 2):
        j = 2 + i + _below(state, order - 2 - i)
        t, ring[j] = ring[j], ring[2 + i]
        work[low, low + 1 + i], work[high, low + 1 + i] = half + t, half - t
        j = order + i + _below(state, order - 2 - i)
        left, ring[j] = ring[j], ring[order + i]
        work[low + 1 + i, low], work[low + 1 + i, high] = half + left, half - left


@compiled
def _grow(
    pool: Ints, at: Ints, signs: Ints, used: int, inner: int, work: Ints, half: int, unit: int, state: Words
) -> bool:
    """Write all rings around a square of order ``inner`` whose offsets are the first ``used`` of the pool."""
    ring = np.empty(2 * len(work), dtype=np.int64)
    for order in range(inner + 2, len(work) + 1, 2):
        if not _place_ring(pool, at, signs, used, order, state):
            return False
        for i in range(2 * order - 2):
            ring[i] = unit * signs[used + i] * pool[used + i]
        _write_ring(work, ring, order, half, state)
        used += 2 * order - 2
    return True


@compiled
def _turn(square: Ints, turned: Ints) -> int:
    """Copy a square, turned so that it is the least of its 8 symmetries; return a hash of its cells."""
    end = len(square) - 1
    row, column = 0, 0
    for i in (0, end):
        for j in (0, end):
            if square[i, j] < square[row, column]:
                row, column = i, j
    down, right = 1 if row == 0 else -1, 1 if column == 0 else -1
    across = square[row, column + right] < square[row + down, column]
    mixed = np.uint64(0)
    for i in range(end + 1):
        for j in range(end + 1):
            down_by, right_by = (i, j) if across else (j, i)
            cell = square[row + down * down_by, column + right * right_by]
            turned[i, j] = cell
            mixed = (mixed ^ np.uint64(cell)) * np.uint64(0x9FB21C651E98DF25)
            mixed ^= mixed >> np.uint64(32)
    return mixed | np.uint64(1)  # type: ignore[return-value]


@compiled
def _is_new(seen: Words, mixed: int) -> bool:
    """Put a hash into the table of those seen, a power of two long; say whether it was not there."""
    word = np.uint64(mixed)
    mask = np.uint64(seen.size - 1)
    i = (word >> np.uint64(20)) & mask
    while seen[i] != 0:
        if seen[i] == word:
            return False
        i = (i + np.uint64(1)) & mask
    seen[i] = word
    return True


@compiled
def fill(
    pool: Ints,
    at: Ints,
    cores: Ints,
    fours: Ints,
    half: int,
    unit: int,
    squares: Ints,
    seen: Words,
    state: Words,
) -> int:
    """Draw different squares into ``squares`` until it is full or too many tries have failed; return how many.

    Odd orders begin with one of ``cores``, (N, 2), or where that is empty with one found on the way; even ones
    with the next of ``fours``, (M, 4, 4).
    """
    count, order, _ = squares.shape
    patience = 1_000 + _EFFORT // pool.size
    work = np.empty((order, order), dtype=np.int64)
    signs = np.ones(pool.size, dtype=np.int64)
    rings = 2 * ((order * order - (9 if order % 2 else 16)) // 4)
    found = failures = turn = 0
    while found < count and failures < patience:
        failures += 1
        if order % 2:
            used = _begin_odd(pool, at, cores, work, half, unit, state)
        else:
            used = _begin_even(pool, at, fours[turn], work, half, unit)
            turn = (turn + 1) % len(fours)
        if (
            (used > 0 or order % 2 == 0)
            and used + rings <= pool.size
            and _grow(pool, at, signs, used, 4 - order % 2, work, half, unit, state)
            and _is_new(seen, _turn(work, squares[found]))
        ):
            found, failures = found + 1, 0
    return found
