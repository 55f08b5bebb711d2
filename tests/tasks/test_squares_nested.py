"""The search for nested squares against a naive one, and a judge that names the first wrong step."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aritmo.numbers.randomness import split_of
from aritmo.numbers.squares import check_square
from aritmo.tasks.squares import Square, Squares, Wanted
from aritmo.tasks.squares_nested import (
    BELOW,
    ENOUGH,
    ROOM,
    Pair,
    RoomError,
    all_steps,
    find_ring,
    leave,
    nested_square,
)
from aritmo.tasks.squares_search import Search, spell, steps

task = Squares()
PRIMES = {n for n in range(2, 20_000) if all(n % d for d in range(2, int(n**0.5) + 1))}
CENTRES = [c for c in range(11, BELOW) if c in PRIMES]
Items = list[int | str]


def line_by_hand(
    order: int, c: int, opposite: list[int], free: list[tuple[int, int, int]]
) -> tuple[Items, list[int]]:
    """The search for a line written again: the whole line adds to the order times the centre, corners included."""
    items: Items = [*opposite, sum(opposite), sum(opposite) + c]
    corners = 4 * c - sum(opposite)
    cells: list[int] = []
    for number, *pair in free[: order - 5]:
        cells.append(pair[len(cells) % 2])
        left = order * c - corners - sum(cells) - (order - 5 - len(cells)) * c
        items += ["-", f"#{number}", cells[-1], left - c, left]
    need, rest = order * c - corners - sum(cells), free[order - 5 :]
    for at, (number, *pair) in enumerate(rest):
        for a in pair:
            items += [need] * (a != rest[0][1]) + ["-", f"#{number}", a, need - a]
            for place, (other, *cells_of_other) in enumerate(rest[at + 1 :], at + 1):
                items.append(f"#{other}")
                for b in cells_of_other:
                    left = need - a - b
                    items += [b, left if 0 < left < 20_000 else "no"]
                    match = [late[0] for late in rest[place + 1 :] if left in late[1:]]
                    if match:
                        return [*items, "+", f"#{match[0]}"], [*cells, a, b, left]
    return items, []


def by_hand(order: int, c: int) -> Items:
    """The whole search written again, naively, on what the search for order 3 says."""
    members: list[int] = []
    inner = [step.item for step in steps(Search(c), members=members)]
    rows: list[list[int]] = [
        [int(cell) for cell in inner[at : at + 3]] for at in range(len(inner) - 11, len(inner), 4)
    ]
    items: Items = [f"Order{order}", "Centre", c, *inner]
    for p in (p for p in range(members[-1] - 6, 3, -6) if p in PRIMES):
        if len(members) >= ENOUGH[order]:
            break
        items += [p, 2 * c - p]
        if 2 * c - p in PRIMES:
            members.append(p)
            items += ["*", f"#{len(members)}"]
    else:
        items += ["none"] * (len(members) < ENOUGH[order])
    pairs = [(number, p, 2 * c - p) for number, p in enumerate(members, 1)]
    inside = {cell for row in rows for cell in row}
    items.append("All")
    for pair in pairs:
        items += [f"#{pair[0]}", *pair[1:], *(["used"] if pair[1] in inside else [])]
    free = [pair for pair in pairs if pair[1] not in inside]
    for size in range(5, order + 1, 2):
        for turn in range(len(free)):
            turned = free[turn:] + free[:turn]
            items += ["Again"] * (turn > 0) + shown(turned)
            (i, p1, q1), (j, p2, q2), *rest = turned
            items += ["Ring", f"#{i}", p1, q1, f"#{j}", p2, q2, "Top"]
            written, line = line_by_hand(size, c, [q1, p2], rest)
            items += written
            if not line:
                continue
            top = [p1, *line, q2]
            rest = [pair for pair in rest if not {*pair[1:]} & {*line}]
            items += [*top, *shown(rest), "Left"]
            written, left = line_by_hand(size, c, [q1, q2], rest)
            items += written
            if left:
                break
        free = [pair for pair in rest if not {*pair[1:]} & {*left}]
        items += left
        middle = [[cell, *row, 2 * c - cell] for cell, row in zip(left, rows, strict=True)]
        rows = [top, *middle, [2 * c - top[-1], *(2 * c - cell for cell in top[1:-1]), 2 * c - top[0]]]
        items.append("!")
        for at, row in enumerate(rows):
            items += ["/"] * (at > 0)
            items += row
    return items


def shown(free: list[tuple[int, int, int]]) -> Items:
    return ["Free", *(item for number, p, q in free for item in (f"#{number}", p, q))]


def asked(order: int, centre: int) -> Square:
    return Square(0, wanted=Wanted(order, centre))


def text_of(order: int, centre: int) -> str:
    return task.completion(asked(order, centre), "tutorial")


def has_a_search(case: tuple[int, int]) -> bool:
    order, centre = case
    return nested_square(Search(centre, order=order)) is not None


cases = st.tuples(st.sampled_from(list(ROOM)), st.sampled_from(CENTRES)).filter(has_a_search)


@given(cases)
@settings(max_examples=60, deadline=None)
def test_the_search_is_the_naive_one_and_finds_a_nested_square(case: tuple[int, int]) -> None:
    order, centre = case
    walk = [*(f"Order{order}", "Centre", centre), *(step.item for step in all_steps(Search(centre, order=order)))]
    assert walk == by_hand(order, centre)
    verdict = task.judge(asked(order, centre), text_of(order, centre), "tutorial")
    assert verdict.valid
    square = check_square(verdict.answer, nested=True)  # type: ignore[arg-type]
    assert (square.valid, square.order, square.centre) == (True, order, centre)
    assert len(text_of(order, centre).split()) < ROOM[order]


def test_so_many_unseen_centres_have_a_search() -> None:
    counts = {
        order: [
            sum(split_of("squares", str(c)) == split and has_a_search((order, c)) for c in CENTRES)
            for split in ("test", "validation")
        ]
        for order in ROOM
    }
    assert counts == {5: [65, 62], 7: [55, 55]}


def test_the_text_is_as_described() -> None:
    assert task.prompt(asked(5, 1607), "tutorial") == "Ask: Order5 Centre 07'16"
    text = text_of(5, 1607)
    lines = text.splitlines()
    assert lines[-8:] == [
        "Left 13'16 21'17 34'33 41'49",
        "  - #6 07'13 34'36 #9 17'12 17'24",
        "  + #22 07'13 17'12 17'24 !",
        " 01'16 81'14 01'13 31'19 21'17 /",
        " 07'13 87'11 87'17 47'18 07'19 /",
        " 17'12 67'22 07'16 47'9 97'19 /",
        " 17'24 67'13 27'14 27'20 97'7 /",
        " 93'14 33'17 13'19 83'12 13'16",
    ]
    assert any(line.startswith("All #1 01'16 13'16 #2") for line in lines)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("* #6", "* #7", "entry 21: the number of the new member is #6; the text has #7"),
        (" used", "", "the list of members goes on with used; the text has #5"),
        ("Ring #1", "Ring #2", "the ring goes on with #1; the text has #2"),
        ("34'33 41'49", "34'33 42'49", "3334 + 1607 is 4941; the text has 4942"),
        ("17'12 17'24\n", "17'12 18'24\n", "3634 - 1217 leaves 2417; the text has 2418"),
        ("+ #22", "+ #23", "the number in the list of what is left is #22; the text has #23"),
        ("93'14 33'17 13'19", "93'14 13'19 33'17", "the square goes on with 1733; the text has 1913"),
    ],
)
def test_the_first_wrong_step_is_named(old: str, new: str, sentence: str) -> None:
    text = text_of(5, 1607)
    assert old in text
    verdict = task.judge(asked(5, 1607), text.replace(old, new, 1), "tutorial")
    assert verdict.reasons[-1] == f"first wrong step: {sentence}"


@given(cases, st.data())
@settings(max_examples=25, deadline=None)
def test_no_changed_step_passes(case: tuple[int, int], data: st.DataObject) -> None:
    items = text_of(*case).split()
    place = data.draw(st.integers(0, len(items) - 1))
    changed = [
        *items[:place],
        data.draw(st.sampled_from(["used", "no", "#3", "07'16", "/", "!"])),
        *items[place + 1 :],
    ]
    assert task.judge(asked(*case), " ".join(changed), "tutorial").valid == (changed == items)


def test_a_magic_square_that_is_not_nested_is_refused() -> None:
    """The rows and columns of a nested square reordered alike keep all its sums, and not its inner square."""
    rows = [list(row) for row in nested_square(Search(1607, order=5)) or ()]
    turn = [1, 0, 2, 4, 3]
    moved = [[rows[i][j] for j in turn] for i in turn]
    assert check_square(moved).valid
    text = "!\n" + " /\n".join("".join(map(spell, row)) for row in moved)
    reasons = task.judge(asked(5, 1607), text, "tutorial").reasons
    assert any(reason.startswith("not nested") for reason in reasons)


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("Ask: Order5 Centre 59'0", "the search for a nested square of order 5 with centre 59 finds none"),
        ("Ask: Order7 Centre 03'50", "centre 5,003 is too large: order 7 is searched for centres below 5,000"),
        ("Ask: Order5 Centre 07'16 skip 2x", "«skip» names no count like 2x of squares of order 3"),
        ("Ask: Order9 Centre 07'16", "it does not begin with «Centre»"),
        ("Ask: Order5", "it does not begin with «Centre»"),
    ],
)
def test_a_bad_prompt_is_one_sentence(prompt: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        task.read_prompt(prompt, "tutorial")


def test_any_square_is_of_order_3() -> None:
    anything = Square(0, wanted=Wanted())
    verdict = task.judge(anything, "Order5 Centre 07'16" + text_of(5, 1607), "tutorial")
    assert "order: the square has 5, 3 was asked for" in verdict.reasons
    assert verdict.reasons[-1].startswith(
        "first wrong step: the request: order 5 is asked for by its centre alone"
    )


def test_what_is_left_is_written_only_as_a_number_of_the_text() -> None:
    assert (leave(100, 1).item, leave(100, 100).item, leave(100, 101).item) == (99, "no", "no")


def test_a_number_that_no_text_holds_ends_the_search() -> None:
    free = [Pair(number, 3, 19_997) for number in range(1, 10)]
    with pytest.raises(RoomError):
        list(find_ring(5, 10_000, free))


def test_too_few_free_pairs_make_no_ring() -> None:
    free = [Pair(number, 100 - number, 100 + number) for number in range(1, 8)]
    walk = find_ring(5, 100, free)
    assert len(list(walk)) == 1 + 3 * len(free)
