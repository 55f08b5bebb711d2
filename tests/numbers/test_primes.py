"""Primes against trial division and against numbers that fool weaker tests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.numbers.primes import (
    are_prime,
    compiled,
    is_prime,
    next_prime,
    previous_prime,
    primes_below,
    sieve,
)


def naive(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


# The least composites that pass Miller-Rabin for the first 4, 5, 6, 7, 9 and 12 prime bases (OEIS A014233).
PSEUDOPRIMES = [
    3_215_031_751,
    2_152_302_898_747,
    3_474_749_660_383,
    341_550_071_728_321,
    3_825_123_056_546_413_051,
    318_665_857_834_031_151_167_461,
]
# 561 and larger Carmichael numbers; squares and products of large primes.
COMPOSITES = [561, 294_409, 118_901_521, 999_983**2, 2_147_483_647 * 4_294_967_291, 2**63 - 1, 2**62]
PRIMES = [2, 3, 99_991, 100_003, 2**31 - 1, 10**12 + 39, 2**61 - 1, 2**63 - 25, 1_480_028_129, 10**18 + 9]


def test_a_sieve_agrees_with_trial_division() -> None:
    assert sieve(5_000).tolist() == [naive(n) for n in range(5_000)]


@pytest.mark.parametrize("limit", range(12))
def test_a_sieve_of_every_small_limit(limit: int) -> None:
    assert sieve(limit).tolist() == [naive(n) for n in range(limit)]
    assert primes_below(limit).tolist() == [n for n in range(limit) if naive(n)]


def test_known_counts_of_primes() -> None:
    assert [len(primes_below(10**k)) for k in range(1, 7)] == [4, 25, 168, 1229, 9592, 78498]
    assert primes_below(100).dtype == np.int64


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        sieve(-1)


@given(st.integers(-10, 3_000_000))
def test_one_number_agrees_with_trial_division(n: int) -> None:
    assert is_prime(n) == naive(n)


@pytest.mark.parametrize("n", PSEUDOPRIMES + COMPOSITES)
def test_composites_that_fool_weaker_tests(n: int) -> None:
    assert not is_prime(n)


@pytest.mark.parametrize("n", PRIMES)
def test_known_primes(n: int) -> None:
    assert is_prime(n)


@pytest.mark.parametrize("n", [3_317_044_064_679_887_385_961_981, 10**400])
def test_beyond_the_proof_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="so give a smaller one"):
        is_prime(n)


def test_the_compiled_test_agrees_with_the_plain_one_on_the_hard_cases() -> None:
    hard = [n for n in PSEUDOPRIMES + COMPOSITES + PRIMES if n < 2**63] + [-7, 0, 1, 4, 37, 41, 37 * 41]
    cells = np.array(hard * 120, dtype=np.int64).reshape(120, -1)
    assert cells.size > 2_000
    assert are_prime(cells).tolist() == [[is_prime(n) for n in hard]] * 120


@pytest.mark.parametrize("top", [10**7, 10**9, 10**12, 2**63 - 1])
def test_many_cells_agree_with_the_plain_test(top: int) -> None:
    cells = np.random.default_rng(top % 97).integers(0, top, (3, 1_000)) | 1
    assert are_prime(cells).ravel().tolist() == [is_prime(n) for n in cells.ravel().tolist()]


@given(st.lists(st.integers(-5, 2**50 - 1) | st.sampled_from(PSEUDOPRIMES[:4] + COMPOSITES[:4]), min_size=30))
def test_cells_side_by_side_agree_with_the_plain_test(flat: list[int]) -> None:
    cells = np.array([*flat, 2**50 - 27, 2**50 - 35, 65_537, 40_961], dtype=np.int64)
    assert are_prime(cells).tolist() == [is_prime(n) for n in cells.tolist()]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (1, 1), (2, 3, 4)])
def test_cells_keep_their_shape(shape: tuple[int, ...]) -> None:
    cells = np.arange(np.prod(shape), dtype=np.int64).reshape(shape) - 2
    flags = are_prime(cells)
    assert flags.shape == shape
    assert flags.ravel().tolist() == [naive(n) for n in cells.ravel().tolist()]


def test_modest_cells_in_number_are_sieved_rightly() -> None:
    cells = np.arange(99_000, 102_500, dtype=np.int64)
    assert are_prime(cells).tolist() == [naive(n) for n in cells.tolist()]


@given(st.integers(-5, 200_000))
def test_the_next_prime_is_the_first_above(n: int) -> None:
    found = next_prime(n)
    assert found > n
    assert naive(found)
    assert not any(map(naive, range(max(n + 1, 0), found)))


@given(st.integers(3, 200_000))
def test_the_previous_prime_is_the_last_below(n: int) -> None:
    found = previous_prime(n)
    assert found < n
    assert naive(found)
    assert not any(map(naive, range(found + 1, n)))


@pytest.mark.parametrize("n", [2, 1, 0, -9])
def test_below_two_there_is_no_prime(n: int) -> None:
    with pytest.raises(ValueError, match="no prime below"):
        previous_prime(n)


def test_code_compiles_where_no_folder_can_hold_the_result() -> None:
    names: dict[str, object] = {}
    exec(compile("def double(x):\n    return 2 * x\n", "<nowhere>", "exec"), names)
    double = compiled(names["double"])  # type: ignore[arg-type]
    assert double(21) == 42
