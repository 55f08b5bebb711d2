"""The smallest sums against OEIS A164843, and the arithmetic that excludes smaller ones."""

import pytest

from aritmo.numbers.smallest import arithmetic_bound, smallest_square, smallest_sum
from aritmo.numbers.squares import check_square


@pytest.mark.parametrize(("order", "magic_sum"), [(3, 177), (4, 120), (5, 233)])
def test_the_sums_of_the_oeis(order: int, magic_sum: int) -> None:
    check = check_square(smallest_square(order))
    assert check.valid
    assert check.order == order
    assert check.magic_sum == smallest_sum(order) == magic_sum


@pytest.mark.parametrize(("order", "magic_sum"), [(3, 43), (4, 110), (5, 233)])
def test_the_bound_is_the_least_sum_of_the_right_parity(order: int, magic_sum: int) -> None:
    primes = [n for n in range(3, 120) if all(n % d for d in range(2, n))]
    needed = sum(primes[: order**2])
    assert arithmetic_bound(order) == magic_sum
    assert magic_sum % 2 == order % 2
    assert order * (magic_sum - 2) < needed <= order * magic_sum


@pytest.mark.parametrize("order", [0, 2, 6])
def test_other_orders_are_refused(order: int) -> None:
    with pytest.raises(ValueError, match=rf"orders 3, 4 and 5, not {order}"):
        smallest_sum(order)
