"""The squares that a model was trained on, indexed to find the one nearest to what it wrote.

Two squares of an order are compared cell by cell, in the best of the 8 rotations and reflections. What is looser
than that is asked by key: is there a training square of the same nest, family or pattern?
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.keys import keys_of
from aritmo.numbers.squares import symmetries
from aritmo.tasks.squares import Square, Squares

Origin = Literal["copied", "near copy", "invented"]
Integers = NDArray[np.int64]

_CHUNK = 1 << 22
"""Cells compared at a time."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """A training square near to one that was written.

    ``index`` is the training example's, ``cells`` (order, order) its cells turned to match what was written
    and ``changed`` the cells that differ. ``turned`` says that it had to be rotated or reflected.
    """

    index: int
    cells: Integers
    changed: int
    turned: bool

    def record(self) -> dict[str, Any]:
        """Return index, cells and changed as a verdict file stores them."""
        return {"index": self.index, "cells": self.cells.tolist(), "changed": self.changed}


class Originals:
    """An index of training squares, which finds a copy or near copy of any square without looking at all."""

    def __init__(self, orders: dict[int, "_Order"]) -> None:
        self._orders = orders

    @classmethod
    def from_squares(cls, indices: Sequence[int] | Integers, squares: Iterable[Integers]) -> "Originals":
        """Index squares, (N, n, n) or any iterable of (n, n) of mixed orders; ``indices`` names each."""
        grouped: dict[int, tuple[list[int], list[Integers]]] = {}
        for index, cells in zip(indices, squares, strict=True):
            names, group = grouped.setdefault(len(cells), ([], []))
            names.append(int(index))
            group.append(cells)
        return cls(
            {
                order: _Order(np.array(names), np.array(group, dtype=np.int64))
                for order, (names, group) in grouped.items()
            }
        )

    def nearest(self, rows: Sequence[Sequence[int]]) -> Nearest | None:
        """Return the training square of this order with the fewest differing cells, at most a third, or None.

        Among equals, one that need not be turned comes first, then the lowest index.
        """
        order = self._orders.get(len(rows))
        # No training square holds a number beyond int64, so any number in its place differs too.
        cells = np.array([[cell if 0 <= cell < 2**63 else -1 for cell in row] for row in rows])
        return order.nearest(cells) if order else None

    def unseen(self, rows: Sequence[Sequence[int]]) -> dict[str, bool]:
        """Say of a valid square what of it no training square has.

        ``K2``: the nest, each ring turned by itself and the pairs within it in any order. ``family``: the centre,
        or the pair sum of an even order. ``pattern`` (K5): the core's differences to its least cell, for order 3
        (u, a). Raises ValueError for cells too large for keys.
        """
        cells = np.array([rows], dtype=np.int64)
        order = self._orders.get(len(rows))
        (nest,) = keys_of(cells, "K2").keys
        (pattern,) = keys_of(cells, "K5").keys
        return {
            "K2": order is None or nest not in order.nests,
            "family": _family(cells[0]) not in self._families,
            "pattern": pattern not in self._patterns,
        }

    @cached_property
    def _families(self) -> set[str]:
        return {_family(square) for order in self._orders.values() for square in order.squares}

    @cached_property
    def _patterns(self) -> set[bytes]:
        return {key for order in self._orders.values() for key in keys_of(order.squares, "K5").keys}


def _family(square: Integers) -> str:
    return Squares().family(Square(0, tuple(square.ravel().tolist())))


def origin_of(nearest: Nearest | None) -> Origin:
    """Return what a square is, by the training square nearest to it: copied, near copy or invented."""
    if nearest is None:
        return "invented"
    return "near copy" if nearest.changed else "copied"


class _Order:
    """The squares of one order and, for each place and number, the list of squares that have it there.

    Where at most t cells differ, any t + 1 places hold one that agrees; so the squares in the t + 1
    shortest lists are all that can match.
    """

    def __init__(self, indices: Integers, squares: Integers) -> None:
        assert squares.min() >= 0
        by_index = np.argsort(indices, kind="stable")
        self._indices = indices[by_index]
        self._cells = squares[by_index].reshape(len(squares), -1)
        self._numbers, ranks = np.unique(self._cells, return_inverse=True)
        codes = self._codes(ranks.reshape(self._cells.shape)).ravel()
        order = np.argsort(codes, kind="stable")
        self._sorted = codes[order]
        self._holders = order // self._cells.shape[1]

    @property
    def squares(self) -> Integers:
        """The squares as (N, order, order)."""
        size = isqrt(self._cells.shape[1])
        return self._cells.reshape(-1, size, size)

    @cached_property
    def nests(self) -> set[bytes]:
        """The K2 of every square."""
        return set(keys_of(self.squares, "K2").keys)

    def _codes(self, ranks: Integers) -> Integers:
        """Return one number for each place and number there; ``ranks`` is (..., places)."""
        places = np.arange(ranks.shape[-1], dtype=np.int64)
        return places * len(self._numbers) + ranks

    def nearest(self, cells: Integers) -> Nearest | None:
        turned = symmetries(cells).reshape(8, -1)
        allowed = cells.size // 3
        found = np.searchsorted(self._numbers, turned).clip(max=len(self._numbers) - 1)
        codes = np.where(self._numbers[found] == turned, self._codes(found), -1)
        starts = np.searchsorted(self._sorted, codes, side="left")
        lengths = np.searchsorted(self._sorted, codes, side="right") - starts
        shortest = np.argsort(lengths, axis=1, kind="stable")[:, : allowed + 1]
        starts = np.take_along_axis(starts, shortest, axis=1).ravel()
        lengths = np.take_along_axis(lengths, shortest, axis=1).ravel()
        ways = np.repeat(np.repeat(np.arange(8), allowed + 1), lengths)
        # The positions of all lists, one list after another.
        steps = np.arange(len(ways)) - np.repeat(lengths.cumsum() - lengths, lengths)
        squares = self._holders[np.repeat(starts, lengths) + steps]
        pairs = np.unique(squares * 8 + ways)
        return self._best(cells, turned, pairs // 8, pairs % 8, allowed)

    def _best(
        self, cells: Integers, turned: Integers, squares: Integers, ways: Integers, allowed: int
    ) -> Nearest | None:
        """Return the best of the candidates: pairs of a square and the way in which ``cells`` is turned."""
        if not len(squares):
            return None
        at_once = max(1, _CHUNK // cells.size)
        changed = np.concatenate(
            [
                (self._cells[squares[i : i + at_once]] != turned[ways[i : i + at_once]]).sum(axis=1)
                for i in range(0, len(squares), at_once)
            ]
        )
        upright = (turned[ways] == cells.ravel()).all(axis=1)
        best = np.lexsort((squares, ~upright, changed))[0]
        if changed[best] > allowed:
            return None
        square = self._cells[squares[best]].reshape(cells.shape)
        images = symmetries(square)
        image = images[(images != cells).sum(axis=(1, 2)).argmin()]
        return Nearest(int(self._indices[squares[best]]), image, int(changed[best]), bool((image != square).any()))
