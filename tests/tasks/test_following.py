"""Reading along: right texts are right at every moment, wrong ones from their first wrong step; nothing raises."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aritmo.numbers.columns import add_columns
from aritmo.tasks import TASKS
from aritmo.tasks.addition import Sum
from aritmo.tasks.following import follow_columns, follow_digits, follow_lines, follow_search
from aritmo.tasks.squares import Square, Wanted
from aritmo.tasks.squares_search import Search
from aritmo.tasks.squares_tutorial import completion, written_square

NUMBERS = st.integers(0, 10**12 - 1)
SEARCHES = [Search(263), Search(1607), Search(1607, order=5), Search(1607, order=7), Search(2411, order=5)]
ADDITION, SQUARES = TASKS["addition"], TASKS["squares"]


@given(NUMBERS, NUMBERS, st.floats(0, 1))
def test_a_right_tutorial_is_right_at_every_moment(a: int, b: int, part: float) -> None:
    right = ADDITION.completion(Sum(a, b), "tutorial")
    text = right[: int(part * len(right))]
    marks = follow_lines(right, text, finished=False)
    assert [mark.text for mark in marks] == [line for line in text.split("\n") if line]
    assert all(mark.right for mark in marks[:-1])
    assert not marks or marks[-1].right is not False
    assert not any(mark.expected for mark in marks)
    totals = follow_columns(text)
    assert totals == [column.total for column in add_columns(a, b)][: len(totals)]
    assert follow_columns(right) == [column.total for column in add_columns(a, b)]


@given(NUMBERS, NUMBERS, st.data())
def test_a_wrong_character_is_a_wrong_line(a: int, b: int, data: st.DataObject) -> None:
    right = ADDITION.completion(Sum(a, b), "tutorial")
    place = data.draw(st.sampled_from([i for i, c in enumerate(right) if c.isdigit()]))
    text = right[:place] + str((int(right[place]) + 1) % 10) + right[place + 1 :]
    marks = follow_lines(right, text, finished=True)
    wrong = [number for number, mark in enumerate(marks) if not mark.right]
    assert wrong == [right[:place].count("\n")]
    assert marks[wrong[0]].expected == right.split("\n")[wrong[0]]
    assert not ADDITION.judge(Sum(a, b), text, "tutorial").valid
    # What is half written is wrong as soon as it cannot become right.
    half = follow_lines(right, text[: place + 1], finished=False)
    assert half[-1].right is False or (text[: place + 1].endswith(half[-1].text) and half[-1].right is None)


def test_lines_behind_the_end_are_wrong() -> None:
    marks = follow_lines("a\nb", "a\n\n b \nc\nd", finished=True)
    assert [(mark.text, mark.right) for mark in marks] == [("a", True), (" b ", True), ("c", False), ("d", False)]
    assert follow_lines("a", "", finished=True) == []


@given(NUMBERS, NUMBERS, st.text("0123456789=+ ", max_size=15))
def test_digits_are_held_against_the_sum(a: int, b: int, text: str) -> None:
    marks = follow_digits(a + b, text)
    right = str(a + b)[::-1]
    assert "".join(mark.text for mark in marks) == text
    assert [mark.right for mark in marks] == [
        place < len(right) and right[place] == digit for place, digit in enumerate(text)
    ]
    assert all(mark.right for mark in follow_digits(a + b, right))


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_a_right_search_fills_its_square_and_never_empties_a_whole_one(search: Search) -> None:
    text = completion(search, named=True)
    followed = follow_search(search, text, finished=True)
    assert followed.cells == written_square(text)
    assert followed.right == sum(map(len, followed.lines)) == len(text.split())
    filled = 0
    for part in range(1, 30):
        followed = follow_search(search, text[: part * len(text) // 30], finished=False)
        assert all(mark.right for line in followed.lines[:-1] for mark in line)
        assert followed.cells[search.order // 2][search.order // 2] == search.centre
        now = sum(cell is not None for row in followed.cells for cell in row)
        # A ring that is tried anew is emptied; what is inside it stays.
        assert now >= min(filled, 9)
        filled = now


def test_any_square_is_followed_once_it_says_which() -> None:
    search = Search(1607, 1301, 1)
    text = completion(search, named=False)
    named = " Centre 07'16 from 01'13 skip 1x"
    assert text.lstrip().startswith(named.strip())
    before = follow_search(None, named, finished=False)
    assert before.cells == []
    assert before.right == 0
    whole = follow_search(None, text, finished=True)
    assert whole.cells == written_square(text)
    assert whole.right == len(text.split())


@given(st.sampled_from(SEARCHES[:3]), st.data())
@settings(max_examples=60)
def test_a_wrong_number_is_marked_where_the_judge_sees_it(search: Search, data: st.DataObject) -> None:
    words = completion(search, named=True).split()
    place = data.draw(st.integers(0, len(words) - 1))
    other = data.draw(st.sampled_from(["99'99", "*", "!", "nonsense", "12'3"]))
    text = " ".join([*words[:place], other, *words[place + 1 :]])
    followed = follow_search(search, text, finished=True)
    marks = [mark for line in followed.lines for mark in line]
    wrong = [number for number, mark in enumerate(marks) if mark.right is False]
    assert wrong == ([] if other == words[place] else [place])
    assert followed.right == (len(words) if other == words[place] else place)
    assert all(mark.right is None for mark in marks[place + 1 :]) or not wrong
    problem = Square(0, wanted=Wanted(None if search.order == 3 else search.order, search.centre))
    verdict = SQUARES.judge(problem, text, "tutorial")
    assert (verdict.details.get("first_wrong") is None) == (not wrong)


@given(st.text(max_size=80), st.sampled_from([None, *SEARCHES[:3]]), st.booleans())
@settings(max_examples=80)
def test_nothing_raises(text: str, search: Search | None, finished: bool) -> None:
    follow_search(search, text, finished)
    follow_lines("STEP 1\nNumber: 5", text, finished)
    follow_digits(57, text)
    follow_columns(text)
