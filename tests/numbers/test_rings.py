"""Drawn nested squares against the checker, other searches and what arithmetic allows."""

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aritmo.numbers.primes import is_prime, primes_below
from aritmo.numbers.rings import draw_odd, first_centre, offsets, pairs_needed, surround
from aritmo.numbers.search import list_order3
from aritmo.numbers.squares import canonical_many, check_square

CORES_3000 = np.array(
    [
        [[463, 563, 2687, 2287], [1427, 2857, 1237, 479], [2221, 587, 1319, 1873], [1889, 1993, 757, 1361]],
        [[463, 1307, 2341, 1889], [2273, 2857, 587, 283], [977, 1237, 1319, 2467], [2287, 599, 1753, 1361]],
        [[337, 29, 2447, 3187], [2239, 1871, 563, 1327], [2237, 1063, 2503, 197], [1187, 3037, 487, 1289]],
    ]
)
CORES_1800 = np.array(
    [
        [[421, 809, 1307, 1063], [1181, 1511, 751, 157], [1489, 1277, 61, 773], [509, 3, 1481, 1607]],
        [[47, 1663, 607, 1283], [1697, 883, 233, 787], [823, 1051, 1433, 293], [1033, 3, 1327, 1237]],
    ]
)
CORES_30030 = np.array(
    [
        [
            [3527, 18979, 13457, 24097],
            [23977, 18773, 11593, 5717],
            [10987, 2801, 26893, 19379],
            [21569, 19507, 8117, 10867],
        ],
        [
            [3527, 13807, 21157, 21569],
            [23473, 18773, 2801, 15013],
            [8963, 11593, 26893, 12611],
            [24097, 15887, 9209, 10867],
        ],
    ]
)


def assert_good(squares: NDArray[np.int64], order: int) -> None:
    """Check every square, that it is the least of its symmetries, and that no two are equal."""
    assert squares.shape[1:] == (order, order)
    assert squares.dtype == np.int64
    for square in squares:
        assert check_square(square, nested=True).defects == ()
    assert (canonical_many(squares) == squares).all()
    assert len({square.tobytes() for square in squares}) == len(squares)


@pytest.mark.parametrize("order", range(3, 26, 2))
def test_every_odd_order(order: int) -> None:
    squares = draw_odd(30_011, order, 30, 1)
    assert len(squares) == 30
    assert (squares[:, order // 2, order // 2] == 30_011).all()
    assert_good(squares, order)


@pytest.mark.parametrize("order", range(6, 25, 2))
def test_every_even_order(order: int) -> None:
    squares = surround(30_030, CORES_30030, order, 30, 1)
    assert len(squares) == 30
    assert (squares.sum(axis=1) == order * 15_015).all()
    assert_good(squares, order)


@pytest.mark.parametrize("order", [51, 101])
def test_a_large_order(order: int) -> None:
    squares = draw_odd(700_001, order, 1, 1)
    assert len(squares) == 1
    assert_good(squares, order)


@settings(max_examples=40, deadline=None)
@given(
    centre=st.sampled_from(primes_below(8_000).tolist()),
    order=st.sampled_from([3, 5, 7, 9, 11]),
    below=st.integers(1, 20_000),
    seed=st.integers(0, 2**70),
)
def test_what_is_drawn_is_good_and_below_the_bound(centre: int, order: int, below: int, seed: int) -> None:
    squares = draw_odd(centre, order, 5, seed, below=below)
    assert_good(squares, order)
    assert (squares < below).all()
    assert (squares[:, order // 2, order // 2] == centre).all()


def test_the_greatest_cell_may_be_the_last_below_the_bound() -> None:
    squares = draw_odd(1_009, 5, 500, 1, below=1_800)
    top = int(squares.max())
    assert len(squares) == 500
    assert top in draw_odd(1_009, 5, 500, 1, below=top + 1)
    assert top not in draw_odd(1_009, 5, 500, 1, below=top)


def test_a_draw_is_the_beginning_of_a_longer_one_and_another_seed_gives_others() -> None:
    for order in (3, 5, 7):
        long = draw_odd(5_003, order, 30, 7)
        assert np.array_equal(draw_odd(5_003, order, 11, 7), long[:11])
        assert not np.array_equal(draw_odd(5_003, order, 30, 8), long)
    long = surround(3_000, CORES_3000, 8, 30, 7)
    assert np.array_equal(surround(3_000, CORES_3000, 8, 11, 7), long[:11])
    assert not np.array_equal(surround(3_000, CORES_3000, 8, 30, 8), long)


def test_a_draw_is_the_same_in_another_process() -> None:
    code = "from aritmo.numbers.rings import draw_odd; print(draw_odd(5003, 9, 4, 3).tolist())"
    command = [sys.executable, "-c", code]
    for hashseed in ("0", "1"):
        environment = os.environ | {"PYTHONHASHSEED": hashseed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(draw_odd(5003, 9, 4, 3).tolist())


@pytest.mark.parametrize("centre", [47, 59, 1_607, 5_003])
def test_order_3_is_drawn_to_the_last_square(centre: int) -> None:
    listed = list_order3(2 * centre)
    expected = {tuple(cells) for cells in listed[listed[:, 4] == centre].tolist()}
    drawn = draw_odd(centre, 3, 10_000, 1).reshape(-1, 9).tolist()
    assert len(drawn) == len(expected)
    assert {tuple(cells) for cells in drawn} == expected


def test_nine_consecutive_primes_stand_in_a_square() -> None:
    """OEIS A073519, from Nelson 1988."""
    squares = draw_odd(1_480_028_171, 3, 10, 1, below=1_480_028_171 + 43)
    assert [sorted(square.ravel().tolist()) for square in squares] == [
        [n for n in range(1_480_028_129, 1_480_028_214) if is_prime(n)]
    ]


def test_a_small_centre_is_drawn_almost_to_the_last_square_and_then_ends() -> None:
    squares = draw_odd(251, 5, 20_000, 1)
    assert_good(squares[::50], 5)
    assert len({square.tobytes() for square in squares}) == len(squares)
    assert 0.99 * 35 * 288 < len(squares) <= 35 * 288


def test_squares_of_one_centre_are_varied() -> None:
    squares = draw_odd(5_003, 7, 10_000, 1)
    cores = Counter(tuple(sorted(core.ravel().tolist())) for core in squares[:, 2:5, 2:5])
    assert len(cores) == 35  # as many as the centre has
    assert max(cores.values()) < 400
    corners = Counter(tuple(sorted((a, b))) for a, b in squares[:, 0, [0, 6]].tolist())
    assert max(corners.values()) < 40
    rings = Counter(
        tuple(sorted(np.delete(s[1:6, 1:6].ravel(), [6, 7, 8, 11, 12, 13, 16, 17, 18]))) for s in squares
    )
    assert max(rings.values()) < 5
    spread = np.bincount((squares[:, 0, 1:6].ravel() > 5_003).astype(int)) / 50_000
    assert spread[0] > 0.4
    assert spread[1] > 0.4


def test_cores_are_taken_in_turn_and_left_out_where_they_do_not_fit() -> None:
    squares = surround(3_000, CORES_3000, 6, 300, 1)
    inside = Counter(int(core.min()) for core in squares[:, 1:5, 1:5])
    assert inside == {29: 100, 283: 100, 463: 100}
    assert_good(squares[::10], 6)
    bounded = surround(3_000, CORES_3000, 6, 100, 1, below=2_900)
    assert {int(core.min()) for core in bounded[:, 1:5, 1:5]} == {283, 463}
    assert bounded.max() < 2_900


def test_cell_3_stands_in_a_core_only_where_it_is_allowed() -> None:
    assert (CORES_1800 == 3).any(axis=(1, 2)).all()
    squares = surround(1_800, CORES_1800, 6, 20, 1)
    assert_good(squares, 6)
    assert ((squares == 3).sum(axis=(1, 2)) == 1).all()
    assert len(surround(1_800, CORES_1800, 6, 20, 1, allow3=False)) == 0
    assert np.array_equal(draw_odd(1_009, 7, 20, 1, allow3=False), draw_odd(1_009, 7, 20, 1))


@pytest.mark.parametrize("half", [2, 3, 5, 6, 7, 50, 53, 251, 300, 1_001])
@pytest.mark.parametrize("below", [0, 1, 60, 500])
def test_offsets(half: int, below: int) -> None:
    expected = [
        d
        for d in range(1, half)
        if is_prime(half - d) and is_prime(half + d) and half - d != 3 and (below == 0 or half + d < below)
    ]
    assert offsets(half, below).tolist() == expected


def test_offsets_of_a_large_centre_are_the_same_from_a_part_of_the_sieve() -> None:
    part = offsets(2_000_003, below=2_001_003).tolist()
    assert part == [d for d in range(1, 1_000) if is_prime(2_000_003 - d) and is_prime(2_000_003 + d)]
    assert offsets(2_000_003)[: len(part)].tolist() == part


@pytest.mark.parametrize(("order", "centre"), [(5, 251), (7, 641), (9, 1_361), (11, 2_411)])
def test_first_centres_on_record(order: int, centre: int) -> None:
    assert first_centre(order) == centre
    assert len(draw_odd(centre, order, 3, 1)) == 3
    earlier = primes_below(centre).tolist()
    assert max(len(offsets(c)) for c in earlier) < pairs_needed(order) <= len(offsets(centre))


def test_first_centres_of_large_orders() -> None:
    for order in (13, 25, 101):
        centre = first_centre(order)
        assert is_prime(centre)
        assert len(offsets(centre)) >= pairs_needed(order)


@pytest.mark.parametrize("order", range(3, 12))
def test_pairs_needed_are_the_cells_outside_the_centre_or_the_core(order: int) -> None:
    squares = draw_odd(5_003, order, 1, 1) if order % 2 else CORES_3000[:1]
    square = squares[0] if order % 2 or order == 4 else surround(3_000, squares, order, 1, 1)[0]
    total = 10_006 if order % 2 else 3_000
    border = [
        (r, c)
        for r in range(order)
        for c in range(order)
        if max(abs(2 * r - order + 1), abs(2 * c - order + 1)) > (0 if order % 2 else 3)
    ]
    pairs = {frozenset((int(square[r, c]), total - int(square[r, c]))) for r, c in border}
    assert len(pairs) == pairs_needed(order)


@pytest.mark.parametrize(
    ("centre", "order"), [(241, 5), (101, 5), (631, 7), (2, 3), (3, 3), (5, 9), (13, 601), (317, 5)]
)
def test_centres_without_squares_give_none_at_once(centre: int, order: int) -> None:
    assert draw_odd(centre, order, 10, 1).shape == (0, order, order)


def test_pair_sums_without_room_give_none() -> None:
    assert surround(3_000, CORES_3000, 26, 10, 1).shape == (0, 26, 26)
    assert surround(3_000, CORES_3000[:0], 6, 10, 1).shape == (0, 6, 6)
    assert draw_odd(5_003, 5, 0, 1).shape == (0, 5, 5)


def test_what_is_refused() -> None:
    for order in (4, 2, 1, -3):
        with pytest.raises(ValueError, match=f"odd order from 3 on, not {order}"):
            draw_odd(5_003, order, 1, 1)
    with pytest.raises(ValueError, match="5001 is not prime"):
        draw_odd(5_001, 5, 1, 1)
    with pytest.raises(ValueError, match="a count is 0 or more, not -1"):
        draw_odd(5_003, 5, -1, 1)
    for order in (5, 4, 7):
        with pytest.raises(ValueError, match=f"even order from 6 on, not {order}"):
            surround(3_000, CORES_3000, order, 1, 1)
    with pytest.raises(ValueError, match="not to 3001"):
        surround(3_001, CORES_3000, 6, 1, 1)
    with pytest.raises(ValueError, match="twice the pair sum, here 6004"):
        surround(3_002, CORES_3000, 6, 1, 1)
    with pytest.raises(ValueError, match="shape"):
        surround(3_000, CORES_3000[0], 6, 1, 1)
    with pytest.raises(ValueError, match="not of order 2"):
        pairs_needed(2)
    with pytest.raises(ValueError, match="up to order 201"):
        first_centre(203)
