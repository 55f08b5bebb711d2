"""Prime magic squares: listed as the report's team gave them to its model, or searched step by step."""

import re
from collections.abc import Sequence
from functools import lru_cache
from math import isqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.keys import cells_below
from aritmo.numbers.randomness import Split
from aritmo.numbers.squares import SquareCheck, check_square, key, line_sums
from aritmo.tasks import squares_tutorial as tutorial
from aritmo.tasks.squares_centres import centres_of
from aritmo.tasks.squares_nested import ENOUGH
from aritmo.tasks.squares_pool import NAME, VERSION, squares_between, turned
from aritmo.tasks.squares_search import LIMIT, Search, search_for
from aritmo.tasks.task import Ask, TaskOptions, Verdict

MAX_ORDER = 1001
_SMALL = 31
"""Up to this order, keys are made without an array, which takes a fifth of the time."""
_NUMBER = "[1-9][0-9]{0,17}"
_PROMPTS = [
    re.compile(rf"\s*{text.replace('N', _NUMBER)}\s*")
    for text in (
        "Matrix (?P<number>N)",
        "Matrix(?: of order (?P<order>N))? with centre (?P<centre>N)",
        "Matrix(?: of order (?P<order>N))? with sum (?P<magic_sum>N)",
        "Any matrix(?: of order (?P<order>N))?",
    )
]
_HEADS = ("Rows", "Columns", "Diagonals")
_SLOTS = {"train": range(8), "validation": range(8, 9), "test": range(9, 10)}


class Wanted(NamedTuple):
    """What a prompt asks for by its properties. None leaves a thing open.

    In the style ``tutorial`` the search for a centre may begin at ``start`` and pass over ``skip`` squares.
    """

    order: int | None = None
    centre: int | None = None
    magic_sum: int | None = None
    start: int = 0
    skip: int = 0


class Square(NamedTuple):
    """A square, cells row by row, and how it is asked for: by its number, or by what is ``wanted``.

    A problem read from a prompt holds no cells, and the number 0 where the prompt gives none.
    """

    number: int
    cells: tuple[int, ...] = ()
    wanted: Wanted | None = None

    @property
    def order(self) -> int:
        return isqrt(len(self.cells))

    @property
    def rows(self) -> list[tuple[int, ...]]:
        n = self.order
        return [self.cells[i : i + n] for i in range(0, n * n, n)]

    @property
    def array(self) -> NDArray[np.int64]:
        return np.array(self.rows, dtype=np.int64)


class Squares:
    name = NAME
    version = VERSION
    styles: tuple[str, ...] = ("listing", "tutorial")
    words: tuple[str, ...] = ("Matrix", *_HEADS)
    fields: tuple[str, ...] = ("order", "below", "ask")
    repeats = False

    def problems(self, split: Split, seed: int, start: int, stop: int, options: TaskOptions) -> list[Square]:
        """Draw squares of each order in turn (``squares_between``), asked for in each way in turn.

        Order 3 alone ends where all its squares have come. What else is drawn may repeat, and so do prompts
        that ask for more than a number: many squares have one centre, one sum or one order. Raises ValueError
        where an order has no square below the bound. ``centres`` asks for each centre that the search knows.
        """
        if options.centres is not None:
            order = None if options.centres == 3 else options.centres
            centres = centres_of(options.centres, split)[start:stop]
            return [Square(0, wanted=Wanted(order, centre)) for centre in centres]
        mixed = len(options.order) > 1
        orders = [
            order
            for order in options.order
            if not mixed or len(squares_between(order, options.below, split, seed, 0, 1))
        ]
        rows = []
        for turn, order in enumerate(orders):
            first, last = (-(-(end - turn) // len(orders)) for end in (start, stop))
            drawn = squares_between(order, options.below, split, seed, first, last, again=mixed)
            rows.append(iter(drawn.tolist()))
        problems = []
        for index in range(start, stop) if orders else ():
            row = next(rows[index % len(orders)], None)
            if row is None:
                break
            cells = tuple(row)
            ask = options.ask[index // len(orders) % len(options.ask)]
            problems.append(Square(numbered(split, index), cells, _wanted(ask, cells, options.order)))
        return problems

    def family(self, problem: Square) -> str:
        """Return the centre (odd order) or the pair sum (even order: twice the mean cell)."""
        n, cells = problem.order, problem.cells
        if n % 2:
            return str(cells[len(cells) // 2])
        whole, rest = divmod(2 * sum(cells), n * n)
        return f"{whole}" if not rest else f"{2 * sum(cells)}/{n * n}"

    def key(self, problem: Square) -> str:
        """Return K1: the least of the 8 rotations and reflections, so that each is the same square."""
        n, cells = problem.order, problem.cells
        if not 3 <= n <= _SMALL:
            return key(problem.array)
        least = min(cells[0], cells[n - 1], cells[-n], cells[-1])
        return " ".join(map(str, min(turn(cells) for corner, turn in turned(n) if cells[corner] == least)))

    def prompt(self, problem: Square, style: str) -> str:
        """Return what asks for a square. A tutorial's number is where the search for just that square begins.

        Raises ValueError for a tutorial of a square that it cannot search for.
        """
        if style == "tutorial":
            return tutorial.prompt(_asked_search(problem))
        if problem.wanted is None:
            return f"Matrix {problem.number}\n"
        order, centre, magic_sum, *_ = problem.wanted
        of_order = "" if order is None else f" of order {order}"
        if centre is not None:
            return f"Matrix{of_order} with centre {centre}\n"
        return f"Any matrix{of_order}\n" if magic_sum is None else f"Matrix{of_order} with sum {magic_sum}\n"

    def completion(self, problem: Square, style: str) -> str:
        """Return the listing or the search; raises ValueError as ``prompt`` does."""
        if style == "tutorial":
            asked = _asked_search(problem)
            return tutorial.completion(asked or search_for(problem.cells), named=asked is not None)
        n, cells = problem.order, problem.cells
        rows = [sum(cells[i : i + n]) for i in range(0, n * n, n)]
        columns = [sum(cells[i::n]) for i in range(n)]
        diagonals = sum(cells[:: n + 1]), sum(cells[n - 1 : n * n - 1 : n - 1])
        return form(n) % (*cells, *rows, *columns, *diagonals)

    def foreseen(self, problem: Square, style: str, text: str) -> str | None:
        """Return the one right completion that begins with ``text``, None where several would be right."""
        return tutorial.foreseen(_asked_search(problem), text) if style == "tutorial" else None

    def read_prompt(self, prompt: str, style: str) -> Square:
        if style == "tutorial":
            search = tutorial.read_prompt(prompt)
            return Square(0, wanted=Wanted() if search is None else _wanted_by(search))
        for pattern in _PROMPTS:
            if match := pattern.fullmatch(prompt):
                asked = {name: int(number) for name, number in match.groupdict().items() if number}
                if "number" in asked:
                    return Square(asked["number"])
                return Square(0, wanted=Wanted(**asked))
        raise ValueError(
            f"no numbered matrix in {prompt[:60]!r}, and none asked for by order, centre or sum: "
            f"ask «Matrix 5001», «Matrix with centre 1607», «Matrix of order 5 with sum 8035» or "
            f"«Any matrix of order 5»"
        )

    def judge(self, problem: Square, completion: str, style: str) -> Verdict:
        """Judge whatever square was written: a number may stand for any, but an order, centre or sum must hold."""
        if style == "tutorial":
            return _judge_tutorial(problem, completion)
        lines = [line.strip() for line in completion.split("\n") if line.strip()]
        try:
            cells, rest = read_rows(lines)
        except ValueError as error:
            return Verdict(False, None, (f"unreadable: {error}",))
        wrong, missing = _judge_claims(cells, rest)
        return _verdict(problem.wanted, cells, [*wrong, *missing], len(wrong))


def _verdict(
    wanted: Wanted | None, cells: NDArray[np.int64], amiss: list[str], wrong_claims: int, nested: bool = False
) -> Verdict:
    """Return the verdict on a square that was written, with what is amiss in the text around it."""
    check = check_square(cells, nested)
    unasked = _judge_wanted(wanted, check) if wanted else []
    reasons = (*unasked, *check.defects, *amiss)
    details = {
        "order": check.order,
        "cells": cells.size,
        "primes": check.primes,
        "sums_equal": check.magic_sum is not None,
        "distinct": not any(defect.startswith("repeated") for defect in check.defects),
        "square_valid": check.valid,
        "wrong_claims": wrong_claims,
        "key": key(cells),
    }
    if wanted:
        details["as_asked"] = not unasked
    return Verdict(not reasons, cells.tolist(), reasons, details)


def _judge_tutorial(problem: Square, completion: str) -> Verdict:
    """Judge the square at the end, whatever the steps, and the first step that is wrong."""
    asked = _asked_search(problem)
    reading = tutorial.read(asked, completion)
    amiss = [f"first wrong step: {reading.first_wrong}"] if reading.first_wrong else []
    if reading.cells is None:
        verdict = Verdict(False, None, ("unreadable: the text ends in no square of 3, 5 or 7 rows", *amiss))
    else:
        wanted = Wanted(order=3) if asked is None else _wanted_by(asked)
        nested = len(reading.cells) > 3
        verdict = _verdict(wanted, np.array(reading.cells, dtype=np.int64), amiss, len(amiss), nested)
    verdict.details["first_wrong"] = reading.first_wrong
    return verdict


def _asked_search(problem: Square) -> Search | None:
    """Return the search that a tutorial's prompt names, None where it asks for any square."""
    cells, wanted = problem.cells, problem.wanted
    if cells and (problem.order != 3 or max(cells) >= LIMIT or not check_square(problem.array).valid):
        raise ValueError(
            f"style tutorial searches for prime magic squares of order 3 with cells below {LIMIT:,}, not for "
            f"{' '.join(map(str, cells[:9]))}{' ...' if len(cells) > 9 else ''}: leave it out, or choose listing"
        )
    if wanted is None:
        return search_for(cells) if cells else None
    order = wanted.order or 3
    if wanted.magic_sum is not None or not (order == 3 or (order in ENOUGH and wanted.centre is not None)):
        raise ValueError(
            "style tutorial asks for order 3 by number, centre or any, and for orders 5 and 7 by centre: "
            "do so, or choose listing"
        )
    return Search(wanted.centre, wanted.start, wanted.skip, order) if wanted.centre is not None else None


def _wanted_by(search: Search) -> Wanted:
    return Wanted(search.order, search.centre, start=search.start, skip=search.skip)


def numbered(split: Split, index: int) -> int:
    """Return the number of an item in the whole collection: of each ten, eight train, one validation, one test.

    Which ones rotates from ten to ten, so that no last digit belongs to one split.
    """
    slots = _SLOTS[split]
    block, within = divmod(index, len(slots))
    return 10 * block + (slots[within] + block) % 10 + 1


@lru_cache(maxsize=8)
def form(n: int) -> str:
    """Return the listing of a square of order ``n`` with ``%d`` for each cell and each sum."""
    row = " ".join(["%d"] * n)
    return "\n".join([*[row] * n, f"Rows: {row}", f"Columns: {row}", "Diagonals: %d %d"])


def _wanted(ask: Ask, cells: tuple[int, ...], orders: Sequence[int]) -> Wanted | None:
    """Return what a prompt asks of the square with these cells. Order 3 is named where there are others too."""
    n = isqrt(len(cells))
    named = None if tuple(orders) == (3,) else n
    if ask == "centre":
        return Wanted(named, centre=cells[len(cells) // 2])
    if ask == "sum":
        return Wanted(named, magic_sum=sum(cells[:n]))
    return Wanted(n) if ask == "any" else None


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 15) or (word[0] == "0" and word != "0"):
        raise ValueError(f"{word[:30]!r} is no number of 1 to 15 digits without a 0 in front")
    return int(word)


def read_rows(lines: list[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Return the (n, n) square that the first lines write, and the lines after it.

    Raises ValueError where they write none of order 3 to MAX_ORDER, or one too large to have keys.
    """
    rows: list[list[int]] = []
    for line in lines:
        if not line[0].isdigit() or len(rows) == MAX_ORDER:
            break
        rows.append([_number(word) for word in line.split()])
    if len(rows) < 3 or any(len(row) != len(rows) for row in rows):
        raise ValueError(
            f"{len(rows)} rows of {', '.join(str(len(row)) for row in rows[:5]) or 'no'} numbers are no square"
        )
    bound = cells_below(len(rows))
    if largest := next((cell for row in rows for cell in row if cell >= bound), None):
        raise ValueError(f"{largest} is too large for a square of order {len(rows)}: cells are below {bound}")
    return np.array(rows, dtype=np.int64), lines[len(rows) :]


def _judge_wanted(wanted: Wanted, check: SquareCheck) -> list[str]:
    """Return a reason for each thing asked for that the square is not."""
    amiss = []
    if wanted.order is not None and check.order != wanted.order:
        amiss.append(f"order: the square has {check.order}, {wanted.order} was asked for")
    if wanted.centre is not None and check.centre != wanted.centre:
        amiss.append(f"centre: the square has {check.centre or 'none'}, {wanted.centre} was asked for")
    if wanted.magic_sum is not None and check.magic_sum != wanted.magic_sum:
        amiss.append(f"magic sum: the square has {check.magic_sum or 'none'}, {wanted.magic_sum} was asked for")
    return amiss


def _judge_claims(cells: NDArray[np.int64], lines: list[str]) -> tuple[list[str], list[str]]:
    """Return a reason for each claimed sum that is wrong, and for each that is missing or out of place."""
    wrong: list[str] = []
    missing: list[str] = []
    for head, true, line in zip(_HEADS, line_sums(cells), [*lines[:3], "", "", ""], strict=False):
        name, _, claims = line.partition(":")
        words = claims.split()
        if name.strip() != head or len(words) != len(true):
            missing.append(f"missing sums: no line with the {len(true)} sums of the {head.lower()}")
            continue
        for place, (word, total) in enumerate(zip(words, true.tolist(), strict=True), 1):
            if word != str(total):
                wrong.append(
                    f"wrong claim: {head[:-1].lower()} {place} adds to {total}, the text says {word[:30]!r}"
                )
    if len(lines) > 3:
        missing.append(f"extra text: {lines[3][:60]!r} after the sums")
    return wrong, missing
