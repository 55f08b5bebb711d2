"""Randomness: named, exact, and the same in every process."""

import os
import subprocess
import sys
from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.numbers.randomness import SPLITS, Stream, digest, place, seed_of, split_of


def test_a_digest_is_sha256_of_the_parts_joined_by_colons() -> None:
    assert digest("squares", 1, "train") == sha256(b"squares:1:train").digest()


def test_a_place_is_the_first_eight_bytes_as_a_fraction() -> None:
    first = sha256(b"squares:1607").digest()[:8]
    assert place("squares", "1607") == int.from_bytes(first, "big") / 2**64
    assert seed_of("squares", "1607") == int.from_bytes(first, "big")


@given(st.text(max_size=20))
def test_a_split_follows_from_the_place(family: str) -> None:
    at = place("addition", family)
    assert split_of("addition", family) == ("test" if at < 0.1 else "validation" if at < 0.2 else "train")


def test_splits_take_a_tenth_a_tenth_and_the_rest() -> None:
    shares = Counter(split_of("primality", str(n)) for n in range(20_000))
    assert set(shares) == set(SPLITS)
    assert abs(shares["test"] / 20_000 - 0.1) < 0.01
    assert abs(shares["validation"] / 20_000 - 0.1) < 0.01


@given(st.integers(1, 2**200), st.integers(0, 100))
def test_a_draw_is_below_its_bound(n: int, seed: int) -> None:
    stream = Stream("test", seed)
    assert all(0 <= stream.below(n) < n for _ in range(5))


@pytest.mark.parametrize("n", [2, 3, 7, 10])
def test_draws_are_uniform(n: int) -> None:
    stream = Stream("uniform", n)
    counts = Counter(stream.below(n) for _ in range(20_000))
    expected = 20_000 / n
    chi_squared = sum((counts[i] - expected) ** 2 / expected for i in range(n))
    assert chi_squared < 30  # beyond the 99.9th percentile of 9 degrees of freedom


@given(st.integers(1, 60))
def test_a_number_has_its_digits(digits: int) -> None:
    assert len(str(Stream("digits", digits).number(digits))) == digits


def test_a_range_includes_both_ends() -> None:
    stream = Stream("ends")
    assert {stream.between(-1, 1) for _ in range(200)} == {-1, 0, 1}


def test_neighbouring_seeds_share_nothing() -> None:
    drawn = [tuple(stream.below(2**64) for _ in range(4)) for stream in map(Stream, ["s"] * 50, range(50))]
    assert len({number for numbers in drawn for number in numbers}) == 200


def test_no_draw_depends_on_the_hash_seed() -> None:
    code = "from aritmo.numbers.randomness import Stream; print(Stream('a', 1).below(10**60))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1
