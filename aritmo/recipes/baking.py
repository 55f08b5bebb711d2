"""Doing a recipe: one model trained on problems drawn as it learns, and saved so that ``ask`` opens it."""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from aritmo.files import check_free, write_json
from aritmo.models import quiet_transformers
from aritmo.progress import Progress, rate
from aritmo.recipes import RECIPES
from aritmo.recipes.siblings import NOT_ASKED, Batch, Course, Siblings
from aritmo.recipes.squares_learner import LlamaLearner
from aritmo.records import write_samples
from aritmo.stopping import signals

Reason = Literal["done", "time", "stopped"]
M = TypeVar("M", bound=PreTrainedModel)

LOG, TOLD = "log.jsonl", "recipe.json"
_LOGGED = 100
"""There are about so many lines in the log of a training."""


class Recipe(Protocol[M]):
    """What tells one recipe from another. ``steps`` is how many updates the shipped model had."""

    @property
    def name(self) -> str: ...

    @property
    def steps(self) -> int: ...

    @property
    def course(self) -> Course: ...

    def model(self, seed: int) -> M:
        """Return a fresh model."""
        ...

    def batches(
        self, seed: int, device: torch.device, processes: int, done: Callable[[], float]
    ) -> Generator[Batch, None, None]:
        """Yield batches for one model without end; ``done`` says what share of the work is behind it."""
        ...

    def finish(self, model: M) -> PreTrainedTokenizerBase:
        """Make a trained model what is saved, in place, and return its tokenizer."""
        ...


@runtime_checkable
class Telling(Protocol):
    """What a recipe can do besides: look at its training kind by kind, and measure what it has made."""

    def look(self, batch: Batch, losses: Tensor, right: Tensor) -> dict[str, Any]:
        """Return what the log says of a batch, given the loss at each place and where the likeliest is right."""
        ...

    def tell(self, folder: Path, told: dict[str, Any]) -> None:
        """Measure the model saved in a folder, and write its card."""
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


def find_recipe(name: str, toy: bool = False) -> Recipe[Any]:
    """Return a recipe by name; ``toy`` makes it small enough to try in seconds on a CPU.

    Raises ValueError for a name that is not there.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe: got {name!r}, allowed {', '.join(RECIPES)}")
    from aritmo.recipes import adder, squares, tutor

    full: dict[str, Recipe[Any]] = {"adder": adder.FULL, "tutor": tutor.FULL, "squares": squares.FULL}
    toys: dict[str, Recipe[Any]] = {"adder": adder.TOY, "tutor": tutor.TOY, "squares": squares.TOY}
    return (toys if toy else full)[name]


def bake(
    recipe: Recipe[Any],
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
    model, steps = recipe.model(seed), steps or recipe.steps
    llama = isinstance(model, LlamaForCausalLM)
    learner = LlamaLearner(model, course, device) if llama else Siblings([model], course, device)
    baked = _train(recipe, learner, out, seed, steps, minutes, processes)
    save_model(recipe, learner, out)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    told = {"recipe": recipe.name, "seed": seed, "steps": steps, "minutes": minutes, "device": where}
    told |= {"torch": torch.__version__, **baked.plain()}
    write_json(out / TOLD, told)
    if isinstance(recipe, Telling):
        recipe.tell(out, told)
    return baked


def save_model(recipe: Recipe[Any], learner: Siblings | LlamaLearner, folder: Path) -> None:
    """Finish the model that a learner has by now, and save it with its tokenizer."""
    model = learner.model(0)
    tokenizer = recipe.finish(model)
    with quiet_transformers():
        model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _train(
    recipe: Recipe[Any],
    learner: Siblings | LlamaLearner,
    out: Path,
    seed: int,
    steps: int,
    minutes: float | None,
    processes: int,
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
                loss, seconds = losses.item(), time.monotonic() - began
                each, right = learner.read(batch)
                wrong = _wrong(batch, right)
                line = {"step": learner.updates, "loss": loss, "wrong": wrong, "tokens": tokens}
                if loss != loss:
                    raise ValueError(f"the loss is {loss} at step {learner.updates:,}: lower the learning rate")
                line["seconds"] = round(seconds, 1)
                line |= recipe.look(batch, each, right) if isinstance(recipe, Telling) else {}
                write_samples(out / LOG, [line])
                progress.advance(0, f"loss {loss:.4f}, {rate(tokens / seconds)} tokens/s")
            progress.advance()
            if caught or ended or out_of_time:
                reason = "stopped" if caught else "done" if ended else "time"
                break
    return Baked(out, reason, learner.updates, tokens, time.monotonic() - began, loss, wrong)


def _wrong(batch: Batch, right: Tensor) -> float:
    """Return the share of the asked tokens of a batch that would be written wrong."""
    asked = batch.labels != NOT_ASKED
    return float((~right & asked).sum() / asked.sum())
