"""Which squares the page draws, and what is marked in each."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aritmo.numbers.primes import is_prime

Rows = Sequence[Sequence[int]]

GROUPS = {
    "valid": "Valid and not copied",
    "copied": "Copied from training, as written or turned",
    "near copy": "Near copies, not valid",
    "invented": "Invented, not valid",
    "not compared": "Not compared with training, not valid",
}
MAX_ORDER = 15
"""Larger squares are counted, not drawn."""

_TOLD = {"composite": "not prime", "repeated": "repeated", "changed": "beside it"}
_MOST_CELLS = 4_000
_HEADS = ("Rows", "Columns", "Diagonals")


@dataclass(frozen=True, slots=True)
class Cell:
    """A number of a square. ``marks`` are names of CSS classes: composite, repeated, changed.

    ``beside`` is the number that stands there in the other square of a pair, where it is another.
    """

    value: int
    marks: str
    beside: int | None = None

    @property
    def told(self) -> str:
        """What the marks say, for those who do not see them."""
        said = [word for mark, word in _TOLD.items() if mark in self.marks.split()]
        return ", ".join(said) + (f" {self.beside}" if self.beside is not None else "")


@dataclass(frozen=True, slots=True)
class Margin:
    """The sum of one line. ``wrong`` says that it is not the sum of most lines; ``claim`` is a false one."""

    total: int
    wrong: bool
    claim: str | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """A square with its sums: of each row, of each column, and of the falling and the rising diagonal."""

    rows: list[tuple[list[Cell], Margin]]
    columns: list[Margin]
    falling: Margin
    rising: Margin


@dataclass(frozen=True, slots=True)
class Card:
    """One square as written, beside the training example that it repeats, if it does."""

    title: str
    valid: bool
    grid: Grid
    twin: Grid | None = None
    twin_number: int | None = None
    changed: int = 0
    how: str = ""


@dataclass(slots=True)
class Group:
    """Squares of one kind: its name in the page's filter, the cards drawn and how many there are in all."""

    kind: str
    name: str
    cards: list[Card] = field(default_factory=list)
    total: int = 0
    cells: int = 0

    @property
    def pairs(self) -> bool:
        """Whether squares stand beside their training examples."""
        return any(card.twin for card in self.cards)

    @property
    def width(self) -> float:
        """The width of the widest card in rem: the columns of a square and its margin, twice for a pair."""
        widths = [(len(card.grid.rows) + 1.3) * (2 if card.twin else 1) for card in self.cards]
        return round(3 * max(widths, default=1), 1)


@dataclass(frozen=True, slots=True)
class Gallery:
    groups: list[Group]
    unread: int
    unread_texts: list[str]


def gallery(verdicts: Iterable[dict[str, Any]], shown: int) -> Gallery:
    """Sort the verdicts of a squares experiment into groups and draw the first ``shown`` of each.

    «valid» holds what is valid and not copied, «copied» every copy, the others what is left. A group
    stops early where its squares are so large that the page would be.
    """
    groups = {name: Group(name.replace(" ", "-"), label) for name, label in GROUPS.items()}
    unread = 0
    texts: list[str] = []
    for verdict in verdicts:
        rows = verdict.get("answer")
        if not rows:
            unread += 1
            if len(texts) < 3:
                texts.append(str(verdict.get("text", "")))
            continue
        origin = verdict.get("origin") or "not compared"
        group = groups["valid" if verdict["valid"] and origin != "copied" else origin]
        group.total += 1
        size = len(rows) ** 2 * (2 if _repeats(verdict) else 1)
        if len(group.cards) < shown and len(rows) <= MAX_ORDER and group.cells + size <= _MOST_CELLS:
            group.cards.append(card(verdict))
            group.cells += size
    return Gallery([group for group in groups.values() if group.total], unread, texts)


def card(verdict: dict[str, Any]) -> Card:
    """Return how one square is drawn; its verdict must hold an answer."""
    rows = verdict["answer"]
    title = str(verdict.get("prompt", "")).strip()
    claims = claimed_sums(str(verdict.get("text", "")), len(rows))
    if not _repeats(verdict):
        return Card(title, verdict["valid"], grid(rows, claims))
    nearest = verdict["nearest"]
    twin = nearest["cells"]
    return Card(
        title,
        verdict["valid"],
        grid(rows, claims, beside=twin),
        grid(twin, beside=rows),
        nearest["index"],
        nearest.get("changed", 0),
        str(verdict.get("details", {}).get("copied_how", "")),
    )


def _repeats(verdict: dict[str, Any]) -> bool:
    """Say whether a training square is to be drawn beside this one."""
    return verdict.get("origin") in ("copied", "near copy") and bool(verdict.get("nearest"))


def grid(rows: Rows, claims: dict[str, list[str]] | None = None, beside: Rows | None = None) -> Grid:
    """Return a square with its composites, repetitions, sums, and what differs from the square ``beside``."""
    n = len(rows)
    often = Counter(value for row in rows for value in row)
    cells = [
        [
            _cell(value, often[value] > 1, None if beside is None or beside[i][j] == value else beside[i][j])
            for j, value in enumerate(row)
        ]
        for i, row in enumerate(rows)
    ]
    sums = {
        "Rows": [sum(row) for row in rows],
        "Columns": [sum(column) for column in zip(*rows, strict=True)],
        "Diagonals": [sum(rows[i][i] for i in range(n)), sum(rows[i][n - 1 - i] for i in range(n))],
    }
    usual, times = Counter(total for totals in sums.values() for total in totals).most_common(1)[0]
    reference = usual if times > 1 else None
    margins = {head: _margins(sums[head], reference, (claims or {}).get(head)) for head in _HEADS}
    falling, rising = margins["Diagonals"]
    return Grid(list(zip(cells, margins["Rows"], strict=True)), margins["Columns"], falling, rising)


def _cell(value: int, repeated: bool, beside: int | None) -> Cell:
    marks = {"composite": not is_prime(value), "repeated": repeated, "changed": beside is not None}
    return Cell(value, " ".join(name for name, is_so in marks.items() if is_so), beside)


def _margins(totals: list[int], reference: int | None, claims: list[str] | None) -> list[Margin]:
    written = claims or [str(total) for total in totals]
    return [
        Margin(total, total != reference, claim if claim != str(total) else None)
        for total, claim in zip(totals, written, strict=True)
    ]


def claimed_sums(text: str, order: int) -> dict[str, list[str]]:
    """Return the sums that a listing claims, by heading; a line with another count of sums is left out."""
    claims: dict[str, list[str]] = {}
    for line in text.split("\n"):
        head, colon, sums = line.strip().partition(":")
        words = sums.split()
        if colon and head in _HEADS and len(words) == (2 if head == "Diagonals" else order):
            claims.setdefault(head, [word if len(word) < 10 else f"{word[:8]}…" for word in words])
    return claims
