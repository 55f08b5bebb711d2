"""Primality by the number of digits: what is asked, what is beside it, and what comes out."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from aritmo.cli import main
from aritmo.numbers.randomness import split_of
from aritmo.statistics import wilson
from aritmo.trials import primality
from aritmo.trials.by_digits import draw_by_digits, median_seeds, table_by_digits
from aritmo.trials.primality import (
    RESULTS,
    SIZES,
    Size,
    ask_shipped,
    begun_size,
    ends_like_a_prime,
    numbers_between,
    run_primality,
    train_and_ask,
)
from aritmo.trials.run import is_experiment, run_experiment

TOY = Size(digits=2, asked=3, examples=40, batch=8, updates=12, tested=10, seeds=2, layers=1, width=16, heads=2, rate=3e-3)  # fmt: skip  # noqa: E501
PRIMES = {n for n in range(2, 20_000) if all(n % d for d in range(2, int(n**0.5) + 1))}


def line(model: str, seed: int, digits: int, right: int, within: bool = True) -> dict[str, Any]:
    counts = {"right": right, "of": 200, "same": 104, "rule": 161}
    return {"model": model, "seed": seed, "digits": digits, "within": within} | counts


LINES = [
    line("shipped", 0, 1, 200),
    *(line("small", seed, 6, right, False) for seed, right in enumerate((150, 170, 90))),
]


@pytest.mark.parametrize(
    ("low", "high", "unseen"), [(0, 10, False), (1_000, 10_000, True), (10_000, 20_000, False)]
)
def test_numbers_are_different_in_range_and_half_primes_where_there_are_enough(
    low: int, high: int, unseen: bool
) -> None:
    numbers = numbers_between(low, high, 120 if high > 10 else 10, unseen)
    assert len(set(numbers)) == len(numbers) == (120 if high > 10 else 10)
    assert all(low <= n < high for n in numbers)
    assert not unseen or all(split_of("primality", str(n)) == "test" for n in numbers)
    assert high == 10 or 0.3 < sum(n in PRIMES for n in numbers) / 120 < 0.7
    assert numbers == numbers_between(low, high, len(numbers), unseen)


def test_a_length_with_too_few_numbers_gives_those_that_there_are() -> None:
    unseen = [n for n in range(100) if split_of("primality", str(n)) == "test"]
    assert sorted(numbers_between(0, 100, 1_000, unseen=True)) == unseen


def test_the_rule_of_the_last_digit_refuses_no_prime() -> None:
    assert all(ends_like_a_prime(n) for n in PRIMES)
    assert [n for n in range(30) if ends_like_a_prime(n)] == [2, 3, 5, 7, 9, 11, 13, 17, 19, 21, 23, 27, 29]


def test_the_shipped_model_knows_its_range_and_is_asked_what_it_can_write() -> None:
    records = ask_shipped(30)
    assert [(record["digits"], record["within"]) for record in records] == [(d, d < 5) for d in range(1, 6)]
    assert [record["of"] for record in records] == [10, 30, 30, 30, 30]
    assert all(record["right"] == record["of"] for record in records if record["within"])
    assert all(record["same"] >= record["of"] / 2 for record in records)


def test_small_models_are_asked_beyond_their_range_and_come_out_the_same_again() -> None:
    records, again = (train_and_ask(TOY, torch.device("cpu")) for _ in range(2))
    assert records == again
    assert {(r["seed"], r["digits"], r["within"]) for r in records if r["digits"] > 1} == {
        (seed, digits, digits < 3) for seed in (0, 1) for digits in (2, 3)
    }
    assert all(0 <= r["right"] <= r["of"] <= TOY.tested for r in records)


def test_a_model_that_learns_the_last_digit_is_right_where_the_rule_is() -> None:
    """With few numbers and many updates it knows at least its training numbers' last digits."""
    size = Size(2, 2, 60, 16, 150, 10, 1, 1, 32, 2, 1e-2)
    (*_, last) = train_and_ask(size, torch.device("cpu"))
    assert last["digits"] == 2
    assert last["right"] > last["of"] / 2


def test_the_table_shows_the_median_seed_with_its_interval() -> None:
    assert [record["right"] for record in median_seeds(LINES)] == [200, 150]
    rows = table_by_digits(LINES).splitlines()
    low, high = wilson(150, 200)
    assert rows[0] == "| model | digits | right | always the same answer | by the last digit |"
    assert rows[3] == (
        f"| small | 6, beyond | 75.0 % ({100 * low:.1f}–{100 * high:.1f}; 150 of 200) | 52.0 % | 80.5 % |"
    )
    assert "| pequeño | 6, más allá | 75,0 % (68,6–80,5; 150 de 200) | 52,0 % | 80,5 % |" in table_by_digits(
        LINES, "es"
    )
    picture = draw_by_digits(LINES)
    assert picture.startswith(b"<?xml")
    assert picture == draw_by_digits(LINES)


def test_the_command_ends_in_a_table_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SIZES, "small", TOY)
    monkeypatch.setattr(primality, "ask_shipped", lambda count: [line("shipped", 0, 1, count)])
    out = tmp_path / "out"

    def aritmo(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["aritmo", *words])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0)

    assert aritmo("run", "--experiment", "primality", "--out", str(out)) == 0
    assert "| shipped | 1 | 5.0 %" in capsys.readouterr().out
    written = (out / RESULTS).read_bytes()
    assert aritmo("run", "--resume", "--out", str(out), "--json") == 0
    assert json.loads(capsys.readouterr().out)["picture"] == str(out / "picture.svg")
    assert (out / RESULTS).read_bytes() == written
    assert aritmo("run", "--experiment", "primality", "--out", str(tmp_path / "b"), "--budget", "3") == 2
    assert "has neither budget nor vocabulary" in capsys.readouterr().err


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="size: got 'huge', allowed small, full"):
        run_primality("huge", tmp_path / "a", print)
    assert not (tmp_path / "a").exists()
    with pytest.raises(ValueError, match="experiment: got 'bread', allowed tokenizer, attempts, primality"):
        run_experiment("bread", None, tmp_path / "a", print)
    assert begun_size(tmp_path) is None
    (tmp_path / "primality.json").write_text('{"size": "full"}')
    assert is_experiment(tmp_path)
    with pytest.raises(ValueError, match="holds this experiment at size full: choose another folder"):
        run_primality("small", tmp_path, print)
    (tmp_path / "primality.json").write_text("[")
    with pytest.raises(ValueError, match=r"primality\.json is damaged: begin another run"):
        begun_size(tmp_path)
