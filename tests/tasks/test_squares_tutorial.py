"""Squares in the style tutorial: the search against a naive one, and a judge that names the first wrong step."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aritmo.numbers.search import list_order3
from aritmo.numbers.squares import check_square, key
from aritmo.tasks.squares import Square, Squares, Wanted
from aritmo.tasks.squares_search import SYMBOLS, Search, found_by, search_for, squares_of
from aritmo.tasks.task import TaskOptions

task = Squares()
CLASSES = list_order3(10_000)
CENTRES = sorted(set(CLASSES[:, 4].tolist()))
PRIMES = {n for n in range(2, 20_000) if all(n % d for d in range(2, int(n**0.5) + 1))}
TEXT_59 = """
Twice 18'1 59'0 59'0 53'0 65'0 47'0 71'0 * .
 41'0 77'0 29'0 89'0 * 47'0 65'0 .
 23'0 95'0 17'0 01'1 * 29'0 41'0 47'0 77'0 .
 11'0 07'1 * 17'0 23'0 29'0 47'0
  + 18'0 41'0 77'0 47'0 83'0 .
 05'0 13'1 * 11'0 17'0
  + 06'0 53'0 65'0 17'0 29'0
  + 12'0 47'0 71'0 !
 17'0 89'0 71'0 /
 13'1 59'0 05'0 /
 47'0 29'0 01'1"""


def by_hand(c: int, start: int = 0, skip: int = 0) -> list[int | str]:
    """The search written again, naively, as numbers and words: the whole list first, then what each entry says."""
    pairs = [(p, 2 * c - p) for p in range(c - 1, 4, -1) if (c - p) % 6 == 0 and p in PRIMES]
    items: list[int | str] = ["Twice", c + c] + ([] if start else [c, c])
    members: list[int] = []
    for p, q in [pair for pair in pairs if pair[0] <= (start or c)]:
        items += [p, q]
        if q > 9999:
            break
        if q not in PRIMES:
            continue
        items.append("*")
        for y in sorted(members):
            z = y + (y - p)
            items += [y, z]
            if z > c:
                break
            if z in members:
                sides = {c - (y - p), c + (y - p)}
                items += ["+", y - p, min(sides), max(sides)]
                if sides <= PRIMES and z not in sides:
                    if skip == 0:
                        x, w = min(sides), max(sides)
                        rows = [[y, 2 * c - z, w], [q, c, p], [x, z, 2 * c - y]]
                        return [*items, "!", *rows[0], "/", *rows[1], "/", *rows[2]]
                    skip -= 1
                    items += ["~", f"{skip}x"]
        items.append(".")
        members.append(p)
    return [*items, "none"]


def read(text: str) -> list[int | str]:
    words = text.split()
    return [int(w.split("'")[1] + w.split("'")[0]) if "'" in w else w for w in words]


def asked(centre: int, start: int = 0, skip: int = 0) -> Square:
    return Square(0, wanted=Wanted(centre=centre, start=start, skip=skip))


def text_of(centre: int) -> str:
    return task.completion(asked(centre), "tutorial")


def test_the_text_is_as_shown() -> None:
    assert task.prompt(asked(59), "tutorial") == "Ask: Centre 59'0"
    assert text_of(59) == TEXT_59
    assert task.prompt(asked(1607, 1601, 2), "tutorial") == "Ask: Centre 07'16 from 01'16 skip 2x"
    assert task.prompt(Square(0, wanted=Wanted()), "tutorial") == "Ask: Any\n"


@given(st.sampled_from(CENTRES))
@settings(max_examples=60)
def test_the_search_is_the_naive_one_and_finds_a_square(centre: int) -> None:
    text = text_of(centre)
    assert read(text) == by_hand(centre)
    verdict = task.judge(asked(centre), text, "tutorial")
    assert verdict.valid
    assert check_square(verdict.answer).centre == centre  # type: ignore[arg-type]


@given(st.sampled_from(CLASSES.tolist()), st.integers(0, 7))
@settings(max_examples=60)
def test_every_square_has_a_search_of_its_own(row: list[int], turn: int) -> None:
    cells = np.array(row).reshape(3, 3)
    cells = np.rot90(cells.T if turn > 3 else cells, turn)
    problem = Square(7, tuple(cells.ravel().tolist()))
    search = search_for(problem.cells)
    text = task.completion(problem, "tutorial")
    assert read(text) == by_hand(*search[:3])
    verdict = task.judge(problem, text, "tutorial")
    assert verdict.valid
    assert verdict.details["key"] == key(cells)
    back = task.read_prompt(task.prompt(problem, "tutorial"), "tutorial")
    assert task.completion(back, "tutorial") == text


def test_every_square_below_the_bound_is_found_by_its_centre() -> None:
    assert sum(len(squares_of(centre)) for centre in CENTRES) == len(CLASSES)
    assert all(found_by(Search(centre)) for centre in CENTRES)


@given(st.sampled_from(CLASSES.tolist()))
@settings(max_examples=20)
def test_any_square_is_asked_for_and_its_request_comes_first(row: list[int]) -> None:
    problem = Square(7, tuple(row), Wanted())
    assert task.prompt(problem, "tutorial") == "Ask: Any\n"
    text = task.completion(problem, "tutorial")
    verdict = task.judge(Square(0, wanted=Wanted()), text, "tutorial")
    assert verdict.valid
    place = text.index("\nTwice") + 1
    assert task.foreseen(Square(0, wanted=Wanted()), "tutorial", text[:place]) is None
    assert task.foreseen(Square(0, wanted=Wanted()), "tutorial", text[: place + 5]) == text


FAULTS = [
    ("Twice 18'1", "Twice 18'2", "twice the centre is 118; the text has 218"),
    ("59'0 59'0 53'0", "59'0 61'0 53'0", "the list begins with the centre 59; the text has 61"),
    ("59'0 53'0 65'0", "59'0 49'0 65'0", "entry 1: 49 is not prime; the next is 53"),
    ("59'0 53'0 65'0", "59'0 47'0 71'0", "entry 1: the prime 53 is passed over; the text has 47"),
    ("59'0 53'0 65'0", "59'0 57'0 65'0", "entry 1: 57 is not prime; the next is 53"),
    ("53'0 65'0", "53'0 67'0", "entry 1: the mirror of 53 is 65; the text has 67"),
    ("53'0 65'0", "53'0 65'0 *", "entry 1: 65 is not prime, so 53 is no member"),
    ("47'0 71'0 * .\n", "47'0 71'0", "entry 2: 71 is prime, so 47 is a member; the text has 41"),
    ("47'0 71'0 * .\n", "47'0 71'0 *", "entry 2: 47 has passed all earlier members; the text has 41"),
    ("* 47'0 65'0 .", "* 41'0 65'0 .", "entry 4: the next earlier member is 47; the text has 41"),
    ("* 47'0 65'0 .", "* 47'0 63'0 .", "entry 4: twice 47 less 29 is 65; the text has 63"),
    ("29'0 41'0", "29'0 41'0 +", "entry 6: 41 is no member"),
    ("29'0 47'0\n  + 18'0 41'0 77'0", "29'0 47'0", "entry 7: 47 is a member; the text has 47"),
    ("+ 18'0", "+ 19'0", "entry 7: 29 - 11 is 18; the text has 19"),
    ("18'0 41'0 77'0", "18'0 43'0 77'0", "entry 7: 59 - 18 is 41; the text has 43"),
    ("18'0 41'0 77'0", "18'0 41'0 79'0", "entry 7: 59 + 18 is 77; the text has 79"),
    ("41'0 77'0 47'0 83'0", "41'0 77'0 !", "entry 7: 77 not prime, so no square"),
    (
        " 71'0 !",
        " 71'0 .",
        "entry 8: 47 and 71 are prime and 47 is not 29, so the square is found; the text has .",
    ),
    ("13'1 59'0 05'0 /", "05'0 59'0 13'1 /", "cell 4 of the square is 113; the text has 5"),
    ("71'0 /", "71'0", "cell 3 of the square is /; the text has 113"),
    ("29'0 01'1", "29'0", "cell 9 of the square is 101; the text has nothing"),
    ("29'0 01'1", "29'0 01'1\x1b[31m", """cell 9 of the square is 101; the text has "01'1\\x1b[31m\""""),
    ("29'0 01'1", "29'0 01'1 59'0", "text after the search"),
]


@pytest.mark.parametrize(("old", "new", "sentence"), FAULTS)
def test_the_first_wrong_step_is_named(old: str, new: str, sentence: str) -> None:
    assert TEXT_59.count(old) >= 1
    verdict = task.judge(asked(59), TEXT_59.replace(old, new, 1), "tutorial")
    assert verdict.details["first_wrong"] == sentence
    assert verdict.reasons[-1] == f"first wrong step: {sentence}"


def test_a_square_is_judged_whatever_the_steps() -> None:
    wrong_step = task.judge(asked(59), TEXT_59.replace("53'0 65'0", "53'0 63'0", 1), "tutorial")
    assert wrong_step.details["square_valid"]
    assert not wrong_step.valid
    other = task.judge(asked(1607), TEXT_59, "tutorial")
    assert other.reasons[0] == "centre: the square has 59, 1607 was asked for"
    assert other.answer == [[17, 89, 71], [113, 59, 5], [47, 29, 101]]


@given(st.sampled_from(CENTRES[:40]), st.data())
@settings(max_examples=40)
def test_no_changed_step_passes(centre: int, data: st.DataObject) -> None:
    items: Sequence[str] = text_of(centre).split()
    place = data.draw(st.integers(0, len(items) - 1))
    symbol = data.draw(st.sampled_from(["*", ".", "+", "!", "~", "/", "none", "07'16", "09'0", "1x", "Twice"]))
    changed = [*items[:place], symbol, *items[place + 1 :]]
    assert task.judge(asked(centre), " ".join(changed), "tutorial").valid == (items[place] == symbol)
    assert not task.judge(asked(centre), " ".join(items[:place]), "tutorial").valid


@given(st.lists(st.sampled_from([*SYMBOLS, "", "0x'", "１'6", "'", "\x00", "9" * 5000]), max_size=40).map("".join))
def test_any_text_gets_a_verdict(text: str) -> None:
    assert not task.judge(asked(59), text, "tutorial").valid
    assert not task.judge(Square(0, wanted=Wanted()), text, "tutorial").valid


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("Ask: Centre 08'16", "centre 1608 is even"),
        ("Ask: Centre 01'10", r"centre 1001 is not prime \(7 x 143\)"),
        ("Ask: Centre 01'0", r"centre 1 is not prime"),
        ("Ask: Centre 13'0", "no prime magic square of order 3 with centre 13 has all its cells below 10,000"),
        ("Ask: Centre 07'120", "centre 12,007 is too large"),
        ("Ask: Centre 07'16 from 05'16", "«from» names no prime 6, 12, 18 ... below the centre 1607"),
        ("Ask: Centre 07'16 from", "«from» names no prime"),
        ("Ask: Centre 07'16 skip 0x", "«skip» names no count like 2x"),
        ("Ask: Centre 59'0 skip 9x", "the search Centre 59'0 skip 9x finds no square"),
        ("Centre 59'0", "it does not begin with «Centre»"),
        ("Ask: Centre 59'0 please", "no search in"),
        ("Matrix 5", "it does not begin with «Centre»"),
        ("", "it does not begin with «Centre»"),
    ],
)
def test_a_bad_prompt_is_one_sentence(prompt: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        task.read_prompt(prompt, "tutorial")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        (Square(1, tuple(range(1, 10))), "style tutorial searches for prime magic squares of order 3"),
        (Square(1, tuple(range(1, 26))), "style tutorial searches for prime magic squares of order 3"),
        (Square(0, wanted=Wanted(magic_sum=177)), "style tutorial asks for order 3 by number, centre or any"),
        (Square(0, wanted=Wanted(9, 1607)), "style tutorial asks for order 3 by number, centre or any"),
        (Square(0, wanted=Wanted(5)), "and for orders 5 and 7 by centre: do so, or choose listing"),
    ],
)
def test_what_has_no_search_is_one_sentence(problem: Square, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        task.prompt(problem, "tutorial")


def test_problems_of_a_split_are_written_and_right() -> None:
    options = TaskOptions(ask=("number", "centre", "any"))
    for problem in task.problems("test", 2, 0, 60, options):
        prompt, text = task.prompt(problem, "tutorial"), task.completion(problem, "tutorial")
        verdict = task.judge(task.read_prompt(prompt, "tutorial"), text, "tutorial")
        assert verdict.valid
        assert str(verdict.answer[1][1]) == task.family(problem)  # type: ignore[index]
