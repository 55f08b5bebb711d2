"""The one training loop: deterministic, resumable at any step, the same on one process or several."""

import io
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aritmo import checkpoints
from aritmo.files import write_whole
from aritmo.numbers.randomness import seed_of
from aritmo.packing import LossHead, LossOn, Packed, collate, isolate
from aritmo.progress import Progress, rate
from aritmo.records import read_jsonl, write_samples

METRICS = "metrics.jsonl"

Reason = Literal["done", "time", "stopped"]
Evaluate = Callable[[PreTrainedModel, int], dict[str, Any]]


class TrainingConfig(BaseModel):
    """How to train. One update takes ``batch_size`` x ``gradient_accumulation`` x processes sequences.

    ``context`` counts tokens; ``steps``, ``warmup``, ``save_every`` and ``evaluate_every`` count updates.
    ``keep`` is how many of the newest checkpoints stay. With ``minutes`` training also ends by the clock and
    the learning rate follows whichever of steps and clock is further on, so results depend on the machine.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str = "tiny"
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
    precision: Literal["no", "bf16", "fp16"] = "no"
    seed: int = 0
    save_every: int = Field(default=100, ge=1)
    evaluate_every: int = Field(default=100, ge=1)
    keep: int = Field(default=2, ge=1)


_MAY_CHANGE = {"model", "steps", "minutes", "save_every", "evaluate_every", "keep"}
"""Settings that a resumed run may change; with other ``steps`` or ``minutes`` it follows another schedule."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How training ended: ``reason`` is «done», «time» (the budget is spent) or «stopped» (by a signal).

    ``loss`` is that of the last update, in nats a token; ``tokens`` leaves padding out; ``seconds`` are
    those of all sittings together.
    """

    step: int
    reason: Reason
    loss: float | None
    validation_loss: float | None
    tokens: int
    seconds: float
    checkpoint: Path


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
    machine (not so with ``minutes``). SIGTERM and Ctrl-C end it after the update at hand, with a checkpoint.
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
        # Raw bits, since NumPy promises their stream across versions but not that of its shuffles.
        bits = np.random.PCG64(seed_of("order", seed, int(epoch))).random_raw(count)
        rows[inside] = np.argsort(bits, kind="stable")[places[inside] % count]
    return rows


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
        # Accelerate keeps the precision of the first call in a process; this forgets it.
        AcceleratorState._reset_state(reset_partial_state=False)
        self.accelerator = Accelerator(mixed_precision=config.precision)
        self.bare: PreTrainedModel = model.to(self.accelerator.device)
        self.tokenizer, self.config, self.run, self.hook = tokenizer, config, run, evaluate
        self.train_rows, self.validation_rows = train_rows, validation_rows
        self.head = LossHead(self.bare)
        self.adamw = torch.optim.AdamW(_groups(model, config.weight_decay), fused=True, betas=(0.9, 0.95))
        self.model, self.optimizer = self.accelerator.prepare(self.bare, self.adamw)
        self.fixed = {
            **config.model_dump(mode="json", exclude=_MAY_CHANGE),
            "processes": self.accelerator.num_processes,
            "data": sha256(train_rows.tokens.tobytes() + train_rows.trained.tobytes()).hexdigest()[:16],
        }
        self.step, self.tokens, self.seconds, self.began = 0, 0, 0.0, time.monotonic()
        self.loss: float | None = None
        self.validation_loss: float | None = None
        self.saved: Path | None = None

    def restore(self, folder: Path) -> None:
        """Go on from a checkpoint. Raises ValueError where settings or data are not its own."""
        state = checkpoints.load(folder, self.bare, self.adamw)
        for name, value in self.fixed.items():
            if state["fixed"].get(name) != value:
                raise ValueError(
                    f"run {self.run} was begun with {name} {state['fixed'].get(name)}, not {value}: "
                    "resume with what it was begun with, or begin another run"
                )
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        self.loss, self.validation_loss, self.saved = state["loss"], state["validation_loss"], folder
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])

    def fit(self) -> TrainingResult:
        """Train to the end, the end of the time budget or a signal."""
        stream = None if self.accelerator.is_main_process else io.StringIO()
        self.began = time.monotonic() - self.seconds
        reason: Reason = "done"
        try:
            with (
                isolate(self.bare) as self.alone,
                _signals() as signals,
                Progress("training", self.config.steps, "steps", stream) as progress,
            ):
                self._forget_metrics()
                progress.start_at(self.step)
                while self.step < self.config.steps:
                    stopped = self._update(bool(signals), progress)
                    out_of_time = self._agree(self._fraction() >= 1)
                    reason = "stopped" if stopped else "time" if out_of_time else "done"
                    last = stopped or out_of_time or self.step == self.config.steps
                    if not stopped and (last or self.step % self.config.evaluate_every == 0):
                        self._evaluate()
                        self.seconds = time.monotonic() - self.began
                    if last or self.step % self.config.save_every == 0:
                        self._save()
                    if last:
                        break
        finally:
            self.head.release()
            self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
            self.bare.eval()
        assert self.saved is not None
        return TrainingResult(
            self.step, reason, self.loss, self.validation_loss, self.tokens, self.seconds, self.saved
        )

    def _update(self, signalled: bool, progress: Progress) -> bool:
        """Make one update, log it, and return whether any process was told to stop."""
        began, config, accelerator = time.monotonic(), self.config, self.accelerator
        shape = (config.gradient_accumulation, accelerator.num_processes, config.batch_size)
        rows = rows_of_update(len(self.train_rows), math.prod(shape), self.step, config.seed).reshape(shape)
        bearing = max(int(self.train_rows.trained[rows].sum()), 1)
        torch.manual_seed(seed_of("step", config.seed, self.step, accelerator.process_index))
        at = learning_rate(config, self.step, self._fraction())
        for group in self.optimizer.param_groups:
            group["lr"] = at
        self.model.train()
        total = torch.zeros((), device=accelerator.device)
        for number, micro in enumerate(rows[:, accelerator.process_index]):
            waits = number + 1 < config.gradient_accumulation
            with accelerator.no_sync(self.model) if waits else nullcontext():
                loss = self._summed_loss(self.train_rows, micro) / bearing
                # Several processes average their gradients, which here must be added.
                accelerator.backward(loss * accelerator.num_processes)
            total += loss.detach()
        norm = accelerator.clip_grad_norm_(self.model.parameters(), config.clip)
        stops = torch.tensor(float(signalled), device=accelerator.device)
        value, stopped = accelerator.reduce(torch.stack([total, stops])).tolist()
        # In fp16 a gradient may overflow: the scaler then leaves that update out and scales less.
        if not math.isfinite(value) or (config.precision != "fp16" and not math.isfinite(norm)):
            raise ValueError(self._not_finite(value))
        self.optimizer.step()
        self.optimizer.zero_grad()
        seen = int(self.train_rows.filled[rows].sum())
        self.step, self.loss, self.tokens = self.step + 1, value, self.tokens + seen
        self.seconds = time.monotonic() - self.began
        self._log(at, seen / (time.monotonic() - began), progress)
        return bool(stopped)

    def _summed_loss(self, packed: Packed, rows: NDArray[np.int64]) -> Tensor:
        """Return the loss of some rows in nats, added up over their tokens that bear loss."""
        batch = collate(packed, rows, self.accelerator.device, self.bare.dtype, self.alone)
        with self.head.only_at(batch.places):
            logits = self.model(**batch.inputs).logits
        return F.cross_entropy(logits.float(), batch.targets, reduction="sum")

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
        line = {
            "step": self.step,
            "loss": self.loss,
            "learning_rate": at,
            "tokens": self.tokens,
            "tokens_per_second": round(speed, 1),
            "seconds": round(self.seconds, 3),
        }
        write_samples(self.run / METRICS, [line])
        progress.advance(note=f"loss {self.loss:.4f}, {rate(speed)} tokens/s")

    def _forget_metrics(self) -> None:
        """Drop the lines of updates after the checkpoint, which are about to be made again."""
        if self.accelerator.is_main_process:
            self.run.mkdir(parents=True, exist_ok=True)
            if (path := self.run / METRICS).exists():
                lines = [line for line in read_jsonl(path) if line["step"] <= self.step]
                write_whole(path, "")
                write_samples(path, lines)

    def _evaluate(self) -> None:
        """Write one evaluation line: the held-out loss, and what the hook finds."""
        self.validation_loss = self._held_out_loss()
        if self.accelerator.is_main_process:
            self.bare.eval()
            found = self.hook(self.bare, self.step) if self.hook else {}
            line = {"step": self.step, "evaluation": {"validation_loss": self.validation_loss, **found}}
            write_samples(self.run / METRICS, [line])
        self.accelerator.wait_for_everyone()

    @torch.no_grad()
    def _held_out_loss(self) -> float | None:
        """Return the mean loss over the validation tokens that bear loss, or None where there are none."""
        packed, accelerator, size = self.validation_rows, self.accelerator, self.config.batch_size
        if not packed.account.trained:
            return None
        self.model.eval()
        mine = np.arange(accelerator.process_index, len(packed), accelerator.num_processes)
        total = torch.zeros((), device=accelerator.device)
        for start in range(0, len(mine), size):
            total += self._summed_loss(packed, mine[start : start + size])
        loss = float(accelerator.reduce(total)) / packed.account.trained
        return loss if math.isfinite(loss) else None

    def _save(self) -> None:
        state = {
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "loss": self.loss,
            "validation_loss": self.validation_loss,
            "fixed": self.fixed,
        }
        if self.accelerator.scaler is not None:
            state["scaler"] = self.accelerator.scaler.state_dict()
        if self.accelerator.is_main_process:
            checkpoints.save(
                self.run, self.step, self.bare, self.tokenizer, self.adamw, state, keep=self.config.keep
            )
        self.saved = checkpoints.place_of(self.run, self.step)
        self.accelerator.wait_for_everyone()


def _groups(model: PreTrainedModel, weight_decay: float) -> list[dict[str, Any]]:
    """Return the parameters in two groups: matrices decay, biases and the scales of norms do not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Give a list that SIGTERM and Ctrl-C add to, so that the loop ends in order; twice stops at once."""
    seen: list[int] = []

    def note(number: int, frame: object) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    watched = (signal.SIGTERM, signal.SIGINT)
    if threading.current_thread() is not threading.main_thread():
        yield seen  # Python lets only the main thread set handlers
        return
    before = [signal.signal(number, note) for number in watched]
    try:
        yield seen
    finally:
        for number, handler in zip(watched, before, strict=True):
            signal.signal(number, handler)
