"""When two squares are the same: five keys, from strict to loose, for many squares of one order at a time.

K1  square   the least of the 8 rotations and reflections.
K2  nest     the least square that turning the core and each ring, and permuting pairs within a ring, can reach.
K3  primes   the set of cells.
K4  pairs    each two cells whose mean is the centre c, c - d and c + d: one square has many such keys.
K5  pattern  the core of K2 less its least cell. For order 3 this tells u and a, and nothing of the centre.

Squares with the same K1 share K2, those share K3 and so all of K4, and those that share K2 share K5.

A ring of a nested square has the corners x (top left) and y (top right), their complements opposite, the top
row T over its complements and the left column L beside its own; the complement of a cell is the pair sum less
the cell. The order within T and L is free, and the ring as a whole may turn and be reflected by itself. So a
class of K2 holds (8 * (k-2)!**2) squares for each ring of order k, times 8 for a core of order 3 or 32 for one
of order 4, and an eighth of that up to K1: 288 of order 5, 33,177,600 of order 7, 4 of order 4.
"""

from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from itertools import permutations
from math import factorial, prod
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.squares import Cells, canonical_many, least_rows

Kind = Literal["K1", "K2", "K3", "K4", "K5"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Places = NDArray[np.intp]

_CHUNK = 1 << 18
"""Cells looked at together: so many stay near the processor."""


class Keys(NamedTuple):
    """The keys of N squares: ``owners`` (M,) rises and says whose key each is. All kinds but K4 have M = N.

    A key has 16 bytes: the two cells of a pair, for the other kinds a digest, under which different squares
    agree by chance once in 2**128.
    """

    owners: Places
    keys: list[bytes]


class Distinct:
    """Picks squares with new keys out of any number of batches, of any orders. About 100 bytes a key kept.

    Raises ValueError for a kind of key that there is not.
    """

    def __init__(self, kind: Kind = "K2") -> None:
        self._kind = _known(kind)
        self._seen: set[bytes] = set()

    def fresh(self, squares: Cells) -> Places:
        """Return the places of those of (N, n, n) squares none of whose keys a square kept before has."""
        owners, keys = keys_of(squares, self._kind)
        kept = []
        stops = np.searchsorted(owners, np.arange(len(squares)), side="right").tolist()
        for place, (start, stop) in enumerate(zip([0, *stops], stops, strict=False)):
            mine = keys[start:stop]
            if self._seen.isdisjoint(mine):
                self._seen.update(mine)
                kept.append(place)
        return np.array(kept, dtype=np.intp)


def deduplicate(squares: Cells, key: Kind = "K2") -> Cells:
    """Return the first of (N, n, n) squares with each key, in their order.

    By K4 a square stays where it shares no pair with one that stays before it. Raises ValueError for a kind
    of key that there is not.
    """
    return squares[Distinct(key).fresh(squares)]


def keys_of(squares: Cells, kind: Kind) -> Keys:
    """Return the keys of a kind of (N, n, n) squares.

    Raises ValueError for a kind that there is not, and for cells of 2**61 / n**2 or more, whose sums overflow.
    """
    bound = cells_below(squares.shape[1])
    if squares.size and max(int(squares.max()), -int(squares.min())) >= bound:
        raise ValueError(
            f"keys of order {squares.shape[1]} are made of cells below {bound}; leave out squares with larger ones"
        )
    if _known(kind) == "K4":
        owners, pairs = complementary_pairs(squares)
        return Keys(owners, _rows(pairs))
    each = {"K1": canonical_many, "K2": canonical_nests, "K3": prime_sets}
    keys: list[bytes] = []
    for chunk in _chunks(squares):
        keys += patterns(chunk) if kind == "K5" else _digests(each[kind](chunk))
    return Keys(np.arange(len(squares)), keys)


def cells_below(order: int) -> int:
    """Return the bound below which the cells of a square of an order have keys: no sum of them overflows."""
    return 2**61 // order**2


def _known(kind: Kind) -> Kind:
    if kind not in KINDS:
        raise ValueError(f"key: got {kind!r}, allowed {', '.join(KINDS)}")
    return kind


def _chunks(squares: Cells) -> Iterator[Cells]:
    size = max(1, _CHUNK // squares.shape[1] ** 2)
    return (squares[start : start + size] for start in range(0, len(squares), size))


def _rows(table: Cells) -> list[bytes]:
    """Return the bytes of each row."""
    flat = np.ascontiguousarray(table, dtype=np.int64)
    row = flat.itemsize * prod(flat.shape[1:])
    rows: list[bytes] = flat.reshape(-1).view(f"V{row}").tolist()
    return rows


def _digests(table: Cells) -> list[bytes]:
    return [blake2b(row, digest_size=16).digest() for row in _rows(table)]


def prime_sets(squares: Cells) -> Cells:
    """Return K3: the cells of each of (N, n, n) squares in rising order, as (N, n * n)."""
    return np.sort(squares.reshape(len(squares), squares.shape[1] ** 2), axis=1)


def complementary_pairs(squares: Cells) -> tuple[Places, Cells]:
    """Return K4: whose each pair is (M,), and the lesser and greater cell of each (M, 2), rising in a square.

    Two cells are a pair where they add to twice the mean cell. A nested square has (n*n - 1) / 2 of them
    around its centre, or in its rings n*n / 2 - 8 and what its core of order 4 happens to have.
    """
    owners, pairs, begin = [np.empty(0, dtype=np.intp)], [np.empty((0, 2), dtype=np.int64)], 0
    for chunk in _chunks(squares):
        cells = prime_sets(chunk)
        pair_sums, rest = np.divmod(2 * cells.sum(axis=1), cells.shape[1])
        # A cell v stands here as 2v and the complement of one as 2v + 1: neighbours where both are there.
        both = np.sort(np.concatenate([2 * cells, 2 * (pair_sums[:, None] - cells) + 1], axis=1), axis=1)
        low = both[:, :-1] >> 1
        paired = (both[:, :-1] % 2 == 0) & (np.diff(both, axis=1) == 1)
        square, place = np.nonzero(paired & (2 * low < pair_sums[:, None]) & (rest == 0)[:, None])
        least = low[square, place]
        owners.append(square + begin)
        pairs.append(np.stack([least, pair_sums[square] - least], axis=1))
        begin += len(chunk)
    return np.concatenate(owners), np.concatenate(pairs)


def core_orders(squares: Cells) -> NDArray[np.int64]:
    """Return for each of (N, n, n) squares the order of its core: the smallest magic square inside borders.

    It is ``nested_down_to`` of ``check_square``, and n where not even the whole square is magic.
    """
    order = squares.shape[1]
    cores = np.full(len(squares), order)
    sums = squares[:, 0].sum(axis=1)
    magic = np.arange(len(squares))
    for inner in range(order, 2, -2):
        magic = magic[_are_magic(_inner(squares[magic], inner), sums[magic] * inner, order)]
        cores[magic] = inner
    return cores


def _are_magic(squares: Cells, sums: NDArray[np.int64], order: int) -> NDArray[np.bool_]:
    """Say which of (N, k, k) squares have ``sums / order`` on every line."""
    diagonals = [np.trace(way, axis1=1, axis2=2) for way in (squares, squares[:, :, ::-1])]
    lines = np.concatenate([squares.sum(axis=1), squares.sum(axis=2), np.stack(diagonals, axis=1)], axis=1)
    return np.asarray((lines * order == sums[:, None]).all(axis=1))


def _inner(squares: Cells, order: int) -> Cells:
    border = (squares.shape[1] - order) // 2
    return squares[:, border : border + order, border : border + order]


def canonical_nests(squares: Cells) -> Cells:
    """Return K2: the least square of the class of each of (N, n, n) squares, core first, as (N, n, n).

    What no border can be taken off is its own core: then K2 is K1, and for order 4 the least of 32.
    """
    nests = squares.copy()
    cores = core_orders(squares)
    for order in np.unique(cores).tolist():
        mine = np.flatnonzero(cores == order)
        group = squares[mine]
        pair_sums = 2 * group[:, 0].sum(axis=1) // squares.shape[1]
        _inner(group, order)[:] = _least_cores(_inner(group, order))
        for ring in range(order + 2, squares.shape[1] + 1, 2):
            _settle(_inner(group, ring), pair_sums)
        nests[mine] = group
    return nests


def nest_size(order: int) -> int:
    """Return how many squares of an order, nested down to 3 or 4, share a K2 and differ under K1.

    1 of order 3, 288 of order 5, 33,177,600 of order 7; 4 of order 4, 18,432 of order 6. Raises ValueError
    below order 3.
    """
    if order < 3:
        raise ValueError(f"order: got {order}, nested squares begin at order 3; give 3 or more")
    core = 3 if order % 2 else 4
    return (1 if core == 3 else 4) * prod(8 * factorial(k - 2) ** 2 for k in range(core + 2, order + 1, 2))


def _least_cores(cores: Cells) -> Cells:
    if cores.shape[1] != 4:
        return canonical_many(cores)
    flat = cores.reshape(len(cores), 16)
    return least_rows(flat[:, view] for view in core_symmetries()).reshape(cores.shape)


@cache
def core_symmetries() -> Places:
    """Return the 32 ways in which every magic square of order 4 can be rearranged into one, as (32, 16).

    Row i says from which place each cell comes. They permute rows and columns alike, or columns in reverse,
    by a permutation that keeps opposite rows opposite, and transpose or not.
    """
    places = np.arange(16).reshape(4, 4)
    opposite = [p for p in map(list, permutations(range(4))) if p[0] + p[3] == p[1] + p[2] == 3]
    return np.array(
        [
            way.ravel()
            for rows in opposite
            for columns in (rows, rows[::-1])
            for way in (places[np.ix_(rows, columns)], places[np.ix_(rows, columns)].T)
        ]
    )


def _settle(squares: Cells, pair_sums: NDArray[np.int64]) -> None:
    """Put the outermost ring of (N, k, k) squares into the least of its 8 forms, T and L rising, in place."""
    order, total = squares.shape[1], pair_sums[:, None]
    x, y = squares[:, 0, :1].copy(), squares[:, 0, -1:].copy()
    top, left = np.sort(squares[:, 0, 1:-1], axis=1), np.sort(squares[:, 1:-1, 0], axis=1)
    ring = least_rows(_ring_forms(x, y, top, left, total))
    top, left = ring[:, 2:order], ring[:, order:]
    squares[:, 0, 0], squares[:, 0, -1] = ring[:, 0], ring[:, 1]
    squares[:, -1, 0], squares[:, -1, -1] = pair_sums - ring[:, 1], pair_sums - ring[:, 0]
    squares[:, 0, 1:-1], squares[:, -1, 1:-1] = top, total - top
    squares[:, 1:-1, 0], squares[:, 1:-1, -1] = left, total - left


def _ring_forms(x: Cells, y: Cells, top: Cells, left: Cells, total: Cells) -> Iterator[Cells]:
    """Yield the forms of a ring, (N, 2k - 2) each: x, y, top row, left column."""
    minus = [(total - side)[:, ::-1] for side in (x, y, top, left)]
    for (a, b, s, t), (_, nb, ns, nt) in (((x, y, top, left), minus), (minus, (x, y, top, left))):
        yield np.concatenate([a, b, s, t], axis=1)
        yield np.concatenate([b, a, s, nt], axis=1)
        yield np.concatenate([a, nb, t, s], axis=1)
        yield np.concatenate([nb, a, t, ns], axis=1)


def patterns(squares: Cells) -> list[bytes]:
    """Return K5: for each of (N, n, n) squares a digest of its core in its K2 form less the core's least cell.

    Squares of different orders around one core share it.
    """
    keys = [b""] * len(squares)
    cores = core_orders(squares)
    for order in np.unique(cores).tolist():
        mine = np.flatnonzero(cores == order)
        least = _least_cores(_inner(squares[mine], order))
        for place, key in zip(mine.tolist(), _digests(least - least.min(axis=(1, 2), keepdims=True)), strict=True):
            keys[place] = key
    return keys
