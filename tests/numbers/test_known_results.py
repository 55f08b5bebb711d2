"""Published results about prime magic squares, found again. Sequences are those of oeis.org, by number."""

from itertools import combinations, pairwise, product

import numpy as np
import pytest

from aritmo.numbers.keys import keys_of
from aritmo.numbers.primes import next_prime, primes_below
from aritmo.numbers.rings import draw_odd, first_centre
from aritmo.numbers.search import count_order3, list_order3
from aritmo.numbers.squares import canonical, check_square

A320872 = """
    17 89 71 113 59 5 47 29 101      41 89 83 113 71 29 59 53 101    37 79 103 139 73 7 43 67 109
    29 131 107 167 89 11 71 47 149   43 127 139 199 103 7 67 79 163  37 151 139 211 109 7 79 67 181
    43 181 157 241 127 13 97 73 211  73 151 157 211 127 43 97 103 181
"""
CENTRES = [59, 71, 73, 89, 103, 109, 127, 127, 131, 137, 139, 149, 151, 157, 167, 167, 173, 179, 191, 191]
A268790 = """
    177 213 219 267 309 327 381 393 411 417 447 453 471 501 519 537 573 579 633 681 717 723 753 771 789 807 813
    843 849 879 921 933 1011 1041 1047 1059 1077 1101 1119 1137 1149 1167 1191 1203 1227 1257 1263 1293
"""
A073350 = """
    2 3 5 7 11 13 17 19 23 29 31 37 41 43 47 53 61 67 79 83 97 101 107 113 163 181 197 199 223 229 233 277 313
    317 331 433 439 457 569 859
"""
A073519 = [1480028129 + step for step in (0, 12, 24, 30, 42, 54, 60, 72, 84)]


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split()]


def naive_offsets(centre: int) -> list[int]:
    """Return every d > 0 with centre - d and centre + d prime, by trial division."""

    def prime(n: int) -> bool:
        return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))

    return [d for d in range(1, centre) if prime(centre - d) and prime(centre + d)]


@pytest.mark.parametrize(
    ("below", "squares"),
    [(1_000, 159), (10_000, 15_817), (30_000, 149_393), (100_000, 1_953_859), (300_000, 21_972_177)],
)
def test_squares_of_order_3_below_a_bound(below: int, squares: int) -> None:
    assert count_order3(below) == squares


@pytest.mark.parametrize(("below", "centres"), [(1_000, 79), (10_000, 1_053)])
def test_centres_of_order_3_below_a_bound(below: int, centres: int) -> None:
    assert len(np.unique(list_order3(below)[:, 4])) == centres


def test_squares_of_order_3_in_the_published_order() -> None:
    """A320872, its eight rows that are printed: by magic sum, each in its least form. Then their centres."""
    listed = list_order3(2 * 191)  # all squares of a centre have cells below twice the centre
    assert listed[:8].ravel().tolist() == numbers(A320872)
    assert listed[:20, 4].tolist() == CENTRES


def test_magic_sums_of_order_3() -> None:
    sums = np.unique(3 * list_order3(2 * 431)[:, 4])
    assert sums[sums <= 1293].tolist() == numbers(A268790)


def test_primes_that_are_no_centre_of_order_3() -> None:
    """A073350, which has no further term below 5,000."""
    centres = set(list_order3(10_000)[:, 4].tolist())
    assert [p for p in primes_below(5_000).tolist() if p not in centres] == numbers(A073350)


def test_nine_consecutive_primes() -> None:
    """Nelson 1988: the set A073519, the square as A073519 shows it, its least form as A320873 lists it."""
    square = np.array(
        [
            [1480028201, 1480028129, 1480028183],
            [1480028153, 1480028171, 1480028189],
            [1480028159, 1480028213, 1480028141],
        ]
    )
    check = check_square(square, nested=True)
    assert (check.valid, check.centre, check.magic_sum) == (True, 1480028171, 4440084513)
    assert np.sort(square, axis=None).tolist() == A073519
    assert all(next_prime(p) == q for p, q in pairwise(A073519))
    assert canonical(square)[0].tolist() == [1480028141, 1480028189, 1480028183]


@pytest.mark.parametrize(("order", "centre"), [(5, 251), (7, 641), (9, 1361), (11, 2411)])
def test_the_first_centre_with_enough_pairs(order: int, centre: int) -> None:
    """A pair that holds 3 does not count, since no square has one."""
    pairs = (len([d for d in naive_offsets(p) if d != p - 3]) for p in primes_below(centre + 1).tolist())
    assert [count >= (order * order - 1) // 2 for count in pairs] == [False] * (len(primes_below(centre))) + [True]
    assert first_centre(order) == centre


def order5_squares(centre: int) -> dict[tuple[int, int], list[list[list[int]]]]:
    """Return by core (u, a) the squares of order 5 at a centre, all rings in all forms but for rising sides."""
    offsets = naive_offsets(centre)
    squares: dict[tuple[int, int], list[list[list[int]]]] = {}
    for a, u in combinations(offsets, 2):
        core = {u, a, u + a, u - a}
        if len(core) < 4 or not core.issubset(offsets):
            continue
        squares[u, a] = []
        signed = [d * sign for d in offsets if d not in core for sign in (1, -1)]
        threes: dict[int, list[tuple[int, ...]]] = {}
        for three in combinations(sorted(signed), 3):
            threes.setdefault(sum(three), []).append(three)
        for x, y in product(signed, repeat=2):
            for top, left in product(threes.get(-x - y, ()), threes.get(y - x, ())):
                if len({abs(d) for d in (x, y, *top, *left)}) == 8:
                    inner = [[-u, u - a, a], [u + a, 0, -u - a], [-a, a - u, u]]
                    middle = [[d, *row, -d] for d, row in zip(left, inner, strict=True)]
                    rows = [[x, *top, y], *middle, [-y, *(-d for d in top), -x]]
                    squares[u, a].append([[centre + d for d in row] for row in rows])
    return squares


def test_order_5_at_centre_251_has_35_classes() -> None:
    """19 + 16: Skelt, Perkins, Roach, Mathematics 13(8):1261, 2025. Each class stands here in its 8 forms."""
    found = order5_squares(251)
    assert all(check_square(square, nested=True).valid for squares in found.values() for square in squares)
    classes = {core: keys_of(np.array(squares), "K2").keys for core, squares in found.items()}
    assert {core: len(set(keys)) for core, keys in classes.items()} == {(210, 18): 19, (180, 12): 16}
    assert {core: len(keys) for core, keys in classes.items()} == {(210, 18): 8 * 19, (180, 12): 8 * 16}


def test_draws_of_order_5_at_centre_251_reach_all_35_classes() -> None:
    listed = {key for squares in order5_squares(251).values() for key in keys_of(np.array(squares), "K2").keys}
    assert set(keys_of(draw_odd(251, 5, 2_000, seed=1), "K2").keys) == listed


def test_no_smaller_centre_has_order_5() -> None:
    assert not any(any(order5_squares(p).values()) for p in primes_below(251).tolist())
