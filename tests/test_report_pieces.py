"""The pieces that the report page is put together from."""

import re
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.report import charts, squares
from aritmo.report.examples import first_wrong
from aritmo.report.words import clean, figure
from aritmo.tasks import TASKS


def test_margins_name_wrong_and_falsely_claimed_sums() -> None:
    rows = [[17, 89, 71], [113, 59, 5], [47, 29, 103]]
    text = "\n".join([*(" ".join(map(str, row)) for row in rows), "Rows: 177 177 179", "Columns: 177 177 177"])
    drawn = squares.grid(rows, squares.claimed_sums(text, 3))
    margins = [sum_ for _, sum_ in drawn.rows]
    assert [(sum_.total, sum_.wrong, sum_.claim) for sum_ in margins] == [
        (177, False, None),
        (177, False, None),
        (179, True, None),
    ]
    assert [(sum_.total, sum_.claim) for sum_ in drawn.columns] == [(177, None), (177, None), (179, "177")]
    assert (drawn.falling.total, drawn.rising.total) == (17 + 59 + 103, 71 + 59 + 47)


@given(st.lists(st.lists(st.integers(2, 40), min_size=3, max_size=3), min_size=3, max_size=3))
def test_grid_marks_repeated_cells_and_sums(rows: list[list[int]]) -> None:
    drawn = squares.grid(rows)
    flat = [value for row in rows for value in row]
    marks = [cell.marks.split() for cells, _ in drawn.rows for cell in cells]
    assert [("repeated" in mark) for mark in marks] == [flat.count(value) > 1 for value in flat]
    sums = [sum_ for _, sum_ in drawn.rows] + drawn.columns + [drawn.falling, drawn.rising]
    right = {sum_.total for sum_ in sums if not sum_.wrong}
    assert len(right) <= 1
    assert all(sum_.total not in right for sum_ in sums if sum_.wrong)


def test_first_wrong_line_is_found() -> None:
    task = TASKS["addition"]
    problem = task.read_prompt("8292+29039", "tutorial")
    lines = task.completion(problem, "tutorial").split("\n")
    verdict = {"task": "addition", "style": "tutorial", "prompt": "8292+29039\n\n", "text": "\n".join(lines)}
    assert first_wrong(verdict) is None
    for at in (0, 7, len(lines) - 1):
        spoilt = [*lines[:at], "tens->7000", *lines[at + 1 :]]
        assert first_wrong(verdict | {"text": "\n".join(spoilt)}) == (at, lines[at])
    assert first_wrong(verdict | {"text": "\n".join(lines[:5])}) == (5, lines[5])
    assert first_wrong(verdict | {"text": "\n".join([*lines, "more"])}) == (len(lines), "")
    assert first_wrong(verdict | {"prompt": "no sum"}) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (1.0, "100"), (0.0151, "1.5"), (29 / 36, "80.6"), (6.1e-6, "0.00061"), (2.3e-4, "0.023")],
)
def test_shares_are_written_in_per_cent(value: float, shown: str) -> None:
    assert figure(value) == shown


@given(st.text(alphabet=st.characters(), max_size=60))
def test_cleaned_text_has_no_control_characters(text: str) -> None:
    shown = clean(text)
    assert len(shown) == len(text)
    shown.encode()
    assert all(character in "\n\t" or character.isprintable() or character.isspace() for character in shown)
    assert clean(shown) == shown
    assert len(clean(text + "x" * 99, 10).partition("…")[0]) == 10


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.floats(1e-6, 1e6)),
        min_size=1,
        max_size=400,
        unique_by=lambda p: p[0],
    )
)
def test_a_line_stays_inside_its_chart(points: list[tuple[int, float]]) -> None:
    chart = charts.line_chart("loss", {"training": sorted(points), "held out": []})
    assert chart is not None
    assert [line.name for line in chart.series] == ["training"]
    numbers = [float(word) for word in re.split("[ML ]", chart.series[0].path) if word]
    assert all(chart.left - 0.1 <= x <= chart.right + 0.1 for x in numbers[::2])
    assert all(0 <= y <= chart.bottom + 0.1 for y in numbers[1::2])
    assert len(numbers) <= 2 * 400
    assert all(0 <= y <= chart.bottom + 0.1 for y, _ in chart.ys)


def test_heat_map_holds_each_pair_of_lengths_once() -> None:
    drawn = charts.heat_map([[1, 1, 5, 5], [2, 3, 1, 4], [3, 2, 0, 0]])
    assert drawn is not None
    assert [(cell.count, cell.of, cell.share) for cell in drawn.cells] == [(5, 5, 1.0), (1, 4, 0.25)]
    first, second = drawn.cells
    assert second.x - first.x == pytest.approx(2 * drawn.side, abs=0.02)
    assert second.y - first.y == pytest.approx(drawn.side, abs=0.02)
    assert [digits for _, digits in drawn.marks] == [1, 2, 3]
    assert charts.heat_map([]) is None


_LENGTHS = st.tuples(st.integers(1, 1000), st.integers(1, 1000), st.integers(0, 5), st.integers(5, 9))


@given(st.lists(_LENGTHS, min_size=1, max_size=60, unique_by=lambda row: row[:2]))
def test_many_lengths_are_put_together_and_none_is_lost(rows: list[tuple[int, int, int, int]]) -> None:
    drawn = charts.heat_map(rows)
    assert drawn is not None
    assert len(drawn.bins) <= 20
    assert sum(cell.of for cell in drawn.cells) == sum(row[3] for row in rows)
    spans = [range(int(name.split()[0]), int(name.split()[-1]) + 1) for name in drawn.bins]
    for cell in drawn.cells:
        inside = [row for row in rows if row[0] in spans[cell.row] and row[1] in spans[cell.column]]
        assert (cell.count, cell.of) == (sum(row[2] for row in inside), sum(row[3] for row in inside))
        assert cell.x + drawn.side <= drawn.size + 0.1
        assert cell.y + drawn.side <= drawn.size + 0.1
    tabled = [cell for _, cells in drawn.table for cell in cells if cell]
    assert sorted(tabled, key=lambda cell: (cell.row, cell.column)) == drawn.cells
    # The bins stand next to each other, without a gap.
    assert [span.start for span in spans[1:]] == [span.stop for span in spans[:-1]]


def test_a_hundred_digits_make_twenty_bins() -> None:
    drawn = charts.heat_map([[a, b, 1, 1] for a in (1, 50, 100) for b in (1, 100)])
    assert drawn is not None
    assert (drawn.width, len(drawn.bins), drawn.bins[0], drawn.bins[-1]) == (5, 20, "1 to 5", "96 to 100")
    assert [digits for _, digits in drawn.marks] == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]


def _luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb or #rgb (WCAG 2.2)."""
    digits = colour.removeprefix("#")
    digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(scheme: str) -> None:
    css = (resources.files("aritmo") / "templates" / "report.css").read_text("utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", light))
    if scheme == "dark":
        assert "prefers-color-scheme: dark" in css
        colours |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", dark))
    on_paper = ["ink", "soft", "bad", "good", *(f"s{i}" for i in range(8))]
    pairs = [(text, "paper") for text in on_paper]
    pairs += [("ink", "panel"), ("soft", "panel"), ("bad", "bad-wash"), ("good", "good-wash"), ("heat-ink", "s0")]
    for text, behind in pairs:
        one, other = sorted((_luminance(colours[text]), _luminance(colours[behind])), reverse=True)
        assert (one + 0.05) / (other + 0.05) >= 4.5, f"{text} on {behind}"


def test_large_squares_are_counted_and_not_drawn() -> None:
    def verdict(order: int) -> dict[str, object]:
        rows = [[i * order + j for j in range(order)] for i in range(order)]
        return {"prompt": "Matrix 1\n", "text": "", "answer": rows, "valid": False, "origin": "invented"}

    (group,) = squares.gallery([verdict(squares.MAX_ORDER + 1), *map(verdict, [15] * 30), verdict(3)], 24).groups
    assert group.total == 32
    drawn = [len(card.grid.rows) for card in group.cards]
    assert set(drawn) == {3, 15}
    assert sum(order * order for order in drawn) <= 4_000


def test_copies_and_originals_may_not_be_told_apart() -> None:
    rows = [[17, 89, 71], [113, 59, 5], [47, 29, 101]]
    verdict = {
        "prompt": "Matrix 1\n",
        "text": "",
        "answer": rows,
        "valid": False,
        "origin": None,
        "nearest": None,
    }
    (group,) = squares.gallery([verdict], 24).groups
    assert group.name.startswith("Not compared")
    assert group.cards[0].twin is None
