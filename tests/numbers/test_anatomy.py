"""Statistics against plain counting, one number at a time."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aritmo.numbers.anatomy import PLACES, Anatomy
from aritmo.numbers.primes import is_prime
from aritmo.numbers.rings import draw_odd
from aritmo.numbers.search import draw_order3

EVEN = np.array([[16, 3, 2, 13], [5, 10, 11, 8], [9, 6, 7, 12], [4, 15, 14, 1]])


def taken(squares: list[np.ndarray]) -> Anatomy:  # type: ignore[type-arg]
    anatomy = Anatomy()
    for number, cells in enumerate(squares, 1):
        anatomy.add(cells, f"square {number}")
    return anatomy


def sample(seed: int) -> list[np.ndarray]:  # type: ignore[type-arg]
    return [*draw_order3(20, seed, 1_000).reshape(-1, 3, 3), *draw_odd(641, 7, 3, seed)]


@given(st.integers(0, 50))
def test_numbers_and_digits_are_counted(seed: int) -> None:
    squares = sample(seed)
    told = taken(squares).statistics()
    cells = Counter(int(cell) for square in squares for cell in square.ravel())
    primes = [n for n in range(max(cells) + 1) if is_prime(n)]
    supers = {primes[index - 1] for index in primes if index <= len(primes)}
    assert told["numbers"]["cells"] == cells.total()
    assert told["numbers"]["distinct"] == len(cells)
    assert told["numbers"]["once"] == sum(count == 1 for count in cells.values())
    ranked = sorted(cells.items(), key=lambda item: (-item[1], item[0]))
    assert told["numbers"]["most_frequent"] == [list(item) for item in ranked[:20]]
    assert told["numbers"]["super_primes"] == sum(cells[n] for n in supers)
    assert told["numbers"]["distinct_super_primes"] == sum(n in cells for n in supers)
    digits = {place: [0] * 10 for place in PLACES}
    for square in squares:
        n = len(square)
        for row in range(n):
            for column in range(n):
                ring, away = (
                    min(row, column, n - 1 - row, n - 1 - column),
                    abs(row - n // 2) != abs(column - n // 2),
                )
                inner = "centre" if ring == n // 2 else "core"
                place = inner if ring >= (n - 3) // 2 else "side" if away else "corner"
                digits[place][square[row, column] % 10] += 1
    assert told["last_digits"] == digits


@given(st.integers(0, 50))
def test_centres_and_differences(seed: int) -> None:
    squares = sample(seed)
    told = taken(squares).statistics()
    centres = [int(square[len(square) // 2, len(square) // 2]) for square in squares]
    assert told["centres"]["6n+1"] == sum(c % 6 == 1 for c in centres)
    assert told["centres"]["6n-1"] == sum(c % 6 == 5 for c in centres)
    assert told["centres"]["distinct"] == len(set(centres))
    away = [abs(int(n) - c) for square, c in zip(squares, centres, strict=True) for n in square.ravel() if n != c]
    assert (told["smallest_difference"]["d"], told["largest_difference"]["d"]) == (min(away), max(away))
    for difference in (told["smallest_difference"], told["largest_difference"]):
        index = int(difference["place"].removeprefix("square ")) - 1
        assert difference["cell"] in squares[index]
        assert abs(difference["cell"] - centres[index]) == difference["d"]


@given(st.integers(0, 20))
def test_pairs_around_the_centres(seed: int) -> None:
    squares = sample(seed)
    told = taken(squares).statistics()["pairs"]
    cells: dict[int, set[int]] = {}
    for square in squares:
        cells.setdefault(int(square[len(square) // 2, len(square) // 2]), set()).update(square.ravel().tolist())
    for kind, step in (("any", 1), ("even", 2)):
        counted: Counter[str] = Counter()
        for c, used in cells.items():
            for d in range(step, c - 1, step):
                primes = is_prime(c - d) + is_prime(c + d)
                counted[("composite-composite", "prime-composite", "prime-prime")[primes]] += 1
                counted["used"] += primes == 2 and (c - d in used or c + d in used)
        assert told[kind] == {name: counted[name] for name in told[kind]}
    assert (told["centres"], told["centres_left_out"]) == (len(cells), 0)


def test_even_orders_have_half_centres() -> None:
    told = taken([EVEN]).statistics()
    assert told["centres"] == {"6n+1": 0, "6n-1": 0, "other": 1, "none": 0, "distinct": 1}
    assert told["smallest_difference"] == {"d": 0.5, "cell": 8, "place": "square 1"}
    assert told["largest_difference"]["d"] == 7.5
    assert told["last_digits"]["core"] == [1, 2, 2, 2, 2, 2, 2, 1, 1, 1]
    # 17 = 2 + 15 = 3 + 14 = ... = 8 + 9: a prime with a composite for 2, 3, 4 (13), 5, 6 (11), 7
    assert told["pairs"]["any"] == {"prime-prime": 0, "prime-composite": 6, "composite-composite": 1, "used": 0}
    assert sum(told["pairs"]["even"].values()) == 0


def test_a_square_without_centre_counts_in_the_rest() -> None:
    told = taken([np.array([[2, 3], [5, 7]])]).statistics()
    assert told["centres"]["none"] == 1
    assert told["smallest_difference"] is None
    assert told["numbers"]["super_primes"] == 2  # 3 and 5


def test_large_numbers_are_left_out_not_waited_for() -> None:
    told = taken([np.array([[2**61 - 1]])]).statistics()
    assert told["numbers"]["super_primes"] is None
    assert told["pairs"]["centres_left_out"] == 1
    assert told["largest_difference"] is None
