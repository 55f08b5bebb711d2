"""Which squares a corpus is drawn from: those of one order whose family is in one split, in a seeded order.

Order 3 is listed whole. Of other orders, item i stands in a block of squares that is a pure function of order,
bound, split, seed and number, so that any stretch can be had without what comes before it.
"""

from functools import lru_cache
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.primes import is_prime
from aritmo.numbers.randomness import SPLITS, Split, Stream, digest, seed_of, split_of
from aritmo.numbers.requests import Request, take_turns
from aritmo.numbers.search import list_order3
from aritmo.numbers.squares import views

Ints = NDArray[np.int64]

NAME = "squares"
VERSION = 1
_ODD = (1024, 128)
_EVEN = (4096, 32)
"""Squares in a block, and families that it takes in turn. A first core of order 4 costs as much as a hundred."""
_PATIENCE = 4
"""So many times as many families are tried where some have no square."""


@lru_cache(maxsize=16)
def turned(order: int) -> list[tuple[int, "itemgetter[int]"]]:
    """Return each of the 8 ``views`` of a square as the place that comes first and a picker of all cells."""
    return [(view[0], itemgetter(*view)) for view in views(order).tolist()]


def squares_between(
    order: int, below: int, split: Split, seed: int, start: int, stop: int, again: bool = False
) -> Ints:
    """Return the squares ``start`` to ``stop`` of an order as (m, order * order) cells.

    Every class of order 3 comes once in a seeded order, in a seeded orientation; then each in its next
    orientation, and so on: 8 squares a class, none twice. Then it ends, or with ``again`` begins anew. Other
    orders never end, but where there are few squares they come again. m is 0 where the split has none.
    """
    if order == 3:
        pool, turns = _pool(below, split, seed)
        places = np.arange(start, stop)
        places = places % max(1, 8 * len(pool)) if again else places[places < 8 * len(pool)]
        again_turned, which = np.divmod(places[: len(places) if len(pool) else 0], max(1, len(pool)))
        return np.take_along_axis(pool[which], views(3)[(turns[which] + again_turned) % 8], axis=1)
    if start >= stop or not len(_block(order, below, split, seed, 0)):
        return np.empty((0, order * order), dtype=np.int64)
    size, _ = _shape(order)
    numbers = range(start // size, -(-stop // size))
    blocks = np.concatenate([_full_block(order, below, split, seed, number) for number in numbers])
    first = numbers.start * size
    return blocks[start - first : stop - first]


def _shape(order: int) -> tuple[int, int]:
    return _ODD if order % 2 else _EVEN


_classes = lru_cache(maxsize=1)(list_order3)


@lru_cache(maxsize=3)
def _pool(below: int, split: Split, seed: int) -> tuple[Ints, Ints]:
    """Return the classes of order 3 whose centre is in the split as (N, 9), in seeded order, and the first
    turn of each. They stay arrays: a million tuples would be walked by each garbage collection.
    """
    assert split in SPLITS
    classes = _classes(below)
    centres, where = np.unique(classes[:, 4], return_inverse=True)
    mine = np.array([split_of(NAME, str(centre)) == split for centre in centres.tolist()], dtype=bool)
    squares = classes[mine[where]]
    name = f"{NAME}:{VERSION}:{split}:{seed}"
    ranks = [digest(name, index) for index in range(len(squares))]
    order = np.array(sorted(range(len(squares)), key=ranks.__getitem__), dtype=np.int64)
    turns = np.array([rank[-1] % 8 for rank in ranks], dtype=np.int64)
    return squares[order], turns[order]


@lru_cache(maxsize=8)
def _families(order: int, below: int, split: Split, seed: int) -> list[int]:
    """Return the centres or pair sums of the split that have pairs enough, in seeded order.

    A pair sum is left out where half of it is prime: that may be a centre of another split, with the same pairs.
    """
    families = Request(order, below=below).check().families().tolist()
    mine = [family for family in families if split_of(NAME, str(family)) == split]
    if order % 2 == 0:
        mine = [family for family in mine if family % 2 or not is_prime(family // 2)]
    return sorted(mine, key=lambda family: digest(NAME, VERSION, split, seed, order, family))


def _full_block(order: int, below: int, split: Split, seed: int, number: int) -> Ints:
    """Return a block, its squares again and again where there are too few of them."""
    squares = _block(order, below, split, seed, number)
    if not len(squares):
        squares = _block(order, below, split, seed, 0)
    return np.resize(squares, (_shape(order)[0], order * order))


@lru_cache(maxsize=4)
def _block(order: int, below: int, split: Split, seed: int, number: int) -> Ints:
    """Return a block in seeded orientations as (m, order * order); m may be too few. Families take turns.

    A block goes on through the families where the block before it ended.
    """
    request, families = Request(order, below=below), _families(order, below, split, seed)
    size, most = _shape(order)
    picks = min(most, len(families))
    parts: list[Ints] = []
    missing, tried = size, 0
    while missing and tried < _PATIENCE * picks:
        family = families[(number * picks + tried) % len(families)]
        many = -(-missing // max(1, picks - tried))
        drawn = request.draw(family, many, seed_of(NAME, VERSION, split, seed, order, number, tried))
        parts.append(drawn)
        missing, tried = missing - len(drawn), tried + 1
    if missing == size:
        return np.empty((0, order * order), dtype=np.int64)
    squares = take_turns(parts).reshape(-1, order * order)
    stream = Stream(NAME, VERSION, split, seed, order, number, "turns")
    ways = np.array([stream.below(8) for _ in range(len(squares))])
    return np.take_along_axis(squares, views(order)[ways], axis=1)
