"""Requests: what is impossible is refused with its reason; what is open is filled in."""

import re

import pytest

from aritmo.numbers.requests import Request, first_family, least_bound, pair_counts


def prime(n: int) -> bool:
    return n > 1 and all(n % p for p in range(2, int(n**0.5) + 1))


PRIMES = [p for p in range(5, 3_000) if prime(p)]


@pytest.mark.parametrize("below", [1, 2, 10, 100, 757, 1_000])
def test_pairs_are_counted_for_every_middle(below: int) -> None:
    few = [p for p in PRIMES if p < below]
    naive = [0] * below
    for i, p in enumerate(few):
        for q in few[i + 1 :]:
            naive[(p + q) // 2] += 1
    assert pair_counts(below).tolist() == naive


@pytest.mark.parametrize(("order", "centre"), [(3, 59), (5, 251), (7, 641), (9, 1_361), (11, 2_411)])
def test_the_first_centres_with_enough_pairs(order: int, centre: int) -> None:
    assert first_family(order) == centre


@pytest.mark.parametrize("order", [5, 6, 7, 8])
def test_the_least_bound_is_the_least(order: int) -> None:
    needed = (order * order - (1 if order % 2 else 16)) // 2
    greatest = []
    for middle in range(5, 1_000):
        if order % 2 == 0 or prime(middle):
            partners = [
                q for q in PRIMES if middle < q < 2 * middle and prime(2 * middle - q) and 2 * middle - q > 3
            ]
            greatest += partners[needed - 1 : needed]
    assert least_bound(order) == min(greatest) + 1


def test_the_least_bound_of_order_3_has_a_square() -> None:
    assert least_bound(3) == 114  # 113 is the greatest cell of the square around 59


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (Request(0), "no prime magic square of order 0"),
        (Request(1), "no prime magic square of order 1"),
        (Request(2), "no prime magic square of order 2"),
        (Request(-5), "no prime magic square of order -5"),
        (Request(203), "up to order 201, not 203"),
        (Request(6, nested=False), "plain squares are made of orders 3, 4 and 5 only, not 6"),
        (Request(5, centre=101), "needs 12 pairs .* and 101 has 7; the first centre with enough is 251"),
        (Request(7, centre=101, below=50), "and 101 has 7; the first centre with enough is 641"),
        (Request(5, centre=250), "250 is not; give 251 or 257"),
        (Request(5, centre=999), "999 is not; give 997 or 1009"),
        (Request(5, centre=-3), "the centre of primes is above 0, not -3"),
        (Request(5, centre=1), "1 is not; give 251 or 257"),
        (Request(5, magic_sum=1_256), "5 times its centre, which 1256 is not; give 1255 or 1285"),
        (Request(3, magic_sum=178), "3 times its centre, which 178 is not; give 177 or 183"),
        (Request(5, centre=257, magic_sum=1_255), "centre 257 has the sum 1285, not 1255"),
        (Request(6, pair_sum=120, magic_sum=400), "3 times its pair sum, which 400 is not; give 396 or 402"),
        (Request(6, pair_sum=120, magic_sum=366), "pair sum 120 has the sum 360, not 366"),
        (Request(6, pair_sum=151), "have an even sum, and 151 is odd; give 152"),
        (Request(6, pair_sum=50), "and 25 has 3; the first pair sum with enough is 114"),
        (Request(6, centre=101), "even order 6 has no cell in its centre"),
        (Request(7, pair_sum=100), "order 7 has a centre and no pair sum"),
        (Request(5, nested=False, centre=101), "give the sum, or ask for nested"),
        (Request(5, nested=False, magic_sum=500), "500 is even; give 501"),
        (Request(5, nested=False, magic_sum=231), "least sum .* order 5 is 233, and 231 is less"),
        (Request(4, magic_sum=118), "least sum .* order 4 is 120, and 118 is less"),
        (Request(4, magic_sum=121), "2 times its pair sum, which 121 is not; give 120 or 122"),
        (Request(4, pair_sum=1_000, below=300), "below 300 do not add to 2000; give a bound of at least 505"),
        (Request(4, below=59), "order 4 needs 16 different primes from 3 on, the last is 59; .* at least 60"),
        (Request(4, below=60, allow3=False), "16 different primes from 5 on, the last is 61; .* at least 62"),
        (Request(3, below=113), "no square of order 3 has all cells below 113; give a bound of at least 114"),
        (Request(3, centre=47), "no square of order 3 has the centre 47; the first that will do is 59"),
        (Request(3, centre=59, below=113), "the centre 59 with cells below 113"),
        (Request(5, below=479), "no centre has the 12 pairs .* at least 480"),
        (Request(7, centre=641, below=700), "and 641 has 1 below 700; give a bound of at least 1278"),
        (Request(7, below=0), "the bound of primes is above 0, not 0"),
        (Request(7, below=10**9), "the bound goes up to 10000000 .* not 1000000000"),
        (Request(7, centre=10**13), "goes up to 1000000000000, not 10000000000000"),
    ],
)
def test_the_impossible_is_refused_in_one_sentence(request_: Request, told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        request_.check()
    assert not re.search(r"\n|\. ", str(refused.value))


@pytest.mark.parametrize(
    ("asked", "settled"),
    [
        (Request(5, magic_sum=1_255), Request(5, centre=251, magic_sum=1_255)),
        (Request(5, centre=251), Request(5, centre=251, magic_sum=1_255)),
        (Request(6, magic_sum=360), Request(6, pair_sum=120, magic_sum=360)),
        (Request(4, magic_sum=122), Request(4, pair_sum=61, magic_sum=122)),
        (Request(5, False, magic_sum=233), Request(5, False, magic_sum=233)),
        (Request(7), Request(7, below=10_000)),
        (Request(25), Request(25, below=50_000)),
    ],
)
def test_what_is_open_is_filled_in(asked: Request, settled: Request) -> None:
    assert asked.check() == settled == settled.check()


@pytest.mark.parametrize("order", [3, 5, 7, 9, 11, 13])
def test_families_of_odd_orders_are_primes_with_enough_pairs(order: int) -> None:
    families = Request(order).check().families().tolist()
    assert len(families) >= 300
    assert all(prime(centre) for centre in families)
    assert families == sorted(set(families))
