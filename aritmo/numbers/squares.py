"""Prime magic squares of any order: every defect with its place, nesting, symmetries and the key K1."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.primes import are_prime

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
    are prime. Each defect is one sentence whose kind stands before its first ``:``.
    """

    order: int
    magic_sum: int | None
    centre: int | None
    pair_sum: int | None
    nested_down_to: int | None
    primes: int
    defects: tuple[str, ...]

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
    prime = are_prime(square)
    sums = np.concatenate(line_sums(square))
    magic_sum = int(sums[0]) if (sums == sums[0]).all() else None
    defects = [*_composites(square, prime), *_repeats(square), *_unequal(sums.tolist(), order)]
    down_to = None if magic_sum is None else _nested_down_to(square, magic_sum)
    if nested and (down_to is None or down_to > _core(order)):
        defects.append(_not_nested(square, magic_sum, down_to))
    even_pairs = magic_sum is not None and order % 2 == 0 and 2 * magic_sum % order == 0
    return SquareCheck(
        order=order,
        magic_sum=magic_sum,
        centre=int(square[order // 2, order // 2]) if order % 2 else None,
        pair_sum=2 * magic_sum // order if magic_sum is not None and even_pairs else None,
        nested_down_to=down_to,
        primes=int(np.count_nonzero(prime)),
        defects=tuple(defects),
    )


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
    values = square.ravel().tolist()
    if len(set(values)) == len(values):
        return []
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


def _core(order: int) -> int:
    """Return the order at which nesting ends: 3 or 4, or the order itself where that is smaller."""
    return min(order, 3 if order % 2 else 4)


def _inner(square: Cells, order: int) -> Cells:
    border = (len(square) - order) // 2
    return square[border : border + order, border : border + order]


def _nested_down_to(square: Cells, magic_sum: int) -> int:
    """Return the smallest order reached. Inner squares of order k can only have the sum k * magic_sum / n.

    For let the square of order k-2 have the sum S, and that of order k the sum M. Then opposite border cells
    add to M - S. The top and bottom rows are k such pairs and add to 2M, so S = M * (k-2) / k.
    """
    order = len(square)
    reached = order
    while reached > _core(order):
        inner = _inner(square, reached - 2)
        target, rest = divmod(magic_sum * len(inner), order)
        if rest or any((sums != target).any() for sums in line_sums(inner)):
            break
        reached -= 2
    return reached


def _not_nested(square: Cells, magic_sum: int | None, down_to: int | None) -> str:
    if magic_sum is None or down_to is None:
        return "not nested: the whole square has no common sum"
    inner = _inner(square, down_to - 2)
    order = len(inner)
    target, rest = divmod(magic_sum * order, len(square))
    if rest:
        return f"not nested: {order}/{len(square)} of {magic_sum}, the sum of order {order}, is no integer"
    sums = np.concatenate(line_sums(inner)).tolist()
    wrong = next(index for index, total in enumerate(sums) if total != target)
    line = _line_name(wrong, order)
    return f"not nested: in the inner square of order {order} {line} adds to {sums[wrong]}, not {target}"


def symmetries(cells: Cells) -> Cells:
    """Return the 8 rotations and reflections of an (n, n) square as (8, n, n), the square itself first.

    The order is: turned anticlockwise by 0, 90, 180, 270 degrees, then the transpose turned by the same.
    """
    return np.stack([np.rot90(start, turns) for start in (cells, cells.T) for turns in range(4)])


@lru_cache(maxsize=8)
def _views(order: int) -> NDArray[np.intp]:
    """Return (8, n * n): where each cell of each symmetry comes from, in the order of ``symmetries``."""
    return symmetries(np.arange(order * order).reshape(order, order)).reshape(8, -1)


def _least(cells: Cells) -> list[int]:
    rows: list[list[int]] = cells.ravel()[_views(len(cells))].tolist()
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
    best = flat.copy()
    everyone = np.arange(count)
    for view in _views(order)[1:]:
        turned = flat[:, view]
        first = (turned != best).argmax(axis=1)  # 0 where nothing differs, and then nothing is less
        less = turned[everyone, first] < best[everyone, first]
        best[less] = turned[less]
    return best.reshape(squares.shape)
