"""Reading along with a text that a model is still writing: each step right or wrong, and the square so far.

Whatever the text, nothing here raises. The verdict on the whole is the task's own (``Task.judge``).
"""

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

from aritmo.tasks.squares_nested import all_steps
from aritmo.tasks.squares_search import Search, Step
from aritmo.tasks.squares_tutorial import Item, read_item, read_request, written_square

_COLUMN = re.compile(r"STEP ([0-9]{1,3})\n[^\n]*->[^\n]*=[0-9]{1,3}\nNumber: ([0-9]{1,3})\n")


class Mark(NamedTuple):
    """A piece of a text as one sees it, and whether it is right: None where that cannot be said (yet).

    ``expected`` is what would be right in the place of a wrong one; empty where nothing would.
    """

    text: str
    right: bool | None
    expected: str = ""


class Followed(NamedTuple):
    """How far a written search is: its lines of marks, how many items are right, and the rows of its square.

    A cell that the text has not written yet is None. Items behind the first wrong one are not judged.
    """

    lines: list[list[Mark]]
    right: int
    cells: list[list[int | None]]


def follow_lines(right: str, text: str, finished: bool) -> list[Mark]:
    """Return a mark for each line of a text that holds something, against the lines of the right text.

    While the text is not finished its last line may be half written: wrong once it cannot become right any more.
    """
    expected = [_plain(line) for line in right.split("\n") if line.strip()]
    *whole, last = text.split("\n")
    written = [line for line in whole if line.strip()]
    marks = [
        Mark(line, _plain(line) == true, "" if _plain(line) == true else true)
        for line, true in zip_longest(written, expected[: len(written)], fillvalue="")
    ]
    if last.strip():
        true = expected[len(written)] if len(written) < len(expected) else ""
        half = not finished and true.startswith(_plain(last)) and _plain(last) != true
        good = _plain(last) == true
        marks.append(Mark(last, None if half else good, "" if good or half else true))
    return marks


def follow_digits(total: int, text: str) -> list[Mark]:
    """Return a mark for each character of an answer that is written lowest digit first."""
    right = str(total)[::-1]
    return [
        Mark(digit, digit == true, "" if digit == true else true)
        for digit, true in zip_longest(text, right[: len(text)], fillvalue="")
        if digit
    ]


def follow_columns(text: str) -> list[int]:
    """Return what each column of a written-out sum adds to, ones first, as far as the text has come."""
    totals: list[int] = []
    for step, total in _COLUMN.findall(text):
        if int(step) != len(totals) + 2:
            break
        totals.append(int(total))
    return totals


def follow_search(search: Search | None, text: str, finished: bool) -> Followed:
    """Return how far the text of a search is; ``search`` is the one asked for, None where any square was.

    Numbers are marked as a whole and shown as one writes them.
    """
    lines = [[read_item(word) for word in line.split()] for line in text.split("\n")]
    if not finished and lines[-1] and _half(lines[-1][-1]):
        lines[-1].pop()
    items = [item for line in lines for item in line]
    named = 0
    if search is None:
        search, named = _named(items)
    steps = list(_taken(search, len(items) - named)) if search else []
    marks = [Mark(str(item), True if place < named else None) for place, item in enumerate(items)]
    right = named
    grid = _Grid(search) if search else None
    for place, item in enumerate(items[named:], named):
        if search is None:
            break
        step = steps[place - named] if place - named < len(steps) else None
        if step is None or step.item != item:
            marks[place] = Mark(str(item), False, str(step.item) if step else "")
            break
        marks[place], right = Mark(str(item), True), right + 1
        if grid:
            grid.take(step)
    cells = grid.cells if grid else []
    if finished and right < len(items) and (rows := written_square(text)):
        cells = [list(row) for row in rows]
    return Followed(list(_lines(lines, marks)), right, cells)


def _named(items: list[Item]) -> tuple[Search | None, int]:
    """Return the search that a text names for itself and how many items that took, once more of it has come."""
    try:
        search, rest = read_request(items)
    except ValueError:
        return None, 0
    return (search, len(items) - len(rest)) if rest else (None, 0)


def _plain(line: str) -> str:
    return " ".join(line.split())


def _half(item: Item) -> bool:
    """Say whether an item is the lower half of a number, whose other half is still to come."""
    return isinstance(item, str) and len(item) == 2 and item.isdigit()


def _taken(search: Search, count: int) -> Iterator[Step]:
    """Yield the true steps, as many as the text may need."""
    for place, step in enumerate(all_steps(search)):
        if place >= count:
            return
        yield step


def _lines(lines: list[list[Item]], marks: list[Mark]) -> Iterator[list[Mark]]:
    place = 0
    for line in lines:
        if line:
            yield marks[place : place + len(line)]
            place += len(line)


class _Grid:
    """The square of a search as its true steps fill it: the middle, then each ring, its corners, top and left."""

    def __init__(self, search: Search) -> None:
        self._order, self._done = search.order, 1
        self.cells: list[list[int | None]] = [[None] * search.order for _ in range(search.order)]
        self.cells[search.order // 2][search.order // 2] = search.centre
        self._mode, self._numbers = "", 0

    def take(self, step: Step) -> None:
        """Put the cell of a step, if it has one, where it belongs."""
        if step.kind == "square" and isinstance(step.item, int):
            place = step.about[0] - 1
            self._put(3, place // 3, place % 3, step.item)
            self._done = 3
        elif isinstance(step.item, str) and step.kind in ("ring", "rows", "decide"):
            self._turn(step.item)
        elif isinstance(step.item, int) and (
            step.kind == "rows" or (self._mode == "Ring" and step.kind == "ring")
        ):
            self._number(step.item)

    def _turn(self, word: str) -> None:
        """Begin what a word begins."""
        if word == "Again":
            self._clear()
        if word in ("Again", "Ring", "Top", "Left", "Free", "All", "!"):
            self._mode, self._numbers = word, 0

    def _number(self, number: int) -> None:
        size, at = self._done + 2, self._numbers
        self._numbers += 1
        last = size - 1
        if self._mode == "Ring" and at < 4:
            row, column = ((0, 0), (last, last), (last, 0), (0, last))[at]
            self._put(size, row, column, number)
        elif self._mode == "Top" and at < size:
            self._put(size, 0, at, number)
        elif self._mode == "Left" and at < size - 2:
            self._put(size, at + 1, 0, number)
        elif self._mode == "!" and at < size * size:
            self._put(size, at // size, at % size, number)
            if at == size * size - 1:
                self._done = size

    def _put(self, size: int, row: int, column: int, number: int) -> None:
        before = (self._order - size) // 2
        self.cells[before + row][before + column] = number

    def _clear(self) -> None:
        """Empty the ring that is being tried."""
        size = self._done + 2
        before = (self._order - size) // 2
        for at in range(before, before + size):
            for row, column in ((before, at), (before + size - 1, at), (at, before), (at, before + size - 1)):
                self.cells[row][column] = None
