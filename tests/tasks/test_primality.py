"""The primality task."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.tasks.primality import Primality
from aritmo.tasks.task import TaskOptions

task = Primality()


def naive(number: int) -> bool:
    return number > 1 and all(number % d for d in range(2, int(number**0.5) + 1))


@given(st.integers(0, 10**6))
def test_yes_and_no_are_judged_exactly(number: int) -> None:
    assert task.read_prompt(task.prompt(number, "plain"), "plain") == number
    assert task.completion(number, "plain") == ("yes" if naive(number) else "no")
    assert task.judge(number, "yes", "plain").valid == naive(number)
    assert task.judge(number, " no\n", "plain").valid != naive(number)


@given(st.text())
def test_any_text_gets_a_verdict(text: str) -> None:
    assert task.judge(7, text, "plain").valid == (text.strip() == "yes")


def test_half_of_the_problems_are_prime() -> None:
    problems = task.problems("train", 0, 0, 2000, TaskOptions(min_digits=4, max_digits=6))
    assert 900 < sum(map(naive, problems)) < 1100
    assert {len(str(number)) for number in problems} == {4, 5, 6}


def test_numbers_past_exact_reach_are_refused() -> None:
    with pytest.raises(ValueError, match="exact to 18 digits"):
        task.problems("train", 0, 0, 1, TaskOptions(max_digits=19))
    with pytest.raises(ValueError, match="1 to 18 digits"):
        task.read_prompt(f"Is {10**18} prime?", "plain")


@given(st.integers(0, 10**6))
def test_halves_read_back_and_are_judged_alike(number: int) -> None:
    prompt = task.prompt(number, "halves")
    assert prompt == f"Ask: Prime {str(number).zfill(3)[-2:]}'{str(number).zfill(3)[:-2].lstrip('0') or '0'}"
    assert task.read_prompt(prompt, "halves") == number
    assert task.completion(number, "halves").split() == ["yes" if naive(number) else "no"]
    assert task.judge(number, task.completion(number, "halves"), "halves").valid


def test_what_asks_nothing_in_halves_is_one_sentence() -> None:
    for prompt in ("Ask: Prime 7919", "Ask: Prime 19'" + "7" * 18, "Ask: Prime 19'07", "Is 7919 prime?"):
        with pytest.raises(ValueError, match="ask «Ask: Prime 19'79»"):
            task.read_prompt(prompt, "halves")
