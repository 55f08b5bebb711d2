"""How a tokenizer cuts the numbers of a prompt: the pieces, and the name of the way."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from aritmo.probes.prompts import Item
from aritmo.tokens import token_borders

ONE, DIGITS = "one token", "digit by digit"
_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")


def cut_of(tokenizer: PreTrainedTokenizerBase, item: Item) -> list[list[str]]:
    """Return for each number of a prompt the pieces that its tokens write of it, white space left out.

    A token that writes more than the number, such as a space before it, counts with what it writes of it.
    """
    pieces = token_borders(tokenizer, item.prompt)
    found: list[list[str]] = [[] for _ in item.numbers]
    at = 0
    for piece in pieces:
        for place, (start, end) in zip(found, item.numbers, strict=True):
            inside = item.prompt[max(at, start) : min(at + len(piece), end)].strip() if at < end else ""
            if inside:
                place.append(inside)
        at += len(piece)
    return found


def name_of(cut: Sequence[Sequence[str]]) -> str:
    """Return the way in which numbers are cut: in one token, in two, digit by digit.

    A number of one digit can only be cut in one way, so beside a longer one it says nothing.
    """
    ways = [_way(pieces) for pieces in cut if sum(map(len, pieces)) > 1] or [ONE]
    return " + ".join(sorted(ways, key=_rank)) if len(set(ways)) > 1 else ways[0]


def _way(pieces: Sequence[str]) -> str:
    if len(pieces) == 1:
        return ONE
    if all(len(piece) == 1 for piece in pieces):
        return DIGITS
    count = len(pieces)
    return f"{_WORDS[count - 2] if count < len(_WORDS) + 2 else count} tokens"


def _rank(way: str) -> int:
    """Return a place for a way, coarsest first, so that a pair has one name whichever number comes first."""
    names = [ONE, *(f"{word} tokens" for word in _WORDS), DIGITS]
    return names.index(way) if way in names else len(names) - 1
