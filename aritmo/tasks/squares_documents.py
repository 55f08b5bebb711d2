"""Training documents of the squares model: symbols, and what kind of step wrote each."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TypeVar

from aritmo.numbers.randomness import Stream, split_of
from aritmo.tasks.squares_nested import RoomError
from aritmo.tasks.squares_search import LIMIT, SYMBOLS, WORDS, Search, Step, request

T = TypeVar("T")

UNASKED = "unasked"
"""The kind of a symbol that nothing before it says."""
KINDS = (
    *(
        UNASKED,
        "ask",
        "twice",
        "centre",
        "next",
        "mirror",
        "star",
        "earlier",
        "third",
        "stop",
        "plus",
        "difference",
    ),
    *("minus", "sum", "found", "pass", "left", "square", "none", "prime", "end", "count", "free", "ring", "total"),
    *("less", "index", "pair", "rest", "decide", "match", "rows"),
)
"""Every kind of step by its number."""
BEGIN, END = (SYMBOLS.index(WORDS[name]) for name in ("Ask", "end"))

_HIGH = 100
_NUMBER = {name: at for at, name in enumerate(KINDS)}
_WORD = {spelt.strip(): at for at, spelt in enumerate(SYMBOLS)} | {
    name: SYMBOLS.index(spelt) for name, spelt in WORDS.items()
}
_PLACES = frozenset({"next", "none", "decide"})
"""Kinds of steps before which a document may be cut: there a part of the search begins."""


@cache
def train_centres() -> tuple[int, ...]:
    """Return the numbers of the train families that may be centres, prime or not, rising."""
    return tuple(c for c in range(11, LIMIT - 12) if split_of("squares", str(c)) == "train")


@cache
def odd_centres() -> tuple[int, ...]:
    """Return those of them that neither 2 nor 3 divides."""
    return tuple(c for c in train_centres() if c % 2 and c % 3)


class Draws(Stream):
    """A stream of draws with what documents are drawn by."""

    __slots__ = ()

    def share(self) -> float:
        """Return a number drawn uniformly from [0, 1)."""
        return self.below(1 << 32) / (1 << 32)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of the items, each equally likely."""
        return items[self.below(len(items))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Return so many of the items in random order, none twice."""
        pool = list(items)
        for at in range(count):
            other = at + self.below(len(pool) - at)
            pool[at], pool[other] = pool[other], pool[at]
        return pool[:count]


class Document:
    """Symbols by their numbers, and the number of the kind (``KINDS``) of the step that wrote each."""

    __slots__ = ("kinds", "symbols")

    def __init__(self) -> None:
        self.symbols = [BEGIN]
        self.kinds = [0]

    def __len__(self) -> int:
        return len(self.symbols)

    def put(self, item: int | str, kind: str = UNASKED) -> None:
        """Write one number or word. Raises RoomError for a number that no symbols are there for."""
        number = _NUMBER[kind]
        if isinstance(item, str):
            self.symbols.append(_WORD[item])
            self.kinds.append(number)
        elif 0 <= item < 2 * LIMIT:
            self.symbols += (item % 100, _HIGH + item // 100)
            self.kinds += (number, number)
        else:
            raise RoomError

    def ask(self, search: Search, kind: str = UNASKED) -> None:
        """Write the request for a search."""
        for item in request(search):
            self.put(item, kind)

    def write(self, steps: Iterable[Step], most: int, unasked: frozenset[str] = frozenset()) -> bool:
        """Write steps, and return whether all of them came before the document had more than ``most`` symbols.

        It is cut only where a part of the search begins. Steps of the kinds ``unasked`` are not asked.
        """
        try:
            for kind, item, *_ in steps:
                if kind in _PLACES and len(self.symbols) > most:
                    return False
                self.put(item, UNASKED if kind in unasked else kind)
        except RoomError:
            return False
        return True

    def end(self, kind: str = "end") -> None:
        """Write the sign that ends a text."""
        self.symbols.append(END)
        self.kinds.append(_NUMBER[kind])
