"""What is shown: only text, whatever a model or a person wrote; the same in both languages."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aritmo.numbers.matrixfiles import parse_matrices
from aritmo.numbers.squares import check_square
from aritmo.play import views
from aritmo.play.views import Moment
from aritmo.play.words import WORDS, said
from aritmo.tasks import TASKS
from aritmo.tasks.addition import Sum
from aritmo.tasks.following import follow_columns, follow_digits, follow_lines, follow_search
from aritmo.tasks.squares import Square, Wanted
from aritmo.tasks.squares_search import Search

EVIL = [
    "<img src=x onerror=alert(1)>", "</td><script>alert(1)</script>", "\x1b[2J\x1b]0;owned\x07", "${alert(1)}",
    "`${1}`", "{{constructor}}", "{{{value}}}", "[x](javascript:alert(1))", '" onmouseover="alert(1)',
    "\u202e\u0000\x9b31m", "&lt;b&gt;",
]  # fmt: skip
ALLOWED = {
    *(
        "div",
        "span",
        "p",
        "table",
        "tr",
        "td",
        "ol",
        "ul",
        "li",
        "section",
        "h4",
        "b",
        "i",
        "em",
        "small",
        "details",
    ),
    "summary",
}
W = WORDS["en"]
texts = st.text(max_size=40) | st.sampled_from(EVIL) | st.lists(st.sampled_from(EVIL)).map("\n".join)


class Tags(HTMLParser):
    """Notes the tags and attributes of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def check(page: str) -> None:
    tags = Tags(page)
    assert tags.found <= ALLOWED
    assert tags.attributes <= {"class", "role", "aria-hidden", "aria-label"}
    assert not set(page) & set("{}$`\x1b\x07\x9b\x00\u202e")


@given(texts, st.booleans(), st.sampled_from(["en", "es"]))
@settings(max_examples=150)
def test_a_text_of_a_model_is_only_text(text: str, finished: bool, language: str) -> None:
    w, moment = WORDS[language], Moment(text, finished, False, 0.1)
    addition, squares = TASKS["addition"], TASKS["squares"]
    right = addition.completion(Sum(5, 6), "tutorial")
    marks = follow_lines(right, text, finished)

    def record(task: str, problem: object, style: str) -> dict[str, object] | None:
        verdict = TASKS[task].judge(problem, text, style)
        told = {"valid": verdict.valid, "reasons": verdict.reasons}
        return {"answer": verdict.answer, "verdict": told} if finished else None

    by_steps = record("addition", Sum(5, 6), "tutorial")
    check(views.sum_by_steps(w, 5, 6, moment, marks, follow_columns(text), by_steps))
    check(views.plain_text(w, moment, marks, by_steps))
    for a in (5, 10**40):
        answered = record("addition", Sum(a, 6), "aligned")
        check(views.sum_at_once(w, a, 6, moment, follow_digits(a + 6, text), answered))
    wanted = Square(0, wanted=Wanted(None, 263))
    followed = follow_search(Search(263), text, finished)
    check(views.search(w, moment, followed, record("squares", wanted, "tutorial"), 3))
    check(views.listed(w, moment, record("squares", Square(7), "listing")))
    assert squares.name == "squares"
    check(views.note(text))
    check(views.refused(text))
    check(views.show("cuts", w, [(text, text, [([text, "5"], text)])]))
    check(views.show("prime", views.note(text), text, text, "good", text))


@given(texts)
def test_pasted_text_is_only_text(text: str) -> None:
    why = []
    try:
        for _ in parse_matrices(text.encode(errors="replace"), "pasted"):
            pass
    except ValueError as error:
        why = [str(error)]
    for w in WORDS.values():
        check(views.judged(w, [], why))


def test_what_is_written_stands_there_as_it_was_written() -> None:
    for evil in EVIL[:2] + EVIL[3:9]:
        assert Tags(views.note(evil)).text.strip() == evil
    assert Tags(views.note("\x1b[2J")).text == "\\x1b[2J"


def test_defects_are_drawn_where_they_are() -> None:
    rows = [[17, 89, 71], [113, 60, 5], [47, 29, 17]]
    shown = views.drawn(rows)
    assert shown[1] == [("113", "filled"), ("60", "filled bad"), ("5", "filled"), ("178", "sum")]
    assert shown[0][0] == ("17", "filled twice") == shown[2][2]
    assert shown[3] == [("177", "sum off"), ("178", "sum"), ("93", "sum off"), ("94 ↘ 178 ↗", "sum off corner")]
    fine = views.drawn([[17, 89, 71], [113, 59, 5], [47, 29, 101]])
    assert {kind for row in fine for _, kind in row} == {"filled", "sum", "sum corner"}


def test_long_numbers_stand_in_groups_counted_from_the_right() -> None:
    page = views.sum_at_once(W, 10**24, 1, Moment("1", False, False, 0), follow_digits(10**24 + 1, "1"), None)
    groups = re.findall(r"<i[^>]*>([^<]*)</i>", page)
    assert groups[:3] == ["10000", "0" * 10, "0" * 10]
    assert groups[-2:] == ["·" * 9, "1"]
    assert "".join(groups[3:4]) == "1"


def test_both_languages_have_the_same_texts() -> None:
    english, spanish = WORDS["en"], WORDS["es"]
    assert list(english) == list(spanish)
    holes = re.compile(r"\{\w+\}")
    for name in english:
        assert sorted(holes.findall(english[name])) == sorted(holes.findall(spanish[name])), name
        assert english[name].strip() == english[name] != ""
    same = {name for name in english if english[name] == spanish[name]}
    assert same <= {"title", "no", "tokens", "token", "gpt2", "seconds", "cut", "is_product"}


ENGLISH = re.compile(r"\b(the|row|column|adds|lines?|order|centre|prime|wrong|place|number|give|write)\b")


@given(
    st.integers(3, 6).flatmap(lambda n: st.lists(st.integers(0, 60), min_size=n * n, max_size=n * n)),
    st.booleans(),
)
@settings(max_examples=150)
def test_every_defect_has_a_spanish_sentence(cells: list[int], nested: bool) -> None:
    order = round(len(cells) ** 0.5)
    check = check_square(np.array(cells).reshape(order, order), nested)
    for defect in check.defects:
        told = said(defect, "es")
        assert not ENGLISH.search(told), told
        assert re.findall(r"\d+", told) == re.findall(r"\d+", defect)
        assert said(defect, "en") == defect


@pytest.mark.parametrize(
    "text",
    ["1 2\n3", "1 2 3", "1,,2", "-1 2\n3 4", "9" * 30, "x", " ", "[[1,2],[3]]", "99999999999999999999 1\n1 1"],
)
def test_every_refusal_of_squares_has_a_spanish_sentence(text: str) -> None:
    with pytest.raises(ValueError) as told:  # noqa: PT011 - which one is what the rest looks at
        list(parse_matrices(text.encode(), "pasted"))
    assert not ENGLISH.search(said(str(told.value), "es").replace("pasted", "")), str(told.value)


@pytest.mark.parametrize("text", ["", "5", "1+2+3", "+5", "5+", "-1+2", "1.5+1", "1,23+1", "1+" + "9" * 13])
def test_every_refusal_of_a_sum_has_a_spanish_sentence(text: str) -> None:
    from aritmo.tasks.problems import read_sum

    with pytest.raises(ValueError) as told:  # noqa: PT011
        read_sum(text, 12)
    assert not ENGLISH.search(said(str(told.value), "es")), str(told.value)


@pytest.mark.parametrize("centre", [4, 9, 7, 10_007, 2])
@pytest.mark.parametrize("order", [3, 5])
def test_every_refusal_of_a_centre_has_a_spanish_sentence(centre: int, order: int) -> None:
    squares = TASKS["squares"]
    with pytest.raises(ValueError) as told:  # noqa: PT011
        squares.read_prompt(squares.prompt(Square(0, wanted=Wanted(order, centre)), "tutorial"), "tutorial")
    assert not ENGLISH.search(said(str(told.value), "es")), str(told.value)
