"""What the page shows, as HTML in which everything that a model or a person wrote is only text.

Jinja escapes every value; then the signs are taken away by which gradio's templates would read the result again
(``${...}``, ``{{...}}``). What a terminal may obey is written as an escape.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from aritmo.numbers.primes import are_prime
from aritmo.numbers.squares import Cells, SquareCheck, common_sum, line_sums
from aritmo.play.words import said
from aritmo.screen import printable
from aritmo.tasks.following import Followed, Mark

Words = dict[str, str]
Cell = tuple[str, str]
"""A text and its class."""

_AT_SCHOOL = 20
"""Digits up to which a sum is shown in columns, as at school."""
_GROUP = 10
"""Digits of a longer number that stand together."""
_TRAIL = 9
"""Lines of a search that are seen while it goes on."""
_ITEMS = 110
"""Numbers and signs of those lines at most."""
_WHOLE = 400
"""Lines of a search that can be looked at afterwards."""
_DRAWN = 31
"""The largest order that is drawn."""
_SHOWN = 12
"""Squares of a text that are shown."""
_DEFECTS = 12
"""Defects of one square that are listed."""
_SIGNS = frozenset({"*", ".", "+", "~", "!", "/", "Twice", "All", "Free", "Ring", "Top", "Left", "Again", "used"})
_TEMPLATES = {ord(sign): f"&#{ord(sign)};" for sign in "{}$`"}
_ENDS = {False: "open", True: "good"}


def _text(value: Any) -> Any:
    """Return a value as it is put into the page: text without what a terminal would obey."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(map(printable, value.split("\n")))
    return value


_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    finalize=_text,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["signs"] = _SIGNS
_module: Any = _environment.get_template("views.html.j2").module


def show(name: str, *values: Any, **named: Any) -> Markup:
    """Return a part of the page by its name in the template, safe to be put into it."""
    shown = str(getattr(_module, name)(*values, **named)).translate(_TEMPLATES)
    return Markup(shown)


def note(text: str) -> Markup:
    return show("note", text)


def refused(text: str) -> Markup:
    return show("refused", text)


class Moment(NamedTuple):
    """A text as far as it has come: whether it has ended, its time was up, and when its first piece came (s)."""

    text: str
    finished: bool
    late: bool
    first: float


def head(w: Words, moment: Moment, record: dict[str, Any] | None, right: str, *facts: str) -> Markup:
    """Return the line on top: writing, right or wrong, facts, reasons. ``right`` names what holds so far."""
    facts = (*facts, f"{w['first_after']} {_seconds(w, moment.first)} {w['seconds']}")
    if record is None:
        return show(
            "verdict",
            w,
            "bad" if moment.late else "writing",
            "wrong" if moment.late else right,
            facts,
            late=moment.late,
        )
    verdict = record["verdict"]
    state, name = ("good", "right") if verdict["valid"] else ("bad", "wrong")
    reasons = [said(reason, w["code"]) for reason in verdict["reasons"][:_DEFECTS]]
    return show("verdict", w, state, name, facts, reasons)


def _seconds(w: Words, seconds: float) -> str:
    return f"{seconds:.2f}".replace(".", "," if w["code"] == "es" else ".")


def sum_by_steps(
    w: Words, a: int, b: int, moment: Moment, marks: Sequence[Mark], totals: Sequence[int], record: Any
) -> Markup:
    """Return a sum that is written out: its columns, and its steps in blocks, each line with its mark."""
    good, judged = sum(mark.right is True for mark in marks), sum(mark.right is not None for mark in marks)
    fine = "all_right" if good == judged else "wrong"
    fact = f"{good:,} {w['of']} {judged:,} {w['lines_right']}"
    digits = [Mark(str(total % 10), True) for total in totals]
    carries = [total // 10 for total in totals]
    rows = _columns(a, b, _checked(digits, a + b), carries)
    return show("sum", w, head(w, moment, record, fine, fact), rows, [], _blocks(marks))


def sum_at_once(w: Words, a: int, b: int, moment: Moment, marks: Sequence[Mark], record: Any) -> Markup:
    """Return a sum whose answer is written lowest digit first."""
    good = sum(mark.right is True for mark in marks)
    fine = "all_right" if good == len(marks) else "wrong"
    fact = f"{good:,} {w['of']} {len(marks):,} {w['digits_right']}"
    top = head(w, moment, record, fine, fact)
    if max(a, b) < 10**_AT_SCHOOL:
        return show("sum", w, top, _columns(a, b, marks, []), [], [])
    answer = [(mark.text, "good" if mark.right else "bad") for mark in reversed(marks)]
    missing = max(0, len(str(a + b)) - len(marks))
    rows = [("", _groups([(c, "") for c in str(a)])), ("+", _groups([(c, "") for c in str(b)]))]
    rows.append(("=", _groups([*([("·", "faint")] * missing), *answer])))
    return show("sum", w, top, [], rows, [])


def plain_text(w: Words, moment: Moment, marks: Sequence[Mark], record: Any) -> Markup:
    """Return a text in a style of which only the lines are known."""
    return show("sum", w, head(w, moment, record, ""), [], [], [(None, marks)])


def listed(w: Words, moment: Moment, record: Any) -> Markup:
    """Return a square that is written down without a search."""
    rows = drawn(record["answer"]) if record is not None and record["answer"] else []
    lines = [[Mark(line, None)] for line in moment.text.split("\n") if line.strip()]
    return show("square", w, head(w, moment, record, ""), rows, lines, [])


def _checked(marks: Sequence[Mark], total: int) -> list[Mark]:
    right = str(total)[::-1].ljust(len(marks), "?")
    return [Mark(mark.text, mark.text == digit) for mark, digit in zip(marks, right, strict=False)]


def _columns(a: int, b: int, marks: Sequence[Mark], carries: Sequence[int]) -> list[tuple[str, list[Cell]]]:
    """Return the rows of a sum as at school: carries, the two numbers, the result as far as it has come."""
    width = max(len(str(a + b)), len(marks)) + 1

    def row(cells: list[Cell]) -> list[Cell]:
        return [*([("", "")] * (width - len(cells))), *cells]

    written = [(mark.text, "good" if mark.right else "bad") for mark in reversed(marks)]
    over = [(str(carry) if carry else "", "") for carry in reversed(carries[: width - 1])]
    numbers = [[(digit, "") for digit in str(n)] for n in (a, b)]
    second = row(numbers[1])
    second[0] = ("+", "plus")
    shown = [("carry", row([*over, ("", "")]))] if carries else []
    return [*shown, ("", row(numbers[0])), ("", second), ("result", row(written))]


def _groups(cells: list[Cell]) -> list[Cell]:
    """Return digits in groups counted from the right, each group in runs of one class."""
    first = len(cells) % _GROUP
    cuts = [cells[:first]] if first else []
    cuts += [cells[at : at + _GROUP] for at in range(first, len(cells), _GROUP)]
    runs: list[Cell] = []
    for cut in cuts:
        classes = {kind for _, kind in cut}
        if len(classes) == 1:
            runs.append(("".join(text for text, _ in cut), classes.pop()))
        else:
            runs += [
                ("".join(text for text, _ in run), kind) for kind, run in groupby(cut, key=lambda cell: cell[1])
            ]
    return runs


def _blocks(marks: Sequence[Mark]) -> list[tuple[Mark | None, list[Mark]]]:
    """Return the lines of a tutorial under their headings, STEP and RESULT."""
    blocks: list[tuple[Mark | None, list[Mark]]] = []
    for mark in marks:
        if mark.text.startswith(("STEP", "RESULT")):
            blocks.append((mark, []))
        else:
            if not blocks:
                blocks.append((None, []))
            blocks[-1][1].append(mark)
    return blocks


def search(w: Words, moment: Moment, followed: Followed, record: Any, order: int) -> Markup:
    """Return a search: the square as far as it is filled, the last lines, and at the end all of them."""
    steps = sum(map(len, followed.lines))
    counted = f"{steps:,} {w['step_one' if steps == 1 else 'steps_written']}"
    fine = "all_right" if followed.right == steps else "wrong"
    if record is not None and record["answer"]:
        rows = drawn(record["answer"])
    else:
        cells: Sequence[Sequence[int | None]] = followed.cells or [[None] * order] * order
        rows = [[("", "empty") if cell is None else (str(cell), "filled") for cell in row] for row in cells]
    over = record is not None or moment.late
    trail = _trail(followed.lines)
    whole = followed.lines[:_WHOLE] if over and trail != followed.lines else []
    top = head(w, moment, record, fine, f"{w['order']} {order}", counted)
    return show("square", w, top, rows, trail, whole)


def _trail(lines: list[list[Mark]]) -> list[list[Mark]]:
    """Return the end of a search, as much of it as can be seen at once."""
    room, seen = _ITEMS, []
    for line in lines[: -_TRAIL - 1 : -1]:
        if len(line) > room:
            seen.append([Mark("…", None), *line[len(line) - room :]])
            break
        room -= len(line)
        seen.append(line)
    return seen[::-1]


def drawn(rows: Sequence[Sequence[int]]) -> list[list[Cell]]:
    """Return the cells of a whole square with what is wrong in them, and the sums of its lines around it."""
    import numpy as np

    cells: Cells = np.array(rows, dtype=np.int64)
    prime = are_prime(cells)
    by_row, by_column, diagonals = line_sums(cells)
    common = common_sum([*by_row.tolist(), *by_column.tolist(), *diagonals.tolist()])
    seen: dict[int, int] = {}
    for cell in cells.ravel().tolist():
        seen[cell] = seen.get(cell, 0) + 1

    def total(value: int) -> Cell:
        return str(value), "sum" if value == common else "sum off"

    shown = []
    for row, primes, value in zip(cells.tolist(), prime.tolist(), by_row.tolist(), strict=True):
        kinds = [
            "filled" + (" bad" if not is_so else "") + (" twice" if seen[cell] > 1 else "")
            for cell, is_so in zip(row, primes, strict=True)
        ]
        shown.append([*((str(cell), kind) for cell, kind in zip(row, kinds, strict=True)), total(value)])
    main, other = diagonals.tolist()
    below = [total(value) for value in by_column.tolist()]
    shown.append([*below, total(main)])
    shown[-1][-1] = (str(main), total(main)[1] + " corner")
    if {main, other} != {common}:
        shown[-1][-1] = (f"{main} ↘ {other} ↗", "sum off corner")
    return shown


def judged(w: Words, squares: Sequence[tuple[Cells, SquareCheck]], why: Sequence[str]) -> Markup:
    """Return the verdict on squares that were pasted, each defect with its place, and why the rest is none."""
    shown = []
    for cells, check in squares[:_SHOWN]:
        facts = [f"{w['order']} {check.order}"]
        facts.append(w["no_sum"] if check.magic_sum is None else f"{w['magic_sum']} {check.magic_sum}")
        if check.nested_down_to is not None and check.nested_down_to < check.order:
            facts.append(f"{w['nested_to']} {check.nested_down_to}")
        count = len(check.defects)
        if count:
            facts.append(w["defects_one"] if count == 1 else w["defects"].format(n=f"{count:,}"))
        top = show("verdict", w, "good" if check.valid else "bad", "valid" if check.valid else "invalid", facts)
        defects = [said(defect, w["code"]) for defect in check.defects[:_DEFECTS]]
        if count > _DEFECTS:
            defects.append(w["more"].format(n=f"{count - _DEFECTS:,}"))
        small = check.order <= _DRAWN
        shown.append((top, drawn(cells.tolist()) if small else [], defects, "" if small else w["too_large"]))
    valid = sum(check.valid for _, check in squares)
    total = w["squares_valid"].format(n=f"{valid:,}", m=f"{len(squares):,}") if len(squares) > 1 else ""
    after = [said(sentence, w["code"]) for sentence in why]
    if len(squares) > _SHOWN:
        after.append(w["too_many"].format(n=_SHOWN))
    return show("judged", w, total, shown, after)
