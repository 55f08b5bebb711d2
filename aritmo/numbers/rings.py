"""Nested prime magic squares of any order from 3 on: compiled search, one ring around the other.

Every ring of order n consists of pairs of primes that add to 2h, where h is the centre of an odd order and half
of the pair sum of an even one, so each pair is one offset d > 0, and V = {d : h-d and h+d are prime}. With signed
offsets, a ring has the corners x, y, -y, -x (read row by row), above T_j and below it -T_j, left L_i and right of
it -L_i, n-2 of each, and

    x + y + sum T = 0,    x - y + sum L = 0,    all |d| distinct over all rings.

The core of an odd order is a square of order 3 with the offsets u > a > 0, u+a and u-a (see ``search``), and u is
not 2a. The core of an even order is any magic square of order 4 with the sum 4h.

Rings hold no cell 2 and no cell 3. A 2 would stand beside 2h-2, which is even. If 3 divides h, a 3 would stand
beside 2h-3, which 3 divides. If not, then 3 divides every offset of a pair without 3, as it divides neither h-d,
h nor h+d otherwise, and does not divide h-3; but in x + y + sum T or in x - y + sum L, h-3 would stand just once.
The same holds for u, a, u+a and u-a: no odd order has a cell 3.

Free offsets are drawn until two of a line are missing, and these two are found together, by a walk through the
free ones: for each v a table says whether the rest of the sum is free too. So hardly any work is thrown away
(``nesting``).
"""

from functools import lru_cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.nesting import fill, list_cores, shuffle
from aritmo.numbers.primes import is_prime, primes_below, sieve
from aritmo.numbers.randomness import seed_of

Ints = NDArray[np.int64]

REACH = 5_000_000
"""No offset above this is looked for: there are more of them than a square of any order to be written needs."""
_SMALL = 1 << 20
_LISTED = 1_500
"""Up to so many offsets all cores of order 3 are listed before the first is drawn."""
_LARGEST_FIRST = 201
_LISTED_ALONE = 20_000
"""The same where the cores are all that is wanted."""


def offsets(half: int, below: int = 0) -> Ints:
    """Return, rising, every d > 0 for which half - d and half + d are primes other than 3, at most REACH.

    ``half`` is the centre of an odd order or half of the pair sum of an even one. With ``below`` above 0,
    half + d is less than it.
    """
    reach = min(half - 2, REACH, below - 1 - half if below > 0 else REACH)
    if reach <= 0:
        return np.empty(0, dtype=np.int64)
    prime = _primes_between(half - reach, half + reach + 1)
    found: Ints = np.flatnonzero(prime[reach::-1] & prime[reach:])
    return np.extract((found > 0) & (found != half - 3), found)


@lru_cache(maxsize=2)
def _table(limit: int) -> NDArray[np.bool_]:
    return sieve(limit)


def _primes_between(low: int, high: int) -> NDArray[np.bool_]:
    """Say of each number from ``low``, at least 0, to below ``high`` whether it is prime."""
    if high <= _SMALL:
        return _table(1 << max(high, 1 << 14).bit_length())[low:high]
    prime = np.ones(high - low, dtype=np.bool_)
    prime[: max(0, 2 - low)] = False
    for p in primes_below(isqrt(high) + 1).tolist():
        prime[max(p * p, -(-low // p) * p) - low :: p] = False
    return prime


def pairs_needed(order: int) -> int:
    """Return how many offsets the rings of an order take, of an odd order its core too.

    Two or three more, of order 101 about ten, are room enough to find a square at once. Order 3 may lack a
    core even then, and order 5 a core or a ring. Raises ValueError for an order below 3.
    """
    if order < 3:
        raise ValueError(
            f"squares of order 3 or more are searched, not of order {order}; give an order of at least 3"
        )
    return (order * order - (1 if order % 2 else 16)) // 2


def first_centre(order: int) -> int:
    """Return the least prime that has as many offsets as an odd order needs.

    Raises ValueError for an order that is even, below 3 or above 201.
    """
    _refuse_even(order)
    if order > _LARGEST_FIRST:
        raise ValueError(
            f"first centres are searched up to order {_LARGEST_FIRST}, not {order}; give a smaller one"
        )
    return first_middle(order)


def first_middle(order: int) -> int:
    """Return the least centre, or half pair sum of an even order, that has as many offsets as the order needs."""
    needed = pairs_needed(order)
    limit = 16 * needed
    while True:
        enough = pair_counts(2 * limit)[:limit] >= needed
        if order % 2:
            enough &= sieve(limit)
        if enough.any():
            return int(enough.argmax())
        limit *= 2


def pair_counts(below: int) -> NDArray[np.int64]:
    """Return for each middle h < below how many pairs h-d, h+d are primes from 5 to below ``below``, d > 0.

    All at once: the primes, convolved with themselves by a Fourier transform.
    """
    odd = sieve(below)[1::2].astype(np.float64)  # odd[i] stands for 2i + 1
    odd[1:2] = 0
    size = 1 << (2 * len(odd) + 1).bit_length()
    sums = np.rint(np.fft.irfft(np.fft.rfft(odd, size) ** 2, size)).astype(np.int64)
    counts = np.zeros(below, dtype=np.int64)
    counts[1:] = sums[: below - 1]  # sums[i + j] counts (2i + 1) + (2j + 1), twice the middle i + j + 1
    counts[1::2] -= odd[: len(counts[1::2])].astype(np.int64)
    return counts // 2


def _refuse_even(order: int) -> None:
    if order < 3 or order % 2 == 0:
        raise ValueError(
            f"a square around a prime centre has an odd order from 3 on, not {order}; give such an order"
        )


def draw_odd(centre: int, order: int, count: int, seed: int, allow3: bool = True, below: int = 0) -> Ints:
    """Return different nested prime magic squares around a centre as (m, order, order), m at most ``count``.

    Each is the least of its 8 symmetries, and no two are equal; a smaller count gives the beginning of a larger
    one. With ``below`` above 0 all cells are less than it. ``allow3`` changes nothing, since no square of odd
    order has a cell 3. Fewer than ``count``, or none, come where many tries in a row give nothing new; of order 3
    all that exist do, unless the centre has more than 20,000 offsets. Raises ValueError for an order that is even
    or below 3, for a centre that is not prime and for a count below 0.
    """
    _refuse_even(order)
    if not is_prime(centre):
        raise ValueError(f"{centre} is not prime, so no prime magic square has it in its centre; give a prime")
    return _draw(centre, order, count, seed, below, np.empty((0, 4, 4), dtype=np.int64))


def surround(
    pair_sum: int, cores: Ints, order: int, count: int, seed: int, allow3: bool = True, below: int = 0
) -> Ints:
    """Return different nested squares of even order around given cores as (m, order, order), m at most ``count``.

    ``cores`` is (M, 4, 4): prime magic squares with the sum 2 * pair_sum. They are taken in turn; one with a
    cell 3 is left out unless ``allow3``, and one with a cell from ``below`` on where that is above 0. The rest
    is as in ``draw_odd``. Raises ValueError for an order that is odd or below 6, an odd pair sum, cores of
    another shape or sum, and a count below 0.
    """
    if order < 6 or order % 2:
        raise ValueError(
            f"rings around a core of order 4 make an even order from 6 on, not {order}; give such an order"
        )
    if pair_sum % 2:
        raise ValueError(f"two primes of a ring add to an even number, not to {pair_sum}; give an even pair sum")
    if cores.ndim != 3 or cores.shape[1:] != (4, 4):
        raise ValueError(f"cores are of shape (M, 4, 4), not {cores.shape}; give squares of order 4")
    if (cores.sum(axis=1) != 2 * pair_sum).any() or (cores.sum(axis=2) != 2 * pair_sum).any():
        raise ValueError(f"the lines of a core add to twice the pair sum, here {2 * pair_sum}; give such cores")
    flat = cores.reshape(-1, 16)
    fits = (flat != 3).all(axis=1) if not allow3 else np.ones(len(flat), dtype=np.bool_)
    if below > 0:
        fits &= (flat < below).all(axis=1)
    return _draw(pair_sum // 2, order, count, seed, below, np.ascontiguousarray(cores[fits], dtype=np.int64))


def _draw(half: int, order: int, count: int, seed: int, below: int, fours: Ints) -> Ints:
    if count < 0:
        raise ValueError(f"a count is 0 or more, not {count}; give how many squares to draw")
    none = np.empty((0, order, order), dtype=np.int64)
    free = offsets(half, below)
    if count == 0 or len(free) < pairs_needed(order) or (order % 2 == 0 and len(fours) == 0):
        return none
    unit, pool, at = arranged(free)
    state = np.array([seed_of("squares", "rings", half, order, below, seed)], dtype=np.uint64)
    cores = np.empty((0, 2), dtype=np.int64)
    if order % 2 and len(pool) <= (_LISTED_ALONE if order == 3 else _LISTED):
        cores = list_cores(pool, at)
        if len(cores) == 0:
            return none
        if order == 3:
            shuffle(cores, state)
            return squares_of_cores(half, unit * cores[:count])
    squares = np.empty((count, order, order), dtype=np.int64)
    seen = np.zeros(1 << (2 * count).bit_length(), dtype=np.uint64)
    return squares[: fill(pool, at, cores, fours, half, unit, squares, seen, state)]


def arranged(free: Ints) -> tuple[int, Ints, Ints]:
    """Return the unit of rising offsets, the offsets in units, and where each stands in them, -1 elsewhere."""
    unit = int(np.gcd.reduce(free))
    pool = free // unit
    at = np.full(int(pool[-1]) + 1, -1, dtype=np.int64)
    at[pool] = np.arange(len(pool))
    return unit, pool, at


def squares_of_cores(centre: int, cores: Ints) -> Ints:
    """Return the squares of order 3 of (N, 2) offsets u and a as (N, 3, 3), each the least of its 8 symmetries."""
    u, a = cores.T
    offset = np.stack([-u, u - a, a, u + a, 0 * u, -u - a, -a, a - u, u], axis=1)
    return centre + offset.reshape(-1, 3, 3)
