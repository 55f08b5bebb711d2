"""Rows, canonical forms and marks, each against the slow way of the rest of the package."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aritmo.numbers.matrixfiles import write_matrices
from aritmo.numbers.rows import Seen, fingerprints, rows
from aritmo.numbers.squares import canonical_many, symmetries


@settings(max_examples=60, deadline=None)
@given(
    order=st.integers(1, 6), top=st.sampled_from([1, 9, 10, 99, 1_000, 10**9, 2**63 - 1]), seed=st.integers(0, 99)
)
def test_rows_are_what_write_matrices_writes(order: int, top: int, seed: int) -> None:
    squares = np.random.default_rng(seed).integers(0, top, (5, order, order), dtype=np.int64, endpoint=True)
    squares[0] = top
    widths = [len(str(square.max())) for square in squares]
    lines = [
        "".join(" ".join(f"{cell:{width}d}" for cell in row) + "\n" for row in square.tolist())
        for square, width in zip(squares, widths, strict=True)
    ]
    assert rows(squares).decode() == "".join("\n" + text for text in lines)


def test_rows_begin_like_the_other_writer(tmp_path: Path) -> None:
    squares = np.arange(2 * 49, dtype=np.int64).reshape(2, 7, 7) ** 3
    write_matrices(tmp_path / "squares.txt", squares)
    assert b"\n" + (tmp_path / "squares.txt").read_bytes() == rows(squares)


@pytest.mark.parametrize("order", [3, 4, 5, 8])
def test_all_symmetries_share_one_form_and_one_mark(order: int) -> None:
    draw = np.random.default_rng(order)
    squares = np.stack([draw.permutation(order * order).reshape(order, order) for _ in range(300)])
    views = np.concatenate([symmetries(square) for square in squares])
    canonical = np.empty_like(views)
    marks = fingerprints(views, canonical)
    assert (canonical == canonical_many(views)).all()
    assert (marks.reshape(-1, 8) == marks[::8, None]).all()
    assert len(set(marks.tolist())) == len({square.tobytes() for square in canonical})


def test_a_mark_met_before_is_known_and_hardly_any_other() -> None:
    marks = np.random.default_rng(1).integers(0, 2**64, 400_000, dtype=np.uint64)
    seen = Seen()
    new = seen.fresh(marks)
    assert np.count_nonzero(~new) < 40
    assert not seen.fresh(marks).any()


@pytest.mark.parametrize("parts", [1, 7, 1_000])
def test_what_is_seen_does_not_depend_on_the_portions(parts: int) -> None:
    marks = np.random.default_rng(2).integers(0, 2**18, 300_000).astype(np.uint64) * np.uint64(2**45 + 59)
    whole = Seen().fresh(marks)
    seen = Seen()
    assert (np.concatenate([seen.fresh(part) for part in np.array_split(marks, parts)]) == whole).all()
    first = np.zeros(len(marks), dtype=bool)
    first[np.unique(marks, return_index=True)[1]] = True
    assert not (whole & ~first).any()
    assert np.count_nonzero(first & ~whole) < 40


def test_no_square_gives_no_text() -> None:
    assert rows(np.empty((0, 3, 3), dtype=np.int64)) == b""
    assert rows(np.array([[[2]]])) == b"\n2\n"
