"""Search for prime magic squares of order 3: exhaustive and compiled.

Every magic square of order 3 is its centre c and eight cells around it, at distances u, a, u+a and u-a:

    c-u    c+u-a  c+a
    c+u+a  c      c-u-a
    c-a    c-u+a  c+u

and u > a > 0 picks one of its 8 symmetries, the canonical one. So with V = {d > 0 : c-d and c+d are prime}
the squares of a centre are the pairs with u, a, u+a and u-a in V, save u = 2a, which would repeat a cell.

Only multiples of 6 need a look, so 2 and 3 stand in no such square. The least cell is below c, so c > 3. An
odd d makes c-d and c+d even, and they cannot both be 2. A d that 3 does not divide makes 3 divide c-d or c+d,
which must then be 3, so it is c-d: at most d = c-3 is such. But where 3 does not divide both u and a, it
fails to divide at least three of the four distances, and they all differ.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.primes import compiled, sieve
from aritmo.numbers.randomness import Stream

Advance = Callable[[int], object]
"""Is told how many more centres are done."""

_BLOCK = 64
"""Centres searched in one compiled call. Between two calls Ctrl-C is heard and progress is told."""
_LIMIT = 10**9
_FACTOR = 0x03F79D71B4CB0A89
_PLACES = np.argsort([(_FACTOR << i & 2**64 - 1) >> 58 for i in range(64)])
"""Where the one bit of x stands, at x * _FACTOR / 2**58: a de Bruijn sequence (Leiserson and others 1998)."""


def order3_centres(below: int) -> NDArray[np.int64]:
    """Return every prime that may stand in the centre of a square of order 3 with cells below ``below``.

    Raises ValueError where ``below`` is negative or above 10**9, where no search would come to an end.
    """
    if not 0 <= below <= _LIMIT:
        raise ValueError(f"below: squares are searched up to {_LIMIT}, not {below}; give a bound from 0 to that")
    primes = np.flatnonzero(sieve(below))
    return primes[(primes > 6) & (primes < below - 6)]


def count_order3(below: int, advance: Advance | None = None) -> int:
    """Return how many prime magic squares of order 3 have all cells below ``below``, up to the 8 symmetries.

    Raises ValueError for a bound that ``order3_centres`` refuses.
    """
    none = np.empty((0, 3), dtype=np.int64)
    return sum(_find(prime, block, _PLACES, none) for prime, block in _blocks(below, advance))


def list_order3(below: int, advance: Advance | None = None) -> NDArray[np.int64]:
    """Return the squares that ``count_order3`` counts as (N, 9), cells row by row, each in canonical form.

    They are sorted by centre, then by cells. 72 bytes a square. Raises ValueError as ``order3_centres`` does.
    """
    return np.concatenate([np.empty((0, 9), dtype=np.int64), *_lists(below, advance)])


def draw_order3(count: int, seed: int, below: int, advance: Advance | None = None) -> NDArray[np.int64]:
    """Return ``count`` different squares of ``list_order3(below)`` as (count, 9), drawn by the seed.

    A smaller count gives the beginning of a larger one. ``advance`` is told of every centre twice. Raises
    ValueError where fewer squares exist, or as ``order3_centres`` does.
    """
    available = count_order3(below, advance)
    if count > available:
        raise ValueError(
            f"{available} squares of order 3 have all cells below {below}, fewer than the {count} asked for; "
            f"raise the bound or ask for at most {available}"
        )
    stream = Stream("squares", "draw", 3, below, seed)
    moved: dict[int, int] = {}  # a shuffle that holds only the places that it has touched
    drawn = np.empty(count, dtype=np.int64)
    for i in range(count):
        j = stream.between(i, available - 1)
        drawn[i] = moved.get(j, j)
        moved[j] = moved.pop(i, i)
    order = np.argsort(drawn)
    rising = drawn[order]
    squares = np.empty((count, 9), dtype=np.int64)
    begin = 0
    for block in _lists(below, advance):
        low, high = np.searchsorted(rising, (begin, begin + len(block)))
        squares[order[low:high]] = block[rising[low:high] - begin]
        begin += len(block)
    return squares


def _blocks(below: int, advance: Advance | None) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Yield the sieve, as bytes, with each block of centres."""
    centres = order3_centres(below)
    prime = sieve(below).view(np.uint8)
    for start in range(0, len(centres), _BLOCK):
        block = centres[start : start + _BLOCK]
        yield prime, block
        if advance is not None:
            advance(len(block))


def _lists(below: int, advance: Advance | None) -> Iterator[NDArray[np.int64]]:
    """Yield the squares of each block of centres as (N, 9), sorted."""
    found = np.empty((1 << 12, 3), dtype=np.int64)
    for prime, block in _blocks(below, advance):
        count = _find(prime, block, _PLACES, found)
        if count > len(found):
            found = np.empty((2 * count, 3), dtype=np.int64)
            _find(prime, block, _PLACES, found)
        c, u, a = found[:count].T
        c, u, a = found[np.lexsort((-a, -u, c))].T  # the first cells are c-u and c+u-a
        yield np.stack([c - u, c + u - a, c + a, c + u + a, c, c - u - a, c - a, c - u + a, c + u], axis=1)


@compiled
def _find(
    prime: NDArray[np.uint8], centres: NDArray[np.int64], places: NDArray[np.int64], found: NDArray[np.int64]
) -> int:
    """Return how many squares the centres have, and write (c, u, a) of each into ``found`` while it has room.

    Bit k of the set says that 6k is in V. For one a, three such sets, shifted, hold each u at the same bit.
    """
    one, top_bit = np.uint64(1), np.uint64(63)
    factor, upper = np.uint64(0x03F79D71B4CB0A89), np.uint64(58)
    steps = np.empty(prime.size // 12 + 2, dtype=np.int64)
    bits = np.empty(prime.size // 12 // 64 + 5, dtype=np.uint64)  # its first word stays empty: below bit 0
    count = 0
    for c in centres:
        top = min(c, prime.size - 1 - c) // 6
        size = 0
        for k in range(1, top + 1):
            steps[size] = k
            size += prime[c - 6 * k] & prime[c + 6 * k]
        bits[:] = np.uint64(0)
        for k in steps[:size]:
            bits[(k >> 6) + 1] |= one << np.uint64(k & 63)
        for a in steps[:size]:
            begin, shift = a >> 6, np.uint64(a & 63)
            rest = top_bit - shift  # a shift by 64 is undefined, so by 1 and then by the rest
            us, uppers = bits[begin + 1 :], bits[2 * begin + 1 :]
            for w in range(((top - a) >> 6) + 1 - begin):
                less = (bits[w + 1] << shift) | ((bits[w] >> one) >> rest)  # u-a in V
                more = (uppers[w] >> shift) | ((uppers[w + 1] << one) << rest)  # u+a in V
                both = us[w] & less & more
                while both:
                    bit = both & (~both + one)
                    both ^= bit
                    u = ((w + begin) << 6) + places[(bit * factor) >> upper]
                    if u != 2 * a:
                        if count < len(found):
                            found[count, 0], found[count, 1], found[count, 2] = c, 6 * u, 6 * a
                        count += 1
    return count
