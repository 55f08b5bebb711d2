"""What prime magic squares are made of: centres, differences, last digits, pairs, super-primes."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.primes import primes_below, sieve
from aritmo.numbers.squares import Cells, check_square, core_order

PLACES = ("corner", "side", "core", "centre")
"""Corners and sides of rings, the middle 3 x 3 or 4 x 4, and of an odd order the middle cell."""
PAIR_TYPES = ("prime-prime", "prime-composite", "composite-composite")

_HELD = 1 << 21
_SIEVED = 50_000_000
"""Above this number nothing is said of super-primes, nor of the pairs with such a sum."""
_PAIRED = 1_000_000_000
"""So many pairs are looked at, about five seconds; centres after that are left out and counted."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A cell's distance from the centre, |cell - pair_sum / 2|, and where it was first met."""

    d: float
    cell: int
    place: str


class Anatomy:
    """Statistics of squares added one by one; memory grows with the distinct cells and centres only.

    The centre of a square is half its pair sum: the middle cell of an odd order, magic_sum / order of an even
    order, where it may end in .5. Squares of an even order without pair sum count in all but what needs a centre.
    """

    def __init__(self) -> None:
        self.squares = 0
        self._orders: Counter[int] = Counter()
        self._pair_sums: Counter[int] = Counter()
        self._digits = np.zeros((len(PLACES), 10), dtype=np.int64)
        self._smallest: Difference | None = None
        self._largest: Difference | None = None
        self._values: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._counts: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._waiting: list[NDArray[np.int64]] = []
        self._held = 0
        self._used: dict[int, set[int]] = {}

    def add(self, cells: Cells, place: str) -> None:
        """Take in an (n, n) square of integers from 0 on."""
        order = len(cells)
        check = check_square(cells)
        pair_sum = check.pair_sum if check.centre is None else 2 * check.centre
        self.squares += 1
        self._orders[order] += 1
        self._digits += np.bincount((_places(order) * 10 + cells % 10).ravel(), minlength=40).reshape(-1, 10)
        self._waiting.append(cells.ravel())
        self._held += cells.size
        if self._held > _HELD:
            self._merge()
        if pair_sum is not None:
            self._pair_sums[pair_sum] += 1
            self._measure(cells, pair_sum, place)

    def _measure(self, cells: Cells, pair_sum: int, place: str) -> None:
        twice = np.abs(2 * cells - pair_sum).ravel()
        self._used.setdefault(pair_sum, set()).update(twice.tolist())
        flat, high = cells.ravel(), int(twice.argmax())
        if not twice[high]:
            return
        low = int(np.where(twice, twice, twice[high]).argmin())  # the centre itself is at no distance
        if self._smallest is None or twice[low] < 2 * self._smallest.d:
            self._smallest = Difference(int(twice[low]) / 2, int(flat[low]), place)
        if self._largest is None or twice[high] > 2 * self._largest.d:
            self._largest = Difference(int(twice[high]) / 2, int(flat[high]), place)

    def _merge(self) -> None:
        values, counts = np.unique(np.concatenate([*self._waiting, self._values[:0]]), return_counts=True)
        both, index = np.unique(np.concatenate([self._values, values]), return_inverse=True)
        weights = np.zeros(both.size, dtype=np.int64)
        np.add.at(weights, index, np.concatenate([self._counts, counts]))
        self._values, self._counts = both, weights
        self._waiting, self._held = [], 0

    def centres(self) -> dict[str, int]:
        """Return how many squares have a centre 6n+1, 6n-1, another one, or none."""
        told = {"6n+1": 0, "6n-1": 0, "other": 0, "none": self.squares - self._pair_sums.total()}
        for pair_sum, count in self._pair_sums.items():
            told[{2: "6n+1", 10: "6n-1"}.get(pair_sum % 12, "other")] += count
        return told

    def numbers(self, top: int = 20) -> dict[str, Any]:
        """Return how often numbers occur, the ``top`` most frequent ones, and the super-primes among the cells.

        A super-prime is a prime whose place among the primes (2 is the first) is itself prime: 3, 5, 11, 17, ...
        None stands where a cell is above 50,000,000.
        """
        self._merge()
        values, counts = self._values, self._counts
        often = np.lexsort((values, -counts))[:top]
        known = not values.size or int(values[-1]) <= _SIEVED
        supers = _super_primes(values) if known else np.zeros(values.size, dtype=np.bool_)
        return {
            "cells": int(counts.sum()),
            "distinct": int(values.size),
            "once": int(np.count_nonzero(counts == 1)),
            "most_frequent": [[int(values[i]), int(counts[i])] for i in often.tolist()],
            "super_primes": int(counts[supers].sum()) if known else None,
            "distinct_super_primes": int(supers.sum()) if known else None,
        }

    def pairs(self) -> dict[str, Any]:
        """Return the pair types around all distinct centres, for any difference and for even differences.

        A pair around a centre c is (c - d, c + d) with d > 0 and c - d >= 2; every such d is in reach. ``used``
        counts the prime-prime pairs of which a cell stands in a square of that centre.
        """
        totals = {kind: dict.fromkeys((*PAIR_TYPES, "used"), 0) for kind in ("any", "even")}
        budget, counted = _PAIRED, 0
        prime = sieve(0)
        for pair_sum in sorted(self._pair_sums):
            budget -= pair_sum
            if budget < 0 or pair_sum > _SIEVED:
                break
            counted += 1
            if pair_sum >= prime.size:
                prime = sieve(min(2 * pair_sum, _SIEVED) + 1)
            low = np.arange(2, (pair_sum + 1) // 2)
            primes = prime[low].astype(np.int8) + prime[pair_sum - low]
            twice = pair_sum - 2 * low
            used = np.isin(twice, np.fromiter(self._used[pair_sum], dtype=np.int64)) & (primes == 2)
            for kind, chosen in (("any", slice(None)), ("even", twice % 4 == 0)):
                both = np.bincount(primes[chosen], minlength=3).tolist()
                for name, count in zip((*reversed(PAIR_TYPES), "used"), (*both, used[chosen].sum()), strict=True):
                    totals[kind][name] += int(count)
        return {"centres": counted, "centres_left_out": len(self._pair_sums) - counted, **totals}

    def statistics(self) -> dict[str, Any]:
        """Return everything as one value that JSON can hold."""

        def told(difference: Difference | None) -> dict[str, Any] | None:
            if difference is None:
                return None
            return {"d": difference.d, "cell": difference.cell, "place": difference.place}

        return {
            "squares": self.squares,
            "orders": {str(order): count for order, count in sorted(self._orders.items())},
            "centres": {**self.centres(), "distinct": len(self._pair_sums)},
            "smallest_difference": told(self._smallest),
            "largest_difference": told(self._largest),
            "last_digits": {place: row.tolist() for place, row in zip(PLACES, self._digits, strict=True)},
            "numbers": self.numbers(),
            "pairs": self.pairs(),
        }


def _places(order: int) -> NDArray[np.int64]:
    """Return the index in ``PLACES`` of each cell of an order."""
    index = np.arange(order)
    depth = np.minimum(index, index[::-1])
    down, across = depth[:, None], depth[None, :]
    places = np.where(down == across, 0, 1)
    border = (order - core_order(order)) // 2
    places[border : order - border, border : order - border] = 2
    if order % 2:
        places[order // 2, order // 2] = 3
    return places


def _super_primes(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which of rising numbers are primes at a prime place."""
    primes = primes_below(int(values[-1]) + 1) if values.size else values
    index = np.searchsorted(primes, values, side="right")
    found = index > 0
    found[found] = primes[index[found] - 1] == values[found]
    return found & sieve(primes.size + 1)[index]
