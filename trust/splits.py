"""No family on two sides: problems streamed from every task, their families found anew and looked up on each side.

A family is found here by the words of the guide, and its side computed by the formula there; neither comes of the
code that builds corpora.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b, sha256
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aritmo.numbers.randomness import SPLITS, Split
from aritmo.tasks import TASKS, TaskOptions

Hashes = NDArray[np.uint64]
_AT_ONCE = 25_000
_SHARES: dict[Split, int] = {"train": 8, "validation": 1, "test": 1}


class Stream(NamedTuple):
    """Problems of one task, as a corpus draws them, and what share of all problems comes from here."""

    name: str
    task: str
    options: TaskOptions
    share: float


def streams(below: int) -> list[Stream]:
    """Return what is streamed; squares of order 3 have their cells below a bound."""
    return [
        Stream("addition", "addition", TaskOptions(1, 12), 0.4),
        Stream("decomposition", "decomposition", TaskOptions(1, 12), 0.2),
        Stream("primality", "primality", TaskOptions(1, 7), 0.1),
        Stream("squares of order 3", "squares", TaskOptions(order=(3,), below=below), 0.2),
        Stream("squares of orders 4 to 7", "squares", TaskOptions(order=(4, 5, 6, 7), below=20_000), 0.1),
    ]


class Job(NamedTuple):
    """A stretch of a stream and split to look through."""

    stream: Stream
    split: Split
    seed: int
    begin: int
    end: int


class Seen(NamedTuple):
    """How many problems were drawn, the different families as 64 bits of a hash, and those on a wrong side."""

    drawn: int
    families: Hashes
    misplaced: tuple[str, ...]


def jobs(total: int, below: int, seed: int) -> Iterator[Job]:
    """Yield the stretches that make so many problems; every tenth belongs to each of validation and test."""
    for stream in streams(below):
        for split, tenths in _SHARES.items():
            count = round(total * stream.share * tenths / 10)
            for start in range(0, count, _AT_ONCE):
                yield Job(stream, split, seed, start, min(start + _AT_ONCE, count))


def look(job: Job) -> Seen:
    """Draw a stretch of problems and find the side of each family."""
    name = job.stream.task
    problems = TASKS[name].problems(job.split, job.seed, job.begin, job.end, job.stream.options)
    families = {family_of(name, problem) for problem in problems}
    misplaced = [family for family in families if side_of(name, family) != job.split]
    hashes = b"".join(blake2b(f"{name}:{family}".encode(), digest_size=8).digest() for family in families)
    told = tuple(f"{job.stream.name}: family {family} in {job.split}" for family in misplaced[:3])
    return Seen(len(problems), np.frombuffer(hashes, dtype=np.uint64), told)


def family_of(task: str, problem: Any) -> str:
    """Return the family: the operands, smaller first; the number; the centre, or what opposite cells add to."""
    if task == "addition":
        a, b = problem
        return "+".join(map(str, sorted((a, b))))
    if task != "squares":
        return str(problem)
    cells = problem.cells
    middle = len(cells) // 2
    return str(cells[middle]) if len(cells) % 2 else str(2 * sum(cells) // len(cells))


def side_of(task: str, family: str) -> str:
    """Return the side that DESIGN gives a family: of ten equal parts, the first is test, the second validation."""
    number = int(sha256(f"{task}:{family}".encode()).hexdigest()[:16], 16)
    tenth = number * 10 >> 64
    return {0: "test", 1: "validation"}.get(tenth, "train")


def crossing(seen: Iterable[tuple[Job, Seen]]) -> tuple[int, int, dict[str, int], list[str]]:
    """Return the problems drawn, their families, the problems by stream, and what stands on two sides."""
    by_side: dict[str, list[Hashes]] = {split: [np.empty(0, dtype=np.uint64)] for split in SPLITS}
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for job, found in seen:
        counts[job.stream.name] += found.drawn
        by_side[job.split].append(found.families)
        wrong += found.misplaced
    different = {split: np.unique(np.concatenate(parts)) for split, parts in by_side.items()}
    families = sum(map(len, different.values()))
    together = len(np.unique(np.concatenate(list(different.values()))))
    if together != families:
        wrong.append(f"{families - together} families stand on two sides")
    return sum(counts.values()), families, counts, wrong
