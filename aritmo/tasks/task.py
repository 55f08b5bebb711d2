"""What a task is: exact problems, written as text, read back and judged."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from aritmo.numbers.randomness import Split, Stream, split_of

Answer = str | list[list[int]] | bool | None
"""What a completion answers: a decimal string, the rows of a square, true or false, None if unread."""

Ask = Literal["number", "centre", "sum", "any"]
"""What a prompt for a square names: a number that stands for nothing, its centre, its sum, or just its order."""

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Example:
    """One problem written down. ``meta`` holds task, style, family, key and index."""

    prompt: str
    completion: str
    meta: dict[str, Any]

    @property
    def text(self) -> str:
        return self.prompt + self.completion


@dataclass(frozen=True, slots=True)
class Verdict:
    """The exact judgement of one completion.

    ``valid`` says that everything asked for is there and right. ``reasons`` holds one plain
    sentence for each failure, in reading order, and is empty exactly when ``valid`` is true.
    ``details`` holds what a table counts: numbers, strings and booleans by name.
    """

    valid: bool
    answer: Answer
    reasons: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.valid == (not self.reasons)


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """Which problems a corpus is drawn from; each task reads the fields that concern it."""

    min_digits: int = 1
    max_digits: int = 5
    order: tuple[int, ...] = (3,)
    below: int = 10_000
    ask: tuple[Ask, ...] = ("number",)
    centres: int | None = None
    """The order whose centres are asked for, each once, in place of what is drawn."""


class Task(Protocol[P]):
    """One task: ``P`` is its problem, an immutable value that hashes."""

    name: str
    version: int
    styles: tuple[str, ...]
    words: tuple[str, ...]
    """Words that every digit-level tokenizer keeps whole, besides single characters."""
    fields: tuple[str, ...]
    """The names in TaskOptions that this task reads."""
    repeats: bool
    """Whether ``problems`` may give the same problem twice, so that a corpus has to drop repeated keys."""

    def problems(self, split: Split, seed: int, start: int, stop: int, options: TaskOptions) -> list[P]:
        """Return the problems with index ``start`` to ``stop`` of a split, or fewer where there are no more.

        Every family returned belongs to ``split``. The same arguments give the same problems.
        """
        ...

    def family(self, problem: P) -> str: ...

    def key(self, problem: P) -> str:
        """Return what makes two problems the same one, for de-duplication."""
        ...

    def prompt(self, problem: P, style: str) -> str: ...

    def completion(self, problem: P, style: str) -> str: ...

    def read_prompt(self, prompt: str, style: str) -> P:
        """Return the problem that a prompt asks. Raises ValueError where the text asks none."""
        ...

    def judge(self, problem: P, completion: str, style: str) -> Verdict:
        """Return the verdict on any text whatever; never raises for what the text holds."""
        ...


def write_example(task: Task[P], problem: P, style: str, index: int, completion: str | None = None) -> Example:
    """Return a problem written down, with its right completion or with the one given."""
    meta = {
        "task": task.name, "style": style, "family": task.family(problem), "key": task.key(problem),
        "index": index,
    }  # fmt: skip
    text = task.completion(problem, style) if completion is None else completion
    return Example(task.prompt(problem, style), text, meta)


_PATIENCE = 10_000
"""Draws in a row outside the split after which the options are taken to hold no family of it."""


def draw_problems(
    task: Task[P], draw: Callable[[Stream], P], split: Split, seed: int, start: int, stop: int
) -> list[P]:
    """Draw each index from its own stream until a problem's family belongs to the split.

    A draw misses its split with probability 0.2 (train) or 0.9 (the others), so a list that ends early
    means a space of problems too small to hold a family of this split.
    """
    name = ":".join(map(str, (task.name, task.version, split, seed)))
    drawn = []
    for index in range(start, stop):
        stream = Stream(name, index)
        for _ in range(_PATIENCE):
            problem = draw(stream)
            if split_of(task.name, task.family(problem)) == split:
                drawn.append(problem)
                break
        else:
            break
    return drawn
