"""Plain prime magic squares of order 4: drawn at any sum, and searched exhaustively where few exist.

    a b c d
    e f g h      The diagonals, a frame, are magic where a+p = g+j and d+m = f+k and all of it is the sum.
    i j k l      Given a frame, b fixes c, n and o, and e fixes h, i and l: each such x wants A-x, B-x and
    m n o p      C+x to be prime as well, which three shifts of a bit set tell of 64 x at once.

A draw takes frames by rejection, each as likely as any other, and of each frame the same expected share of its
completions. So every square of a sum is as likely as any other.

A square of order 4 stays magic under 32 exchanges of its cells: the 8 symmetries, together with moving rows and
columns alike by a permutation of the lines that keeps opposite lines opposite. They map the cells of the diagonals
onto themselves. Squares here are distinct under the 8 symmetries (K1); the search looks at one frame in 32.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from aritmo.numbers.frames import Bytes, Indices, Words, all_frames, complete, draw_frames, keep_new
from aritmo.numbers.primes import are_prime, next_prime
from aritmo.numbers.randomness import Stream, seed_of
from aritmo.numbers.squares import canonical_many, symmetries

LARGEST_SUM = 2**60
_SPAN = 2**20
_BATCHES = 64
_ATTEMPTS = 2**18
"""Frames tried in one compiled call. Between two calls Ctrl-C is heard."""
_FRAMES = 2**12
_LISTED = 2**18
"""Frames, one in 32 counted, up to which all squares of a sum are listed before some are drawn."""
_SIZE = 2**12


@dataclass(frozen=True, eq=False, slots=True)
class Board:
    """The primes that may stand in the squares of one order and sum, as indices: x is the cell ``low + 2 * x``.

    ``flags[x]`` is 1 where the cell may stand there, ``indices`` lists these x, rising, and ``total`` is what the
    indices of a line sum to. ``ahead`` has bit x set where ``flags[x]`` is, and ``back`` the flags in reverse,
    both with as many and three empty words at either end, so that a shift may read beyond them.
    """

    order: int
    low: int
    total: int
    flags: Bytes
    indices: Indices
    ahead: Words
    back: Words

    def cells(self, squares: Indices) -> Indices:
        """Return (m, order * order) indices as squares: (m, order, order) cells."""
        return (self.low + 2 * squares).reshape(-1, self.order, self.order)


@lru_cache(maxsize=16)
def board_of(order: int, magic_sum: int, allow3: bool = True, below: int = 0, without: int = 0) -> Board | None:
    """Return the board of an order and sum, None where too few primes are left for a square.

    A cell is at most the sum less the ``order - 1`` least primes, and at least the sum less the greatest ones;
    likewise for all cells of the square, whose sum is ``order`` times as much.
    ``below`` bounds the cells (0: only the sum does), ``without`` is a number that no cell may be. Cells further
    than 2**20 from their mean are left out: where sums are that large, there are squares enough without.
    Raises ValueError where the sum, the parity of the sum or the bound make no sense.
    """
    if not 0 < magic_sum <= LARGEST_SUM:
        raise ValueError(f"a magic sum lies between 1 and 2**60, not at {magic_sum}; give a sum in that range")
    if (magic_sum - order) % 2:
        parity = "odd" if order % 2 else "even"
        raise ValueError(f"{order} odd primes have an {parity} sum, not {magic_sum}; give an {parity} magic sum")
    if below < 0:
        raise ValueError(f"cells lie below a bound of at least 1, not {below}; give 0 for no bound")
    mean = magic_sum // order
    low = max(3 if allow3 else 5, mean - _SPAN) | 1
    high = min(magic_sum, below or magic_sum, mean + _SPAN)
    numbers = np.arange(low, max(high, low), 2)
    primes = numbers[are_prime(numbers) & (numbers != without)]
    size = -1
    while size != primes.size and primes.size >= order * order:
        size = primes.size
        least = max(k * magic_sum - int(primes[1 - k * order :].sum()) for k in (1, order))
        most = min(k * magic_sum - int(primes[: k * order - 1].sum()) for k in (1, order))
        primes = primes[(least <= primes) & (primes <= most)]
    if primes.size < order * order:
        return None
    low = int(primes[0])
    indices = (primes - low) // 2
    flags = np.zeros(int(indices[-1]) + 1, dtype=np.uint8)
    flags[indices] = 1
    total = (magic_sum - order * low) // 2
    return Board(order, low, total, flags, indices, _packed(flags), _packed(flags[::-1]))


def _packed(flags: Bytes) -> Words:
    words = (flags.size + 63) // 64
    padded = np.zeros((3 * words + 6) * 64, dtype=np.uint8)
    padded[(words + 3) * 64 :][: flags.size] = flags
    return np.packbits(padded, bitorder="little").view("<u8").astype(np.uint64)


def draw_cores(
    pair_sum: int, count: int, seed: int, allow3: bool = True, below: int = 0, core: bool = False
) -> Indices:
    """Return up to ``count`` plain prime magic squares of order 4 with the sum ``2 * pair_sum`` as (m, 4, 4).

    All differ, also up to the 8 symmetries, each stands in canonical form, and every square of the sum is as
    likely as any other (below a pair sum of 2**21; above, as any with cells within 2**20 of the mean). Few or
    none come back where few exist or the tries are spent; a smaller count gives the beginning of a larger one.

    A plain square may have any pair sum. With ``core`` the squares may stand inside the rings of an even order:
    the pair sum is even, cells lie below it, so that their partners are positive, and half of it is no cell.
    ``allow3`` says whether 3 may be a cell. Cells lie below ``below``; 0 means that only the sum bounds them.
    Raises ValueError for a negative count, a negative bound, a pair sum out of range, or an odd one for a core.
    """
    if count < 0:
        raise ValueError(f"a count is at least 0, not {count}; ask for 0 squares or more")
    board = _board4(pair_sum, allow3, below, core)
    if board is None or count == 0:
        return np.empty((0, 4, 4), dtype=np.int64)
    if _frame_count(board) > 32 * _LISTED:
        return board.cells(drawn(board, _make, count, seed))
    squares = _listed(board)
    order = np.arange(len(squares))
    stream = Stream("squares", "cores", pair_sum, seed)
    for i in range(min(count, len(order))):
        j = stream.between(i, len(order) - 1)
        order[i], order[j] = order[j], order[i]
    return squares[order[:count]]


def list_cores(pair_sum: int, allow3: bool = True, below: int = 0, core: bool = False) -> Iterator[Indices]:
    """Yield every square that ``draw_cores`` may draw, up to the 8 symmetries, in parts of (m, 4, 4).

    Exhaustive. Raises ValueError as ``draw_cores`` does.
    """
    board = _board4(pair_sum, allow3, below, core)
    if board is not None:
        yield from _list(board)


def has_core(pair_sum: int, allow3: bool = True, below: int = 0, core: bool = False) -> bool:
    """Say whether any square exists that ``draw_cores`` may draw: drawn where that is easy, else searched for all.

    Raises ValueError as ``draw_cores`` does.
    """
    board = _board4(pair_sum, allow3, below, core)
    if board is None:
        return False
    return len(draw_cores(pair_sum, 1, 0, allow3, below, core)) > 0 or any(len(part) for part in _list(board))


def least_bound(pair_sum: int, allow3: bool = True, core: bool = False) -> int | None:
    """Return the least ``below`` for which ``has_core`` holds; None where no bound is wide enough.

    Raises ValueError as ``draw_cores`` does.
    """
    if not has_core(pair_sum, allow3, 0, core):
        return None
    tops = [next_prime(pair_sum // 2)]

    def holds(at: int) -> bool:
        while len(tops) <= at:
            tops.append(next_prime(tops[-1]))
        return has_core(pair_sum, allow3, tops[at] + 1, core)

    high = 8
    while not holds(high):
        high *= 2
    return tops[bisect_left(range(high), True, key=holds)] + 1


def _board4(pair_sum: int, allow3: bool, below: int, core: bool) -> Board | None:
    """Return the board of ``draw_cores``."""
    if not core:
        return board_of(4, 2 * pair_sum, allow3, below)
    if pair_sum % 2:
        raise ValueError(f"two odd primes have an even sum, not the pair sum {pair_sum}; give an even pair sum")
    return board_of(4, 2 * pair_sum, allow3, min(below or pair_sum, pair_sum), pair_sum // 2)


def drawn(board: Board, make: Callable[[Board, np.uint64], Indices], count: int, seed: int) -> Indices:
    """Return the first ``count`` different ones among the squares that ``make`` makes from one seed after another.

    All are (m, order * order) indices. Those with a cell twice are left out, the others brought into canonical
    form. At most 64 + count / 8 seeds are tried, and no more once 64 on end have brought nothing new.
    """
    order = board.order
    views = symmetries(np.arange(order * order).reshape(order, order)).reshape(8, -1)
    found = np.empty((count, order * order), dtype=np.int64)
    table = np.full(2 << count.bit_length(), -1, dtype=np.int64)
    size = idle = batch = 0
    while size < count and idle < _BATCHES and batch < _BATCHES + count // 8:
        before, start = size, np.uint64(seed_of("squares", "plain", order, seed, batch))
        size = keep_new(make(board, start), views, found, table, size)
        idle = 0 if size > before else idle + 1
        batch += 1
    return found[:size]


def completed(board: Board, groups: Indices, share: float, start: np.uint64) -> tuple[Indices, int]:
    """Return (m, 3) of (frame, x, y), this share of all completions of the frames, and how many there are.

    Row i of ``groups`` is (A, B, C, A', B', C') of frame i: it wants an x in the board with A-x, B-x and C+x in
    it, and a y likewise. Share 1 gives each completion once, less of them draws some, share 0 only counts.
    """
    size = board.flags.size
    none = np.empty((0, 3), dtype=np.int64)
    count = complete(groups, board.ahead, board.back, size, 0.0, start, none)[1]
    chosen = np.empty((int(count * share) + len(groups), 3), dtype=np.int64)
    written = complete(groups, board.ahead, board.back, size, share, start, chosen)[0]
    return chosen[:written], count


def share_of(board: Board, frames: Indices, groups: Indices) -> float:
    """Return the share of all completions that gives one for each frame on average, at most all of them."""
    return min(1.0, len(frames) / max(1, completed(board, groups, 0.0, np.uint64(0))[1]))


def _frames(board: Board, start: np.uint64) -> Indices:
    """Return random frames (a, d, f, g, j, k, m, p) of order 4."""
    frames = np.empty((_FRAMES, 8), dtype=np.int64)
    return frames[: draw_frames(board.flags, board.indices, board.total, _ATTEMPTS, start, frames)]


@lru_cache(maxsize=16)
def _share(board: Board) -> float:
    frames = _frames(board, np.uint64(0))
    return share_of(board, frames, _groups(frames))


def _make(board: Board, start: np.uint64) -> Indices:
    """Return random squares of order 4 from a seed, one for each frame on average."""
    frames = _frames(board, start)
    return _squares(frames, completed(board, _groups(frames), _share(board), ~start)[0])


def _groups(frames: Indices) -> Indices:
    """Return what ``completed`` wants of frames (a, d, f, g, j, k, m, p)."""
    a, d, f, g, j, k, m, p = frames.T
    return np.stack([m + p, g + k, a + d - g - k, j + k, d + p, f + g - d - p], axis=1)


def _squares(frames: Indices, chosen: Indices) -> Indices:
    """Return the completed frames as (m, 16)."""
    a, d, f, g, j, k, m, p = frames[chosen[:, 0]].T
    b, e = chosen[:, 1], chosen[:, 2]
    c, n, i, h = m + p - b, g + k - b, d + p - e, j + k - e
    return np.stack([a, b, c, d, e, f, g, h, i, j, k, f + g - i, m, n, a + d - n, p], axis=1)


def _frame_count(board: Board) -> float:
    """Return how many frames a board has, those with equal cells and all 32 forms of each included."""
    if board.flags.size > _SIZE:
        return float("inf")
    pairs = np.convolve(board.flags.astype(np.float64), board.flags)[: board.total + 1]
    pairs = np.pad(pairs, (0, board.total + 1 - pairs.size))
    return float((pairs**2 * pairs[::-1] ** 2).sum())


def _list(board: Board) -> Iterator[Indices]:
    """Yield all squares of a board, by the least cell of their diagonals."""
    lines = np.arange(16).reshape(4, 4)
    outer, inner = [1, 0, 3, 2], [0, 2, 1, 3]  # with the 8 symmetries they give all 32 forms
    forms = [lines, lines[outer][:, outer], lines[inner][:, inner], lines[outer][:, outer][inner][:, inner]]
    frames = np.empty((_FRAMES, 8), dtype=np.int64)
    for first in range(board.indices.size - 7):
        size = all_frames(board.flags, board.indices, board.total, first, frames)
        if size > len(frames):
            frames = np.empty((2 * size, 8), dtype=np.int64)
            all_frames(board.flags, board.indices, board.total, first, frames)
        some = frames[:size]
        squares = _squares(some, completed(board, _groups(some), 1.0, np.uint64(0))[0])
        rising = np.sort(squares, axis=1)
        squares = squares[(np.diff(rising, axis=1) > 0).all(axis=1)]
        yield canonical_many(board.cells(np.concatenate([squares[:, form.ravel()] for form in forms])))


@lru_cache(maxsize=2)
def _listed(board: Board) -> Indices:
    return np.concatenate([np.empty((0, 4, 4), dtype=np.int64), *_list(board)])
