"""Doing a recipe: one model trained on problems drawn as it learns, and saved so that ``ask`` opens it."""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase

from aritmo.files import check_free, write_json
from aritmo.models import quiet_transformers
from aritmo.progress import Progress, rate
from aritmo.recipes import RECIPES
from aritmo.recipes.siblings import NOT_ASKED, Batch, Course, Siblings
from aritmo.records import write_samples
from aritmo.stopping import signals

Reason = Literal["done", "time", "stopped"]

LOG, TOLD = "log.jsonl", "recipe.json"
_LOGGED = 100
"""There are about so many lines in the log of a training."""


class Recipe(Protocol):
    """What tells one recipe from another. ``steps`` is how many updates the shipped model had."""

    @property
    def name(self) -> str: ...

    @property
    def steps(self) -> int: ...

    @property
    def course(self) -> Course: ...

    def model(self, seed: int) -> GPT2LMHeadModel:
        """Return a fresh model."""
        ...

    def batches(
        self, seed: int, device: torch.device, processes: int, done: Callable[[], float]
    ) -> Generator[Batch, None, None]:
        """Yield batches for one model without end; ``done`` says what share of the work is behind it."""
        ...

    def finish(self, model: GPT2LMHeadModel) -> PreTrainedTokenizerBase:
        """Make a trained model what is saved, in place, and return its tokenizer."""
        ...


@dataclass(frozen=True, slots=True)
class Baked:
    """How a recipe ended: ``reason`` is «done», «time» or «stopped»; ``loss`` is the last, in nats a token."""

    folder: Path
    reason: Reason
    updates: int
    tokens: int
    seconds: float
    loss: float
    wrong: float

    def plain(self) -> dict[str, Any]:
        """Return it as a file stores it."""
        return {
            "ended": self.reason, "updates": self.updates, "tokens": self.tokens,
            "seconds": round(self.seconds, 1), "loss": self.loss, "wrong": self.wrong,
        }  # fmt: skip


def find_recipe(name: str, toy: bool = False) -> Recipe:
    """Return a recipe by name; ``toy`` makes it small enough to try in seconds on a CPU.

    Raises ValueError for a name that is not there.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe: got {name!r}, allowed {', '.join(RECIPES)}")
    from aritmo.recipes import adder, tutor

    full: dict[str, Recipe] = {"adder": adder.FULL, "tutor": tutor.FULL}
    toys: dict[str, Recipe] = {"adder": adder.TOY, "tutor": tutor.TOY}
    return (toys if toy else full)[name]


def bake(
    recipe: Recipe,
    out: Path,
    *,
    seed: int = 0,
    steps: int | None = None,
    minutes: float | None = None,
    learning_rate: float | None = None,
    processes: int = 0,
    device: torch.device | None = None,
) -> Baked:
    """Train a recipe's model from nothing, save it in ``out`` with its log, and return how it ended.

    ``steps`` are updates, the recipe's own if nothing is said; with ``minutes`` training also ends by the clock,
    and the learning rate falls by whichever is further on. SIGTERM and Ctrl-C end it after the update at hand,
    and what it is by then is saved. Raises ValueError where ``out`` is taken, and for a loss that is not finite.
    """
    check_free(out)
    out.mkdir(parents=True, exist_ok=True)
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    course = replace(recipe.course, rate=learning_rate) if learning_rate else recipe.course
    learner = Siblings([recipe.model(seed)], course, device)
    baked = _train(recipe, learner, out, seed, steps or recipe.steps, minutes, processes)
    model = learner.model(0)
    tokenizer = recipe.finish(model)
    with quiet_transformers():
        model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    told = {"recipe": recipe.name, "seed": seed, "device": where, "torch": torch.__version__}
    write_json(out / TOLD, told | baked.plain())
    return baked


def _train(
    recipe: Recipe, learner: Siblings, out: Path, seed: int, steps: int, minutes: float | None, processes: int
) -> Baked:
    began, tokens = time.monotonic(), 0
    reason: Reason = "done"
    loss = wrong = float("nan")

    def done() -> float:
        by_clock = (time.monotonic() - began) / 60 / minutes if minutes else 0.0
        return max(learner.updates / steps, by_clock)

    every = max(1, steps // _LOGGED)
    batches = recipe.batches(seed, learner.device, processes, done)
    with closing(batches), signals() as caught, Progress(recipe.name, steps, "updates") as progress:
        for batch in batches:
            losses = learner.update(batch, min(1.0, done()))
            tokens += batch.tokens.numel()
            ended = learner.updates >= steps
            out_of_time = not ended and done() >= 1
            if learner.updates % every == 0 or ended or out_of_time or caught:
                loss, wrong = losses.item(), _wrong(learner, batch)
                seconds = time.monotonic() - began
                line = {"step": learner.updates, "loss": loss, "wrong": wrong, "tokens": tokens}
                if loss != loss:
                    raise ValueError(f"the loss is {loss} at step {learner.updates:,}: lower the learning rate")
                write_samples(out / LOG, [line | {"seconds": round(seconds, 1)}])
                progress.advance(0, f"loss {loss:.4f}, {rate(tokens / seconds)} tokens/s")
            progress.advance()
            if caught or ended or out_of_time:
                reason = "stopped" if caught else "done" if ended else "time"
                break
    return Baked(out, reason, learner.updates, tokens, time.monotonic() - began, loss, wrong)


def _wrong(learner: Siblings, batch: Batch) -> float:
    """Return the share of the asked tokens of a batch that would be written wrong."""
    asked = batch.labels != NOT_ASKED
    right: Tensor = learner.read(batch)[1]
    return float((~right & asked).sum() / asked.sum())
