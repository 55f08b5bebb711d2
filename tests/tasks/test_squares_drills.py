"""What the squares model is trained on: true searches, practice that adds up, and no centre that is kept apart."""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.numbers.randomness import split_of
from aritmo.tasks.squares_documents import BEGIN, END, KINDS, Document, Draws, odd_centres, train_centres
from aritmo.tasks.squares_drills import draw_document, practice_list
from aritmo.tasks.squares_nested import BELOW, RoomError, all_steps
from aritmo.tasks.squares_nested_drills import _enclosures, draw_nested
from aritmo.tasks.squares_search import LIMIT, SYMBOLS, Search, Step, found_by, is_prime, search_for
from aritmo.tasks.squares_search import steps as steps_of

Item = int | str


@cache
def drawn(nested: float, asked: float, count: int = 400) -> list[Document]:
    return [draw_document(Draws("test", str(nested), str(asked), index), asked, nested) for index in range(count)]


def read(document: Document) -> Iterator[tuple[Item, str]]:
    """Yield the items of a document, two symbols of a number as one, with the kinds of their steps."""
    low = -1
    for symbol, number in zip(document.symbols, document.kinds, strict=True):
        kind = KINDS[number]
        if symbol < 100:
            low = symbol
        elif symbol < 300:
            yield low + 100 * (symbol - 100), kind
            low = -1
        else:
            assert low == -1
            yield SYMBOLS[symbol].strip(), kind


def parts(document: Document) -> tuple[list[str], Search, list[tuple[Item, str]]]:
    """Return the words before the request, the search that is asked for, and what follows."""
    items = list(read(document))
    words = [item for item, _ in items]
    before = [str(word) for word in words[: words.index("Centre")]]
    order = next((int(word[-1]) for word in before if word.startswith("Order")), 3)
    at = words.index("Centre") + 2
    start = skip = 0
    if words[at] == "from":
        start, at = int(words[at + 1]), at + 2
    if words[at] == "skip":
        skip, at = int(str(words[at + 1])[:-1]), at + 2
    return before, Search(int(words[words.index("Centre") + 1]), start, skip, order), items[at:]


@pytest.mark.parametrize(("nested", "asked"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.17, 0.5)])
def test_every_centre_is_one_of_the_train_families(nested: float, asked: float) -> None:
    centres = 0
    for document in drawn(nested, asked):
        assert document.symbols[0] == BEGIN
        assert document.kinds[0] == 0
        if SYMBOLS.index("Centre") in document.symbols:
            search = parts(document)[1]
            assert split_of("squares", str(search.centre)) == "train"
            assert search.order == 3 or search.centre < BELOW
            centres += 1
    assert centres > 300


@pytest.mark.parametrize("nested", [0.0, 1.0])
def test_what_is_no_practice_is_the_true_search_up_to_where_it_is_cut(nested: float) -> None:
    whole = 0
    for document in drawn(nested, 0.0):
        if SYMBOLS.index("Centre") not in document.symbols:
            continue
        before, search, rest = parts(document)
        if "Practice" in before:
            continue
        if rest == [("Twice", "ask")]:
            assert found_by(search)
            continue
        ended = document.symbols[-1] == END
        true = [(step.item, step.kind) for step in all_steps(search)]
        assert rest[: len(rest) - ended] == (true if ended else true[: len(rest)])
        whole += ended
    assert whole > 20


def test_texts_for_any_square_ask_for_one_that_there_is() -> None:
    """One in five goes on with a little of the search, and the rest end with what all searches begin with."""
    short, centres = 0, set()
    for document in drawn(0.0, 1.0):
        before, search, rest = parts(document)
        assert before == ["Ask:", "Any"]
        assert found_by(search)
        assert [step.item for step in steps_of(search)][: len(rest)] == [item for item, _ in rest]
        assert all(kind != "unasked" for _, kind in rest)
        short += len(rest) == 1
        centres.add(search.centre)
    assert 0.7 < short / 400 < 0.9
    assert len(centres) > 100


@pytest.mark.parametrize("nested", [0.0, 1.0])
def test_no_prime_square_is_shown_but_the_first_of_a_train_centre(nested: float) -> None:
    """So whatever else a model writes when it may write any square was in no text of its training."""
    shown = {square for document in drawn(nested, 0.05, 1_500) for square in prime_squares(document)}
    assert len(shown) > 20
    for square in shown:
        search = search_for(square)
        assert split_of("squares", str(search.centre)) == "train"
        assert found_by(search) == found_by(Search(search.centre))


def prime_squares(document: Document) -> Iterator[tuple[int, ...]]:
    """Yield each nine numbers in a row, of a core or a whole text, that are a magic square of primes."""
    numbers = [item for item, _ in read(document) if isinstance(item, int)]
    for cells in zip(*(numbers[at:] for at in range(9)), strict=False):
        if cells[0] + cells[1] + cells[2] != cells[3] + cells[4] + cells[5]:  # as almost everywhere
            continue
        lines = [*(cells[i : i + 3] for i in (0, 3, 6)), *(cells[i::3] for i in range(3))]
        lines += [cells[::4], cells[2:7:2]]
        if len({sum(line) for line in lines}) == 1 and len(set(cells)) == 9 and all(map(is_prime, cells)):
            yield cells


def test_any_may_be_every_square_in_reach_but_the_first_of_its_centre() -> None:
    for document in drawn(0.0, 1.0):
        search = parts(document)[1]
        assert found_by(search) != found_by(Search(search.centre))


def test_enclosures_are_squares_in_their_rings() -> None:
    """What is asked for has the square before it inside, and cells of its ring that face each other add up."""
    squares = 0
    for index in range(60):
        document = Document()
        _enclosures(document, Draws("enclosures", index), (5, 7)[index % 2])
        centre, before = parts(document)[1].centre, list[int]()
        for asked, group in groupby(read(document), key=lambda step: step[1] == "rows"):
            cells = [item for item, _ in group if isinstance(item, int)]
            if asked:
                order = {25: 5, 49: 7}[len(cells)]
                rows = [cells[at : at + order] for at in range(0, len(cells), order)]
                inner = [cell for row in rows[1:-1] for cell in row[1:-1]]
                assert any(before[at : at + len(inner)] == inner for at in range(len(before)))
                facing = [*zip(rows[0][1:-1], rows[-1][1:-1], strict=True), (rows[0][0], rows[-1][-1])]
                facing += [*((row[0], row[-1]) for row in rows[1:-1]), (rows[0][-1], rows[-1][0])]
                assert all(one + other == 2 * centre for one, other in facing)
                squares += 1
            before = cells
    assert squares > 100


def test_sums_of_practice_add_up() -> None:
    """Where a number was asked to be a sum or what is left, it is that of the numbers before it."""
    sums = rests = 0
    for index in range(300):
        document = draw_nested(Draws("sums", index))
        items = list(read(document))
        needs: list[int] = []
        for (a, _), (b, _), (item, kind) in zip(items, items[1:], items[2:], strict=False):
            if kind == "rest" and isinstance(item, int):
                assert isinstance(b, int)
                assert item + b in needs[-1:]
                rests += 1
            elif kind == "less" and isinstance(item, int) and isinstance(a, str) and a.startswith("#"):
                needs.append(item)
            elif kind == "total" and isinstance(a, int) and isinstance(b, int):
                centre = parts(document)[1].centre
                assert item in (a + b, b + centre)
                sums += 1
    assert sums > 200
    assert rests > 2_000


def test_questions_about_primes_are_answered_right() -> None:
    asked = 0
    for document in drawn(0.0, 0.0):
        items = list(read(document))
        for (number, _), (answer, kind) in pairwise(items):
            if kind == "prime":
                assert answer == ("yes" if is_prime(int(number)) else "no")
                asked += 1
    assert asked > 100


def test_all_kinds_of_steps_come() -> None:
    kinds = Counter(kind for share in (0.0, 1.0) for document in drawn(share, 0.0) for kind in set(document.kinds))
    assert set(kinds) == set(range(len(KINDS)))


def test_the_same_draws_make_the_same_document() -> None:
    one, same, other = (draw_document(Draws("x", seed), 0.0, 0.5) for seed in (3, 3, 4))
    assert (one.symbols, one.kinds) == (same.symbols, same.kinds)
    assert one.symbols != other.symbols


@given(st.sampled_from(odd_centres()), st.integers(0, 99))
def test_practice_lists_fall_below_their_centre(centre: int, seed: int) -> None:
    numbers = list(practice_list(Draws(seed), centre))
    assert numbers == sorted(set(numbers), reverse=True)
    assert all(0 < n < centre and 2 * centre - n < LIMIT for n in numbers)


def test_train_centres_are_those_of_the_split() -> None:
    assert set(train_centres()) == {c for c in range(11, 9_988) if split_of("squares", str(c)) == "train"}
    assert set(odd_centres()) == {c for c in train_centres() if c % 6 in (1, 5)}


def test_a_document_is_cut_where_a_part_begins() -> None:
    document = Document()
    walk = [Step("next", 7), Step("mirror", 11), Step("mirror", 13), Step("next", 5)]
    assert not document.write(walk, 3, frozenset({"mirror"}))
    assert [item for item, _ in read(document)] == ["Ask:", 7, 11, 13]
    assert [kind for _, kind in read(document)] == ["unasked", "next", "unasked", "unasked"]
    assert not Document().write([Step("sum", 2 * LIMIT)], 100)
    with pytest.raises(RoomError):
        document.put(-1)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.data())
def test_samples_hold_no_place_twice(items: list[int], data: st.DataObject) -> None:
    draws = Draws("sample", data.draw(st.integers(0, 999)))
    count = data.draw(st.integers(0, len(items)))
    sample = draws.sample(items, count)
    assert len(sample) == count
    assert not Counter(sample) - Counter(items)
    assert draws.pick(items) in items
    assert 0 <= draws.share() < 1
