"""Sums as people write them: what is unambiguous is read, anything else is one sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.tasks import TASKS
from aritmo.tasks.addition import Sum
from aritmo.tasks.problems import read_square, read_sum, written
from aritmo.tasks.squares import Square, Wanted

numbers = st.integers(0, 10**40)
spaces = st.text(" \t", max_size=3)


@given(
    numbers,
    numbers,
    st.sampled_from([",", " ", "_", "\xa0", "\u202f", ""]),
    spaces,
    st.sampled_from(["", "=", " ="]),
)
def test_a_sum_is_read_however_it_is_set(a: int, b: int, separator: str, space: str, end: str) -> None:
    grouped = [f"{number:,}".replace(",", separator) for number in (a, b)]
    assert read_sum(f"{space}{grouped[0]}{space}+{space}{grouped[1]}{space}{end}{space}", 100) == Sum(a, b)


@given(numbers, st.integers(1, 5))
def test_leading_zeros_are_dropped(a: int, zeros: int) -> None:
    assert read_sum(f"{'0' * zeros}{a}+{'0' * zeros}", 41) == Sum(a, 0)


@given(st.text("0123456789,_ \xa0+-.=", max_size=12))
def test_what_is_read_has_the_digits_that_were_written(text: str) -> None:
    try:
        found = read_sum(text, 100)
    except ValueError:
        return
    written = ["".join(filter(str.isdigit, part)) for part in text.split("+")]
    assert [str(number) for number in found] == [digits.lstrip("0") or "0" for digits in written]
    assert "-" not in text
    assert "." not in text


@given(st.text("0123456789,_ +-=a\n١", max_size=200))
def test_any_text_is_a_sum_or_one_sentence(text: str) -> None:
    said = ""
    try:
        assert min(read_sum(text, 100)) >= 0
    except ValueError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 200


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("12a+3", "'12a' is no whole number because of 'a'"),
        ("", "the problem is empty"),
        ("   ", "the problem is empty"),
        ("=", "the problem is empty"),
        ("+5", "'\\+5' has no number before the plus sign"),
        ("5+", "'5\\+' has no number behind the plus sign"),
        ("12", "'12' has no plus sign"),
        ("1+2+3", "has 2 plus signs"),
        ("1++2", "has 2 plus signs"),
        ("-1+2", "'-1' is negative"),
        ("1+\u22122", "is negative"),
        ("١+٢", "another script"),
        ("１+1", "another script"),
        ("1.5+1", r"because of '\.'"),
        ("1.000+1", r"because of '\.'"),
        ("12,34+1", "groups of three"),
        ("1,2345+1", "groups of three"),
        ("1,234_567+1", "groups of three"),
        ("0,001+1", "groups of three"),
        ("1 2+3", "groups of three"),
        ("1e5+1", "because of 'e'"),
        ("9" * 101 + "+1", "a number of 101 digits is too long: the model takes at most 100"),
        ("1+" + "9" * 10**6, "a number of 1,000,000 digits is too long"),
        ("x" * 10**6 + "+1", "is no whole number because of 'x'"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        read_sum(text, 100)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "centre", "shown"),
    [
        ("1607", 1607, "1607"),
        (" 1,607 ", 1607, "1607"),
        ("centre 59", 59, "59"),
        ("centre 059\r", 59, "59"),
        ("any", None, "any"),
    ],
)
def test_a_square_is_asked_for_by_its_centre_or_as_any(text: str, centre: int | None, shown: str) -> None:
    square = read_square(text, 6)
    assert square == Square(0, wanted=Wanted(centre=centre))
    assert written(TASKS["squares"], square) == shown


@pytest.mark.parametrize("text", ["", " ", "centre", "Any square", "-59", "5.9", "٥٩", "1234567"])
def test_what_asks_for_no_square_is_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"empty|no whole number|negative|too long") as caught:
        read_square(text, 6)
    assert "\n" not in str(caught.value)


def test_other_problems_are_shown_by_their_key() -> None:
    assert written(TASKS["addition"], Sum(7, 5)) == "7+5"
    assert written(TASKS["primality"], 7919) == "7919"
