"""Prime magic squares of any order: every defect with its place, nesting, symmetries and the key K1."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.primes import are_prime, sieve

Cells = NDArray[np.int64]
"""A square as an (n, n) array, rows from top to bottom."""

LARGEST = 2**63 - 1
"""No line of a square may be able to pass this sum."""


@dataclass(frozen=True, slots=True)
class SquareCheck:
    """What holds of one square, and each thing that does not.

    ``magic_sum`` is the sum that all rows, columns and both diagonals share, None where they differ.
    ``centre`` is the middle cell of an odd order, ``pair_sum`` is 2 * magic_sum / order of an even order
    where that is an integer. ``nested_down_to`` is the order of the smallest square that is still magic when
    borders are taken off one by one: ``order`` where only the whole is magic, None where not even the whole
    is. It ends at 3 (odd) or 4 (even), since a single cell is always magic. ``primes`` counts the cells that
    are prime. Each defect is one sentence whose kind stands before its first ``:``. ``not_nested`` has such a
    sentence for each inner square that is not magic, with its first wrong line, from the outside in; they are
    defects only of what was to be nested. Where the whole has no common sum, the inner squares are held against
    the sum of most lines, if there is one.
    """

    order: int
    magic_sum: int | None
    centre: int | None
    pair_sum: int | None
    nested_down_to: int | None
    primes: int
    defects: tuple[str, ...]
    not_nested: tuple[str, ...]

    @property
    def valid(self) -> bool:
        return not self.defects


def as_square(cells: NDArray[np.int64] | Sequence[Sequence[int]]) -> Cells:
    """Return the cells as an (n, n) array of int64.

    Raises ValueError where they are not n rows of n integers, or where a line might pass 2**63 - 1.
    """
    try:
        square = np.asarray(cells)
    except (ValueError, OverflowError):
        raise ValueError("a square has n rows of n integers, and these rows differ; make them equal") from None
    if square.ndim != 2 or square.shape[0] != square.shape[1] or square.size == 0:
        shape = " x ".join(map(str, square.shape))
        raise ValueError(f"a square has n rows of n integers, not the shape {shape}; make both sides equal")
    if square.dtype.kind not in "iu":
        raise ValueError("the cells of a square are integers below 2**63; give no other kind of number")
    bound = LARGEST // len(square)
    if int(square.max()) > bound or int(square.min()) < -bound:
        raise ValueError(f"a line of {len(square)} such cells could pass 2**63 - 1; give cells up to {bound}")
    return square.astype(np.int64, copy=False)


def line_sums(cells: Cells) -> tuple[Cells, Cells, Cells]:
    """Return the sums of the n rows, of the n columns, and of the main and the other diagonal."""
    diagonals = np.array([np.trace(cells), np.trace(cells[:, ::-1])])
    return cells.sum(axis=1), cells.sum(axis=0), diagonals


def check_square(cells: NDArray[np.int64] | Sequence[Sequence[int]], nested: bool = False) -> SquareCheck:
    """Check whether n x n integers are a prime magic square, and with ``nested`` one inside every border.

    Valid means: every cell prime, no cell twice, all rows, columns and diagonals of one sum, and with
    ``nested`` so down to order 3 or 4. Raises ValueError for what ``as_square`` refuses.
    """
    square = as_square(cells)
    order = len(square)
    prime = _known_primes(square)
    sums = np.concatenate(line_sums(square))
    magic_sum = int(sums[0]) if (sums == sums[0]).all() else None
    defects = [*_composites(square, prime), *_repeats(square)]
    reference = magic_sum
    if magic_sum is None:
        totals = sums.tolist()
        defects += _unequal(totals, order)
        common = common_sum(totals)
        reference = common if 2 * totals.count(common) > len(totals) else None
    reached, broken = (order, []) if reference is None else _nesting(square, reference)
    if nested and magic_sum is None:
        defects.append("not nested: the whole square has no common sum")
    if nested:
        defects += broken
    even_pairs = magic_sum is not None and order % 2 == 0 and 2 * magic_sum % order == 0
    return SquareCheck(
        order=order,
        magic_sum=magic_sum,
        centre=int(square[order // 2, order // 2]) if order % 2 else None,
        pair_sum=2 * magic_sum // order if magic_sum is not None and even_pairs else None,
        nested_down_to=None if magic_sum is None else reached,
        primes=int(np.count_nonzero(prime)),
        defects=tuple(defects),
        not_nested=tuple(broken),
    )


class _KnownPrimes:
    """Tell primes by a table that grows once so many cells were asked for that it pays for itself.

    It grows step by step, so that no square waits long for the work that was saved on others.
    """

    _LARGEST = 1 << 25
    _PER_CELL = 400
    """So many numbers are sieved in the time of one proof, the start of the compiler not counted."""
    _STEP = 1 << 19

    def __init__(self) -> None:
        self._table = np.zeros(0, dtype=np.bool_)
        self._known = 0
        self._asked = 0

    def __call__(self, cells: Cells) -> NDArray[np.bool_]:
        self._asked += cells.size
        top = int(cells.max())
        if self._known <= top < min(self._LARGEST, self._PER_CELL * self._asked):
            steps = 1 + self._PER_CELL * cells.size // self._STEP
            while steps and self._known <= top:
                self._grow()
                steps -= 1
        if not self._known or top >= self._known:
            return are_prime(cells)
        return self._table[np.maximum(cells, 0)]

    def _grow(self) -> None:
        """Sieve one step more."""
        if not self._known:
            self._table = np.zeros(self._LARGEST, dtype=np.bool_)  # takes room only as it is written to
        low, high = self._known, self._known + self._STEP
        odd = np.ones(self._STEP // 2, dtype=np.bool_)  # odd[i] stands for low + 2i + 1
        for p in sieve(isqrt(high) + 1).nonzero()[0][1:].tolist():
            first = max(p * p, -(-low // p) * p)
            first += p * (first % 2 == 0)
            odd[(first - low) // 2 :: p] = False
        self._table[low + 1 : high : 2] = odd
        self._table[:3] = False, False, True
        self._known = high


_known_primes = _KnownPrimes()


def _place(index: int, order: int) -> str:
    return f"row {index // order + 1}, column {index % order + 1}"


def _composites(square: Cells, prime: NDArray[np.bool_]) -> list[str]:
    if prime.all():
        return []
    wrong = np.flatnonzero(~prime)
    order = len(square)
    values = square.ravel()[wrong].tolist()
    return [f"not prime: {v} in {_place(i, order)}" for i, v in zip(wrong.tolist(), values, strict=True)]


def _repeats(square: Cells) -> list[str]:
    ordered = np.sort(square, axis=None)
    if not (ordered[1:] == ordered[:-1]).any():
        return []
    values = square.ravel().tolist()
    order = len(square)
    first: dict[int, int] = {}
    return [
        f"repeated: {value} in {_place(first[value], order)} and {_place(index, order)}"
        for index, value in enumerate(values)
        if first.setdefault(value, index) != index
    ]


def _line_name(index: int, order: int) -> str:
    if index < 2 * order:
        return f"row {index + 1}" if index < order else f"column {index - order + 1}"
    return "the main diagonal" if index == 2 * order else "the other diagonal"


def common_sum(sums: list[int]) -> int:
    """Return the sum of most lines; of several as common, the one met first."""
    return Counter(sums).most_common(1)[0][0]


def _unequal(sums: list[int], order: int) -> list[str]:
    reference = common_sum(sums)
    lines = sums.count(reference)
    if lines == len(sums):
        return []
    against = "most lines" if 2 * lines > len(sums) else _line_name(sums.index(reference), order)
    return [
        f"sum: {_line_name(index, order)} adds to {total}, {against} to {reference}"
        for index, total in enumerate(sums)
        if total != reference
    ]


def core_order(order: int) -> int:
    """Return the order at which nesting ends: 3 or 4, or the order itself where that is smaller."""
    return min(order, 3 if order % 2 else 4)


def _inner_sums(square: Cells) -> tuple[Cells, NDArray[np.bool_]]:
    """Return the sums of the lines of the square and of every square inside it, and which are lines.

    Both are (levels, 2n + 2): level b has b borders taken off, its n rows, n columns and two diagonals stand at
    their index in the whole. All come from differences of running sums, n * n steps for all levels together.
    """
    order = len(square)
    levels = (order - core_order(order)) // 2 + 1

    def between(lines: Cells) -> Cells:
        """Return (levels, width): the sums down each of the columns of ``lines``, b cells less at either end."""
        running = np.zeros((order + 1, lines.shape[1]), dtype=np.int64)
        np.cumsum(lines, axis=0, out=running[1:])
        return running[::-1][:levels] - running[:levels]

    diagonals = np.stack([square.diagonal(), square[:, ::-1].diagonal()], axis=1)
    sums = np.concatenate([between(square.T), between(square), between(diagonals)], axis=1)
    index, border = np.arange(order), np.arange(levels)[:, None]
    inside = (index >= border) & (index < order - border)
    return sums, np.concatenate([inside, inside, np.ones((levels, 2), dtype=np.bool_)], axis=1)


def _nesting(square: Cells, magic_sum: int) -> tuple[int, list[str]]:
    """Return the order down to which the inner squares are magic, and one sentence for each that is not.

    Inner squares of order k can only have the sum k * magic_sum / n. For let the square of order k-2 have the
    sum S, and that of order k the sum M. Then opposite border cells add to M - S. The top and bottom rows are
    k such pairs and add to 2M, so S = M * (k-2) / k.
    """
    order = len(square)
    if order <= core_order(order):
        return order, []
    sums, inside = _inner_sums(square)
    orders = range(order, 0, -2)[: len(sums)]
    targets, rests = zip(*(divmod(magic_sum * inner, order) for inner in orders), strict=True)
    wrong = (sums != np.array(targets)[:, None]) & inside
    failed = np.flatnonzero(wrong.any(axis=1) | (np.array(rests) > 0))
    failed = failed[failed > 0]
    broken = []
    for level in failed.tolist():
        inner = orders[level]
        if rests[level]:
            told = f"{inner}/{order} of {magic_sum}, the sum of order {inner}, is no integer"
        else:
            line = int(wrong[level].argmax())
            name = _inner_line_name(line, order, level)
            told = f"in the inner square of order {inner} {name} adds to {sums[level, line]}, not {targets[level]}"
        broken.append(f"not nested: {told}")
    return (orders[int(failed[0]) - 1] if broken else orders[-1]), broken


def _inner_line_name(line: int, order: int, border: int) -> str:
    """Return the name of a line within the square inside so many borders, given its index in the whole."""
    inner = order - 2 * border
    if line < 2 * order:
        return _line_name(line - border if line < order else line - order - border + inner, inner)
    return _line_name(line - 2 * order + 2 * inner, inner)


def symmetries(cells: Cells) -> Cells:
    """Return the 8 rotations and reflections of an (n, n) square as (8, n, n), the square itself first.

    The order is: turned anticlockwise by 0, 90, 180, 270 degrees, then the transpose turned by the same.
    """
    return np.stack([np.rot90(start, turns) for start in (cells, cells.T) for turns in range(4)])


@lru_cache(maxsize=16)
def views(order: int) -> NDArray[np.intp]:
    """Return (8, n * n): where each cell of each symmetry comes from, in the order of ``symmetries``."""
    return symmetries(np.arange(order * order).reshape(order, order)).reshape(8, -1)


def _least(cells: Cells) -> list[int]:
    rows: list[list[int]] = cells.ravel()[views(len(cells))].tolist()
    return min(rows)


def canonical(cells: Cells) -> Cells:
    """Return the least of the 8 symmetries of an (n, n) square, read row by row."""
    return np.array(_least(cells), dtype=np.int64).reshape(cells.shape)


def key(cells: Cells) -> str:
    """Return K1: the cells of the canonical form joined by spaces. Equal exactly for symmetric squares."""
    return " ".join(map(str, _least(cells)))


def canonical_many(squares: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the canonical form of each of (N, n, n) squares."""
    count, order, _ = squares.shape
    flat = np.ascontiguousarray(squares).reshape(count, order * order)
    return least_rows(flat[:, view] for view in views(order)).reshape(squares.shape)


def least_rows(forms: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return, row by row, the lexicographically least of some (N, w) tables."""
    best: NDArray[np.int64] | None = None
    for form in forms:
        if best is None:
            best, everyone = form.copy(), np.arange(len(form))
            continue
        first = (form != best).argmax(axis=1)  # 0 where nothing differs, and then nothing is less
        less = form[everyone, first] < best[everyone, first]
        best[less] = form[less]
    assert best is not None
    return best
