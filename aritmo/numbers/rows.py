"""Squares on their way to a file, compiled: canonical form, fingerprint, whether met before, rows of text."""

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.primes import compiled

Ints = NDArray[np.int64]
Marks = NDArray[np.uint64]

_FIRST = 1 << 17
_GROWTH = 4
"""The first layer is full at so many marks, and each next one at so many times more. Each mark takes 32 bits."""
_LAYERS = 6


def rows(squares: Ints) -> bytes:
    """Return (m, n, n) squares with cells from 0 on as text: of each an empty line, then its aligned rows.

    Without the first empty line this is what ``write_matrices`` writes.
    """
    if squares.size == 0:
        return b""
    widest = len(str(int(squares.max())))
    buffer = np.empty(squares.size * (widest + 1) + len(squares), dtype=np.uint8)
    return buffer[: _write(squares, buffer)].tobytes()


@compiled
def _write(squares: Ints, buffer: NDArray[np.uint8]) -> int:
    """Write the squares into the buffer and return how many bytes that took."""
    at = 0
    for square in squares:
        width, power = 1, 10
        while width < 19 and square.max() >= power:
            width += 1
            power *= 10 if width < 19 else 1
        buffer[at] = 10
        at += 1
        for row in square:
            for cell in row:
                at += width
                rest = cell
                for back in range(1, width + 1):
                    buffer[at - back] = 48 + rest % 10 if rest or back == 1 else 32
                    rest //= 10
                buffer[at] = 32
                at += 1
            buffer[at - 1] = 10
    return at


@compiled
def fingerprints(squares: Ints, canonical: Ints) -> Marks:
    """Write the least of the 8 symmetries of (m, n, n) squares into ``canonical``; return a 64-bit mark of each.

    The cells of a square differ, so the least form begins with the least corner and goes on along the edge
    whose first cell is less. Equal marks of different squares are as rare as for random numbers.
    """
    last = squares.shape[1] - 1
    marks = np.empty(len(squares), dtype=np.uint64)
    shift, factor = np.uint64(29), np.uint64(0xBF58476D1CE4E5B9)
    for s in range(len(squares)):
        square = squares[s]
        top, left = 0, 0
        for r, c in ((0, last), (last, 0), (last, last)):
            if square[r, c] < square[top, left]:
                top, left = r, c
        down, right = (1 if top == 0 else -1), (1 if left == 0 else -1)
        by_rows = square[top, left + right] < square[top + down, left]
        mark = np.uint64(last)
        for i in range(last + 1):
            for j in range(last + 1):
                r, c = (i, j) if by_rows else (j, i)
                cell = square[top + down * r, left + right * c]
                canonical[s, i, j] = cell
                mark = (mark ^ np.uint64(cell)) * factor
                mark ^= mark >> shift
        marks[s] = mark
    return marks


class Seen:
    """Remembers marks in bounded memory: about 4 bytes each, never above 700 MB.

    Layers of Bloom filters (Almeida and others, Scalable Bloom Filters, 2007; each mark in one cache line, as
    Putze and others 2007), each four times as large as the one before, so that what is remembered depends
    only on the marks so far and never on how many are to come. A new mark is taken for one met before about
    once in 20,000 times; that drops a good square, and the same one on every machine. A mark that was met
    before is always known. The last layer takes all marks from 178 million on, and then errs more often.
    """

    def __init__(self) -> None:
        self._layers: list[Marks] = []
        self._room = 0

    def fresh(self, marks: Marks) -> NDArray[np.bool_]:
        """Say of each mark whether it is met for the first time, and remember it."""
        new = np.zeros(len(marks), dtype=np.bool_)
        begin = 0
        while begin < len(marks):
            if self._room == 0:
                size = _FIRST * _GROWTH ** len(self._layers)
                self._layers.append(np.zeros(size // 2, dtype=np.uint64))
                self._room = size if len(self._layers) < _LAYERS else 1 << 62
            known = np.zeros(len(marks), dtype=np.bool_)
            for layer in self._layers[:-1]:
                _look_up(layer, marks, known)
            begin, self._room = _remember(self._layers[-1], marks, known, begin, self._room, new)
        return new


@compiled
def _look_up(layer: Marks, marks: Marks, known: NDArray[np.bool_]) -> None:
    """Set ``known`` where a layer holds the mark."""
    one, low = np.uint64(1), np.uint64(63)
    for i in range(marks.size):
        line = (marks[i] % np.uint64(layer.size // 8)) * np.uint64(8)
        bits = marks[i] * np.uint64(0x9E3779B97F4A7C15)
        held = True
        for word in range(8):
            bit = (bits >> np.uint64(58 - 6 * word)) & low
            held &= (layer[line + np.uint64(word)] >> bit) & one != 0
        known[i] |= held


@compiled
def _remember(
    layer: Marks, marks: Marks, known: NDArray[np.bool_], begin: int, room: int, new: NDArray[np.bool_]
) -> tuple[int, int]:
    """Take marks from ``begin`` on into the layer while it has room; return where this ended and the room left."""
    one, low = np.uint64(1), np.uint64(63)
    for i in range(begin, marks.size):
        if room == 0:
            return i, room
        if known[i]:
            continue
        line = (marks[i] % np.uint64(layer.size // 8)) * np.uint64(8)
        bits = marks[i] * np.uint64(0x9E3779B97F4A7C15)
        for word in range(8):
            place, bit = line + np.uint64(word), one << ((bits >> np.uint64(58 - 6 * word)) & low)
            new[i] |= layer[place] & bit == 0
            layer[place] |= bit
        room -= new[i]
    return marks.size, room
