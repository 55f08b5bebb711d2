"""Problems harder than those of a corpus, drawn from one split: longer numbers, or squares with larger cells.

A level is how many steps harder: additions and decompositions have one digit more a step, squares cells up to the
corpus' own bound once more. Level 0 is the corpus itself.
"""

from collections.abc import Iterator, Set
from dataclasses import asdict, replace
from itertools import count, islice
from typing import Any

from aritmo.corpus import Corpus
from aritmo.numbers.randomness import Split, split_of
from aritmo.tasks import TaskOptions, write_example
from aritmo.tasks.squares import Squares

TASKS_MADE_HARDER = ("addition", "decomposition", "squares")
"""Of «is it prime» an answer that was checked is the answer itself, so a model could not improve: it would be
told."""

_AT_ONCE = 1024
"""Problems drawn together."""
_PATIENCE = 16
"""So many draws in a row without a new problem are taken to mean that there is none."""


class Levels:
    """How hard a corpus' problems are, and what is harder. Raises ValueError where nothing can be."""

    def __init__(self, corpus: Corpus) -> None:
        self.task, self.style = corpus.task, corpus.style
        if self.task.name not in TASKS_MADE_HARDER:
            raise ValueError(
                f"{corpus.folder} holds {self.task.name}, and what can be made harder is "
                f"{', '.join(TASKS_MADE_HARDER)}: build a corpus of those"
            )
        squares = self.task.name == Squares.name
        if squares and self.style != "tutorial":
            raise ValueError(
                f"{corpus.folder} holds squares in the style {self.style}, where no step leads to the square: "
                "build one with --style tutorial"
            )
        self._bound = "below" if squares else "max_digits"
        manifest = corpus.manifest
        if self._bound not in manifest:
            raise ValueError(f"{corpus.folder} was made of matrices from a file, which have no level: build one")
        self._base = int(manifest[self._bound])
        plain = TaskOptions()
        self._options = replace(
            plain, min_digits=manifest.get("min_digits", 1), ask=tuple(manifest.get("ask", plain.ask))
        )

    def bound(self, level: int) -> int:
        """Return the most digits of a number, or what every cell of a square is below."""
        return self._base * (1 + level) if self._bound == "below" else self._base + level

    def name(self, level: int) -> str:
        """Return what a level is called, such as «4 digits»."""
        bound = self.bound(level)
        return f"cells below {bound:,}" if self._bound == "below" else f"{bound} digit{'s' * (bound > 1)}"

    def said(self, level: int) -> dict[str, int]:
        """Return what the manifest of a corpus up to a level says of it."""
        return {self._bound: self.bound(level)}

    def options(self, level: int) -> TaskOptions:
        """Return what the corpus' problems are drawn from, up to this level."""
        bound = self.bound(level)
        if self._bound == "below":
            return replace(self._options, below=bound)
        return replace(self._options, max_digits=bound)

    def draw(
        self, level: int, beyond: int | None, split: Split, seed: int, wanted: int, taken: Set[str] = frozenset()
    ) -> list[Any]:
        """Return different problems of a level, or fewer where there are no more.

        They are harder than all of level ``beyond``, where one is given. ``taken`` holds prompts that are passed
        over. Every family belongs to ``split``. Raises ValueError for a level that the style has no words for.
        """
        return list(islice(self._harder(level, beyond, split, seed, taken), wanted))

    def _harder(self, level: int, beyond: int | None, split: Split, seed: int, taken: Set[str]) -> Iterator[Any]:
        options, known, idle = self.options(level), set(taken), 0
        most = -1 if beyond is None else self._most(beyond)
        for start in count(0, _AT_ONCE):
            drawn = self.task.problems(split, seed, start, start + _AT_ONCE, options)
            idle += 1
            for problem in drawn:
                if self._size(problem) <= most:
                    continue
                prompt = self.task.prompt(problem, self.style)
                if prompt in known:
                    continue
                self.task.read_prompt(prompt, self.style)
                assert split_of(self.task.name, self.task.family(problem)) == split
                known.add(prompt)
                idle = 0
                yield problem
            if len(drawn) < _AT_ONCE or idle == _PATIENCE:
                return

    def row(self, place: int, problem: Any, text: str | None = None) -> dict[str, Any]:
        """Return a problem with a text on it, its right one where none is given, as a corpus' row."""
        return asdict(write_example(self.task, problem, self.style, place, text))

    def _size(self, problem: Any) -> int:
        """Return the greatest cell of a square, or the digits of the longest number."""
        if self._bound == "below":
            return int(max(problem.cells))
        return max(len(str(number)) for number in (problem if isinstance(problem, tuple) else (problem,)))

    def _most(self, level: int) -> int:
        """Return the size that problems of a level have at most."""
        return self.bound(level) - (self._bound == "below")
