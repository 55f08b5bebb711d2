"""The compiled search against counts on record and against a search of another kind."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aritmo.numbers.search import count_order3, draw_order3, list_order3, order3_centres
from aritmo.numbers.squares import canonical_many, check_square


def naive_squares(below: int) -> set[tuple[int, ...]]:
    """Fill the top row with any three primes and the rest from the sums; keep the least of each class."""
    primes = [n for n in range(2, below) if all(n % d for d in range(2, int(n**0.5) + 1))]
    known = set(primes)
    found = set()
    for a in primes:
        for b in primes:
            for c in primes:
                centre, rest = divmod(a + b + c, 3)
                g, h, i = 2 * centre - c, 2 * centre - b, 2 * centre - a
                d, f = 3 * centre - a - g, 3 * centre - c - i
                cells = (a, b, c, d, centre, f, g, h, i)
                if not rest and known.issuperset(cells) and len(set(cells)) == 9:
                    found.add(tuple(canonical_many(np.array(cells).reshape(1, 3, 3)).ravel().tolist()))
    return found


@pytest.mark.parametrize(("below", "squares"), [(1_000, 159), (10_000, 15_817), (30_000, 149_393)])
def test_counts_on_record(below: int, squares: int) -> None:
    assert count_order3(below) == squares


def test_centres_on_record() -> None:
    assert len(np.unique(list_order3(1_000)[:, 4])) == 79
    assert len(np.unique(list_order3(10_000)[:, 4])) == 1_053


def test_the_search_misses_nothing_and_invents_nothing() -> None:
    assert {tuple(cells) for cells in list_order3(260).tolist()} == naive_squares(260)


@pytest.mark.parametrize("below", range(130))
def test_every_small_bound(below: int) -> None:
    expected = [cells for cells in list_order3(130).tolist() if max(cells) < below]
    assert list_order3(below).tolist() == expected
    assert count_order3(below) == len(expected)


def test_the_least_square_has_the_sum_177() -> None:
    assert list_order3(114)[0].tolist() == [17, 89, 71, 113, 59, 5, 47, 29, 101]
    assert min(3 * list_order3(1_000)[:, 4]) == 177  # OEIS A164843


def test_a_list_is_canonical_sorted_and_valid() -> None:
    listed = list_order3(10_000)
    squares = listed.reshape(-1, 3, 3)
    assert listed.shape == (15_817, 9)
    assert listed.dtype == np.int64
    assert (canonical_many(squares) == squares).all()
    rows = listed.tolist()
    assert rows == sorted(rows, key=lambda cells: (cells[4], cells))
    assert len({tuple(cells) for cells in rows}) == len(rows)
    assert all(check_square(cells).valid for cells in squares[::7])


def test_more_squares_than_the_first_buffer_holds() -> None:
    listed = list_order3(30_000)  # a block of 64 centres has over 8,000 squares at most
    assert len(listed) == 149_393
    assert (np.diff(listed[:, 4]) >= 0).all()
    assert len(np.unique(listed, axis=0)) == len(listed)


def test_progress_is_told_of_every_centre() -> None:
    told: list[int] = []
    count_order3(5_000, told.append)
    assert sum(told) == len(order3_centres(5_000))
    assert len(told) > 1


@settings(max_examples=30)
@given(st.integers(0, 159), st.integers(0, 2**64))
def test_a_draw_has_different_squares_of_the_list(count: int, seed: int) -> None:
    drawn = draw_order3(count, seed, 1_000)
    everything = {tuple(cells) for cells in list_order3(1_000).tolist()}
    different = {tuple(cells) for cells in drawn.tolist()}
    assert drawn.shape == (count, 9)
    assert len(different) == count
    assert different <= everything


def test_a_smaller_draw_begins_a_larger_one() -> None:
    assert (draw_order3(159, 3, 1_000)[:20] == draw_order3(20, 3, 1_000)).all()


def test_seeds_and_bounds_draw_differently() -> None:
    drawn = [draw_order3(20, seed, 10_000).tolist() for seed in (1, 2, 3)]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


def test_every_square_is_drawn_as_often() -> None:
    firsts = [tuple(draw_order3(1, seed, 300)[0].tolist()) for seed in range(400)]
    available = count_order3(300)
    counts = [firsts.count(first) for first in set(firsts)]
    assert len(counts) == available
    expected = 400 / available
    chi_squared = sum((count - expected) ** 2 / expected for count in counts)
    assert chi_squared < available + 5 * (2 * available) ** 0.5


def test_a_draw_is_the_same_in_every_process() -> None:
    code = "from aritmo.numbers.search import draw_order3; print(draw_order3(9, 1, 1000).tolist())"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "5")
    }
    assert printed == {f"{draw_order3(9, 1, 1_000).tolist()}\n".encode()}


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^159 squares .* at most 159$"):
        draw_order3(160, 1, 1_000)


@pytest.mark.parametrize("below", [-1, 10**9 + 1, 10**30])
def test_bounds_without_sense_are_refused(below: int) -> None:
    with pytest.raises(ValueError, match="searched up to"):
        count_order3(below)
