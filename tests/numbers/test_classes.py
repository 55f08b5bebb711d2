"""The count of the classes of order 5 against results on record and against a search of another kind."""

from itertools import combinations, permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from aritmo.numbers.classes import count_order5, list_order5
from aritmo.numbers.rings import draw_odd
from aritmo.numbers.squares import canonical, canonical_many, check_square

Side = tuple[frozenset[int], frozenset[int]]
Class = tuple[tuple[int, ...], frozenset[Side]]


def side(first: int, last: int, between: tuple[int, ...]) -> Side:
    return frozenset((first, last)), frozenset(between)


def class_of(square: NDArray[np.int64]) -> Class:
    """What symmetries of core and of ring, and the order of cells between corners, leave as it is."""
    core = tuple(canonical(square[1:4, 1:4]).ravel().tolist())
    rows = (square[0], square[-1], square[:, 0], square[:, -1])
    return core, frozenset(side(int(r[0]), int(r[-1]), tuple(r[1:-1].tolist())) for r in rows)


def naive_classes(centre: int) -> set[Class]:
    """Put any primes into the corners of a core and of a ring, and any sets of primes of the right sum between."""
    numbers = range(2, 2 * centre)
    proven = {p for p in numbers if all(p % d for d in range(2, p))}
    primes = {p for p in proven if p != centre and 2 * centre - p in proven}
    found = set()
    for a, c in permutations(primes, 2):
        b, d = 3 * centre - a - c, centre + c - a
        core = np.array([[a, b, c], [d, centre, 2 * centre - d], [2 * centre - x for x in (c, b, a)]])
        if not primes.issuperset({b, d}) or len(set(core.ravel().tolist())) < 9:
            continue
        if (canonical(core) == core).all():
            name = tuple(core.ravel().tolist())
            found |= {(name, ring) for ring in naive_rings(centre, primes - set(name))}
    return found


def naive_rings(centre: int, free: set[int]) -> set[frozenset[Side]]:
    by_sum: dict[int, list[tuple[int, ...]]] = {}
    for three in combinations(sorted(free), 3):
        if not {2 * centre - p for p in three} & set(three):
            by_sum.setdefault(sum(three), []).append(three)
    rings = set()
    for p, q in permutations(free, 2):
        corners = {p, q, 2 * centre - p, 2 * centre - q}
        for top in by_sum.get(5 * centre - p - q, []) if len(corners) == 4 else []:
            bottom = tuple(2 * centre - x for x in top)
            for left in by_sum.get(5 * centre - p - (2 * centre - q), []):
                right = tuple(2 * centre - x for x in left)
                if len({*corners, *top, *bottom, *left, *right}) == 16:
                    rings.add(
                        frozenset(
                            (
                                side(p, q, top),
                                side(2 * centre - q, 2 * centre - p, bottom),
                                side(p, 2 * centre - q, left),
                                side(q, 2 * centre - p, right),
                            )
                        )
                    )
    return rings


def test_centre_251_has_35_classes() -> None:
    """Skelt, Perkins and Roach, Mathematics 13(8):1261, 2025: 19 around one core and 16 around the other."""
    listed = list_order5(251)
    _, each = np.unique(listed[:, 1:4, 1:4].min(axis=(1, 2)), return_counts=True)
    assert count_order5(251) == 35
    assert sorted(each.tolist()) == [16, 19]


@pytest.mark.parametrize("centre", [251, 257, 317, 373])
def test_the_search_misses_nothing_and_invents_nothing(centre: int) -> None:
    classes = [class_of(square) for square in list_order5(centre)]
    assert len(classes) == len(set(classes)) == count_order5(centre)
    assert set(classes) == naive_classes(centre)


def test_a_list_is_canonical_and_valid() -> None:
    listed = list_order5(503)
    assert len(listed) == count_order5(503) > 600
    assert (canonical_many(listed) == listed).all()
    assert all(check_square(square, nested=True).valid for square in listed)


def test_drawn_squares_are_of_all_the_listed_classes() -> None:
    assert {class_of(square) for square in draw_odd(251, 5, 4_000, 1)} == set(map(class_of, list_order5(251)))


@pytest.mark.parametrize("centre", [2, 3, 5, 241])
def test_centres_without_squares(centre: int) -> None:
    assert count_order5(centre) == 0
    assert list_order5(centre).shape == (0, 5, 5)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="15 is not prime"):
        count_order5(15)
    with pytest.raises(ValueError, match="centre 5003 has 91 offsets"):
        count_order5(5003)
    with pytest.raises(ValueError, match="more than 1000000 classes"):
        list_order5(1999)
