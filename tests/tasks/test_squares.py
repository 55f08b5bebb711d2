"""The squares task: listings, their judge, the order of a corpus."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.numbers.randomness import SPLITS, Split, split_of
from aritmo.numbers.search import list_order3
from aritmo.numbers.squares import key
from aritmo.tasks.squares import Square, Squares, numbered
from aritmo.tasks.task import TaskOptions

task = Squares()
OPTIONS = TaskOptions(below=2000)
LISTING = "17 89 71\n113 59 5\n47 29 101\nRows: 177 177 177\nColumns: 177 177 177\nDiagonals: 177 177"
CELLS = (17, 89, 71, 113, 59, 5, 47, 29, 101)
squares = st.lists(st.integers(1, 10**6), min_size=9, max_size=9).map(lambda cells: Square(7, tuple(cells)))


def test_a_listing_is_numbered_and_shows_every_sum() -> None:
    assert task.prompt(Square(5001, CELLS), "listing") == "Matrix 5001\n"
    assert task.completion(Square(5001, CELLS), "listing") == LISTING


def test_the_smallest_prime_square_is_valid() -> None:
    verdict = task.judge(Square(1), LISTING, "listing")
    assert verdict.valid
    assert verdict.answer == [[17, 89, 71], [113, 59, 5], [47, 29, 101]]
    assert verdict.details["key"] == key(np.array(CELLS).reshape(3, 3)) == task.key(Square(1, CELLS))


@given(squares)
def test_a_listing_of_any_cells_reads_back_and_claims_its_true_sums(square: Square) -> None:
    verdict = task.judge(Square(1), task.completion(square, "listing"), "listing")
    assert verdict.answer == [list(row) for row in square.rows]
    assert verdict.details["wrong_claims"] == 0
    kinds = {reason.partition(":")[0] for reason in verdict.reasons}
    assert kinds <= {"not prime", "repeated", "sum"}


@given(squares)
def test_the_key_is_the_librarys_k1(square: Square) -> None:
    assert task.key(square) == key(square.array)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("17 89", "18 89", "not prime"),
        ("Rows: 177", "Rows: 179", "wrong claim"),
        ("Diagonals: 177 177", "Diagonals: 177", "missing sums"),
        ("47 29 101", "47 29", "unreadable"),
        ("47 29 101", "47 29 x", "unreadable"),
        ("17 89", "１７ 89", "unreadable"),
        ("17 89", "1_7 89", "unreadable"),
        ("17 89", "9" * 5000 + " 89", "unreadable"),
        ("Diagonals: 177 177", "Diagonals: 177 177\nMatrix 2", "extra text"),
        ("Columns: 177 177 177\n", "", "missing sums"),
    ],
)
def test_each_fault_is_named(old: str, new: str, kind: str) -> None:
    verdict = task.judge(Square(1), LISTING.replace(old, new, 1), "listing")
    assert not verdict.valid
    assert kind in {reason.partition(":")[0] for reason in verdict.reasons}


@given(st.integers(0, 8), st.integers(0, 10**4))
def test_a_square_with_any_other_cell_is_rejected(place: int, cell: int) -> None:
    cells = list(CELLS)
    if cells[place] == cell:
        return
    cells[place] = cell
    assert not task.judge(Square(1), task.completion(Square(1, tuple(cells)), "listing"), "listing").valid


@given(st.text(st.sampled_from("0123456789 \n:RowsColumnsDiagonals-+_٣\x00"), max_size=120))
def test_any_text_gets_a_verdict(text: str) -> None:
    assert not task.judge(Square(1), text, "listing").valid


@pytest.mark.parametrize("split", SPLITS)
def test_problems_are_the_splits_squares_each_once(split: Split) -> None:
    everything = task.problems(split, 3, 0, 10**6, OPTIONS)
    classes = [row for row in list_order3(2000).tolist() if split_of("squares", str(row[4])) == split]
    assert len(everything) == len({square.cells for square in everything}) == 8 * len(classes)
    first_round = {task.key(square) for square in everything[: len(classes)]}
    assert first_round == {" ".join(map(str, cells)) for cells in classes}
    assert all(split_of("squares", task.family(square)) == split for square in everything)
    assert task.problems(split, 3, 5, 9, OPTIONS) == everything[5:9]
    assert task.problems(split, 4, 0, 9, OPTIONS) != everything[:9]


def test_numbers_are_shared_out_without_a_gap() -> None:
    numbers = [numbered("train", i) for i in range(800)]
    numbers += [numbered(split, i) for split in ("validation", "test") for i in range(100)]  # type: ignore[arg-type]
    assert sorted(numbers) == list(range(1, 1001))
    assert {numbered("test", i) % 10 for i in range(10)} == set(range(10))


def test_families_are_centres_and_pair_sums() -> None:
    assert task.family(Square(1, CELLS)) == "59"
    assert task.family(Square(1, tuple(range(1, 17)))) == "17"
    assert task.family(Square(1, (*range(1, 16), 17))) == "274/16"


def test_other_orders_are_refused_in_one_sentence() -> None:
    with pytest.raises(ValueError, match="order: got 5"):
        task.problems("train", 0, 0, 1, TaskOptions(order=5))


@pytest.mark.parametrize(
    "prompt", ["", "Matrix", "Matrix 0", "Matrix -1", "Matrix 5a", "Matrix ٣", "Matrix " + "9" * 99]
)
def test_a_bad_prompt_is_one_sentence(prompt: str) -> None:
    with pytest.raises(ValueError, match="no numbered matrix"):
        task.read_prompt(prompt, "listing")
