"""Plain squares of order 4 against a naive search, and what a draw promises."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aritmo.numbers.cores import LARGEST_SUM, _make, board_of, draw_cores, has_core, least_bound, list_cores
from aritmo.numbers.randomness import seed_of
from aritmo.numbers.squares import canonical_many, check_square


def everything(pair_sum: int, allow3: bool = True, below: int = 0) -> set[tuple[int, ...]]:
    parts = [part.reshape(-1, 16) for part in list_cores(pair_sum, allow3, below)]
    return {tuple(cells) for part in parts for cells in part.tolist()}


def naive_squares(magic_sum: int, below: int) -> set[tuple[int, ...]]:
    """Fill the cells row by row and column by column, the least corner first; keep the least of each class."""
    primes = {n for n in range(3, below) if all(n % d for d in range(2, n))}
    found = set()
    for a, b, c in permutations(primes, 3):
        d = magic_sum - a - b - c
        left = primes - {a, b, c, d}
        if d <= a or d not in primes - {b, c}:
            continue
        for e, i in permutations(left, 2):
            m = magic_sum - a - e - i
            if e <= b or m <= a or m not in left - {e, i}:
                continue
            for g in left - {e, i, m}:
                j = magic_sum - d - g - m
                if j not in left - {e, g, i, m}:
                    continue
                for f in left - {e, g, i, j, m}:
                    h, n, k = magic_sum - e - f - g, magic_sum - b - f - j, magic_sum - f - g - j
                    l, o, p = magic_sum - i - j - k, magic_sum - c - g - k, magic_sum - a - f - k  # noqa: E741
                    cells = (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
                    if p > a and len({*cells}) == 16 and primes.issuperset(cells) and m + n + o + p == magic_sum:
                        found.add(tuple(canonical_many(np.array(cells).reshape(1, 4, 4)).ravel().tolist()))
    return found


def test_a_naive_search_finds_the_same_squares_of_the_sum_120() -> None:
    assert everything(60) == naive_squares(120, 74)  # no cell is above 120 * 4 less the 15 least odd primes
    assert len(everything(60)) == 16


@pytest.mark.parametrize(("pair_sum", "below", "squares"), [(63, 74, 4), (66, 74, 12), (69, 72, 4)])
def test_a_naive_search_finds_the_same_squares_below_a_bound(pair_sum: int, below: int, squares: int) -> None:
    assert everything(pair_sum, below=below) == naive_squares(2 * pair_sum, below)
    assert len(everything(pair_sum, below=below)) == squares


@pytest.mark.parametrize("pair_sum", [63, 72, 75])
def test_a_bound_and_the_cell_3_only_leave_squares_out(pair_sum: int) -> None:
    squares = everything(pair_sum)
    assert everything(pair_sum, below=80) == {cells for cells in squares if max(cells) < 80}
    assert everything(pair_sum, allow3=False) == {cells for cells in squares if 3 not in cells}


def test_a_list_has_each_square_once_in_canonical_form() -> None:
    listed = np.concatenate(list(list_cores(100)))
    assert len(np.unique(listed, axis=0)) == len(listed) > 500
    assert (canonical_many(listed) == listed).all()
    assert all(check_square(square).valid for square in listed[::11])
    assert (listed.sum(axis=2) == 200).all()


def test_a_list_is_closed_under_the_32_exchanges() -> None:
    squares = everything(75)
    lines = np.arange(16).reshape(4, 4)
    for form in ([1, 0, 3, 2], [0, 2, 1, 3], [2, 3, 0, 1]):
        view = lines[form][:, form].ravel()
        moved = np.array(sorted(squares))[:, view].reshape(-1, 4, 4)
        assert {tuple(cells) for cells in canonical_many(moved).reshape(-1, 16).tolist()} == squares


@pytest.mark.parametrize(
    ("pair_sum", "below"), [(10_000, 10_000), (9_990, 9_990), (10_001, 0), (300, 0), (10**6, 0), (10**12, 0)]
)
def test_drawn_squares_are_valid_distinct_and_canonical(pair_sum: int, below: int) -> None:
    drawn = draw_cores(pair_sum, 60, 7, below=below)
    assert drawn.shape == (60, 4, 4)
    assert len(np.unique(canonical_many(drawn), axis=0)) == 60
    assert (canonical_many(drawn) == drawn).all()
    checks = [check_square(square) for square in drawn]
    assert all(check.valid and check.pair_sum == pair_sum for check in checks)
    assert not below or drawn.max() < below


@pytest.mark.parametrize("pair_sum", [10_006, 1_006, 120])
def test_a_core_leaves_room_for_partners(pair_sum: int) -> None:
    drawn = draw_cores(pair_sum, 200, 1, core=True)
    assert len(drawn) > 0
    assert drawn.max() < pair_sum
    assert not (drawn == pair_sum // 2).any()


@settings(max_examples=20)
@given(st.integers(0, 700), st.integers(0, 2**64), st.sampled_from([75, 100, 151, 200]))
def test_a_smaller_draw_begins_a_larger_one(count: int, seed: int, pair_sum: int) -> None:
    larger = draw_cores(pair_sum, 700, seed)
    assert (draw_cores(pair_sum, count, seed) == larger[:count]).all()


def test_seeds_draw_differently() -> None:
    for pair_sum in (100, 10_000):
        assert not (draw_cores(pair_sum, 50, 1) == draw_cores(pair_sum, 50, 2)).all()


def test_a_small_sum_is_drawn_to_the_last_square() -> None:
    drawn = draw_cores(60, 1_000, 5).reshape(-1, 16).tolist()
    assert len(drawn) == 16
    assert {tuple(cells) for cells in drawn} == everything(60)


def test_every_square_is_drawn_as_often() -> None:
    """Random frames and completions, here on a board whose squares can all be counted."""
    available = len(everything(75))
    board = board_of(4, 150)
    assert board is not None
    made = [_make(board, np.uint64(seed_of("test", seed))) for seed in range(250)]
    squares = np.concatenate(made)
    squares = squares[(np.diff(np.sort(squares, axis=1), axis=1) > 0).all(axis=1)]
    drawn = canonical_many(board.cells(squares)).reshape(-1, 16)
    counts = np.unique(drawn, axis=0, return_counts=True)[1]
    expected = len(drawn) / available
    assert expected > 3
    seen = np.pad(counts, (0, available - len(counts)))  # fails where squares came that the search does not know
    assert seen.var() < 2 * expected  # of a fair draw it is as expected; completions of one frame come together


def test_draws_share_few_lines() -> None:
    drawn = draw_cores(10_000, 10_000, 3, core=True)
    diagonals = drawn[:, range(4), range(4)]
    assert len(np.unique(diagonals, axis=0)) > 5_000
    assert len(np.unique(np.sort(drawn, axis=2).reshape(-1, 4), axis=0)) > 35_000


@pytest.mark.parametrize("pair_sum", [1, 54, 55, 59])
def test_sums_without_squares_give_none(pair_sum: int) -> None:
    assert not has_core(pair_sum)
    assert draw_cores(pair_sum, 10, 1).shape == (0, 4, 4)
    assert least_bound(pair_sum) is None


@pytest.mark.parametrize("pair_sum", [60, 75, 100, 10_000])
@pytest.mark.parametrize("allow3", [True, False])
def test_the_least_bound_is_the_least(pair_sum: int, allow3: bool) -> None:
    bound = least_bound(pair_sum, allow3)
    if bound is None:
        assert not everything(pair_sum, allow3)
        return
    assert has_core(pair_sum, allow3, bound)
    assert not has_core(pair_sum, allow3, bound - 1)
    assert not everything(pair_sum, allow3, bound - 1)
    assert any(len(part) for part in list_cores(pair_sum, allow3, bound))


def test_the_least_bound_of_the_sum_120_is_its_least_greatest_cell() -> None:
    assert least_bound(60) == min(max(cells) for cells in everything(60)) + 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((0, 1, 1), "a magic sum lies between"),
        ((-4, 1, 1), "a magic sum lies between"),
        ((LARGEST_SUM, 1, 1), "a magic sum lies between"),
        ((60, -1, 1), "a count is at least 0, not -1"),
        ((60, 1, 1, True, -5), "cells lie below a bound of at least 1, not -5"),
        ((61, 1, 1, True, 0, True), "two odd primes have an even sum, not the pair sum 61"),
    ],
)
def test_requests_without_sense_are_refused(arguments: tuple[int, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        draw_cores(*arguments)
