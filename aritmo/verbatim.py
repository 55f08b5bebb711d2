"""How much of what a model wrote stands word for word in the texts that it was trained on.

Words are what white space parts. A word is repeated where RUN words in a row, it among them, also stand in a row
in one training text. So what every text shares by its form, a heading or a sum of two numbers, does not count, and
a piece that was learned by heart does.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]

RUN = 8
"""Words in a row that must agree."""

_AT_ONCE = 512
"""Training texts looked at together."""
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BASE = np.uint64(0xD1342543DE82EF95)
_TABLE = 24
"""Bits of a hash that are looked up first, which settles most runs."""


class Repeated(NamedTuple):
    """How many words a text has, how many are repeated, and how many in a row at most.

    ``longest`` counts words every RUN in a row of which stand in some training text; so the longest piece that the
    text shares with one training text is no longer.
    """

    words: int
    repeated: int
    longest: int


def find_repeated(texts: Iterable[str], training: Iterable[str]) -> list[Repeated]:
    """Return for each text how much of it stands in the training texts, which are gone through once.

    Runs are compared by a hash of 64 bits. About 100 bytes a word of ``texts``, and nothing for the training.
    """
    ids: dict[str, int] = {}
    split = [[ids.setdefault(word, len(ids) + 1) for word in text.split()] for text in texts]
    hashes, _ = _runs(split)
    known = np.unique(hashes)
    met = _met(known, training, ids)
    flags = met[np.searchsorted(known, hashes)]
    sizes = [max(0, len(words) - RUN + 1) for words in split]
    pieces = np.split(flags, np.cumsum(sizes)[:-1]) if sizes else []
    return [_count(len(words), piece) for words, piece in zip(split, pieces, strict=True)]


def _met(known: NDArray[np.uint64], training: Iterable[str], ids: dict[str, int]) -> Flags:
    """Say which of the rising hashes a run of some training text has."""
    met = np.zeros(len(known), dtype=np.bool_)
    if not len(known):
        return met
    shift = np.uint64(64 - _TABLE)
    possible = np.zeros(1 << _TABLE, dtype=np.bool_)
    possible[known >> shift] = True
    rest = iter(training)
    while batch := [[ids.get(word, 0) for word in text.split()] for text in islice(rest, _AT_ONCE)]:
        hashes, whole = _runs(batch)
        hashes = hashes[whole]
        hashes = hashes[possible[hashes >> shift]]
        places = np.searchsorted(known, hashes).clip(max=len(known) - 1)
        met[places[known[places] == hashes]] = True
    return met


def _runs(texts: Sequence[Sequence[int]]) -> tuple[NDArray[np.uint64], Flags]:
    """Return a hash of every run of RUN words within one text, text after text, and whether none of them is 0."""
    flat = np.fromiter((word for text in texts for word in text), dtype=np.int64)
    mixed = _mixed(flat)
    count = max(0, len(flat) - RUN + 1)
    hashes = np.zeros(count, dtype=np.uint64)
    for along in range(RUN):
        hashes = hashes * _BASE + mixed[along : along + count]
    unknown = np.concatenate([[0], (flat == 0).cumsum()])
    whole = unknown[RUN:] == unknown[:-RUN] if count else np.zeros(0, dtype=np.bool_)
    within = np.fromiter(_within(texts), dtype=np.bool_)[:count]
    return hashes[within], whole[within]


def _within(texts: Sequence[Sequence[int]]) -> Iterator[bool]:
    """Say of each word whether a run that begins there ends in the same text."""
    for text in texts:
        runs = max(0, len(text) - RUN + 1)
        yield from (place < runs for place in range(len(text)))


def _mixed(ids: Ids) -> NDArray[np.uint64]:
    """Return numbers whose bits are spread: the finish of splitmix64, as ``choosing.uniforms`` has it."""
    bits = ids.astype(np.uint64) * _MIX
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = bits ^ (bits >> np.uint64(31))
    return mixed


def _count(words: int, flags: Flags) -> Repeated:
    """Return what the runs that were met, by the word at which each begins, come to."""
    starts = np.flatnonzero(flags)
    if not len(starts):
        return Repeated(words, 0, 0)
    gaps = np.diff(starts)
    repeated = int(np.minimum(gaps, RUN).sum()) + RUN
    breaks = np.flatnonzero(gaps > 1)
    lengths = np.diff(np.concatenate([[-1], breaks, [len(starts) - 1]]))
    return Repeated(words, repeated, int(lengths.max()) + RUN - 1)
