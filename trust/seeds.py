"""Neighbouring seeds: how many items two corpora have in common, beside how many chance would give.

Items are drawn from spaces whose size is known, so that chance is a formula. Of n and n draws, each from N items
alike, n * n / N pairs are equal in the mean, and they are spread like a Poisson number.
"""

from collections import Counter
from itertools import combinations, pairwise
from math import exp, lgamma, log
from operator import eq
from typing import NamedTuple

from aritmo.numbers.randomness import split_of
from aritmo.numbers.search import list_order3
from aritmo.tasks import TASKS, TaskOptions

SEEDS = (41, 42, 43, 44, 1_000_000, 1_000_001)
_BOUND = 10_000
"""Squares of order 3 have their cells below this."""
_PRIMES_OF_7_DIGITS = 664_579 - 78_498
"""The primes below 10**7 (OEIS A006880) less those below 10**6."""
RARE = 1e-5
"""How seldom chance may give as many equal pairs as were found, or more."""


class Space(NamedTuple):
    """What is drawn, and the chance that two draws of two seeds are the same item, None where it is not known."""

    task: str
    options: TaskOptions
    draws: int
    chance: float | None


class Shared(NamedTuple):
    """Equal pairs of items of two seeds, and at the same index, beside what chance gives."""

    name: str
    seeds: tuple[int, int]
    pairs: int
    expected: float
    in_place: int

    @property
    def odds(self) -> float:
        """How probable it is that chance gives so many pairs or more: the upper end of a Poisson distribution."""
        mean, most = self.expected, max(self.pairs, int(self.expected)) + 20 + int(20 * self.expected**0.5)
        return sum(exp(k * log(mean) - mean - lgamma(k + 1)) for k in range(self.pairs, most))


def spaces(count: int) -> dict[str, Space]:
    """Return what is drawn, with so many draws. Four fifths of each space belong to the split train."""
    train = 0.8
    numbers, primes = 9 * 10**6, _PRIMES_OF_7_DIGITS
    centres = list_order3(_BOUND)[:, 4].tolist()
    classes = sum(split_of("squares", str(centre)) == "train" for centre in centres)
    even = 1 / (4 * primes) + 1 / (4 * (numbers - primes))
    return {
        "addition": Space("addition", TaskOptions(3, 3), count, 1 / (900 * 900 * train)),
        "decomposition": Space("decomposition", TaskOptions(6, 6), count, 1 / (900_000 * train)),
        "primality": Space("primality", TaskOptions(7, 7), count, even / train),
        "squares of order 3": Space("squares", TaskOptions(order=(3,), below=_BOUND), count // 8, 1 / classes),
        "squares of order 5": Space("squares", TaskOptions(order=(5,), below=_BOUND), count // 8, None),
    }


def shared(name: str, space: Space) -> list[Shared]:
    """Count what each two neighbouring seeds have in common.

    Where the size of a space is not known, chance is what seeds that are no neighbours share in the mean; one pair
    more is counted, so that it is not nothing where they share none.
    """
    task = TASKS[space.task]
    keys = [
        [task.key(problem) for problem in task.problems("train", seed, 0, space.draws, space.options)]
        for seed in SEEDS
    ]
    assert all(len(mine) == space.draws for mine in keys)
    many = [Counter(mine) for mine in keys]
    pairs = {
        (one, other): sum(many[one][key] for key in keys[other])
        for one, other in combinations(range(len(SEEDS)), 2)
        if other == one + 1 or space.chance is None
    }
    if space.chance is None:
        apart = [count for (one, other), count in pairs.items() if other > one + 1]
        expected = (1 + sum(apart)) / len(apart)
    else:
        expected = space.draws**2 * space.chance
    found = []
    for one, other in pairwise(range(len(SEEDS))):
        in_place = sum(map(eq, keys[one], keys[other]))
        found.append(Shared(name, (SEEDS[one], SEEDS[other]), pairs[one, other], expected, in_place))
    return found
