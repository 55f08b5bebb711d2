"""Plain prime magic squares of order 5, nested only by chance: drawn at any odd sum from 233 on.

Both diagonals, the middle column and the middle row are drawn, 17 cells. The other eight fall in two groups, each
fixed by one cell: x01 by its row fixes x03, by its column x41, and these x43; x10 likewise x14, x30 and x34.
So a group wants an x with A-x, B-x and C+x all prime, as in order 4 (``aritmo.numbers.cores``).

Where few primes are left, 17 cells drawn one by one would nearly always repeat or find no completion. There only
the diagonals are drawn, and every square on them is searched for.
"""

from functools import lru_cache

import numpy as np

from aritmo.numbers.cores import Board, board_of, completed, drawn, share_of
from aritmo.numbers.frames import Indices, draw_frames5, fill_diagonals, random_below

_ATTEMPTS = 2**18
_FRAMES = 2**12
_DRAWS = 2**13
_FEW = 70
"""Primes on the board up to which all squares on some diagonals are searched for."""
_KEPT = 4
"""Squares kept of all those on one pair of diagonals."""
_MOST = 64
_ROOM = 64
_PLACES = [0, 6, 12, 18, 24, 4, 8, 16, 20, 2, 7, 17, 22, 10, 11, 13, 14]
"""Where the 17 cells of a frame stand in the square."""


def draw_plain5(magic_sum: int, count: int, seed: int, allow3: bool = True, below: int = 0) -> Indices:
    """Return up to ``count`` plain prime magic squares of order 5 with this sum as (m, 5, 5).

    All differ, also up to the 8 symmetries, and each stands in canonical form. Any square of the sum may come,
    with cells within 2**20 of their mean, though not all are exactly as likely. Few or none come back where few
    exist or the tries are spent; a smaller count gives the beginning of a larger one. ``allow3`` says whether 3
    may be a cell. Cells lie below ``below``; 0 means that only the sum bounds them. Raises ValueError for a
    negative count or bound and for a sum that is even or out of range.
    """
    if count < 0:
        raise ValueError(f"a count is at least 0, not {count}; ask for 0 squares or more")
    board = board_of(5, magic_sum, allow3, below)
    if board is None or count == 0:
        return np.empty((0, 5, 5), dtype=np.int64)
    make = _fill if board.indices.size <= _FEW else _make
    return board.cells(drawn(board, make, count, seed))


def has_plain5(magic_sum: int, allow3: bool = True, below: int = 0) -> bool | None:
    """Say whether such a square exists: True where one was found, False where too few primes are left for one.

    None where primes would do and the bounded search found no square; then it is not known. With cell 3 and no
    bound it is known of every odd sum up to 2,001: none up to 231, some from 233 on. Raises ValueError as
    ``draw_plain5`` does.
    """
    if board_of(5, magic_sum, allow3, below) is None:
        return False
    return True if len(draw_plain5(magic_sum, 1, 0, allow3, below)) else None


def _fill(board: Board, start: np.uint64) -> Indices:
    """Return squares on random diagonals, searched for in random order."""
    drawn = board.indices[random_below(7 * _DRAWS, board.indices.size, start)].reshape(7, -1)
    x00, x11, x22, x33, x04, x13, x31 = drawn
    x44, x40 = board.total - x00 - x11 - x22 - x33, board.total - x04 - x13 - x22 - x31
    diagonals = np.stack([x00, x11, x22, x33, x44, x04, x13, x31, x40], axis=1)
    distinct = (np.diff(np.sort(diagonals, axis=1), axis=1) > 0).all(axis=1)
    known = np.isin(x44, board.indices) & np.isin(x40, board.indices)
    order = board.indices[np.argsort(random_below(board.indices.size, 2**31, ~start), kind="stable")]
    kept = [np.empty((0, 25), dtype=np.int64)]
    room = np.empty((_ROOM, 25), dtype=np.int64)
    for frame in diagonals[distinct & known][:_MOST]:
        size = fill_diagonals(board.flags, order, board.total, frame, room)
        chosen = random_below(_KEPT, size, start) if size > _KEPT else np.arange(size)
        kept.append(room[chosen])
    return np.concatenate(kept)


def _frames(board: Board, tries: tuple[int, ...], start: np.uint64) -> tuple[Indices, Indices]:
    """Return random frames as (m, 25), the open cells 0, and the tally of the stages that made them."""
    found = np.empty((_FRAMES, 17), dtype=np.int64)
    tally = draw_frames5(board.flags, board.indices, board.total, _ATTEMPTS, np.array(tries), start, found)
    frames = np.zeros((int(tally[1, 3]), 25), dtype=np.int64)
    frames[:, _PLACES] = found[: len(frames)]
    return frames, tally


@lru_cache(maxsize=16)
def _tuned(board: Board) -> tuple[tuple[int, ...], float]:
    """Return the tries in which a stage has two hits on average, and the share of the completions to keep."""
    tally = _frames(board, (0, 64, 64, 64), np.uint64(0))[1]
    tries = tuple(np.clip(2 * tally[0] // np.maximum(tally[1], 1), 1, 1024).tolist())
    frames = _frames(board, tries, np.uint64(1))[0]
    return tries, share_of(board, frames, _groups(frames, board.total))


def _make(board: Board, start: np.uint64) -> Indices:
    """Return random squares from a seed, one for each frame on average."""
    tries, share = _tuned(board)
    frames = _frames(board, tries, start)[0]
    chosen = completed(board, _groups(frames, board.total), share, ~start)[0]
    place = np.arange(len(chosen)) - np.searchsorted(chosen[:, 0], chosen[:, 0])  # among those of its frame
    return _squares(frames, chosen[place < _KEPT], board.total)


def _groups(frames: Indices, total: int) -> Indices:
    """Return what ``completed`` wants of frames: for x01 and for x10."""
    lines = frames.reshape(-1, 5, 5)
    rows, columns = total - lines.sum(axis=2), total - lines.sum(axis=1)
    first = [rows[:, 0], columns[:, 1], columns[:, 3] - rows[:, 0]]
    second = [rows[:, 1], columns[:, 0], columns[:, 4] - rows[:, 1]]
    return np.stack(first + second, axis=1)


def _squares(frames: Indices, chosen: Indices, total: int) -> Indices:
    """Return the completed frames as (m, 25)."""
    squares = frames[chosen[:, 0]].reshape(-1, 5, 5)
    rows, columns = total - squares.sum(axis=2), total - squares.sum(axis=1)
    for (i, j, k, m), x in (((0, 1, 3, 4), chosen[:, 1]), ((1, 0, 4, 3), chosen[:, 2])):
        squares[:, i, j] = x
        squares[:, i, k] = rows[:, i] - x
        squares[:, m, j] = columns[:, j] - x
        squares[:, m, k] = columns[:, k] - rows[:, i] + x
    return squares.reshape(-1, 25)
