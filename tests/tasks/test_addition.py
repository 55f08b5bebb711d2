"""The addition task: the report's text to the letter, and a judge that is never fooled and never fails."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.numbers.columns import add_columns, place_name
from aritmo.tasks.addition import Addition, Sum

FIXTURES = Path(__file__).parent / "report"
task = Addition()
operands = st.integers(0, 10**12)


@pytest.mark.parametrize(("name", "problem"), [("prueba-1", Sum(8292, 29039)), ("prueba-2", Sum(67677, 92471))])
def test_tutorial_is_the_reports_text_byte_for_byte(name: str, problem: Sum) -> None:
    expected = (FIXTURES / f"{name}.txt").read_text(encoding="ascii").removesuffix("\n")
    assert task.prompt(problem, "tutorial") + task.completion(problem, "tutorial") == expected


def by_hand(a: str, b: str) -> str:
    """The tutorial written again, naively, by digit strings."""
    names = [
        "ones", "tens", "hundreds", "thousands", "ten thousands", "hundred thousands", "millions", "ten millions",
        "hundred millions", "billions", "ten billions", "hundred billions", "trillions", "ten trillions",
    ]  # fmt: skip

    def apart(number: str) -> str:
        return "".join(f"\n{names[i]}->{d}" for i, d in enumerate(number[::-1]))

    text = f"STEP 1\nNumber: {a}{apart(a)}\nNumber: {b}{apart(b)}"
    carry, step, i, result = 0, 2, 0, ""
    while i < max(len(a), len(b)) or carry:
        terms = [n[::-1][i] for n in (a, b) if i < len(n)] + ([str(carry)] if carry else [])
        total = sum(map(int, terms))
        text += f"\nSTEP {step}\n{names[i]}->{'+'.join(terms)}={total}\nNumber: {total}{apart(str(total))}"
        result = str(total % 10) + result
        carry, step, i = total // 10, step + 1, i + 1
    return f"{text}\nSTEP {step}{apart(result)}\nNumber: {result}\nRESULT\n{a}+{b}={result}"


@given(operands, operands)
def test_tutorial_agrees_with_an_independent_writer(a: int, b: int) -> None:
    assert task.completion(Sum(a, b), "tutorial") == by_hand(str(a), str(b))


@given(operands, operands, st.sampled_from(task.styles))
def test_what_is_written_reads_back_and_is_valid(a: int, b: int, style: str) -> None:
    problem = Sum(a, b)
    assert task.read_prompt(task.prompt(problem, style), style) == problem
    verdict = task.judge(problem, task.completion(problem, style), style)
    assert verdict.valid
    assert verdict.answer == str(a + b)
    assert verdict.details["first_wrong"] is None


@given(operands, operands)
def test_columns_sum_to_the_sum(a: int, b: int) -> None:
    columns = list(add_columns(a, b))
    assert sum(sum(column.digits) * 10**column.place for column in columns) == a + b
    assert all(0 <= column.carry <= 1 for column in columns)


@given(operands, operands, st.sampled_from(task.styles), st.data())
def test_every_changed_character_is_rejected(a: int, b: int, style: str, data: st.DataObject) -> None:
    problem = Sum(a, b)
    text = task.completion(problem, style)
    at = data.draw(st.integers(0, len(text) - 1))
    new = data.draw(st.characters(min_codepoint=33, max_codepoint=1000).filter(lambda c: c != text[at]))
    if text[at].isspace():
        return
    assert not task.judge(problem, text[:at] + new + text[at + 1 :], style).valid


@given(st.text(), st.sampled_from(task.styles))
def test_any_text_gets_a_verdict(text: str, style: str) -> None:
    assert not task.judge(Sum(7, 8), "?" + text, style).valid


PRUEBA_3 = (
    "STEP 1\nNumber: 80959\nones->9\ntens->5\nhundreds->9\nthousands->0\nten thousands->8\nNumber: 71421\n"
    "ones->1\ntens->2\nhundreds->4\nthousands->1\nten thousands->7\nSTEP 2\nones->9+1=10"
)


def test_the_reports_failure_is_named_as_the_report_did() -> None:
    verdict = task.judge(Sum(9, 71421), PRUEBA_3 + "\nRESULT\n80959+71421=152380", "tutorial")
    assert verdict.details["first_wrong"] == "STEP 1, copying the first number"
    assert verdict.answer == "152380"
    assert verdict.reasons == (
        "wrong result: 152380 in place of 71430",
        "first wrong step: STEP 1, copying the first number",
    )


@pytest.mark.parametrize(
    ("old", "new", "step"),
    [
        ("tens->9+3+1=13", "tens->9+3+1=14", "STEP 3, the sum of the tens"),
        (
            "STEP 3\ntens->9+3+1=13\nNumber: 13\nones->3",
            "STEP 3\ntens->9+3+1=13\nNumber: 13\nones->4",
            "STEP 3, the digit",
        ),
        ("Number: 37331", "Number: 37313", "STEP 7, putting the number together"),
        ("8292+29039=37331", "8292+29039=37332", "the result"),
        ("37331\n", "37331\n\n", None),
    ],
)
def test_the_first_wrong_step_is_named(old: str, new: str, step: str | None) -> None:
    problem = Sum(8292, 29039)
    text = task.completion(problem, "tutorial") + "\n"
    changed = text.replace(old, new)
    assert changed != text
    assert task.judge(problem, changed, "tutorial").details["first_wrong"] == step


def test_text_after_the_result_is_a_fault() -> None:
    problem = Sum(1, 2)
    for style, name in (("tutorial", "text after the result"), ("plain", "text after the explanation")):
        verdict = task.judge(problem, task.completion(problem, style) + "\n3", style)
        assert verdict.details["first_wrong"] == name
        assert verdict.answer == "3"


@pytest.mark.parametrize(
    "prompt", ["", "12", "12+", "12a+3", "-1+2", "1_0+2", "١+٢", "007+1", "1+2+3", "9" * 5000 + "+1"]
)
@pytest.mark.parametrize("style", task.styles)
def test_a_bad_prompt_is_one_sentence(prompt: str, style: str) -> None:
    with pytest.raises(ValueError, match=r"no sum in|too long") as caught:
        task.read_prompt(prompt + ("=" if style == "plain" else "\n\n"), style)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_the_longest_tutorial_has_a_name_for_each_place_of_its_sum() -> None:
    nines = "9" * 65
    problem = task.read_prompt(f"{nines}+{nines}\n\n", "tutorial")
    assert task.judge(problem, task.completion(problem, "tutorial"), "tutorial").valid
    with pytest.raises(ValueError, match="an operand of 66 digits is too long for style tutorial: at most 65"):
        task.read_prompt(f"9{nines}+1\n\n", "tutorial")


@pytest.mark.parametrize("tail", [".5", ",5", ".", "e3", "_0", "\u0663", "\x00", "/1"])
@pytest.mark.parametrize("style", ["plain", "tutorial"])
def test_a_number_that_goes_on_is_no_answer(style: str, tail: str) -> None:
    text = task.completion(Sum(8292, 29039), style)
    result = text.split("\n")[0 if style == "plain" else -1]
    verdict = task.judge(Sum(8292, 29039), text.replace(result, result + tail), style)
    assert verdict.answer is None
    assert not verdict.details["answered"]


def test_place_names_go_on_past_the_reports() -> None:
    assert [place_name(i) for i in range(3, 9)] == [
        "thousands", "ten thousands", "hundred thousands", "millions", "ten millions", "hundred millions"
    ]  # fmt: skip
    with pytest.raises(ValueError, match="at most 66 digits"):
        place_name(66)
    assert {word for i in range(66) for word in place_name(i).split()} <= set(task.words)


def test_corpus_words_cover_the_tutorial() -> None:
    text = task.completion(Sum(10**60, 10**65 - 1), "tutorial") + task.completion(Sum(1, 2), "plain")
    assert set(re.findall("[A-Za-z]+", text)) <= set(task.words)


@given(operands, operands, st.data())
def test_every_other_aligned_answer_is_rejected_and_named(a: int, b: int, data: st.DataObject) -> None:
    right = str(a + b)[::-1]
    other = data.draw(
        st.integers(0, 10 ** (len(right) + 1)).map(lambda n: str(n)[::-1]).filter(lambda t: t != right)
    )
    verdict = task.judge(Sum(a, b), f" {other}\n", "aligned")
    at = next(n for n, (x, y) in enumerate(zip(right + "$$", other + "##", strict=False), 1) if x != y)
    named = f"digit {at} from the right" if at <= len(right) else "text after the result"
    assert not verdict.valid
    assert verdict.answer == other[::-1]
    assert verdict.details["first_wrong"] == named


@pytest.mark.parametrize("text", ["", "1 1", "11=", "-11", "١١", "1" * 4002])
def test_an_aligned_text_that_is_no_number_has_no_answer(text: str) -> None:
    verdict = task.judge(Sum(5, 6), text, "aligned")
    assert verdict.answer is None
    assert verdict.reasons[0] == "no result: the text names no sum"
