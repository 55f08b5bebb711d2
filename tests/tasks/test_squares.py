"""The squares task: listings, their judge, the order of a corpus."""

from collections import Counter
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.numbers.primes import is_prime
from aritmo.numbers.randomness import SPLITS, Split, split_of
from aritmo.numbers.requests import least_bound
from aritmo.numbers.search import list_order3
from aritmo.numbers.squares import canonical, check_square, key, symmetries
from aritmo.tasks import TASKS
from aritmo.tasks.squares import Square, Squares, Wanted, numbered
from aritmo.tasks.squares_options import fitting_bound, most_tokens
from aritmo.tasks.task import Ask, TaskOptions
from aritmo.tokens import digit_tokenizer, encode_batch

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


@pytest.mark.parametrize("order", [4, 5, 6, 7, 11])
@pytest.mark.parametrize("split", ["train", "test"])
def test_nested_orders_are_the_splits_and_valid(order: int, split: Split) -> None:
    options = TaskOptions(order=(order,), below=15_000)
    squares = task.problems(split, 3, 0, 60, options)
    assert len(squares) == 60
    assert len({task.family(square) for square in squares}) > 10
    for square in squares:
        check = check_square(square.array, nested=True)
        assert check.valid
        assert check.order == order
        assert square.array.max() < 15_000
        assert split_of("squares", str(check.centre if order % 2 else check.pair_sum)) == split
        assert task.key(square) == key(square.array)
        assert task.judge(Square(1), task.completion(square, "listing"), "listing").valid
    assert task.problems(split, 4, 0, 60, options) != squares


def test_a_stretch_of_nested_squares_needs_nothing_before_it() -> None:
    options = TaskOptions(order=(5, 3, 7), ask=("any", "sum"))
    whole = task.problems("train", 1, 0, 4000, options)
    for start, stop in ((0, 1), (1, 3), (2, 2), (3000, 3200), (3999, 4000)):
        assert task.problems("train", 1, start, stop, options) == whole[start:stop]


def test_pair_sums_have_no_prime_half_and_orientations_are_shared_out() -> None:
    squares = task.problems("train", 1, 0, 3000, TaskOptions(order=(6,)))
    assert not any(is_prime(int(task.family(square)) // 2) for square in squares)
    ways = [(symmetries(s.array) == canonical(s.array)).all(axis=(1, 2)).argmax() for s in squares]
    assert np.bincount(ways, minlength=8).min() > 3000 / 16


def test_orders_and_ways_of_asking_take_turns() -> None:
    squares = task.problems("validation", 1, 0, 600, TaskOptions(order=(3, 5), ask=("number", "centre", "any")))
    counts: Counter[str] = Counter()
    for square in squares:
        wanted = {
            f"Matrix {square.number}\n": "by number",
            f"Matrix of order {square.order} with centre {task.family(square)}\n": "by centre",
            f"Any matrix of order {square.order}\n": "any",
        }
        counts[f"{square.order} {wanted[task.prompt(square, 'listing')]}"] += 1
    assert len(counts) == 6
    assert set(counts.values()) == {100}


def test_order_3_begins_anew_in_a_mix_and_ends_alone() -> None:
    alone = task.problems("test", 1, 0, 10**4, TaskOptions(below=1000))
    mixed = task.problems("test", 1, 0, 4 * len(alone), TaskOptions(order=(3, 5), below=1000))
    threes = [square.cells for square in mixed if square.order == 3]
    assert threes == 2 * [square.cells for square in alone]


def test_where_an_order_has_no_square_in_a_split_the_others_stand_alone() -> None:
    below = least_bound(7)
    splits = {split: task.problems(split, 1, 0, 30, TaskOptions(order=(5, 7), below=below)) for split in SPLITS}
    assert all(len(squares) == 30 for squares in splits.values())
    assert any({square.order for square in squares} == {5} for squares in splits.values())


WANTED = [
    (Square(5001), "Matrix 5001"),
    (Square(0, wanted=Wanted(centre=1607)), "Matrix with centre 1607"),
    (Square(0, wanted=Wanted(5, 1607)), "Matrix of order 5 with centre 1607"),
    (Square(0, wanted=Wanted(magic_sum=4821)), "Matrix with sum 4821"),
    (Square(0, wanted=Wanted(4, magic_sum=4820)), "Matrix of order 4 with sum 4820"),
    (Square(0, wanted=Wanted(5)), "Any matrix of order 5"),
    (Square(0, wanted=Wanted()), "Any matrix"),
]


@pytest.mark.parametrize(("square", "prompt"), WANTED)
def test_every_way_of_asking_reads_back(square: Square, prompt: str) -> None:
    assert task.prompt(square, "listing") == prompt + "\n"
    assert task.read_prompt(prompt + "\n", "listing") == square


@pytest.mark.parametrize(
    ("wanted", "reasons"),
    [
        (Wanted(3, 59, 177), ()),
        (Wanted(), ()),
        (Wanted(5), ("order: the square has 3, 5 was asked for",)),
        (Wanted(centre=1607), ("centre: the square has 59, 1607 was asked for",)),
        (Wanted(magic_sum=183), ("magic sum: the square has 177, 183 was asked for",)),
    ],
)
def test_what_was_asked_for_must_be_written(wanted: Wanted, reasons: tuple[str, ...]) -> None:
    verdict = task.judge(Square(0, wanted=wanted), LISTING, "listing")
    assert verdict.reasons == reasons
    assert verdict.details["as_asked"] == (not reasons)
    assert verdict.details["square_valid"]


def test_a_square_without_centre_or_sum_has_none() -> None:
    (square,) = task.problems("train", 1, 0, 1, TaskOptions(order=(4,)))
    text = task.completion(square, "listing")
    reasons = task.judge(Square(0, wanted=Wanted(centre=7)), text, "listing").reasons
    assert reasons == ("centre: the square has none, 7 was asked for",)
    wrong = task.judge(Square(0, wanted=Wanted(magic_sum=177)), LISTING.replace("17 89", "19 89", 1), "listing")
    assert "magic sum: the square has none, 177 was asked for" in wrong.reasons


@pytest.mark.parametrize("order", [3, 4, 5, 6, 9])
@pytest.mark.parametrize("ask", get_args(Ask))
def test_no_example_is_longer_than_foreseen(order: int, ask: Ask) -> None:
    if order % 2 == 0 and ask == "centre":
        return
    options = TaskOptions(order=(order,), below=11_000, ask=(ask,))
    words = [word for other in TASKS.values() for word in other.words]
    tokenizer = digit_tokenizer(words)
    squares = task.problems("train", 1, 0, 300, options)
    parts = [part for s in squares for part in (task.prompt(s, "listing"), task.completion(s, "listing"))]
    lengths = list(map(len, encode_batch(tokenizer, parts)))
    longest = 1 + max(map(sum, zip(lengths[::2], lengths[1::2], strict=True)))
    most = most_tokens(order, options.below, options.ask, 300)
    assert longest <= most <= 1.25 * longest


@pytest.mark.parametrize(
    ("options", "bounded", "sentence"),
    [
        (TaskOptions(order=(5, 13)), False, "order 13 does not fit the context: an example takes up to 1,226"),
        (TaskOptions(order=(17,)), False, "order 17 does not fit the context: an example takes more than 1,156"),
        (TaskOptions(order=(11,), below=4000), True, "give a bound of at least 4794"),
        (TaskOptions(order=(2,)), False, "no prime magic square of order 2"),
        (TaskOptions(order=(5, 6), ask=("any", "centre")), False, "even order 6 has no cell in its centre"),
        (TaskOptions(below=100), True, "no square of order 3 has all cells below 100"),
    ],
)
def test_what_cannot_be_is_one_sentence(options: TaskOptions, bounded: bool, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        fitting_bound(options, bounded, 1000, 1024)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("orders", "bound"), [((3,), 10_000), ((5, 3), 10_000), ((3, 11), 20_000)])
def test_a_bound_is_chosen_that_suits_every_order(orders: tuple[int, ...], bound: int) -> None:
    assert fitting_bound(TaskOptions(order=orders), False, 1000, 1024) == bound


@pytest.mark.parametrize(
    "cell", ["0113", "1_13", "1,13", "+113", "１１３", "١١٣", "113.0", "\u200b113", "1\x0013"]
)
def test_a_cell_has_one_way_of_being_written(cell: str) -> None:
    text = task.completion(Square(1, (17, 89, 71, 113, 59, 5, 47, 29, 101)), "listing")
    assert task.judge(Square(1), text, "listing").valid
    verdict = task.judge(Square(1), text.replace("113", cell), "listing")
    assert not verdict.valid
    assert verdict.answer is None


def test_a_square_too_large_to_have_keys_is_unreadable() -> None:
    rows = [" ".join(str(10**15 - 1 - i) for i in range(49 * j, 49 * j + 49)) for j in range(49)]
    verdict = task.judge(Square(1), "\n".join(rows), "listing")
    assert verdict.reasons == (
        "unreadable: 999999999999999 is too large for a square of order 49: cells are below 960367767269343",
    )
    smaller = [row[:-15] + "960367767269342" for row in ["1 " * 48 + "9" * 15] * 49]
    assert task.judge(Square(1), "\n".join(smaller), "listing").answer is not None


@pytest.mark.parametrize(
    "prompt",
    [
        "", "Matrix", "Matrix 0", "Matrix -1", "Matrix 5a", "Matrix ٣", "Matrix " + "9" * 99, "Any matrix 5",
        "Matrix of order 5", "Matrix with centre", "Matrix with centre 0", "Matrix with sum 5 and centre 1",
    ],
)  # fmt: skip
def test_a_bad_prompt_is_one_sentence(prompt: str) -> None:
    with pytest.raises(ValueError, match="no numbered matrix"):
        task.read_prompt(prompt, "listing")
