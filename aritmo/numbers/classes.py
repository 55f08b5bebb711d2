"""Every nested prime magic square of order 5 around one centre, up to the K2 classes: exhaustive and compiled.

Squares are of one class where they have the same core up to its 8 symmetries and rings that differ by a symmetry
or by the order of cells between the corners: one class holds 288 squares that differ. With the offsets of
``rings``, exactly one member of a class has u > a > 0 in the core, x > y > 0 in the ring, and T and L rising. For
the 8 symmetries take the corners (x, y) to (y, x), (x, -y), (-y, x) and their negatives.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.nesting import list_cores
from aritmo.numbers.primes import compiled, is_prime
from aritmo.numbers.rings import arranged, offsets, squares_of_cores
from aritmo.numbers.squares import canonical_many

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

_MOST_OFFSETS = 64
_MOST_LISTED = 1_000_000


def count_order5(centre: int) -> int:
    """Return how many classes of nested prime magic squares of order 5 a centre has.

    Takes about a second where the centre has 64 offsets (2,411 has 61, and 709,094,479 classes). Raises
    ValueError for a centre that is not prime, and for one that has more than 64 offsets.
    """
    none = np.empty((0, 8), dtype=np.int64)
    return sum(_rings(pool, at, u, a, none) for _, pool, at, u, a in _cores(centre))


def list_order5(centre: int) -> Ints:
    """Return one square of each class that ``count_order5`` counts, as (N, 5, 5), sorted by core.

    Each is the least of its 8 symmetries. Raises ValueError as ``count_order5`` does, and where there are more
    than a million classes.
    """
    listed = [np.empty((0, 5, 5), dtype=np.int64)]
    total = 0
    for unit, pool, at, u, a in _cores(centre):
        found = np.empty((1_000, 8), dtype=np.int64)
        count = _rings(pool, at, u, a, found)
        total += count
        if total > _MOST_LISTED:
            raise ValueError(
                f"centre {centre} has more than {_MOST_LISTED} classes of order 5, too many for a list; count them"
            )
        if count > len(found):
            found = np.empty((count, 8), dtype=np.int64)
            _rings(pool, at, u, a, found)
        core = squares_of_cores(centre, unit * np.array([[u, a]]))
        listed.append(_around(core[0], centre, unit * found[:count]))
    return canonical_many(np.concatenate(listed))


def _cores(centre: int) -> Iterator[tuple[int, Ints, Ints, int, int]]:
    """Yield, of each core, the unit of the offsets, the offsets in units, their places, u and a."""
    if not is_prime(centre):
        raise ValueError(f"{centre} is not prime, so no prime magic square has it in its centre; give a prime")
    free = offsets(centre)
    if len(free) > _MOST_OFFSETS:
        raise ValueError(
            f"centre {centre} has {len(free)} offsets, and classes are counted up to {_MOST_OFFSETS}; "
            "give a smaller centre, or draw squares instead"
        )
    if len(free) == 0:
        return
    unit, pool, at = arranged(free)
    for u, a in list_cores(pool, at).tolist():
        yield unit, pool, at, u, a


def _around(core: Ints, centre: int, rings: Ints) -> Ints:
    """Return the (N, 5, 5) squares of one core with rings (N, 8): x, y, three T, three L."""
    x, y, top, left = rings[:, 0], rings[:, 1], np.sort(rings[:, 2:5]), np.sort(rings[:, 5:8])
    squares = np.empty((len(rings), 5, 5), dtype=np.int64)
    squares[:, 1:4, 1:4] = core - centre
    squares[:, 0, 0], squares[:, 0, 4], squares[:, 4, 0], squares[:, 4, 4] = x, y, -y, -x
    squares[:, 0, 1:4], squares[:, 4, 1:4] = top, -top
    squares[:, 1:4, 0], squares[:, 1:4, 4] = left, -left
    return squares + centre


@compiled
def _lines(pool: Ints, at: Ints, barred: np.uint64, total: int, lines: Ints, masks: Words) -> int:
    """Write every three signed offsets that add to -total, and as bits which ones they are; return how many.

    ``barred`` has a bit for each offset that may not be among them.
    """
    one = np.uint64(1)
    count = 0
    for i in range(2, pool.size):
        for j in range(1, i):
            if (barred >> np.uint64(i) | barred >> np.uint64(j)) & one:
                continue
            for signs in range(4):
                first, second = pool[i] * (1 - signs // 2 * 2), pool[j] * (1 - signs % 2 * 2)
                third = -total - first - second
                k = at[abs(third)] if abs(third) < at.size else -1
                if 0 <= k < j and not (barred >> np.uint64(k)) & one:
                    lines[count, 0], lines[count, 1], lines[count, 2] = first, second, third
                    masks[count] = one << np.uint64(i) | one << np.uint64(j) | one << np.uint64(k)
                    count += 1
    return count


@compiled
def _rings(pool: Ints, at: Ints, u: int, a: int, found: Ints) -> int:
    """Return how many rings of order 5 a core has, and write x, y, T and L into ``found`` while it has room."""
    one, room = np.uint64(1), 2 * pool.size * pool.size
    tops, lefts = np.empty((room, 3), dtype=np.int64), np.empty((room, 3), dtype=np.int64)
    over, beside = np.empty(room, dtype=np.uint64), np.empty(room, dtype=np.uint64)
    core = np.uint64(0)
    for d in (u, a, u + a, u - a):
        core |= one << np.uint64(at[d])
    count = 0
    for i in range(1, pool.size):
        for j in range(i):
            corners = one << np.uint64(i) | one << np.uint64(j)
            if core & corners:
                continue
            x, y = pool[i], pool[j]
            t_size = _lines(pool, at, core | corners, x + y, tops, over)
            l_size = _lines(pool, at, core | corners, x - y, lefts, beside)
            for t in range(t_size):
                begin = count
                for s in range(l_size):
                    count += (over[t] & beside[s]) == 0
                if begin < len(found) and begin < count:
                    _write(found, begin, x, y, tops[t], over[t], lefts[:l_size], beside)
    return count


@compiled
def _write(found: Ints, at: int, x: int, y: int, top: Ints, over: np.uint64, lefts: Ints, beside: Words) -> None:
    """Write the rings with corners x, y and one T, and every L disjoint from it, from row ``at`` on."""
    for s in range(len(lefts)):
        if (over & beside[s]) == 0 and at < len(found):
            found[at, 0], found[at, 1] = x, y
            for k in range(3):
                found[at, 2 + k], found[at, 5 + k] = top[k], lefts[s, k]
            at += 1
