"""``aritmo corpus build`` as a person types it: nested orders, ways of asking, what cannot be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aritmo.corpus import Corpus

Aritmo = Callable[..., Any]


@pytest.fixture
def aritmo(command: Callable[..., Any]) -> Aritmo:
    return lambda words: command("corpus", "build", *words.split())


@pytest.mark.parametrize("orders", ["--order 3,5,7", "--order 3 --order 5,7", "--order 3 --order 5 --order 7"])
def test_orders_are_given_by_commas_or_again(aritmo: Aritmo, orders: str) -> None:
    told = json.loads(aritmo(f"{orders} --ask centre,sum --count 60 --out C --json").out)
    assert (told["order"], told["ask"], told["below"]) == ([3, 5, 7], ["centre", "sum"], 10_000)
    prompts = [example.prompt for example in Corpus(Path("C")).examples("train")]
    assert [" ".join(prompt.split()[:6]) for prompt in prompts[:2]] == [
        "Matrix of order 3 with centre",
        "Matrix of order 5 with centre",
    ]
    assert prompts[3].startswith("Matrix of order 3 with sum")


def test_one_order_stays_a_number_and_takes_a_bound_that_suits(aritmo: Aritmo) -> None:
    told = json.loads(aritmo("--order 11 --distinct K3 --count 20 --out C --json").out)
    assert (told["order"], told["below"], told["distinct"]) == (11, 20_000, "K3")
    assert "ask" not in told


def test_a_config_file_names_several_orders(aritmo: Aritmo) -> None:
    Path("c.yaml").write_text("order: [4, 5]\nask: any\ncount: 20\n")
    assert json.loads(aritmo("--config c.yaml --out C --json").out)["order"] == [4, 5]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--order 5,13", "order 13 does not fit the context: an example takes up to 1,227 tokens"),
        ("--order 7 --context 300", "order 7 does not fit the context"),
        ("--order 11 --below 4000", "give a bound of at least 4794"),
        ("--order 4 --ask centre", "even order 4 has no cell in its centre"),
        ("--order five", "order: got 'five'"),
        ("--order 1", "no prime magic square of order 1"),
        ("--distinct K0", "distinct: got 'K0'"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_writes_nothing(aritmo: Aritmo, words: str, sentence: str) -> None:
    ended = aritmo(f"{words} --out C")
    assert ended.status == 2
    assert sentence in ended.err
    assert ended.err.count("\n") == 1
    assert not Path("C").exists()


def test_a_larger_context_lets_a_larger_order_in(aritmo: Aritmo) -> None:
    assert aritmo("--order 13 --context 2048 --count 10 --out C").status == 0
