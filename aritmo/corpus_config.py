"""What a corpus is made of: the settings, checked against each other, and what of them stands in its manifest."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from aritmo.numbers.keys import Kind
from aritmo.tasks import TaskOptions, find_task
from aritmo.tasks.squares import Squares
from aritmo.tasks.squares_options import fitting_bound, read_asks, read_orders
from aritmo.tasks.task import Ask


class CorpusConfig(BaseModel):
    """What a corpus is made of. ``count`` is shared out 80 : 10 : 10 over train, validation and test.

    Of squares, ``order`` may be several, which take turns, and ``ask`` says what prompts name (without it a
    number), several taking turns too. Without ``below`` a bound is chosen that leaves every order some hundred
    families. ``distinct`` is the key (K1 to K5) that no two squares of the corpus may share; without it K1, but
    of order 3 alone all 8 orientations come. ``context`` is how many tokens of a digit an example may have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = "squares"
    style: str | None = None
    count: int = Field(10_000, ge=1)
    seed: int = 0
    min_digits: int = Field(1, ge=1)
    max_digits: int = Field(5, ge=1)
    order: Annotated[int | tuple[int, ...], BeforeValidator(read_orders)] = 3
    below: int | None = Field(None, ge=1)
    ask: Annotated[tuple[Ask, ...] | None, BeforeValidator(read_asks)] = None
    distinct: Kind | None = None
    context: int = Field(1024, ge=1)
    source: Path | None = None
    keep_wrong: bool = False
    text: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _, style = find_task(self.task, self.style)
        object.__setattr__(self, "style", style)
        if self.min_digits > self.max_digits:
            raise ValueError(f"min_digits: got {self.min_digits}, which is above max_digits {self.max_digits}")
        if self.source and self.task != "squares":
            raise ValueError(f"from: matrices are read for task squares, not for {self.task}")
        if self.task != Squares.name and (self.ask or self.distinct):
            name = "ask" if self.ask else "distinct"
            raise ValueError(f"{name}: this is for task squares, and the task is {self.task}; leave it out")
        if self.source and self.ask:
            raise ValueError("ask: matrices of your own are asked for by their number; leave it out")
        if self.task == Squares.name and not self.source:
            below = fitting_bound(self.options, self.below is not None, self.count, self.context)
            object.__setattr__(self, "below", below)
        return self

    @property
    def options(self) -> TaskOptions:
        orders = (self.order,) if isinstance(self.order, int) else self.order
        options = TaskOptions(self.min_digits, self.max_digits, orders)
        return replace(options, below=self.below or options.below, ask=self.ask or options.ask)

    def said(self) -> dict[str, Any]:
        """Return what this corpus depends on, by name, for the manifest and for people."""
        task, style = find_task(self.task, self.style)
        said: dict[str, Any] = {"task": task.name, "task_version": task.version, "style": style}
        if self.source:
            said |= {"from": self.source.name, "keep_wrong": self.keep_wrong}
        names = ("distinct",) if self.source else ("count", "seed", *task.fields, "distinct")
        return said | self.model_dump(mode="json", include=set(names), exclude_none=True)

    @property
    def dropped_by(self) -> Kind | None:
        """The key by which repeated examples are dropped, K1 being the task's own; None where none repeats."""
        if self.distinct or self.source:
            return self.distinct
        task, _ = find_task(self.task, self.style)
        return "K1" if task.repeats or (task.name == Squares.name and self.order != 3) else None
