"""Randomness and splits that do not depend on order, process or PYTHONHASHSEED.

Everything random in aritmo starts from sha256 over the words that name it, so that the same
words give the same bytes on every machine and neighbouring seeds share nothing.
"""

from hashlib import sha256
from typing import Literal, get_args

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


def digest(*parts: str | int) -> bytes:
    """Return the 32 bytes of sha256 over the parts, joined by ``:``."""
    return sha256(":".join(map(str, parts)).encode()).digest()


def seed_of(*parts: str | int) -> int:
    """Return a seed in [0, 2**64) for the parts, for a generator that wants an integer."""
    return int.from_bytes(digest(*parts)[:8], "big")


def place(task: str, family: str) -> float:
    """Return where a family stands in [0, 1): the first 8 bytes of sha256(``task:family``), big-endian."""
    return int.from_bytes(sha256(f"{task}:{family}".encode()).digest()[:8], "big") / 2**64


def split_of(task: str, family: str) -> Split:
    """Return the one split that a family belongs to: test below 0.1, validation below 0.2, else train."""
    at = place(task, family)
    return "test" if at < 0.1 else "validation" if at < 0.2 else "train"


def split_named(name: str) -> Split:
    """Return the split of that name. Raises ValueError where there is none."""
    for split in SPLITS:
        if split == name:
            return split
    raise ValueError(f"split: got {name!r}, allowed {', '.join(SPLITS)}")


class Stream:
    """A stream of exact random draws named by its parts, cheap enough to open once an item.

    The 256 bits of each sha256 block are spent by division; a new block is taken when fewer
    than 64 bits of surplus would remain, so that a draw is uniform to within 2**-64.
    """

    __slots__ = ("_block", "_name", "_pool", "_span")

    def __init__(self, *parts: str | int) -> None:
        self._name = ":".join(map(str, parts))
        self._block = 0
        self._pool = 0
        self._span = 1

    def below(self, n: int) -> int:
        """Return an integer drawn uniformly from [0, n); ``n`` may be of any size."""
        while self._span >> 64 < n:
            block = sha256(f"{self._name}:{self._block}".encode()).digest()
            self._block += 1
            self._pool = (self._pool << 256) | int.from_bytes(block, "big")
            self._span <<= 256
        self._pool, drawn = divmod(self._pool, n)
        self._span //= n
        return drawn

    def between(self, low: int, high: int) -> int:
        """Return an integer drawn uniformly from [low, high], both ends included."""
        return low + self.below(high - low + 1)

    def number(self, digits: int) -> int:
        """Return a number drawn uniformly from those written with exactly so many digits (0 has one)."""
        return self.between(10 ** (digits - 1) if digits > 1 else 0, 10**digits - 1)
