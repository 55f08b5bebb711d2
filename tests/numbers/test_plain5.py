"""Plain squares of order 5: valid, distinct, repeatable, and found down to the smallest sum."""

import numpy as np
import pytest

from aritmo.numbers.plain5 import draw_plain5, has_plain5
from aritmo.numbers.squares import canonical_many, check_square


@pytest.mark.parametrize(
    ("magic_sum", "below", "count"),
    [(233, 0, 5), (275, 0, 40), (401, 0, 40), (1_001, 0, 40), (25_001, 10_000, 200), (10**6 + 1, 0, 40)],
)
def test_drawn_squares_are_valid_distinct_and_canonical(magic_sum: int, below: int, count: int) -> None:
    drawn = draw_plain5(magic_sum, count, 3, below=below)
    assert drawn.shape == (count, 5, 5)
    assert len(np.unique(drawn, axis=0)) == count
    assert (canonical_many(drawn) == drawn).all()
    checks = [check_square(square) for square in drawn]
    assert all(check.valid and check.magic_sum == magic_sum for check in checks)
    assert not below or drawn.max() < below


@pytest.mark.parametrize("magic_sum", [275, 25_001])
def test_a_smaller_draw_begins_a_larger_one(magic_sum: int) -> None:
    larger = draw_plain5(magic_sum, 30, 9)
    assert len(larger) == 30
    assert (draw_plain5(magic_sum, 11, 9) == larger[:11]).all()
    assert not (draw_plain5(magic_sum, 30, 10) == larger).all()


@pytest.mark.parametrize("magic_sum", [301, 1_001])
def test_the_cell_3_can_be_left_out(magic_sum: int) -> None:
    assert (draw_plain5(magic_sum, 50, 1) == 3).any()
    without = draw_plain5(magic_sum, 20, 1, allow3=False)
    assert len(without) == 20
    assert not (without == 3).any()


def test_most_are_not_nested_and_few_share_their_diagonals() -> None:
    drawn = draw_plain5(25_005, 1_000, 1, below=10_000)
    assert sum(check_square(square).nested_down_to == 3 for square in drawn) < 10
    assert len(np.unique(drawn[:, range(5), range(5)], axis=0)) > 200


def test_sums_of_too_few_primes_are_known_to_have_none() -> None:
    for magic_sum in range(1, 233, 2):
        assert has_plain5(magic_sum) is False
    assert has_plain5(233, allow3=False) is False  # the 25 least primes from 5 on have the sum 1,259
    assert has_plain5(233) is True
    assert draw_plain5(231, 5, 1).shape == (0, 5, 5)


@pytest.mark.parametrize("magic_sum", [235, 237, 351, 999, 25_001])
def test_sums_from_233_on_are_known_to_have_some(magic_sum: int) -> None:
    assert has_plain5(magic_sum) is True


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((234, 1, 1), "5 odd primes have an odd sum, not 234"),
        ((-1, 1, 1), "a magic sum lies between"),
        ((2**61 + 1, 1, 1), "a magic sum lies between"),
        ((233, -1, 1), "a count is at least 0, not -1"),
        ((233, 1, 1, True, -2), "cells lie below a bound of at least 1, not -2"),
    ],
)
def test_requests_without_sense_are_refused(arguments: tuple[int, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        draw_plain5(*arguments)
