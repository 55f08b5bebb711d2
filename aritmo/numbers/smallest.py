"""The smallest magic sums of prime squares, found by search.

They are 177, 120 and 233 for orders 3, 4 and 5 (OEIS A164843).
"""

from itertools import count

from aritmo.numbers.cores import list_cores
from aritmo.numbers.plain5 import draw_plain5
from aritmo.numbers.primes import primes_below
from aritmo.numbers.search import list_order3
from aritmo.numbers.squares import Cells

_PRIMES = 200
"""The 25 least odd primes lie below it."""


def arithmetic_bound(order: int) -> int:
    """Return a sum below which no prime magic square of this order can be.

    The cells are at least the ``order**2`` least odd primes, since 2 would give its row another parity than the
    rest. So ``order`` times the sum is at least the sum of those, and the sum is odd just where the order is.
    Raises ValueError for an order other than 3, 4 or 5.
    """
    if order not in (3, 4, 5):
        raise ValueError(f"smallest sums are searched for orders 3, 4 and 5, not {order}; give one of these")
    least = -(-int(primes_below(_PRIMES)[1 : order**2 + 1].sum()) // order)
    return least + (least - order) % 2


def smallest_square(order: int) -> Cells:
    """Return a prime magic square of order 3, 4 or 5 with the smallest sum there is, as (order, order).

    Every smaller sum is excluded: by ``arithmetic_bound``, and from there on by a search for all squares. Order 5
    needs no such search, since a square with the bound itself is found. Raises ValueError for another order.
    """
    bound = arithmetic_bound(order)
    if order == 3:
        return _smallest3(bound)
    if order == 5:
        squares = draw_plain5(bound, 1, 0)
        assert len(squares), "a square of order 5 with the sum 233 is found in this draw"
        return _first(squares)
    return _first(next(part for pair_sum in count(bound // 2) for part in list_cores(pair_sum) if len(part)))


def smallest_sum(order: int) -> int:
    """Return the sum of ``smallest_square``. Raises ValueError as that does."""
    return int(smallest_square(order)[0].sum())


def _smallest3(bound: int) -> Cells:
    """Return the first square of the least centre c: its cells lie below 2c, so a list of that bound has it."""
    for below in count(bound):
        listed = list_order3(below)
        if len(listed) and 2 * int(listed[0, 4]) <= below:
            return _first(listed.reshape(-1, 3, 3))
    raise AssertionError("the numbers do not end")


def _first(squares: Cells) -> Cells:
    first: Cells = squares[0]
    return first
