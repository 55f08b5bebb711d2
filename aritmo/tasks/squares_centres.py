"""Which centres a search can be asked for: those of a split that have a square which it finds."""

from functools import lru_cache

from aritmo.numbers.randomness import Split, digest, split_of
from aritmo.tasks.squares_nested import BELOW, ENOUGH, nested_square
from aritmo.tasks.squares_pool import NAME
from aritmo.tasks.squares_search import LIMIT, Search, found_by, is_prime


@lru_cache(maxsize=8)
def centres_of(order: int, split: Split) -> tuple[int, ...]:
    """Return the centres of a split that have a square of an order which the search finds, in a drawn order.

    Raises ValueError for an order that is not searched for.
    """
    if order not in (3, *ENOUGH):
        raise ValueError(f"centres: got {order}, and orders {', '.join(map(str, (3, *ENOUGH)))} are searched for")
    below, found = (LIMIT, found_by) if order == 3 else (BELOW, nested_square)
    centres = [
        c
        for c in range(11, below)
        if is_prime(c) and split_of(NAME, str(c)) == split and found(Search(c, order=order))
    ]
    return tuple(sorted(centres, key=lambda c: digest(NAME, "measured", c)))
