"""What a corpus of squares may be made of: orders, prompts and bounds as people give them, refused at once."""

import re
from collections.abc import Sequence
from typing import Any, get_args

from aritmo.numbers.requests import Request
from aritmo.tasks.squares import Square, Squares, Wanted, form
from aritmo.tasks.task import Ask, TaskOptions


def read_orders(given: Any) -> int | tuple[int, ...]:
    """Return one order, or several as a tuple: «3,5,7», a list or a number. Raises ValueError for others."""
    parts = given.split(",") if isinstance(given, str) else given if isinstance(given, list | tuple) else [given]
    try:
        orders = tuple(int(part) if isinstance(part, str) else part for part in parts)
    except ValueError:
        orders = ()
    if not orders or any(type(order) is not int for order in orders) or len(set(orders)) < len(orders):
        raise ValueError(f"order: got {given!r:.60}; give one order or several different ones, like 5 or 3,5,7")
    return orders[0] if len(orders) == 1 else orders


def read_asks(given: Any) -> tuple[Ask, ...] | None:
    """Return what prompts name: «centre,sum», a list or a word. Raises ValueError for others."""
    if given is None:
        return None
    asks = tuple(
        given.split(",") if isinstance(given, str) else given if isinstance(given, list | tuple) else [given]
    )
    if not asks or any(ask not in get_args(Ask) for ask in asks) or len(set(asks)) < len(asks):
        raise ValueError(
            f"ask: got {given!r:.60}, allowed {', '.join(get_args(Ask))}, or different ones by commas"
        )
    return asks


def fitting_bound(options: TaskOptions, bounded: bool, count: int, context: int) -> int:
    """Return the bound for the cells of a corpus: the one in the options where the user gave it (``bounded``),
    else at least that, and one that leaves every order families enough.

    Raises ValueError, one sentence, where an order has no squares below the bound, where even orders are asked
    for by a centre, and where an example of ``count`` might have more tokens than ``context``, end included.
    """
    orders, below = options.order, options.below if bounded else None
    for order in orders:
        if order % 2 == 0 and "centre" in options.ask:
            raise ValueError(f"ask: a square of even order {order} has no cell in its centre; ask for its sum")
        if order > 3 and 4 * order * order > context:  # three digits and a space; no need to search for a bound
            raise ValueError(_too_long(order, f"more than {4 * order * order:,}", context))
    bound = options.below
    if orders != (3,) or bounded:
        bounds = [Request(order, below=below).check().below for order in orders]
        bound = max(bound, *filter(None, bounds))
    for order in orders:
        tokens = most_tokens(order, bound, options.ask, count)
        if tokens > context:
            raise ValueError(_too_long(order, f"up to {tokens:,}", context))
    return bound


def _too_long(order: int, tokens: str, context: int) -> str:
    return (
        f"order {order} does not fit the context: an example takes {tokens} tokens where each digit is one, "
        f"and the context holds {context:,}; give a smaller order or bound, or --context N for a model that "
        f"holds more"
    )


def most_tokens(order: int, below: int, asks: Sequence[Ask], count: int) -> int:
    """Return how many tokens, a digit or character each, an example of an order has at most, its end included.

    Half the cells are taken to be as wide as the bound allows, and their partners as the largest middle.
    """
    family = int(Request(order, below=below).check().families()[-1])
    middle, total = (family, order * family) if order % 2 else (family // 2, order // 2 * family)
    largest = [below - 1] * (order * order // 2) + [middle] * (order * order - order * order // 2)
    listing = form(order) % (*largest, *[total] * (2 * order + 2))
    task = Squares()
    wanted: dict[Ask, Wanted | None] = {
        "number": None,
        "centre": Wanted(order, middle),
        "sum": Wanted(order, None, total),
        "any": Wanted(order),
    }
    text = max((task.prompt(Square(2 * count, (), wanted[ask]), "listing") for ask in asks), key=len) + listing
    return len(re.sub("|".join(Squares.words), "W", text)) + 1
