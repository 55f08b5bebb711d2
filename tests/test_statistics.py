"""Intervals against their defining equation, chance levels against counting one by one and known figures."""

from math import gcd, isclose, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.statistics import chance_levels, difference, share, wilson


def test_the_interval_of_the_report_s_prime_share() -> None:
    low, high = wilson(29, 36)
    assert (round(low, 2), round(high, 2)) == (0.65, 0.90)


@given(st.integers(1, 10**6).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_both_ends_lie_z_deviations_away_from_the_share(counted: tuple[int, int]) -> None:
    """Wilson's ends are the p at which the share seen lies exactly z standard deviations of p away."""
    count, of = counted
    seen = count / of
    low, high = wilson(count, of)
    assert 0 <= low <= seen <= high <= 1
    for end in (low, high):
        distance = 1.959964 * sqrt(end * (1 - end) / of)
        assert isclose(abs(seen - end), distance, rel_tol=1e-6, abs_tol=1e-9)


def test_an_end_of_the_scale_is_reached_exactly() -> None:
    assert wilson(0, 7)[0] == 0
    assert wilson(7, 7)[1] == 1


@pytest.mark.parametrize(("count", "of"), [(-1, 4), (5, 4), (0, 0), (1, -1)])
def test_a_share_that_is_none_is_refused(count: int, of: int) -> None:
    with pytest.raises(ValueError, match=f"a share of {count} in {of} is none"):
        wilson(count, of)


def test_a_share_of_nothing_has_no_value() -> None:
    assert share(0, 0) == {"count": 0, "of": 0, "share": None, "low": None, "high": None}


def test_a_share_carries_its_interval() -> None:
    low, high = wilson(3, 4)
    assert share(3, 4) == {"count": 3, "of": 4, "share": 0.75, "low": low, "high": high}


def test_chance_levels_are_the_known_figures() -> None:
    levels = chance_levels(100_000)
    odd = [levels[f"odd number of {digits} digits prime"] for digits in (3, 4, 5)]
    coprime = [levels[f"number coprime to 6 of {digits} digits prime"] for digits in (3, 4, 5)]
    assert [round(100 * level, 1) for level in odd] == [31.8, 23.6, 18.6]
    assert [round(100 * level, 1) for level in coprime] == [47.7, 35.4, 27.9]


def test_chance_levels_of_a_square_are_the_known_figures() -> None:
    levels = [level for name, level in chance_levels(10_000).items() if name.startswith("square")]
    assert [f"{level:.1e}" for level in levels] == ["6.1e-06", "2.6e-05", "2.3e-04"]


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, number))


@pytest.mark.parametrize("below", [5, 101, 200, 251])
def test_chance_levels_against_counting_one_by_one(below: int) -> None:
    expected = {}
    for digits in range(1, len(str(below - 1)) + 1):
        numbers = [n for n in range(below) if len(str(n)) == digits]
        for name, step in (("odd number", 2), ("number coprime to 6", 6)):
            kept = [n for n in numbers if gcd(n, step) == 1]
            if kept:
                unit = "digit" if digits == 1 else "digits"
                level = sum(map(_is_prime, kept)) / len(kept)
                expected[f"{name} of {digits} {unit} prime"] = level
    squares = [
        (c, u, a, cells)
        for c in range(1, below, 2)
        for u in range(2, c, 2)
        for a in range(2, u, 2)
        for cells in [{c, c - u, c + u, c - a, c + a, c - u - a, c + u + a, c - u + a, c + u - a}]
        if len(cells) == 9 and min(cells) > 0 and max(cells) < below
    ]
    valid = sum(all(map(_is_prime, cells)) for _, _, _, cells in squares)
    centred = [square for square in squares if _is_prime(square[0])]
    sixes = [square for square in centred if square[1] % 6 == square[2] % 6 == 0]
    for name, group in (
        ("odd cells", squares),
        ("odd cells, prime centre", centred),
        ("odd cells, prime centre, differences divisible by 6", sixes),
    ):
        if group:
            expected[f"square of order 3 all prime: {name}"] = valid / len(group)
    assert chance_levels(below) == pytest.approx(expected)


def test_a_difference_has_the_interval_of_newcombe_s_example() -> None:
    """56 of 70 and 48 of 80: 0.2, 0.0524 to 0.3339 (his table II, method 10)."""
    found = difference(share(48, 80), share(56, 70))
    assert found is not None
    assert [round(found[name], 4) for name in ("share", "low", "high")] == [0.2, 0.0524, 0.3339]
    assert difference(share(0, 0), share(1, 2)) is None


@given(*[st.integers(1, 1000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))] * 2)
def test_a_difference_turned_round_is_the_same(first: tuple[int, int], second: tuple[int, int]) -> None:
    there, back = difference(share(*first), share(*second)), difference(share(*second), share(*first))
    assert there is not None
    assert back is not None
    assert -1 <= there["low"] <= there["share"] <= there["high"] <= 1
    assert isclose(there["low"], -back["high"], abs_tol=1e-12)
    assert isclose(there["share"], -back["share"], abs_tol=1e-12)
