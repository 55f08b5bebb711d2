"""Position ids: counted one by one, or coupled by digit place so that digits that are added find each other.

Coupled (position coupling, Cho et al. 2024, arXiv 2405.20671): in ``$A+B=`` and the answer, lowest digit first,
``$`` has place 0, ``+`` and ``=`` place s, and the j-th digit from the right of either operand and of the answer
place s + j; the end token stands one place past the answer's top digit. With three ids a place, first operand,
second operand and answer each have an id of their own there, ``+`` counting as the first and ``=`` as the answer.
"""

import re
from typing import NamedTuple

_SUM = re.compile(r"\$([0-9]+)\+([0-9]+)=")
_START = 40
"""The place s of ``+`` and ``=``, where the table has room enough behind it."""


class Layout(NamedTuple):
    """The position ids of a prompt's tokens, and those of what is written on.

    The k-th new token, from 0, has id ``ids[-1] + (k + 1) * stride``. ``room`` is how many new tokens the table
    allows; with coupled positions the last of them has no id any more, and so is never read.
    """

    ids: list[int]
    stride: int
    room: int


def lay_out(prompt: str, tokens: int, table: int, ids_a_place: int = 0) -> Layout:
    """Return the layout of a prompt of so many tokens in a model whose table holds ``table`` ids.

    ``ids_a_place`` is 0 for plain positions, else 1 or 3 for positions coupled by digit place.
    Raises ValueError where coupled positions meet another prompt than ``$A+B=``, one token a character,
    or operands that are too long for the table.
    """
    if not ids_a_place:
        return Layout(list(range(tokens)), 1, max(0, table - tokens))
    match = _SUM.fullmatch(prompt)
    if not match or tokens != len(prompt):
        raise ValueError(
            f"a model with positions coupled by digit place reads sums like $12+345=, not {prompt[:40]!r}: "
            "choose addition in the style aligned"
        )
    places, digits = table // ids_a_place, (len(match[1]), len(match[2]))
    if max(digits) > longest_operand(table, ids_a_place):
        raise ValueError(
            f"an operand has {max(digits):,} digits and the model has position ids for "
            f"{longest_operand(table, ids_a_place):,}: shorten it"
        )
    start = max(1, min(_START, places - max(digits) - 4))
    first, second = ([start + j for j in range(count, 0, -1)] for count in digits)
    by_role = ([*first, start], second, [start])
    ids = [ids_a_place * place + role % ids_a_place for role, places in enumerate(by_role) for place in places]
    return Layout([0, *ids], ids_a_place, places - start)


def longest_operand(table: int, ids_a_place: int) -> int:
    """Return the most digits of an operand for which a table holds the ids of every token of the sum.

    The sum may be one digit longer; place 0 and place s are taken, and the end token is never read.
    """
    return table // ids_a_place - 3
