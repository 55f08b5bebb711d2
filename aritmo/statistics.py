"""Shares with their intervals, and what chance alone would give."""

from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.primes import sieve
from aritmo.numbers.search import count_order3


def wilson(count: int, of: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the interval of a share ``count / of``, 95 % for the default ``z``.

    Wilson, Probable inference, the law of succession, and statistical inference, Journal of the
    American Statistical Association 22 (1927), 209-212. Raises ValueError unless 0 <= count <= of, of > 0.
    """
    if not (0 <= count <= of and of > 0):
        raise ValueError(f"a share of {count} in {of} is none: give a count from 0 to a positive total")
    share, weight = count / of, z * z / of
    centre = (share + weight / 2) / (1 + weight)
    half = sqrt(weight * share * (1 - share) + weight * weight / 4) / (1 + weight)
    return (0.0 if count == 0 else centre - half), (1.0 if count == of else centre + half)


def share(count: int, of: int) -> dict[str, Any]:
    """Return a share as files store it: count, of, share, low and high (Wilson 95 %); None where of is 0."""
    low, high = wilson(count, of) if of else (None, None)
    return {"count": count, "of": of, "share": count / of if of else None, "low": low, "high": high}


def difference(first: dict[str, Any], second: dict[str, Any]) -> dict[str, float] | None:
    """Return how far the second share is above the first, with its 95 % interval; None where either has no share.

    The two are taken as of answers that do not depend on each other. Newcombe, Interval estimation for the
    difference between independent proportions, Statistics in Medicine 17 (1998), 873-890, method 10.
    """
    if not (first["of"] and second["of"]):
        return None
    (p, low_p, high_p), (q, low_q, high_q) = (
        (count / of, *wilson(count, of)) for count, of in ((one["count"], one["of"]) for one in (first, second))
    )
    return {
        "share": q - p,
        "low": q - p - sqrt((q - low_q) ** 2 + (high_p - p) ** 2),
        "high": q - p + sqrt((high_q - q) ** 2 + (p - low_p) ** 2),
    }


@lru_cache(maxsize=8)
def chance_levels(below: int = 10_000) -> dict[str, float]:
    """Return by name the chance that random numbers do what is asked of a prime magic square.

    First, for each number of digits that fits below ``below``: that an odd number is prime, and that a
    number coprime to 6 is. Then, that a random magic square of order 3 with distinct odd cells below
    ``below`` has only primes: any such square, with a prime centre, and with differences divisible by 6
    too. All are counted, none is estimated. A level is left out where ``below`` leaves nothing to count.
    """
    levels = {}
    prime = sieve(below)
    for digits in range(1, len(str(below - 1)) + 1):
        numbers = np.arange(10 ** (digits - 1), min(10**digits, below))
        for name, kept in (
            ("odd number", numbers % 2 == 1),
            ("number coprime to 6", np.gcd(numbers, 6) == 1),
        ):
            if kept.any():
                density = float(prime[numbers[kept]].mean())
                levels[f"{name} of {digits} digit{'s' * (digits > 1)} prime"] = density
    centres = np.arange(1, below, 2)
    reach = np.minimum(centres - 1, below - 1 - centres)
    squares = count_order3(below)
    for name, kept, step in (
        ("odd cells", centres > 0, 2),
        ("odd cells, prime centre", prime[centres], 2),
        ("odd cells, prime centre, differences divisible by 6", prime[centres], 6),
    ):
        possible = int(_order3_patterns(reach[kept] // step).sum())
        if possible:
            levels[f"square of order 3 all prime: {name}"] = squares / possible
    return levels


def _order3_patterns(most: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many whole u > a > 0 with u + a <= most and u != 2a there are, for each ``most``.

    They are the squares of order 3 about one centre up to symmetry, u and a counted in steps. A sum
    s = u + a has (s - 1) // 2 pairs, which add up to (most - 1)^2 // 4; most // 3 of them have u = 2a.
    """
    pairs: NDArray[np.int64] = np.maximum(most - 1, 0) ** 2 // 4 - most // 3
    return pairs
