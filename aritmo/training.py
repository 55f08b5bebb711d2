"""The one training loop: deterministic, resumable at any step, the same on one process or several."""

import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from accelerate.utils import broadcast
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aritmo import checkpoints
from aritmo.engine import Engine
from aritmo.files import write_json_lines
from aritmo.models import Init
from aritmo.numbers.randomness import seed_of
from aritmo.packing import LossOn, Packed
from aritmo.progress import Progress, rate
from aritmo.records import read_jsonl, write_samples
from aritmo.stopping import Best, evaluation_line, signals
from aritmo.trackers import TrackerName, Trackers
from aritmo.utilisation import mfu

METRICS = "metrics.jsonl"

Reason = Literal["done", "time", "patience", "stopped"]
Evaluate = Callable[[PreTrainedModel, int], dict[str, Any]]


class TrainingConfig(BaseModel):
    """How to train. One update takes ``batch_size`` x ``gradient_accumulation`` x processes sequences.

    ``context`` counts tokens; ``steps``, ``warmup``, ``save_every`` and ``evaluate_every`` count updates.
    ``keep`` is how many of the newest checkpoints stay, beside the best evaluation's, always saved.
    With ``minutes`` training also ends by the clock and the learning rate follows whichever of
    steps and clock is further on, so results depend on the machine.
    With ``patience`` training ends after so many evaluations in a row that were no better than the best.
    ``tokenizer`` replaces the model's own: another model's name, or «digits» or «pairs» with ``init`` «scratch».
    ``precision`` «auto» is bf16 where a GPU has it, else none. ``compile`` «auto» compiles on a GPU where the
    work is worth it. ``dropout`` stands in for the model's own, which in GPT-2's config is 0.1 and costs time.
    ``float8`` multiplies in 8 bits. ``optimizer`` «lean» takes 6 bytes a parameter, not 16. ``checkpointing``
    keeps what stands between blocks and makes the rest again: less memory, a third more work.
    Of several processes each holds the whole model, or with ``sharding`` «full» its part of it (FSDP2).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str = "tiny"
    init: Init = "pretrained"
    tokenizer: str | None = None
    adapter: Literal["none", "lora"] = "none"
    rank: int = Field(default=16, ge=1)
    base_bits: Literal[4, 8, 16, 32] = 32
    steps: int = Field(default=300, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    context: int = Field(default=512, ge=2)
    batch_size: int = Field(default=8, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    loss_on: LossOn = "completion"
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["cosine", "constant", "linear"] = "cosine"
    warmup: int = Field(default=20, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, gt=0)
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    float8: bool = False
    optimizer: Literal["adamw", "lean"] = "adamw"
    checkpointing: bool = False
    sharding: Literal["none", "full"] = "none"
    seed: int = 0
    save_every: int = Field(default=100, ge=1)
    evaluate_every: int = Field(default=100, ge=1)
    keep: int = Field(default=2, ge=1)
    patience: int | None = Field(default=None, ge=1)
    trackers: tuple[TrackerName, ...] = ()


_MAY_CHANGE = {
    "model", "init", "tokenizer", "steps", "minutes", "save_every", "evaluate_every", "keep", "patience",
    "trackers", "compile", "checkpointing", "sharding",
}  # fmt: skip
"""Settings that a resumed run may change; with other ``steps`` or ``minutes`` it follows another schedule."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How training ended: «done», «time» (all is spent), «patience» (no better) or «stopped» (by a signal).

    ``loss`` is that of the last update, in nats a token; ``tokens`` leaves padding out; ``seconds`` are
    those of all sittings together. ``best`` is the step whose evaluation was the best, 0 where none was.
    """

    step: int
    reason: Reason
    loss: float | None
    validation_loss: float | None
    tokens: int
    seconds: float
    checkpoint: Path
    best: int


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train_rows: Packed,
    validation_rows: Packed,
    config: TrainingConfig,
    run: Path,
    *,
    evaluate: Evaluate | None = None,
    resume: bool = False,
) -> TrainingResult:
    """Train ``model`` in place, write metrics and checkpoints under ``run``, and return how it ended.

    The loss of an update is the mean over all its tokens that bear loss, however they fall on micro-batches
    and processes. ``evaluate`` returns what joins ``validation_loss`` in an evaluation line. All that is
    random follows from seed and step, so a resumed run equals an uninterrupted one to the bit on the same
    machine (not so with ``minutes``); on other processes or micro-batches, but for rounding and dropout. A model
    that is cut up stays so: its checkpoints are whole. SIGTERM and Ctrl-C end it after the update at hand, with a
    checkpoint.
    Raises ValueError for rows with nothing to learn, a run that holds checkpoints already, a checkpoint of
    other settings or data, and a loss that is not finite (before the update: the last checkpoint stands).
    """
    if not train_rows.account.trained:
        raise ValueError(
            "no example fits, so there is nothing to train on: raise training.context or add examples"
        )
    folder = checkpoints.latest(run)
    if folder and not resume:
        raise ValueError(f"run {run} holds checkpoints already: resume it or choose another folder")
    trainer = _Trainer(model, tokenizer, train_rows, validation_rows, config, run, evaluate)
    if folder:
        trainer.restore(folder)
    return trainer.fit()


def learning_rate(config: TrainingConfig, step: int, fraction: float) -> float:
    """Return the learning rate of the update after ``step`` others, with ``fraction`` of all work done.

    It rises linearly over ``warmup`` updates and falls to 0 at the end as a half cosine or a line.
    """
    shape = {
        "cosine": 0.5 * (1 + math.cos(math.pi * fraction)),
        "linear": 1 - fraction,
        "constant": 1.0,
    }[config.schedule]
    return config.learning_rate * min(1.0, (step + 1) / (config.warmup + 1)) * shape


def rows_of_update(count: int, size: int, step: int, seed: int) -> NDArray[np.int64]:
    """Return the ``size`` rows, of ``count``, that update number ``step`` (from 0) learns from.

    Each epoch is a permutation drawn from seed and epoch; updates run on across the borders of epochs.
    """
    places = np.arange(step * size, (step + 1) * size)
    rows = np.empty(size, np.int64)
    for epoch in np.unique(places // count):
        inside = places // count == epoch
        rows[inside] = _order(count, int(epoch), seed)[places[inside] % count]
    return rows


@lru_cache(maxsize=2)
def _order(count: int, epoch: int, seed: int) -> NDArray[np.int64]:
    # Raw bits, since NumPy promises their stream across versions but not that of its shuffles.
    bits = np.random.PCG64(seed_of("order", seed, epoch)).random_raw(count)
    return np.argsort(bits, kind="stable")


class _Trainer:
    """One call of ``train``: the model, where training stands, and what it writes."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        train_rows: Packed,
        validation_rows: Packed,
        config: TrainingConfig,
        run: Path,
        evaluate: Evaluate | None,
    ) -> None:
        self.engine = Engine(model, config, train_rows, validation_rows)
        self.accelerator, self.bare = self.engine.accelerator, model
        self.tokenizer, self.config, self.run = tokenizer, config, run
        self.hook = self.engine.plainly(evaluate) if evaluate else None
        self.train_rows, self.validation_rows = train_rows, validation_rows
        self.fixed = {
            **config.model_dump(mode="json", exclude=_MAY_CHANGE),
            "precision": self.engine.precision,
            "processes": self.accelerator.num_processes,
            "data": sha256(train_rows.tokens.tobytes() + train_rows.trained.tobytes()).hexdigest()[:16],
        }
        self.step, self.tokens, self.seconds, self.began = 0, 0, 0.0, time.monotonic()
        self.loss: float | None = None
        self.validation_loss: float | None = None
        self.saved: Path | None = None
        self.best = Best()
        self.mfu = mfu(self.bare, config.context, self.accelerator.device)
        self.trackers = Trackers(config.trackers if self.accelerator.is_main_process else (), run)

    def restore(self, folder: Path) -> None:
        """Go on from a checkpoint. Raises ValueError where settings or data are not its own."""
        state = self.engine.restore(folder)
        checkpoints.check_settings(self.run, state["fixed"], self.fixed)
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        self.loss, self.validation_loss, self.saved = state["loss"], state["validation_loss"], folder
        self.best = Best(**state["best"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        if self.engine.body is not None:
            self.engine.body.restore(state.get("dials", []))

    def fit(self) -> TrainingResult:
        """Train to the end, the end of the time budget or a signal."""
        stream = None if self.accelerator.is_main_process else io.StringIO()
        self.began = time.monotonic() - self.seconds
        reason: Reason = "done"
        try:
            with (
                signals() as caught,
                Progress("training", self.config.steps, "steps", stream) as progress,
                self.engine.running(progress.say),
            ):
                self._forget_metrics()
                self.trackers.configure(self.config.model_dump(mode="json"))
                progress.start_at(self.step)
                while self.step < self.config.steps:
                    stopped = self._update(bool(caught), progress)
                    out_of_time = self._agree(self._fraction() >= 1)
                    reason = "stopped" if stopped else "time" if out_of_time else "done"
                    last, better = stopped or out_of_time or self.step == self.config.steps, False
                    if not stopped and (last or self.step % self.config.evaluate_every == 0):
                        better = self._evaluate(progress)
                        self.seconds = time.monotonic() - self.began
                        if not last and self.config.patience and self.best.since >= self.config.patience:
                            reason, last = "patience", True
                    if last or better or self.step % self.config.save_every == 0:
                        self._save(better)
                    if last:
                        break
        finally:
            self.trackers.close()
            self.bare.eval()
        assert self.saved is not None
        told = self.loss, self.validation_loss, self.tokens, self.seconds
        return TrainingResult(self.step, reason, *told, self.saved, self.best.step)

    def _update(self, signalled: bool, progress: Progress) -> bool:
        """Make one update, log it, and return whether any process was told to stop."""
        began, config, accelerator = time.monotonic(), self.config, self.accelerator
        rows = self._rows(self.step)
        bearing = max(int(self.train_rows.trained[rows].sum()), 1)
        at = learning_rate(config, self.step, self._fraction())
        self.engine.set_rate(at)
        self.engine.train()
        seed, mine = seed_of("step", config.seed, self.step, accelerator.process_index), accelerator.process_index
        total, norm = self.engine.learn(self.train_rows, rows[:, mine].reshape(-1), bearing, seed)
        if self.step + 1 < config.steps:
            self.engine.prefetch(self.train_rows, self._rows(self.step + 1)[:, mine].reshape(-1))
        stops = torch.tensor(float(signalled), device=accelerator.device)
        value, stopped = accelerator.reduce(torch.stack([total, stops])).tolist()
        # In fp16 a gradient may overflow: the scaler then leaves that update out and scales less.
        if not math.isfinite(value) or (self.engine.precision != "fp16" and not math.isfinite(norm)):
            raise ValueError(self._not_finite(value))
        self.engine.step()
        seen = int(self.train_rows.filled[rows].sum())
        self.step, self.loss, self.tokens = self.step + 1, value, self.tokens + seen
        self.seconds = time.monotonic() - self.began
        self._log(at, seen / (time.monotonic() - began), progress)
        return bool(stopped)

    def _rows(self, step: int) -> NDArray[np.int64]:
        """Return the rows of an update, (accumulation, processes, batch)."""
        config = self.config
        shape = (config.gradient_accumulation, self.accelerator.num_processes, config.batch_size)
        return rows_of_update(len(self.train_rows), math.prod(shape), step, config.seed).reshape(shape)

    def _fraction(self) -> float:
        """Return how much of the work is done, by steps or by the clock, whichever is further on."""
        by_steps = self.step / self.config.steps
        return (
            min(1.0, max(by_steps, self.seconds / 60 / self.config.minutes)) if self.config.minutes else by_steps
        )

    def _agree(self, here: bool) -> bool:
        """Return what the processes decide about their clocks: they stop together when one is out of time."""
        if self.config.minutes is None:
            return False
        ballot = torch.tensor([float(here)], device=self.accelerator.device)
        return float(self.accelerator.reduce(ballot)) > 0

    def _not_finite(self, loss: float) -> str:
        what = f"the loss is {loss}" if not math.isfinite(loss) else "the gradient is not finite"
        stands = f"checkpoint {self.saved.name} stands" if self.saved else "there is no checkpoint yet"
        return (
            f"{what} at step {self.step + 1:,}, so training stopped before that update ({stands}): "
            f"lower training.learning_rate, {self.config.learning_rate:g} now, or raise training.warmup"
        )

    def _log(self, at: float, speed: float, progress: Progress) -> None:
        if not self.accelerator.is_main_process:
            return
        line: dict[str, Any] = {
            "step": self.step,
            "loss": self.loss,
            "learning_rate": at,
            "tokens": self.tokens,
            "tokens_per_second": round(speed, 1),
            "seconds": round(self.seconds, 3),
        }
        note = f"loss {self.loss:.4f}, {rate(speed)} tokens/s"
        if self.mfu is not None:
            line["mfu"] = round(self.mfu * speed / self.accelerator.num_processes, 4)
            note += f", {line['mfu']:.1%} of the card's peak"
        write_samples(self.run / METRICS, [line])
        self.trackers.log(line, self.step)
        progress.advance(note=note)

    def _forget_metrics(self) -> None:
        """Drop the lines of updates after the checkpoint, which are about to be made again."""
        if self.accelerator.is_main_process:
            self.run.mkdir(parents=True, exist_ok=True)
            if (path := self.run / METRICS).exists():
                write_json_lines(path, [line for line in read_jsonl(path) if line["step"] <= self.step])

    def _evaluate(self, progress: Progress) -> bool:
        """Write one evaluation line, the held-out loss and what the hook finds; say whether it is the best."""
        self.validation_loss = self._held_out_loss()
        exact = torch.full((), -1.0, device=self.accelerator.device)
        looked = self.engine.whole_model() if self.hook else None
        if self.accelerator.is_main_process:
            self.bare.eval()
            found = self.hook(looked, self.step) if self.hook and looked else {}
            evaluation = {"validation_loss": self.validation_loss, **found}
            write_samples(self.run / METRICS, [{"step": self.step, "evaluation": evaluation}])
            self.trackers.log({f"evaluation/{name}": value for name, value in evaluation.items()}, self.step)
            progress.say(evaluation_line(self.step, evaluation))
            if found.get("exact") is not None:
                exact += 1 + found["exact"]
        # Only the main process looked, and all must agree on what was the best.
        agreed = float(broadcast(exact))
        return self.best.note(self.step, agreed if agreed >= 0 else None, self.validation_loss)

    @torch.no_grad()
    def _held_out_loss(self) -> float | None:
        """Return the mean loss over the validation tokens that bear loss, or None where there are none."""
        packed, accelerator, size = self.validation_rows, self.accelerator, self.config.batch_size
        if not packed.account.trained:
            return None
        self.engine.eval()
        mine = np.arange(accelerator.process_index, len(packed), accelerator.num_processes)
        total = torch.zeros((), device=accelerator.device)
        for start in range(0, -(-len(packed) // accelerator.num_processes), size):
            rows = mine[start : start + size]
            # Who has no rows left computes all the same, since the others may wait for its part of the model.
            part = self.engine.loss(packed, rows if len(rows) else np.zeros(1, np.int64))
            total += part if len(rows) else 0.0
        loss = float(accelerator.reduce(total)) / packed.account.trained
        return loss if math.isfinite(loss) else None

    def _save(self, best: bool) -> None:
        state: dict[str, Any] = {
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "loss": self.loss,
            "validation_loss": self.validation_loss,
            "best": self.best.as_dict(),
            "fixed": self.fixed,
        }
        if self.accelerator.scaler is not None:
            state["scaler"] = self.accelerator.scaler.state_dict()
        if self.engine.body is not None:
            state["dials"] = self.engine.body.state()
        if pair := self.engine.whole():
            model, adamw = pair
            checkpoints.save(
                self.run, self.step, model, self.tokenizer, adamw, state, keep=self.config.keep, best=best
            )
        self.saved = checkpoints.place_of(self.run, self.step)
        self.accelerator.wait_for_everyone()
