"""Primes, exactly: sieve, test, neighbours. Nothing here is probabilistic."""

from collections.abc import Callable
from functools import cache, wraps
from math import isqrt
from types import FunctionType
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")
Words = NDArray[np.uint64]

_BASES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
_PROVEN = (
    (3_215_031_751, 4),
    (2_152_302_898_747, 5),
    (3_474_749_660_383, 6),
    (341_550_071_728_321, 7),
    (3_825_123_056_546_413_051, 9),
    (1 << 64, 12),
)
"""Below each bound, so many of the first primes as Miller-Rabin bases leave no composite (OEIS A014233).

4 bases: Pomerance, Selfridge and Wagstaff 1980. 5 to 7: Jaeschke 1993. 9: Jiang and Deng 2014. 12: Sorenson and
Webster 2015, who prove it up to 3.1e23, and 13 bases up to _END.
"""
_END = 3_317_044_064_679_887_385_961_981
_FEW = 2_000
_IN_FLOATS = 1 << 50
_PAYS = ((1 << 32, 30), (1 << 17, 200))
"""From how many cells on it pays to test them side by side, by the largest: the more bases, the sooner."""
_PER_CELL = 40


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function with numba at its first call; keep the machine code on disk where that is allowed.

    Importing numba takes longer than checking a thousand squares, so it waits until something needs it.
    The function may call nothing but numpy, builtins, its own inner functions and other compiled functions of
    its file: what is kept on disk is renewed when that file changes, and only then.
    """

    @cache
    def machine() -> Callable[P, R]:
        from numba import njit

        linked = _linked(function)
        try:
            return njit(cache=True, nogil=True)(linked)  # type: ignore[no-any-return]
        except RuntimeError:  # neither beside the source nor in the home folder may a file be written
            return njit(nogil=True)(linked)  # type: ignore[no-any-return]

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return machine()(*args, **kwargs)

    _machines[call] = machine
    return call


_machines: dict[Any, Callable[[], Any]] = {}
"""What ``compiled`` gave out, and what makes the machine code behind it."""


def _linked(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, or where it names others of ``compiled``, a copy that calls their machine code."""
    names = {
        name: _machines[other]()
        for name in function.__code__.co_names
        if isinstance(other := function.__globals__.get(name), FunctionType)
        and other in _machines
        and other.__module__ == function.__module__
    }
    if not names:
        return function
    copy = FunctionType(function.__code__, function.__globals__ | names, function.__name__, function.__defaults__)
    return wraps(function)(copy)


def sieve(limit: int) -> NDArray[np.bool_]:
    """Return a table of ``limit`` booleans, true at each index that is prime. One byte a number.

    Raises ValueError where the limit is negative.
    """
    if limit < 0:
        raise ValueError(f"a sieve ends at 0 or above, not at {limit}; give a limit of at least 0")
    odd = np.ones(limit // 2, dtype=np.bool_)  # odd[i] stands for 2i + 1
    odd[:1] = False
    for p in range(3, int(limit**0.5) + 1, 2):
        if odd[p // 2]:
            odd[p * p // 2 :: p] = False
    table = np.zeros(limit, dtype=np.bool_)
    table[1::2] = odd
    table[2:3] = True
    return table


def primes_below(limit: int) -> NDArray[np.int64]:
    """Return every prime below ``limit``, rising."""
    return np.flatnonzero(sieve(limit))


_SMALL = sieve(100_000)
_SMALL_BYTES = _SMALL.tobytes()


def is_prime(n: int) -> bool:
    """Say whether ``n`` is prime: proven, not probable.

    Raises ValueError from 3317044064679887385961981 on, where no proven set of bases is known.
    """
    if n < len(_SMALL_BYTES):
        return n >= 2 and bool(_SMALL_BYTES[n])
    if n >= _END:
        given = f"a number of {n.bit_length()} bits was given"
        raise ValueError(f"{given}; primes are told exactly only below {_END}, so give a smaller one")
    if any(n % p == 0 for p in _BASES):
        return False
    bases = next((count for bound, count in _PROVEN if n < bound), len(_BASES))
    twos = ((n - 1) & (1 - n)).bit_length() - 1
    odd = (n - 1) >> twos
    return not any(_is_witness(base, n, odd, twos) for base in _BASES[:bases])


def _is_witness(base: int, n: int, odd: int, twos: int) -> bool:
    """Say whether Miller-Rabin with this base shows that n = odd * 2**twos + 1 is composite."""
    power = pow(base, odd, n)
    if power in (1, n - 1):
        return False
    for _ in range(twos - 1):
        power = power * power % n
        if power == n - 1:
            return False
    return True


def are_prime(cells: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say of each cell whether it is prime. Takes integers below 2**63 of any shape, gives that shape."""
    if cells.size == 0:
        return np.zeros(cells.shape, dtype=np.bool_)
    top = int(cells.max())
    if top < _SMALL.size:
        return _SMALL[np.maximum(cells, 0)]
    if cells.size < _FEW:
        least = next((many for bound, many in _PAYS if top >= bound), _FEW)
        test = _side_by_side if cells.size >= least and top < _IN_FLOATS else _one_by_one
        return test(cells.ravel()).reshape(cells.shape)
    if top < _PER_CELL * cells.size:
        return sieve(top + 1)[np.maximum(cells, 0)]
    flat = cells.ravel()
    flags = np.isin(flat, _BASES)
    coprime = np.flatnonzero((flat > 1) & np.logical_and.reduce([flat % p != 0 for p in _BASES]))
    numbers = flat[coprime]
    bounds, counts = zip(*_PROVEN, strict=True)
    rounds = np.array(counts)[np.searchsorted(bounds[:-1], numbers, side="right")]
    flags[coprime] = _test_all(numbers.astype(np.uint64), rounds, np.array(_BASES, dtype=np.uint64))
    return flags.reshape(cells.shape)


def _one_by_one(cells: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.array([is_prime(n) for n in cells.tolist()], dtype=np.bool_)


def _side_by_side(cells: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which of the cells, below 2**50, are prime: Miller-Rabin for all of them and all bases at once.

    A quotient below 2**50 comes out of floating point at most 1 too large or too small, so that the remainder,
    taken in integers that wrap around, is right once it is brought between 0 and n.
    """
    flags = np.isin(cells, _BASES)
    coprime = np.flatnonzero((cells > 1) & np.logical_and.reduce([cells % p != 0 for p in _BASES]))
    if not coprime.size:
        return flags
    n = cells[coprime]
    rounds = next(count for bound, count in _PROVEN if int(n.max()) < bound)
    bases = np.array(_BASES[:rounds], dtype=np.int64)[:, None] + np.zeros_like(n)
    inverse = 1.0 / n

    def times(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a * b modulo n."""
        rest = a * b - (a.astype(np.float64) * b * inverse).astype(np.int64) * n
        return np.where(rest < 0, rest + n, np.where(rest >= n, rest - n, rest))

    lowest = (n - 1) & (1 - n)
    odd, power = (n - 1) // lowest, np.ones_like(bases)
    for bit in range(int(odd.max()).bit_length() - 1, -1, -1):
        power = times(power, power)
        power = np.where(odd >> bit & 1, times(power, bases), power)
    passed = (power == 1) | (power == n - 1)
    for twos in range(1, int(lowest.max()).bit_length() - 1):
        power = times(power, power)
        passed |= (power == n - 1) & (lowest >> twos > 1)
    flags[coprime] = passed.all(axis=0)
    return flags


@compiled
def _test_all(numbers: Words, rounds: NDArray[np.int64], bases: Words) -> NDArray[np.bool_]:
    """Say which numbers, below 2**63 and coprime to the bases, pass their rounds of Miller-Rabin.

    Residues are kept as Montgomery did in 1985: x stands for x * 2**64 modulo n, and no division is needed.
    """
    zero, one, half, low = np.uint64(0), np.uint64(1), np.uint64(32), np.uint64(0xFFFFFFFF)

    def high(a: np.uint64, b: np.uint64) -> np.uint64:
        """Return the upper 64 bits of a * b."""
        a1, a0, b1, b0 = a >> half, a & low, b >> half, b & low
        middle = a1 * b0 + ((a0 * b0) >> half)
        return a1 * b1 + (middle >> half) + ((a0 * b1 + (middle & low)) >> half)

    def times(a: np.uint64, b: np.uint64, n: np.uint64, inverse: np.uint64) -> np.uint64:
        """Return a * b / 2**64 modulo n."""
        upper, lower = high(a, b), high(a * b * inverse, n)
        return upper - lower if upper >= lower else upper - lower + n

    flags = np.empty(numbers.size, dtype=np.bool_)
    for i in range(numbers.size):
        n = numbers[i]
        inverse = n  # right modulo 8; each step doubles the bits that are right
        for _ in range(5):
            inverse *= np.uint64(2) - n * inverse
        unit = (zero - n) % n  # 2**64 modulo n, the residue of 1
        square = unit
        for _ in range(64):
            square = square + square - n if square + square >= n else square + square
        minus = n - unit
        odd, twos = n - one, 0
        while odd & one == zero:
            odd >>= one
            twos += 1
        for p in bases[: rounds[i]]:
            power, factor, exponent = unit, times(p, square, n, inverse), odd
            while exponent:
                if exponent & one:
                    power = times(power, factor, n, inverse)
                factor = times(factor, factor, n, inverse)
                exponent >>= one
            flags[i] = power in (unit, minus)
            for _ in range(twos - 1):
                if flags[i]:
                    break
                power = times(power, power, n, inverse)
                flags[i] = power == minus
            if not flags[i]:
                break
    return flags


def least_factor(n: int) -> int:
    """Return the least prime that divides ``n``, by trial in about sqrt(n) / 3 steps: for small numbers.

    Raises ValueError below 2, which no prime divides as one thinks of it.
    """
    if n < 2:
        raise ValueError(f"no prime is the least factor of {n}; give a number of at least 2")
    for factor in (2, 3):
        if n % factor == 0:
            return factor
    for factor in range(5, isqrt(n) + 1, 6):
        if n % factor == 0:
            return factor
        if n % (factor + 2) == 0:
            return factor + 2
    return n


def next_prime(n: int) -> int:
    """Return the least prime above ``n``."""
    if n < 2:
        return 2
    candidate = n + 1 + n % 2
    while not is_prime(candidate):
        candidate += 2
    return candidate


def previous_prime(n: int) -> int:
    """Return the greatest prime below ``n``. Raises ValueError where there is none."""
    if n <= 2:
        raise ValueError(f"there is no prime below {n}; give a number of at least 3")
    if n == 3:
        return 2
    candidate = n - 1 - n % 2
    while not is_prime(candidate):
        candidate -= 2
    return candidate
