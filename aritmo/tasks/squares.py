"""Prime magic squares, listed the way in which the report's team gave them to its model."""

import re
from functools import lru_cache
from math import isqrt
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.randomness import SPLITS, Split, digest, split_of
from aritmo.numbers.search import list_order3
from aritmo.numbers.squares import check_square, key, line_sums
from aritmo.tasks.task import TaskOptions, Verdict

MAX_ORDER = 1001
_PROMPT = re.compile(r"\s*Matrix ([1-9][0-9]{0,17})\s*")
_HEADS = ("Rows", "Columns", "Diagonals")
_SLOTS = {"train": range(8), "validation": range(8, 9), "test": range(9, 10)}
_TURNS = np.array(
    [
        np.rot90(base, quarter).ravel()
        for base in (np.arange(9).reshape(3, 3), np.arange(9).reshape(3, 3).T)
        for quarter in range(4)
    ]
)
"""The 8 rotations and reflections of a square of order 3, as (8, 9) places of its cells."""
_TURNED = [(turn[0], itemgetter(*turn)) for turn in _TURNS.tolist()]
"""The same as the corner that comes first and a picker of all cells."""


class Square(NamedTuple):
    """A numbered square, cells row by row. A problem read from a prompt holds the number alone."""

    number: int
    cells: tuple[int, ...] = ()

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
    name = "squares"
    version = 1
    styles: tuple[str, ...] = ("listing",)
    words: tuple[str, ...] = ("Matrix", *_HEADS)
    fields: tuple[str, ...] = ("order", "below")
    repeats = False

    def problems(self, split: Split, seed: int, start: int, stop: int, options: TaskOptions) -> list[Square]:
        """List every class of squares once in a seeded order, in a seeded orientation; then each in its next
        orientation, and so on: 8 squares a class, none twice."""
        if options.order != 3:
            raise ValueError(
                f"order: got {options.order}, corpora are built for order 3 so far; use 3, or --from FILE"
            )
        pool, turns = _pool(options.below, split, seed)
        indices = np.arange(start, min(stop, 8 * len(pool)))
        again, which = np.divmod(indices, max(len(pool), 1))
        cells = np.take_along_axis(pool[which], _TURNS[(turns[which] + again) % 8], axis=1)
        numbers = [numbered(split, index) for index in indices.tolist()]
        return list(map(Square, numbers, map(tuple, cells.tolist())))

    def family(self, problem: Square) -> str:
        """Return the centre (odd order) or the pair sum (even order: twice the mean cell)."""
        n, cells = problem.order, problem.cells
        if n % 2:
            return str(cells[len(cells) // 2])
        whole, rest = divmod(2 * sum(cells), n * n)
        return f"{whole}" if not rest else f"{2 * sum(cells)}/{n * n}"

    def key(self, problem: Square) -> str:
        """Return K1: the least of the 8 rotations and reflections, so that each is the same square."""
        if problem.order == 3:
            cells = problem.cells
            least = min(cells[0], cells[2], cells[6], cells[8])
            return " ".join(map(str, min(turn(cells) for corner, turn in _TURNED if cells[corner] == least)))
        return key(problem.array)

    def prompt(self, problem: Square, style: str) -> str:
        return f"Matrix {problem.number}\n"

    def completion(self, problem: Square, style: str) -> str:
        n, cells = problem.order, problem.cells
        rows = [sum(cells[i : i + n]) for i in range(0, n * n, n)]
        columns = [sum(cells[i::n]) for i in range(n)]
        diagonals = sum(cells[:: n + 1]), sum(cells[n - 1 : n * n - 1 : n - 1])
        return _form(n) % (*cells, *rows, *columns, *diagonals)

    def read_prompt(self, prompt: str, style: str) -> Square:
        match = _PROMPT.fullmatch(prompt)
        if not match:
            raise ValueError(f"no numbered matrix in {prompt[:60]!r}: ask «Matrix 5001»")
        return Square(int(match[1]))

    def judge(self, problem: Square, completion: str, style: str) -> Verdict:
        """Judge whatever square was written: a prompt asks for one, not for which."""
        lines = [line.strip() for line in completion.split("\n") if line.strip()]
        try:
            cells, rest = read_rows(lines)
        except ValueError as error:
            return Verdict(False, None, (f"unreadable: {error}",))
        check = check_square(cells)
        wrong, missing = _judge_claims(cells, rest)
        reasons = (*check.defects, *wrong, *missing)
        details = {
            "order": check.order,
            "cells": cells.size,
            "primes": check.primes,
            "sums_equal": check.magic_sum is not None,
            "distinct": not any(defect.startswith("repeated") for defect in check.defects),
            "square_valid": check.valid,
            "wrong_claims": len(wrong),
            "key": key(cells),
        }
        return Verdict(not reasons, cells.tolist(), reasons, details)


def numbered(split: Split, index: int) -> int:
    """Return the number of an item in the whole collection: of each ten, eight train, one validation, one test.

    Which ones rotates from ten to ten, so that no last digit belongs to one split.
    """
    slots = _SLOTS[split]
    block, within = divmod(index, len(slots))
    return 10 * block + (slots[within] + block) % 10 + 1


@lru_cache(maxsize=8)
def _form(n: int) -> str:
    """Return the listing of a square of order ``n`` with ``%d`` for each cell and each sum."""
    row = " ".join(["%d"] * n)
    return "\n".join([*[row] * n, f"Rows: {row}", f"Columns: {row}", "Diagonals: %d %d"])


_classes = lru_cache(maxsize=1)(list_order3)


@lru_cache(maxsize=3)
def _pool(below: int, split: Split, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the classes of order 3 whose centre is in the split as (N, 9), in seeded order, and the first
    turn of each. They stay arrays: a million tuples would be walked by each garbage collection.
    """
    assert split in SPLITS
    classes = _classes(below)
    centres, where = np.unique(classes[:, 4], return_inverse=True)
    mine = np.array([split_of(Squares.name, str(centre)) == split for centre in centres.tolist()], dtype=bool)
    squares = classes[mine[where]]
    name = f"{Squares.name}:{Squares.version}:{split}:{seed}"
    ranks = [digest(name, index) for index in range(len(squares))]
    order = np.array(sorted(range(len(squares)), key=ranks.__getitem__), dtype=np.int64)
    turns = np.array([rank[-1] % 8 for rank in ranks], dtype=np.int64)
    return squares[order], turns[order]


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 15):
        raise ValueError(f"{word[:30]!r} is no number of 1 to 15 digits")
    return int(word)


def read_rows(lines: list[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Return the (n, n) square that the first lines write, and the lines after it.

    Raises ValueError where they write none of order 3 to MAX_ORDER.
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
    return np.array(rows, dtype=np.int64), lines[len(rows) :]


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
