"""Compiled parts of the search for plain squares of order 4 and 5: frames, their completions, and what is new.

All numbers are indices into a board of primes (``aritmo.numbers.cores.Board``): ``flags[x]`` is 1 where x may be
a cell, ``indices`` lists such x, ``total`` is the sum of a line.
"""

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.primes import compiled

Indices = NDArray[np.int64]
Words = NDArray[np.uint64]
Bytes = NDArray[np.uint8]

WINDOW = 96
"""Words of a bit set in which completions of one frame are sought: a random stretch of a longer one."""
_GAMMA, _FIRST, _SECOND = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_GROUPS = 2**10
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_FACTOR, _UPPER = np.uint64(0x03F79D71B4CB0A89), np.uint64(58)
_PLACES = np.argsort([(int(_FACTOR) << i & 2**64 - 1) >> 58 for i in range(64)])
"""Where the one bit of x stands, at x * _FACTOR / 2**58: a de Bruijn sequence (Leiserson and others 1998)."""


@compiled
def _mix(state: np.uint64) -> np.uint64:
    """Return the random word that splitmix64 makes of a state (Steele, Lea and Flood 2014)."""
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))


@compiled
def _pick(word: np.uint64, count: int) -> int:
    """Return a number below ``count`` (below 2**32) by the lower half of a random word."""
    return np.int64(((word & _LOW) * np.uint64(count)) >> np.uint64(32))  # type: ignore[return-value]


@compiled
def random_below(count: int, bound: int, state: np.uint64) -> Indices:
    """Return so many random numbers below a bound."""
    numbers = np.empty(count, dtype=np.int64)
    for i in range(count):
        state += _GAMMA
        numbers[i] = _pick(_mix(state), bound)
    return numbers


@compiled
def draw_frames(
    flags: Bytes, indices: Indices, total: int, attempts: int, state: np.uint64, frames: Indices
) -> int:
    """Write frames (a, d, f, g, j, k, m, p), drawn at random, and return how many came of so many attempts."""
    count, half = 0, np.uint64(32)
    for _ in range(attempts):
        state += _GAMMA
        word = _mix(state)
        a, p = indices[_pick(word, indices.size)], indices[_pick(word >> half, indices.size)]
        state += _GAMMA
        word = _mix(state)
        g, f = indices[_pick(word, indices.size)], indices[_pick(word >> half, indices.size)]
        j, k = a + p - g, total - a - p - f
        if not (0 <= j < flags.size and flags[j] and 0 <= k < flags.size and flags[k]):
            continue
        state += _GAMMA
        d = indices[_pick(_mix(state), indices.size)]
        m = f + k - d
        if not (0 <= m < flags.size and flags[m]):
            continue
        if a != p and g != j and a != g and a != j and f != k and d != m and d != f and d != k:
            row = frames[count]
            row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7] = a, d, f, g, j, k, m, p
            count += 1
            if count == len(frames):
                break
    return count


@compiled
def all_frames(flags: Bytes, indices: Indices, total: int, first: int, frames: Indices) -> int:
    """Return how many frames have ``indices[first]`` as least cell, and write as many as there is room for.

    Of the 32 forms, the one with a as that cell, f < k and d < m.
    """
    count, size, a = 0, flags.size, indices[first]
    rest = indices[first + 1 :]
    for p in rest:
        other = total - a - p
        for g in rest:
            j = a + p - g
            if j <= a:
                break
            if not (j < size and j != g and flags[j]):
                continue
            for f in rest:
                k = other - f
                if k <= f:
                    break
                if k >= size or not flags[k] or f in (p, g, j) or k in (p, g, j):
                    continue
                for d in rest:
                    m = other - d
                    if m <= d:
                        break
                    if m >= size or not flags[m] or d in (f, p, g, j) or m in (p, g, j):
                        continue
                    if count < len(frames):
                        row = frames[count]
                        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7] = a, d, f, g, j, k, m, p
                    count += 1
    return count


@compiled
def _options(a: int, b: int, c: int, ahead: Words, back: Words, size: int, start: int, found: Indices) -> int:
    """Write the x in the board with a-x, b-x and c+x in it, from word ``start`` on; return how many there are."""
    one, last = np.uint64(1), np.uint64(63)
    words = (size + 63) >> 6
    base = (words + 3) << 6
    low = max(0, a - size + 1, b - size + 1, -c)
    high = min(size - 1, a, b, size - 1 - c)
    shift_a, shift_b, shift_c = base + size - 1 - a, base + size - 1 - b, base + c
    count = 0
    by_a, by_b, by_c = np.uint64(shift_a & 63), np.uint64(shift_b & 63), np.uint64(shift_c & 63)
    back_a, back_b, ahead_c = back[shift_a >> 6 :], back[shift_b >> 6 :], ahead[shift_c >> 6 :]
    for w in range(max(low >> 6, start), min((high >> 6) + 1, start + WINDOW)):
        bits = ahead[words + 3 + w] & ((back_a[w] >> by_a) | ((back_a[w + 1] << one) << (last - by_a)))
        bits &= (back_b[w] >> by_b) | ((back_b[w + 1] << one) << (last - by_b))
        bits &= (ahead_c[w] >> by_c) | ((ahead_c[w + 1] << one) << (last - by_c))
        while bits:
            lowest = bits & (~bits + one)
            bits ^= lowest
            found[count] = (w << 6) + _PLACES[(lowest * _FACTOR) >> _UPPER]
            count += 1
    return count


@compiled
def complete(
    groups: Indices, ahead: Words, back: Words, size: int, share: float, state: np.uint64, chosen: Indices
) -> tuple[int, int]:
    """Do the work of ``cores.completed``; return how many completions were written, and how many there are."""
    written, count, words = 0, 0, (size + 63) >> 6
    xs, ys = np.empty(64 * WINDOW, dtype=np.int64), np.empty(64 * WINDOW, dtype=np.int64)
    for i in range(len(groups)):
        state += _GAMMA
        word = _mix(state)
        start = _pick(word, words + WINDOW - 1) - WINDOW + 1 if words > WINDOW else 0
        a, b, c = groups[i, 0], groups[i, 1], groups[i, 2]
        x_count = _options(a, b, c, ahead, back, size, start, xs)
        if not x_count:
            continue
        a, b, c = groups[i, 3], groups[i, 4], groups[i, 5]
        both = x_count * _options(a, b, c, ahead, back, size, start, ys)
        count += both
        keep = int(both * share + float(word >> np.uint64(32)) / 2.0**32)
        for k in range(min(keep, len(chosen) - written)):
            state += _GAMMA
            at = k if keep == both else _pick(_mix(state), both)
            chosen[written, 0], chosen[written, 1], chosen[written, 2] = i, xs[at % x_count], ys[at // x_count]
            written += 1
    return written, count


@compiled
def keep_new(squares: Indices, views: Indices, found: Indices, table: Indices, size: int) -> int:
    """Add the squares that ``found`` does not hold yet, in canonical form, and return how many it holds then.

    ``table`` gives their rows by their hash, -1 where free; its length is a power of 2.
    """
    cells = squares.shape[1]
    for square in squares:
        if size == len(found):
            break
        best = views[0]
        for view in views[1:]:  # no two cells are equal, so the first two tell which form is least
            corner, other = square[view[0]], square[best[0]]
            if corner < other or (corner == other and square[view[1]] < square[best[1]]):
                best = view
        repeated, hashed = False, np.uint64(0)
        for i in range(cells):
            found[size, i] = square[best[i]]
            hashed = _mix(hashed + np.uint64(found[size, i]) + _GAMMA)
            for k in range(i):
                repeated |= found[size, k] == found[size, i]
        if repeated:
            continue
        at = np.int64(hashed & np.uint64(table.size - 1))
        while table[at] >= 0:
            if (found[table[at]] == found[size]).all():
                break
            at = (at + 1) & (table.size - 1)
        if table[at] < 0:
            table[at] = size
            size += 1
    return size


@compiled
def draw_frames5(
    flags: Bytes, indices: Indices, total: int, attempts: int, tries: Indices, state: np.uint64, frames: Indices
) -> Indices:
    """Write frames of order 5, drawn at random, as (17,) cells; return how many trials and hits each stage had.

    The four stages complete the main diagonal, the other, the middle column and the middle row, in the order
    x00 x11 x22 x33 x44, x04 x13 x31 x40, x02 x12 x32 x42, x20 x21 x23 x24. Each of so many attempts draws a main
    diagonal. A hit gives the next stage i ``tries[i]`` trials, which end at its first hit, so that no two frames
    grow from the same diagonals. Returns (2, 4); the last hits are the frames written.
    """
    tally = np.zeros((2, 4), dtype=np.int64)
    row = np.empty(17, dtype=np.int64)
    left = np.zeros(5, dtype=np.int64)  # the trials that remain in each stage
    left[0] = attempts
    stage = 0
    while stage >= 0 and tally[1, 3] < len(frames):
        if left[stage] == 0:
            stage -= 1
            continue
        left[stage] -= 1
        tally[0, stage] += 1
        end = 4 * stage + 4
        for i in range(end - 3 if stage else 0, end, 2):
            state += _GAMMA
            word = _mix(state)
            row[i], row[i + 1] = indices[_pick(word, indices.size)], indices[_pick(word >> _HALF, indices.size)]
        middle = row[2] if stage else 0
        row[end] = total - middle - row[end - 1] - row[end - 2] - row[end - 3]
        if stage == 0:
            row[4] -= row[0]
        if stage == 3:
            pair = row[9] + row[12] + row[0] + row[4] + row[5] + row[8] - row[1] - row[3] - row[6] - row[7]
            row[15] = pair - row[14]
            row[16] = total - middle - pair - row[13]
            if not _holds(flags, row[15]):
                continue
        if not _holds(flags, row[end]):
            continue
        if _repeats(row, end - 3 if stage else 0, end + 1):
            continue
        tally[1, stage] += 1
        if stage:
            left[stage] = 0
        if stage == 3:
            frames[tally[1, 3] - 1] = row
        else:
            stage += 1
            left[stage] = tries[stage]
    return tally


@compiled
def fill_diagonals(flags: Bytes, indices: Indices, total: int, diagonals: Indices, squares: Indices) -> int:
    """Write squares of order 5 on two diagonals, as (25,), until there is no room; return how many.

    All are searched for, in the order of ``indices``; where the outer eight cells fit in more ways, in 1,024.
    ``diagonals`` is x00 x11 x22 x33 x44 x04 x13 x31 x40, no two equal.
    """
    count = 0
    free = flags.copy()
    outer, inner = np.empty((_GROUPS, 8), dtype=np.int64), np.empty((_GROUPS, 8), dtype=np.int64)
    x00, x11, x22, x33, x44, x04, x13, x31, x40 = diagonals
    free[diagonals] = 0
    sums = (total - x00 - x04, total - x40 - x44, total - x11 - x31, total - x13 - x33)
    rest = (total - x11 - x13, total - x31 - x33, total - x00 - x40, total - x04 - x44)
    for first in outer[: _list_groups(free, indices, sums, 0, total, outer)]:
        x02, x42, x01, x03, x41, x43, x21, x23 = first
        pair = total - x22 - x02 - x42
        free[first] = 0
        for second in inner[: _list_groups(free, indices, rest, pair, pair, inner)]:
            x12, x32, x10, x14, x30, x34, x20, x24 = second
            row = squares[count]
            row[0], row[1], row[2], row[3], row[4] = x00, x01, x02, x03, x04
            row[5], row[6], row[7], row[8], row[9] = x10, x11, x12, x13, x14
            row[10], row[11], row[12], row[13], row[14] = x20, x21, x22, x23, x24
            row[15], row[16], row[17], row[18], row[19] = x30, x31, x32, x33, x34
            row[20], row[21], row[22], row[23], row[24] = x40, x41, x42, x43, x44
            count += 1
            if count == len(squares):
                return count
        free[first] = 1
    return count


@compiled
def _list_groups(
    free: Bytes, indices: Indices, sums: tuple[int, int, int, int], least: int, most: int, found: Indices
) -> int:
    """Write the groups (m, n, w, x, y, z, u, v) of free cells, no two equal; return how many fit.

    m+w+x, n+y+z, u+w+y and v+x+z have the four sums; m+n lies between ``least`` and ``most``.
    """
    count = 0
    group = np.empty(8, dtype=np.int64)
    for m in indices[free[indices] == 1]:
        for n in indices:
            if m == n or not free[n] or not least <= m + n <= most:
                continue
            for w in indices:
                x = sums[0] - m - w
                if not free[w] or not _holds(free, x):
                    continue
                for y in indices:
                    z, u = sums[1] - n - y, sums[2] - w - y
                    v = sums[3] - x - z
                    if not (free[y] and _holds(free, z) and _holds(free, u) and _holds(free, v)):
                        continue
                    group[0], group[1], group[2], group[3] = m, n, w, x
                    group[4], group[5], group[6], group[7] = y, z, u, v
                    if not _repeats(group, 0, 8):
                        found[count] = group
                        count += 1
                        if count == len(found):
                            return count
    return count


@compiled
def _repeats(cells: Indices, begin: int, end: int) -> bool:
    """Say whether one of the cells from ``begin`` to ``end`` stands before."""
    for i in range(begin, end):
        for k in range(i):
            if cells[k] == cells[i]:
                return True
    return False


@compiled
def _holds(flags: Bytes, x: int) -> bool:
    """Say whether x may be a cell."""
    return 0 <= x < flags.size and flags[x] == 1
