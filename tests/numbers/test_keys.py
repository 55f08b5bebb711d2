"""The keys against their definitions, written out naively, and against brute force over whole classes."""

from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aritmo.numbers.keys import (
    KINDS,
    Distinct,
    Kind,
    canonical_nests,
    complementary_pairs,
    core_orders,
    core_symmetries,
    deduplicate,
    keys_of,
    nest_size,
    patterns,
    prime_sets,
)
from aritmo.numbers.search import list_order3
from aritmo.numbers.squares import canonical_many, check_square, key, symmetries

Cells = NDArray[np.int64]
Ring = tuple[int, int, tuple[int, ...], tuple[int, ...]]

DURER = np.array([[16, 3, 2, 13], [5, 10, 11, 8], [9, 6, 7, 12], [4, 15, 14, 1]])
CENTRE, X, Y, TOP, LEFT = 251, -240, -210, (102, 150, 198), (-138, -60, 228)
"""The ring of a prime square of order 5, as differences to its centre, around the core of u = 180 and a = 12."""


def order3(u: int, a: int) -> Cells:
    return np.array([[-u, u - a, a], [u + a, 0, -u - a], [-a, a - u, u]])


def around(core: Cells, x: int, y: int, top: tuple[int, ...], left: tuple[int, ...]) -> Cells:
    """Return the core with a border, all as differences: complements add to 0."""
    square = np.zeros((len(core) + 2, len(core) + 2), dtype=np.int64)
    square[1:-1, 1:-1] = core
    square[0] = [x, *top, y]
    square[-1] = [-y, *(-d for d in top), -x]
    square[1:-1, 0] = left
    square[1:-1, -1] = -square[1:-1, 0]
    return square


def nested(order: int, seed: int, reach: int = 10**6) -> Cells:
    """Return a nested magic square of integers around 0. With little reach some cells repeat."""
    rng = np.random.default_rng(seed)

    def draw(count: int) -> tuple[int, ...]:
        return tuple(rng.integers(-reach, reach, count).tolist())

    square = order3(*draw(2)) if order % 2 else (2 * DURER - 17) * draw(1)[0]
    for size in range(len(square), order, 2):
        x, y = draw(2)
        top, left = draw(size - 1), draw(size - 1)
        square = around(square, x, y, (*top, -x - y - sum(top)), (*left, y - x - sum(left)))
    return square


def rearranged(square: Cells, seed: int) -> Cells:
    """Return a square of the same K2: its core and rings turned by themselves, cells within a side moved."""
    rng = np.random.default_rng(seed)
    order = len(square)
    if order == 4:
        return square.ravel()[core_symmetries()[rng.integers(32)]].reshape(4, 4)
    turned = symmetries(square)[rng.integers(8)]
    if order == 3:
        return turned
    columns, rows = (np.array([0, *(1 + rng.permutation(order - 2)), order - 1]) for _ in range(2))
    result = np.where(np.isin(np.arange(order), [0, order - 1])[:, None], turned[:, columns], turned[rows])
    result[1:-1, 1:-1] = rearranged(square[1:-1, 1:-1], seed + 1)
    return result


def naive_nest(square: Cells, centre: int) -> tuple[object, ...]:
    """Return K2 of an odd nested square around its centre as the definition words it."""
    d = (square - centre).tolist()
    n = len(d)
    middle = n // 2
    corners = {abs(d[middle + i][middle + j]) for i, j in product((-1, 1), repeat=2)}
    rings = []
    for border in range(middle - 1):
        last = n - 1 - border
        x, y = d[border][border], d[border][last]
        T = d[border][border + 1 : last]
        L = [row[border] for row in d[border + 1 : last]]
        forms = []
        for sign in (1, -1):
            for p, q, s, t in (
                (x, y, T, L), (y, x, T, [-e for e in L]), (x, -y, L, T), (-y, x, L, [-e for e in T]),
            ):  # fmt: skip
                s, t = sorted(sign * e for e in s), sorted(sign * e for e in t)
                forms.append((sign * p, sign * q, tuple(s), tuple(t)))
        rings.append(min(forms))
    return centre, tuple(sorted(corners)), tuple(rings)


def one_key(square: Cells, kind: Kind) -> tuple[bytes, ...]:
    return tuple(keys_of(square[None], kind).keys)


@pytest.fixture(scope="module")
def prime5() -> Cells:
    square = around(order3(180, 12), X, Y, TOP, LEFT) + CENTRE
    assert check_square(square, nested=True).valid
    return square


def ring_of(square: Cells) -> Ring:
    rows = square.tolist()
    return rows[0][0], rows[0][-1], tuple(rows[0][1:-1]), tuple(row[0] for row in rows[1:-1])


def ring_forms(ring: Ring) -> list[Ring]:
    """Return the 8 forms of a ring, read off the border of a turned square."""
    size = len(ring[2])
    return [ring_of(way) for way in symmetries(around(np.zeros((size, size), dtype=np.int64), *ring))]


def orbit(cores: Cells, ring: Ring) -> Cells:
    """Return each core inside each arrangement of a ring."""
    size = len(ring[2]) + 2
    parts = []
    for form in ring_forms(ring):
        tops, lefts = (np.array(list(permutations(side))) for side in form[2:])
        part = np.tile(around(cores[0], *form), (len(cores), len(tops), len(lefts), 1, 1))
        part[..., 1:-1, 1:-1] = cores[:, None, None]
        part[..., 0, 1:-1], part[..., -1, 1:-1] = tops[:, None], -tops[:, None]
        part[..., 1:-1, 0], part[..., 1:-1, -1] = lefts, -lefts
        parts.append(part.reshape(-1, size, size))
    return np.concatenate(parts)


def test_a_nest_of_order_5_holds_288_squares(prime5: Cells) -> None:
    everything = orbit(symmetries(order3(180, 12)), (X, Y, TOP, LEFT)) + CENTRE
    assert len(everything) == 8 * 288
    assert all(check_square(square, nested=True).valid for square in everything[::20])
    assert set(keys_of(everything, "K2").keys) == set(one_key(prime5, "K2"))
    assert len({key(square) for square in everything}) == 288 == nest_size(5)


def test_288_are_found_by_trying_every_ring_of_the_same_primes(prime5: Cells) -> None:
    """Of all rings that the eight pairs can form around the core as it stands, 288 share this key."""
    pairs = [abs(X), abs(Y), *map(abs, TOP), *map(abs, LEFT)]
    squares = []
    for size_x, size_y in permutations(pairs, 2):
        rest = [d for d in pairs if d not in (size_x, size_y)]
        for x, y, *signs in product((size_x, -size_x), (size_y, -size_y), *[(1, -1)] * 6):
            signed = [d * sign for d, sign in zip(rest, signs, strict=True)]
            for chosen in combinations(signed, 3):
                other = [d for d in signed if d not in chosen]
                if x + y + sum(chosen) == 0 == x - y + sum(other):
                    squares += [
                        around(order3(180, 12), x, y, top, left)
                        for top, left in product(permutations(chosen), permutations(other))
                    ]
    keys = keys_of(np.array(squares) + CENTRE, "K2").keys
    assert keys.count(*one_key(prime5, "K2")) == 288
    assert len(keys) == 288 * len(set(keys))
    assert len(np.unique(canonical_many(np.array(squares)), axis=0)) == len(squares)


def test_a_nest_of_order_7_holds_33_177_600_squares() -> None:
    """The ring of order 7 alone has 115,200 arrangements around one core of order 5, and all share the key."""
    square = nested(7, 3)
    everything = orbit(square[None, 1:-1, 1:-1], ring_of(square))
    assert len(set(keys_of(everything, "K1").keys)) == len(everything) == 115_200
    assert set(keys_of(everything, "K2").keys) == set(one_key(square, "K2"))
    assert nest_size(7) == 33_177_600 == nest_size(5) * 115_200


def test_a_nest_of_order_6_holds_18_432_squares() -> None:
    square = nested(6, 1)
    cores = square[1:-1, 1:-1].reshape(16)[core_symmetries()].reshape(32, 4, 4)
    everything = orbit(np.unique(canonical_many(cores), axis=0), ring_of(square))
    different = np.unique(canonical_many(everything), axis=0)
    assert len(everything) == len(different) == 18_432 == nest_size(6)
    assert set(keys_of(everything, "K2").keys) == set(one_key(square, "K2"))


def test_32_rearrangements_keep_every_magic_square_of_order_4() -> None:
    """Such a one sends each four places that add to the sum in every magic square to four such; 32 do."""
    places = np.arange(16).reshape(4, 4)
    lines = np.zeros((10, 16), dtype=int)
    for line, cells in zip(
        lines, [*places, *places.T, places.diagonal(), places[:, ::-1].diagonal()], strict=True
    ):
        line[cells] = 1
    same = lines[1:] - lines[0]
    magic = np.linalg.svd(same)[2][np.linalg.matrix_rank(same) :]  # spans the magic squares
    assert len(magic) == 8
    sums = magic @ lines[0]
    fours = {four for four in combinations(range(16), 4) if np.allclose(magic[:, four].sum(axis=1), sums)}
    assert len(fours) == 14

    together = [[sum({a, b} <= set(four) for four in fours) for b in range(16)] for a in range(16)]

    def extend(start: tuple[int, ...]) -> list[tuple[int, ...]]:
        new = len(start)
        if new == 16:
            return [start]
        ends = [four for four in fours if four[-1] == new]
        tries = [
            (*start, place)
            for place in range(16)
            if place not in start and all(together[new][i] == together[place][j] for i, j in enumerate(start))
        ]
        return [
            whole
            for way in tries
            if all(tuple(sorted(way[i] for i in four)) in fours for four in ends)
            for whole in extend(way)
        ]

    found = set(extend(()))
    assert len(found) == 32
    assert found == set(map(tuple, core_symmetries().tolist()))
    for way in found:
        assert np.allclose(magic[:, way] @ lines.T, (magic @ lines[0])[:, None])


def test_order_4_has_a_fourth_of_the_group_up_to_turning() -> None:
    ways = DURER.ravel()[core_symmetries()].reshape(32, 4, 4)
    assert all(check_square(way).magic_sum == 34 for way in ways)
    assert len({key(way) for way in ways}) == 4 == nest_size(4)
    assert len(set(keys_of(ways, "K2").keys)) == 1
    assert nest_size(3) == 1


@settings(max_examples=60)
@given(st.sampled_from([3, 4, 5, 6, 7, 8, 9]), st.integers(0, 2**32), st.sampled_from([2, 4, 10**6]))
def test_rearranging_changes_no_key_but_k1(order: int, seed: int, reach: int) -> None:
    square = nested(order, seed, reach)
    other = rearranged(square, seed)
    assert check_square(other).magic_sum == check_square(square).magic_sum == 0
    for kind in ("K2", "K3", "K4", "K5"):
        assert one_key(square, kind) == one_key(other, kind)
    least = canonical_nests(np.array([square, other]))
    assert (least[0] == least[1]).all()
    assert (canonical_nests(least) == least).all()
    assert (core_orders(least) == core_orders(square[None])).all()
    assert sorted(least[0].ravel().tolist()) == sorted(square.ravel().tolist())


@settings(max_examples=30)
@given(st.sampled_from([3, 5, 7]), st.integers(0, 2**32))
def test_k2_groups_as_its_definition_does(order: int, seed: int) -> None:
    """Among squares of one nest, of nests with another outer ring, and of one with another centre."""
    square = nested(order, seed)
    nests = [(square, 0), (square + 5, 5)]
    if order > 3:
        nests += [(around(square[1:-1, 1:-1], *ring), 0) for ring in other_rings(square)]
    squares = [(rearranged(nest, seed + i), centre) for nest, centre in nests for i in range(3)]
    keys = keys_of(np.array([cells for cells, _ in squares]), "K2").keys
    both = set(zip((naive_nest(cells, centre) for cells, centre in squares), keys, strict=True))
    assert len(both) == len(set(keys)) == len(nests)


def other_rings(square: Cells) -> list[Ring]:
    """Return rings near to a square's own that keep all sums."""
    x, y, top, left = ring_of(square)
    return [
        (x, y, (top[0] + 1, top[1] - 1, *top[2:]), left),
        (x, y, top, (left[0] - 2, left[1] + 2, *left[2:])),
        (x + 1, y, (top[0] - 1, *top[1:]), (left[0] - 1, *left[1:])),
        (y, x, top, (left[0] + 2 * (x - y), *left[1:])),
    ]


def test_a_core_that_is_not_nested_turns_as_a_whole() -> None:
    siamese = np.array([[17, 24, 1, 8, 15], [23, 5, 7, 14, 16], [4, 6, 13, 20, 22], [10, 12, 19, 21, 3],
                        [11, 18, 25, 2, 9]]) - 13  # fmt: skip
    ring = 30, -45, (31, 32, -33, 34, -49), (-40, 41, -42, 43, -77)
    whole = around(siamese, *ring)
    turned = around(siamese.T[::-1], *ring_forms(ring)[3])
    moved = around(siamese[:, [0, 3, 2, 1, 4]][[0, 3, 2, 1, 4]], *ring)
    assert core_orders(np.array([whole, turned, moved])).tolist() == [5, 5, 5]
    assert one_key(whole, "K2") == one_key(turned, "K2") != one_key(moved, "K2")
    assert one_key(whole, "K5") == one_key(siamese, "K5") != one_key(moved, "K5")
    assert one_key(whole, "K3") == one_key(moved, "K3")


@settings(max_examples=40)
@given(st.integers(3, 6), st.integers(0, 2**32), st.sampled_from([2, 5, 10**6]))
def test_any_cells_at_all_have_keys_that_turning_does_not_change(order: int, seed: int, reach: int) -> None:
    square = np.random.default_rng(seed).integers(-reach, reach, (order, order))
    for kind in KINDS:
        assert len({one_key(way, kind) for way in symmetries(square)}) == 1


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(0, 2**32), st.integers(0, 2))
def test_cores_are_where_the_checker_finds_them(order: int, seed: int, broken: int) -> None:
    square = nested(order, seed) if order > 2 else np.full((order, order), 7)
    for place in np.random.default_rng(seed).integers(0, order, (broken, 2)).tolist():
        square[tuple(place)] += 1
    expected = check_square(square).nested_down_to
    assert core_orders(square[None]).tolist() == [order if expected is None else expected]


def test_cores_inside_squares_that_are_not_magic_do_not_count() -> None:
    square = nested(7, 1)
    square[1, 1:3] += (1, -1)
    assert core_orders(np.array([nested(7, 1), square])).tolist() == [3, 7]


@settings(max_examples=60)
@given(st.integers(3, 6), st.integers(0, 2**32), st.sampled_from([3, 30]))
def test_pairs_are_those_around_the_mean_cell(order: int, seed: int, reach: int) -> None:
    squares = np.random.default_rng(seed).integers(0, reach, (5, order, order))
    squares[0] = nested(order, seed, reach)
    owners, pairs = complementary_pairs(squares)
    for place, square in enumerate(squares):
        cells = set(square.ravel().tolist())
        mine = [[p, q] for p in sorted(cells) for q in cells if p < q and (p + q) * order**2 == 2 * square.sum()]
        assert pairs[owners == place].tolist() == mine


def test_nested_squares_have_all_pairs_around_the_centre(prime5: Cells) -> None:
    owners, pairs = complementary_pairs(prime5[None])
    assert len(pairs) == 12
    assert (pairs.sum(axis=1) == 2 * CENTRE).all()
    assert owners.tolist() == [0] * 12
    assert prime_sets(prime5[None]).tolist() == [sorted(prime5.ravel().tolist())]
    assert len(complementary_pairs(nested(6, 2)[None])[1]) == 18


def test_patterns_are_u_and_a() -> None:
    squares = list_order3(3000).reshape(-1, 3, 3)
    naive = [(int(cells[1, 1] - cells[0, 0]), int(cells[0, 2] - cells[1, 1])) for cells in squares]
    both = set(zip(naive, patterns(squares), strict=True))
    assert len(both) == len(set(naive)) == len({found for _, found in both}) < len(squares)


def test_a_pattern_is_the_core_s_whatever_surrounds_it(prime5: Cells) -> None:
    assert one_key(prime5, "K5") == one_key(order3(180, 12), "K5") == one_key(order3(180, 12).T + 7, "K5")
    assert one_key(prime5, "K5") != one_key(order3(210, 18), "K5")
    assert one_key(nested(6, 1), "K5") == one_key(nested(6, 1)[1:-1, 1:-1] + 50, "K5")


@pytest.mark.parametrize("kind", KINDS)
def test_duplicates_leave_and_the_first_of_each_stays_in_its_place(kind: Kind) -> None:
    squares = list_order3(2000).reshape(-1, 3, 3)[np.random.default_rng(1).permutation(600)[:400]]
    turned = np.concatenate([squares, symmetries(squares[0])[1:], squares.swapaxes(1, 2)])
    seen: set[bytes] = set()
    expected = []
    for square in turned:
        mine = one_key(square, kind)
        if not seen & set(mine):
            seen |= set(mine)
            expected.append(square.tolist())
    assert deduplicate(turned, kind).tolist() == expected
    picker = Distinct(kind)
    parts = [part[picker.fresh(part)] for part in (turned[:150], turned[150:151], turned[151:])]
    assert np.concatenate(parts).tolist() == expected
    assert 1 <= len(expected) <= 400


def test_one_picker_takes_any_orders(prime5: Cells) -> None:
    picker = Distinct("K5")
    assert picker.fresh(order3(180, 12)[None] + 5).tolist() == [0]
    assert picker.fresh(np.array([prime5, nested(5, 9)])).tolist() == [1]
    assert picker.fresh(nested(4, 9)[None]).tolist() == [0]


@pytest.mark.parametrize("kind", KINDS)
def test_no_squares_have_no_keys(kind: Kind) -> None:
    none = np.empty((0, 5, 5), dtype=np.int64)
    owners, keys = keys_of(none, kind)
    assert (len(owners), keys, len(deduplicate(none, kind))) == (0, [], 0)
    assert canonical_nests(none).shape == (0, 5, 5)
    assert prime_sets(none).shape == (0, 25)


def test_batches_of_any_size_have_the_same_keys_and_stay_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    squares = np.array([nested(7, seed, 9) for seed in range(40)])
    before = squares.copy()
    whole = [(keys_of(squares, kind).owners.tolist(), keys_of(squares, kind).keys) for kind in KINDS]
    monkeypatch.setattr("aritmo.numbers.keys._CHUNK", 3 * 49)
    assert whole == [(keys_of(squares, kind).owners.tolist(), keys_of(squares, kind).keys) for kind in KINDS]
    assert (squares == before).all()


def test_what_makes_no_sense_is_refused(prime5: Cells) -> None:
    with pytest.raises(ValueError, match=r"^key: got 'K6', allowed K1, K2, K3, K4, K5$"):
        keys_of(prime5[None], "K6")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got 'nest'"):
        Distinct("nest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="leave out squares with larger ones"):
        keys_of(prime5[None] + 2**61 // 25, "K2")
    with pytest.raises(ValueError, match="begin at order 3"):
        nest_size(2)
