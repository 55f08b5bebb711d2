"""The decomposition task, written joined and spaced."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.tasks.decomposition import Decomposition

task = Decomposition()
numbers = st.integers(0, 10**20)
styles = st.sampled_from(task.styles)


def test_it_is_the_reports_text() -> None:
    assert task.prompt(57, "joined") + task.completion(57, "joined") == "###\n57\nones->7\ntens->5\n"
    assert task.prompt(57, "spaced") + task.completion(57, "spaced") == "###\n5 7\nones->7\ntens->5\n"


@given(numbers, styles)
def test_what_is_written_reads_back_and_is_valid(number: int, style: str) -> None:
    assert task.read_prompt(task.prompt(number, style), style) == number
    verdict = task.judge(number, task.completion(number, style), style)
    assert verdict.valid
    assert verdict.answer == str(number)


@given(numbers, numbers, styles)
def test_another_numbers_digits_are_rejected(number: int, other: int, style: str) -> None:
    verdict = task.judge(number, task.completion(other, style), style)
    assert verdict.valid == (number == other)
    assert verdict.answer == str(other)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ones->4\ntens->5", "wrong line"),
        ("ones->7", "wrong length"),
        ("ones->7\ntens->5\nhundreds->0", "wrong length"),
        ("tens->5\nones->7", "no number"),
        ("ones->٧\ntens->5", "no number"),
        ("", "no number"),
    ],
)
def test_each_fault_is_named(text: str, kind: str) -> None:
    verdict = task.judge(57, text, "joined")
    assert kind in {reason.partition(":")[0] for reason in verdict.reasons}


@given(st.text(), styles)
def test_any_text_gets_a_verdict(text: str, style: str) -> None:
    assert not task.judge(123456, text, style).valid


@pytest.mark.parametrize("prompt", ["", "5 7x", "007", "-3", "٥", "9" * 67])
def test_a_bad_prompt_is_one_sentence(prompt: str) -> None:
    for style in task.styles:
        with pytest.raises(ValueError, match="no number of 1 to 66 digits"):
            task.read_prompt(prompt, style)
