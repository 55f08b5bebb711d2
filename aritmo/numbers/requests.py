"""What squares to make: refused at once where there can be none, and the families that a request may draw from.

The family of a square is a number: the centre of an odd nested order, the pair sum of an even order, the magic
sum of a plain order 5. Rings take pairs of primes around the middle, which is the centre or half the pair sum;
see ``rings`` for why 3 is in none of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.cores import draw_cores
from aritmo.numbers.plain5 import draw_plain5
from aritmo.numbers.primes import is_prime, next_prime, previous_prime, sieve
from aritmo.numbers.rings import draw_odd, first_middle, offsets, pair_counts, pairs_needed, surround
from aritmo.numbers.search import count_order3

LARGEST_ORDER = 201
LARGEST_BELOW = 10_000_000
_LARGEST_CELL = 10**12
"""Rings look for pairs near the middle only, so that a large centre is as quick as a small one."""
_LEAST_SUMS = {4: 120, 5: 233}
"""Of plain squares: OEIS A164843."""
_AMPLE = 300
"""Families that a request open to any should have to choose from."""
_BOUNDS = (10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, LARGEST_BELOW)


@dataclass(frozen=True, slots=True)
class Request:
    """What to make, as a user says it. None leaves a thing open; ``check`` fills it in,
    save the bound where the family is known.

    ``nested`` asks for a magic square inside every ring, which orders 3 and 4 are by themselves. All cells are
    less than ``below``.
    """

    order: int
    nested: bool = True
    centre: int | None = None
    magic_sum: int | None = None
    pair_sum: int | None = None
    below: int | None = None
    allow3: bool = True

    @property
    def in_rings(self) -> bool:
        """Say whether pairs of primes around a middle are what the squares need."""
        return self.order != 4 and (self.nested or self.order == 3)

    @property
    def family(self) -> int | None:
        """The one family that is asked for; None for any."""
        if self.in_rings:
            return self.centre if self.order % 2 else self.pair_sum
        return self.pair_sum if self.order == 4 else self.magic_sum

    def check(self) -> "Request":
        """Return the request with its sums filled in, and a bound chosen where any family will do.

        Raises ValueError, one sentence with the reason and the remedy, where no such square can be.
        """
        _check_order(self)
        _check_signs(self)
        request = _one_family(self)
        if request.family is not None:
            _check_family(request)
            return request
        if request.below is None:
            return replace(request, below=_ample_bound(request))
        _check_bound(request)
        return request

    def families(self) -> NDArray[np.int64]:
        """Return, rising, what a checked request may draw from; those with few pairs only where all have few."""
        return np.array([self.family]) if self.family is not None else _families(self)

    def draw(self, family: int, many: int, seed: int) -> NDArray[np.int64]:
        """Return at most ``many`` different squares of a family as (m, n, n), canonical, drawn by the seed."""
        order, below, allow3 = self.order, self.below or 0, self.allow3
        if self.in_rings and order % 2:
            return draw_odd(family, order, many, seed, allow3, below)
        if self.in_rings:
            inner = draw_cores(family, 1 + many // 4, seed, allow3, below, core=True)
            return surround(family, inner, order, many, seed, allow3, below)
        draw = draw_cores if order == 4 else draw_plain5
        return draw(family, many, seed, allow3, below)


def take_turns(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the rows of all parts: the first of each, then the second of each, and so on."""
    turns = np.concatenate([np.arange(len(part)) for part in parts])
    return np.concatenate(parts)[np.argsort(turns, kind="stable")]


def _check_order(request: Request) -> None:
    order = request.order
    if order < 3:
        raise ValueError(
            f"there is no prime magic square of order {order}: it would be a single cell, or repeat one; "
            f"give an order from 3 on"
        )
    if order > LARGEST_ORDER:
        raise ValueError(f"squares are made up to order {LARGEST_ORDER}, not {order}; give a smaller order")
    if order > 5 and not request.nested:
        raise ValueError(f"plain squares are made of orders 3, 4 and 5 only, not {order}; ask for nested ones")


def _check_signs(request: Request) -> None:
    named = {
        "the centre": request.centre,
        "the sum": request.magic_sum,
        "the pair sum": request.pair_sum,
        "the bound": request.below,
    }
    for name, value in named.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} of primes is above 0, not {value}; give a larger number")
        if value is not None and value > _LARGEST_CELL:
            raise ValueError(f"{name} goes up to {_LARGEST_CELL}, not {value}; give a smaller number")
    if request.below is not None and request.family is None and request.below > LARGEST_BELOW:
        raise ValueError(
            f"the bound goes up to {LARGEST_BELOW} where no centre or sum is given, not {request.below}; "
            f"give a smaller one"
        )


def _one_family(request: Request) -> Request:
    """Return the request with the sum turned into the centre or pair sum, or refuse what contradicts itself."""
    order, total = request.order, request.magic_sum
    if order % 2 and request.pair_sum is not None:
        raise ValueError(f"order {order} has a centre and no pair sum of its own; give the centre or the sum")
    if order % 2 == 0 and request.centre is not None:
        raise ValueError(f"a square of even order {order} has no cell in its centre; give the pair sum or the sum")
    if order == 5 and not request.nested:
        if request.centre is not None:
            raise ValueError("a plain order 5 has any centre to its sum; give the sum, or ask for nested squares")
        return request
    given, shown, times = (
        (request.centre, "centre", order) if order % 2 else (request.pair_sum, "pair sum", order // 2)
    )
    if total is None:
        return request if given is None else replace(request, magic_sum=given * times)
    if total % times:
        near = (times * family for family in _near(order, total // times))
        raise ValueError(
            f"the sum of a {'nested ' * (order > 4)}square of order {order} is {times} times its {shown}, "
            f"which {total} is not; give {' or '.join(map(str, near))}, say"
        )
    if given is not None and given * times != total:
        raise ValueError(
            f"order {order} with the {shown} {given} has the sum {given * times}, not {total}; give one of the two"
        )
    return replace(request, centre=total // times) if order % 2 else replace(request, pair_sum=total // times)


def _near(order: int, number: int) -> list[int]:
    """Return what may be a centre or pair sum, about a number that is none."""
    number = max(number, first_family(order) + 1 if order != 4 else _LEAST_SUMS[4] // 2)
    if order % 2:
        return [previous_prime(number), next_prime(number)]
    step = 1 if order == 4 else 2
    return [number // step * step, number // step * step + step]


def _check_family(request: Request) -> None:
    family = request.family
    assert family is not None
    if request.in_rings:
        _check_pairs(request, family)
        return
    total = request.magic_sum
    assert total is not None
    if total < _LEAST_SUMS[request.order]:
        least = _LEAST_SUMS[request.order]
        raise ValueError(
            f"the least sum of a prime magic square of order {request.order} is {least}, and {total} is less; "
            f"give a larger one"
        )
    if request.order == 5 and total % 2 == 0:
        raise ValueError(f"five odd primes have an odd sum, and {total} is even; give {total + 1}, say")
    _check_cells(request, total)


def _check_pairs(request: Request, family: int) -> None:
    """Refuse a centre or pair sum with fewer pairs of primes around it than the rings take."""
    order, middle = request.order, family if request.order % 2 else family // 2
    if order % 2 and not is_prime(family):
        near = " or ".join(map(str, _near(order, family)))
        raise ValueError(f"the centre is a cell and so a prime, which {family} is not; give {near}, say")
    if family % 2 and order % 2 == 0:
        raise ValueError(f"the two primes of a pair have an even sum, and {family} is odd; give {family + 1}, say")
    if order == 3 and not len(draw_odd(family, 3, 1, seed=0, below=request.below or 0)):
        bound = f" with cells below {request.below}" if request.below else ""
        raise ValueError(
            f"no square of order 3 has the centre {family}{bound}; the first that will do is {first_family(3)}, "
            f"with a bound of at least {least_bound(3)}"
        )
    needed, found = pairs_needed(order), offsets(middle)
    around = f"order {order} needs {needed} pairs of primes around " + (
        f"its centre, and {family}" if order % 2 else f"half its pair sum, and {middle}"
    )
    if len(found) < needed:
        first = first_family(order)
        what = "centre" if order % 2 else "pair sum"
        raise ValueError(f"{around} has {len(found)}; the first {what} with enough is {first}")
    within = len(offsets(middle, request.below or 0))
    if within < needed:
        least = middle + int(found[needed - 1]) + 1
        raise ValueError(f"{around} has {within} below {request.below}; give a bound of at least {least}")


def _check_cells(request: Request, total: int | None) -> None:
    """Refuse a bound that leaves fewer primes than a plain square has cells, or only primes too small."""
    order, below = request.order, request.below
    if not below:
        return
    first = 3 if request.allow3 else 5
    least = first
    for _ in range(order * order - 1):
        least = next_prime(least)
    if below <= least:
        raise ValueError(
            f"order {order} needs {order * order} different primes from {first} on, the last is {least}; "
            f"give a bound of at least {least + 1}"
        )
    if total is not None and total > order * below - order * order:
        bound = (total + order * order) // order + 1
        raise ValueError(
            f"{order} different odd cells below {below} do not add to {total}; give a bound of at least {bound}"
        )


def _check_bound(request: Request) -> None:
    below = request.below
    assert below is not None
    if not request.in_rings:
        _check_cells(request, None)
    elif request.order == 3 and below < least_bound(3):
        raise ValueError(
            f"no square of order 3 has all cells below {below}; give a bound of at least {least_bound(3)}"
        )
    elif len(_with_pairs(request.order, below, pairs_needed(request.order))) == 0:
        raise ValueError(
            f"with cells below {below} no {'centre' if request.order % 2 else 'pair sum'} has the "
            f"{pairs_needed(request.order)} pairs of primes that order {request.order} needs; "
            f"give a bound of at least {least_bound(request.order)}"
        )


def _with_pairs(order: int, below: int, needed: int) -> NDArray[np.int64]:
    """Return the middles, for odd orders prime ones, with at least so many pairs of primes below the bound."""
    middles = np.flatnonzero(pair_counts(below) >= needed)
    return middles[sieve(below)[middles]] if order % 2 else middles


@lru_cache
def first_family(order: int) -> int:
    """Return the least centre (odd order) or pair sum (even order from 6 on) with pairs enough."""
    if order == 3:
        return next(p for p in count(5) if is_prime(p) and len(draw_odd(p, 3, 1, seed=0)))
    return first_middle(order) * (1 if order % 2 else 2)


@lru_cache
def least_bound(order: int) -> int:
    """Return the least bound below which some middle has as many pairs as the rings of an order take.

    Of order 3 it is the least bound below which there is a square.
    """
    if order == 3:
        return next(bound for bound in count(1) if count_order3(bound))
    low, high = 1, 2 * first_family(order)
    while low < high:
        bound = (low + high) // 2
        if len(_with_pairs(order, bound, pairs_needed(order))):
            high = bound
        else:
            low = bound + 1
    return low


@lru_cache(maxsize=8)
def _families(request: Request) -> NDArray[np.int64]:
    below = request.below
    assert below
    if request.order == 4:
        # Cells spread evenly up to the bound have a mean of half of it, which is half the pair sum.
        pair_sums = np.arange(max(_LEAST_SUMS[4] // 2, below // 2), max(below, _LEAST_SUMS[4] // 2 + 1))
        return pair_sums[pair_sums % 6 == 0] if below >= _BOUNDS[0] else pair_sums
    if not request.in_rings:
        low = max(_LEAST_SUMS[5], 3 * below // 2) | 1
        return np.arange(low, max(low + 1, 7 * below // 2), 2)
    needed = pairs_needed(request.order)
    middles = _with_pairs(request.order, below, needed)
    ample = _with_pairs(request.order, below, needed + needed // 5 + 2)
    chosen = ample if len(ample) else middles
    return chosen if request.order % 2 else 2 * chosen


def _ample_bound(request: Request) -> int:
    """Return the first round bound that leaves several hundred families to choose from."""
    return next(
        (bound for bound in _BOUNDS if len(_families(replace(request, below=bound))) >= _AMPLE), LARGEST_BELOW
    )
