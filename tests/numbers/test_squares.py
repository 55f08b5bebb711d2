"""Squares against a slow reading of the definition, cell by cell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from aritmo.numbers.primes import are_prime
from aritmo.numbers.rings import draw_odd
from aritmo.numbers.squares import (
    _KnownPrimes,
    canonical,
    canonical_many,
    check_square,
    key,
    line_sums,
    symmetries,
)

ORDER_3 = [[17, 89, 71], [113, 59, 5], [47, 29, 101]]
NESTED_5 = [
    [401, 269, 41, 353, 191],
    [11, 71, 419, 263, 491],
    [479, 443, 251, 59, 23],
    [53, 239, 83, 431, 449],
    [311, 233, 461, 149, 101],
]
NESTED_6 = [  # of 1 to 36, so not prime
    [30, 29, 34, 6, 10, 2],
    [9, 26, 13, 12, 23, 28],
    [32, 15, 20, 21, 18, 5],
    [4, 19, 16, 17, 22, 33],
    [1, 14, 25, 24, 11, 36],
    [35, 8, 3, 31, 27, 7],
]
CYCLIC_5 = [
    [17, 24, 1, 8, 15],
    [23, 5, 7, 14, 16],
    [4, 6, 13, 20, 22],
    [10, 12, 19, 21, 3],
    [11, 18, 25, 2, 9],
]

Rows = list[list[int]]


def naive_sums(rows: Rows) -> list[int]:
    n = len(rows)
    sums = [sum(row) for row in rows] + [sum(row[i] for row in rows) for i in range(n)]
    return [*sums, sum(rows[i][i] for i in range(n)), sum(rows[i][n - 1 - i] for i in range(n))]


def naive_valid(rows: Rows) -> bool:
    cells = [cell for row in rows for cell in row]
    prime = all(n > 1 and all(n % d for d in range(2, int(n**0.5) + 1)) for n in cells)
    return prime and len(set(cells)) == len(cells) and len(set(naive_sums(rows))) == 1


def naive_symmetries(rows: Rows) -> list[Rows]:
    images = []
    for start in (rows, [list(row) for row in zip(*rows, strict=True)]):
        for _ in range(4):
            images.append(start)
            start = [list(row) for row in zip(*start, strict=True)][::-1]
    return images


@st.composite
def squares(draw: st.DrawFn) -> Rows:
    n = draw(st.integers(1, 6))
    cell = st.integers(-3, draw(st.sampled_from([3, 40, 10**6, 2**60])))
    return draw(st.lists(st.lists(cell, min_size=n, max_size=n), min_size=n, max_size=n))


@given(squares())
def test_validity_is_the_definition(rows: Rows) -> None:
    small = [[cell % 1000 for cell in row] for row in rows]
    check = check_square(small)
    assert check.valid == naive_valid(small) == (not check.defects)
    assert (check.magic_sum is not None) == (len(set(naive_sums(small))) == 1)


@given(squares())
def test_every_defect_is_counted(rows: Rows) -> None:
    check = check_square(rows)
    sums = naive_sums(rows)
    kinds = [defect.partition(":")[0] for defect in check.defects]
    cells = [cell for row in rows for cell in row]
    assert kinds.count("not prime") == len(cells) - check.primes
    assert kinds.count("repeated") == len(cells) - len(set(cells))
    assert kinds.count("sum") == len(sums) - max(map(sums.count, sums))


@given(squares())
def test_line_sums_are_sums_of_lines(rows: Rows) -> None:
    assert np.concatenate(line_sums(np.array(rows))).tolist() == naive_sums(rows)


@given(squares())
def test_symmetries_come_in_their_order(rows: Rows) -> None:
    assert symmetries(np.array(rows)).tolist() == naive_symmetries(rows)


@given(squares())
def test_the_canonical_form_is_the_least(rows: Rows) -> None:
    least = min(naive_symmetries(rows))
    assert canonical(np.array(rows)).tolist() == least
    assert key(np.array(rows)) == " ".join(str(cell) for row in least for cell in row)


@given(squares(), st.integers(0, 7))
def test_a_key_is_shared_by_the_symmetries_and_by_nothing_else(rows: Rows, which: int) -> None:
    cells = np.array(rows)
    assert key(symmetries(cells)[which]) == key(cells)
    changed = cells.copy()
    changed[0, 0] += 1
    assert key(changed) != key(cells)


@pytest.mark.parametrize(("order", "top"), [(1, 5), (2, 2), (3, 3), (3, 10**6), (5, 10**9)])
def test_many_canonical_forms_are_each_ones(order: int, top: int) -> None:
    many = np.random.default_rng(order).integers(0, top, (300, order, order))
    assert canonical_many(many).tolist() == [canonical(cells).tolist() for cells in many]
    assert canonical_many(many[:0]).shape == (0, order, order)


def test_a_prime_magic_square_of_order_3() -> None:
    check = check_square(ORDER_3, nested=True)
    assert check.valid
    assert (check.order, check.magic_sum, check.centre, check.pair_sum) == (3, 177, 59, None)
    assert (check.nested_down_to, check.primes) == (3, 9)


def test_defects_name_their_place() -> None:
    assert check_square([[17, 89, 71], [113, 17, 5], [47, 29, 102]]).defects == (
        "not prime: 102 in row 3, column 3",
        "repeated: 17 in row 1, column 1 and row 2, column 2",
        "sum: row 1 adds to 177, row 2 to 135",
        "sum: row 3 adds to 178, row 2 to 135",
        "sum: column 1 adds to 177, row 2 to 135",
        "sum: column 3 adds to 178, row 2 to 135",
        "sum: the main diagonal adds to 136, row 2 to 135",
    )


def naive_sum_defects(rows: Rows) -> list[str]:
    n, sums = len(rows), naive_sums(rows)
    names = [f"row {i + 1}" for i in range(n)] + [f"column {i + 1}" for i in range(n)]
    names += ["the main diagonal", "the other diagonal"]
    reference = max(sums, key=sums.count)
    against = "most lines" if 2 * sums.count(reference) > len(sums) else names[sums.index(reference)]
    return [
        f"sum: {name} adds to {total}, {against} to {reference}"
        for name, total in zip(names, sums, strict=True)
        if total != reference
    ]


@given(squares())
def test_wrong_sums_are_held_against_the_commonest(rows: Rows) -> None:
    told = [defect for defect in check_square(rows).defects if defect.startswith("sum")]
    assert told == naive_sum_defects(rows)


def test_one_changed_cell_is_held_against_most_lines() -> None:
    wrong = [[17, 89, 71], [113, 59, 5], [47, 31, 101]]
    assert check_square(wrong).defects == (
        "sum: row 3 adds to 179, most lines to 177",
        "sum: column 2 adds to 179, most lines to 177",
    )


def test_a_nested_square_of_odd_order() -> None:
    check = check_square(NESTED_5, nested=True)
    assert check.valid
    assert (check.magic_sum, check.centre, check.nested_down_to) == (5 * 251, 251, 3)


def test_a_nested_square_of_even_order() -> None:
    check = check_square(NESTED_6, nested=True)
    assert (check.magic_sum, check.centre, check.pair_sum, check.nested_down_to) == (111, None, 37, 4)
    assert not [defect for defect in check.defects if defect.startswith("not nested")]


def test_a_magic_square_that_is_not_nested() -> None:
    check = check_square(CYCLIC_5, nested=True)
    assert (check.magic_sum, check.nested_down_to) == (65, 5)
    assert "not nested: in the inner square of order 3 row 1 adds to 26, not 39" in check.defects
    assert not [defect for defect in check_square(CYCLIC_5).defects if defect.startswith("not nested")]


def test_a_square_nested_only_half_way() -> None:
    inner = np.array(CYCLIC_5) + 12  # centre 25: order 5 in the middle of order 7, pairs of 50
    rest = [*range(1, 13)]
    ring = bordered(inner.tolist(), rest, 50)
    check = check_square(ring, nested=True)
    assert (check.magic_sum, check.nested_down_to) == (175, 5)
    assert "not nested: in the inner square of order 3 row 1 adds to 62, not 75" in check.defects


def bordered(core: Rows, low: list[int], pair: int) -> Rows:
    """Put a border of the numbers and their complements around a core, by a search through seeded draws."""
    rng = np.random.default_rng(0)
    k = len(core)
    while True:
        values = [v if rng.random() < 0.5 else pair - v for v in rng.permutation(low).tolist()]
        x, y, top, left = values[0], values[1], values[2 : 2 + k], values[2 + k :]
        total = (k + 2) * pair // 2
        if x + y + sum(top) == total == x + pair - y + sum(left):
            middle = [[side, *row, pair - side] for side, row in zip(left, core, strict=True)]
            return [[x, *top, y], *middle, [pair - y, *(pair - t for t in top), pair - x]]


def test_nesting_of_what_has_no_sum() -> None:
    assert "not nested: the whole square has no common sum" in check_square([[2, 3], [5, 7]], True).defects


def test_a_single_cell() -> None:
    assert check_square([[7]], nested=True).valid
    assert check_square([[9]]).defects == ("not prime: 9 in row 1, column 1",)


def test_a_large_square_with_all_its_defects() -> None:
    cells = np.random.default_rng(0).integers(0, 10**12, (601, 601))
    check = check_square(cells)
    assert check.order == 601
    assert sum(defect.startswith("not prime") for defect in check.defects) == 601**2 - check.primes


@pytest.mark.parametrize(
    "cells",
    [
        [[1, 2], [3]],
        [[1, 2, 3], [4, 5, 6]],
        [],
        [[]],
        [1, 2],
        [[1.5]],
        [["a"]],
        [[True]],
        [[2**63]],
        [[10**30]],
        [[2**62, 1], [1, 1]],
        [[-(2**62), 1], [1, -(2**62)]],
        np.zeros((2, 2, 2), dtype=np.int64),
    ],
)
def test_what_is_no_square_of_integers_is_refused(cells: NDArray[np.int64]) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+; (make|give) [^\n]+$"):
        check_square(cells)


def naive_levels(rows: Rows, total: int) -> list[str]:
    """Return the first words of each sentence on an inner square whose sums are not their share of the total."""
    n = len(rows)
    told = []
    for b in range(1, (n - (3 if n % 2 else 4)) // 2 + 1):
        k = n - 2 * b
        sums = naive_sums([row[b : n - b] for row in rows[b : n - b]])
        if k * total % n:
            told.append(f"not nested: {k}/{n} of {total}")
        elif wrong := [i for i, s in enumerate(sums) if s * n != k * total]:
            names = [*(f"row {i + 1}" for i in range(k)), *(f"column {i + 1}" for i in range(k))]
            name = [*names, "the main diagonal", "the other diagonal"][wrong[0]]
            told.append(f"not nested: in the inner square of order {k} {name} adds to {sums[wrong[0]]},")
    return told


@given(
    st.sampled_from([641, 1361, 0]),
    st.integers(0, 9),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(-2, 2)), max_size=2),
)
def test_every_level_that_fails_is_told(centre: int, seed: int, changes: list[tuple[int, int, int]]) -> None:
    cells = draw_odd(centre, {641: 7, 1361: 9}[centre], 1, seed)[0] if centre else np.array(NESTED_6)
    for row, column, by in changes:
        cells[row, column] += by
    check = check_square(cells)
    sums = naive_sums(cells.tolist())
    common = max(sums, key=sums.count)
    if 2 * sums.count(common) > len(sums):
        expected = naive_levels(cells.tolist(), common)
        assert len(expected) == len(check.not_nested)
        assert all(a.startswith(b) for a, b in zip(check.not_nested, expected, strict=True))
    told = [defect for defect in check_square(cells, nested=True).defects if defect.startswith("not nested")]
    whole = [] if check.magic_sum is not None else ["not nested: the whole square has no common sum"]
    assert told == [*whole, *check.not_nested]


def test_one_wrong_cell_is_told_at_each_level_that_holds_it() -> None:
    cells = np.array(NESTED_6)
    cells[1, 2] += 2
    check = check_square(cells, nested=True)
    assert check.not_nested == ("not nested: in the inner square of order 4 row 1 adds to 76, not 74",)
    cells = np.array(NESTED_6)
    cells[0, 2] += 2
    assert check_square(cells).not_nested == ()


@given(st.lists(st.integers(0, 3_000_000), min_size=9, max_size=9), st.integers(1, 12))
def test_primes_are_the_same_however_many_were_asked_for(flat: list[int], times: int) -> None:
    known = _KnownPrimes()
    cells = np.array(flat).reshape(3, 3)
    many = np.tile(cells, (10 * times, 10 * times))
    assert (known(many) == are_prime(many)).all()
    assert (known(cells) == are_prime(cells)).all()
    assert not known(-cells - 1).any()
