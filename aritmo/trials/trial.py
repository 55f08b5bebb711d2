"""Doing an experiment: group by group, all sizes and seeds of one at once, its results written when it is done.

A text counts as right if, its prompt and the right tokens so far given, the likeliest next token is right at every
place, the end included. That is when greedy decoding writes the right text, token for token, so one look at the
texts says what writing all of them would.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import GPT2LMHeadModel

from aritmo.files import write_json
from aritmo.numbers.randomness import seed_of
from aritmo.progress import Progress, rate
from aritmo.recipes.siblings import NOT_ASKED, Course, Siblings, gpt2_config
from aritmo.records import read_jsonl, write_samples
from aritmo.trials.plans import Cut, Plan, Subject, read_plan
from aritmo.trials.problems import Problem, draw, every
from aritmo.trials.texts import Cutter, Texts, rows_of_updates
from aritmo.workers import Workers

Record = dict[str, Any]
Say = Callable[[str], None]
Curve = list[list[int]]
"""For each look: updates so far, unseen problems right, of how many, seen ones right, of how many."""

RESULTS, PLAN = "results.jsonl", "plan.json"
_LOOK = 64
"""Texts a model that are looked at together."""
_ROUND = 64
"""The tokens of a row are a multiple of this."""


def begin(plan: Plan, out: Path) -> None:
    """Make the folder of an experiment and write down its plan.

    Raises ValueError where the folder holds another one; one of the same plan is gone on with.
    """
    out.mkdir(parents=True, exist_ok=True)
    if not (out / PLAN).exists():
        write_json(out / PLAN, plan.plain())
    elif recall(out) != plan:
        raise ValueError(f"{out} holds an experiment of another plan: choose another folder, or remove it first")


def recall(out: Path) -> Plan:
    """Return the plan of an experiment begun before. Raises ValueError where ``out`` holds none."""
    try:
        return read_plan(json.loads((out / PLAN).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ValueError(f"{out} holds no experiment ({PLAN} is not there): begin one") from None
    except ValueError as error:
        raise ValueError(f"{out / PLAN} is damaged ({error}): begin another run") from None


def results_of(out: Path) -> list[Record]:
    """Return the results that an experiment has so far, one for each training."""
    return list(read_jsonl(out / RESULTS)) if (out / RESULTS).exists() else []


def do(
    plan: Plan,
    out: Path,
    say: Say,
    *,
    vocabulary: Path | None = None,
    minutes: float | None = None,
    processes: int = 0,
    device: torch.device | None = None,
    only: Sequence[str] = (),
) -> bool:
    """Do what is left of an experiment in ``out``, and return whether all of it is done.

    ``vocabulary`` is the folder of GPT-2's vocabulary. With ``minutes`` no group is begun that would hardly come
    to its end in time. ``only`` names the subjects to do, as ``Subject.name``; none means all.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cutters = {cut: Cutter(cut, vocabulary) for cut in plan.cuts}
    ends = time.monotonic() + 60 * minutes if minutes else None
    seconds: dict[str, float] = {}
    with Workers(processes) as workers:
        for subject, cut in plan.groups():
            done = {(line["subject"], line["cut"]) for line in results_of(out)}
            if (subject.name, cut) in done or (only and subject.name not in only):
                continue
            if ends is not None and time.monotonic() + seconds.get(subject.name, 0) > ends:
                return False
            began = time.monotonic()
            group = Group(plan, subject, cut, cutters[cut], workers, device)
            lines = group.train()
            seconds[subject.name] = time.monotonic() - began
            write_samples(out / RESULTS, lines)
            for line in lines:
                say(_told(line))
    return len(results_of(out)) == sum(plan.seeds * len(subject.sizes) for subject, _ in plan.groups())


def _told(line: Record) -> str:
    seen, of_seen = line["curve"][-1][3:]
    return (
        f"{line['subject']} {line['cut']}, {line['size']:,} examples, seed {line['seed']}: "
        f"{line['right']:,} of {line['of']:,} unseen and {seen:,} of {of_seen:,} seen right"
    )


class Group:
    """All sizes and seeds of a subject cut in one way, trained side by side on one device."""

    def __init__(
        self, plan: Plan, subject: Subject, cut: Cut, cutter: Cutter, workers: Workers, device: torch.device
    ) -> None:
        self.plan, self.subject, self.cut, self.device = plan, subject, cut, device
        self.members = [(size, seed) for seed in range(plan.seeds) for size in subject.sizes]
        tested = every(subject, "test") if subject.every else draw(subject, 0, "test", plan.tested, workers)
        self.tested = tested
        drawn = [draw(subject, seed, "train", max(subject.sizes), workers) for seed in range(plan.seeds)]
        for some in drawn:
            if len(some) < max(subject.sizes):
                raise ValueError(
                    f"{subject.name} to {subject.digits} digits has {len(some):,} different problems to train on, "
                    f"and {max(subject.sizes):,} are asked for: ask for longer numbers"
                )
        # All training sets stand end to end in one, those of a seed being the beginnings of the same list.
        self.known, self.asked = cutter.cut([[problem for some in drawn for problem in some], self.tested])
        self.first = [seed * max(subject.sizes) for _, seed in self.members]
        self.longest = int(max(self.known.lengths.max(), self.asked.lengths.max()))
        self.learners = Siblings(
            [self._model(seed) for _, seed in self.members], Course(rate=plan.rate, warmup=plan.warmup), device
        )

    def train(self) -> list[Record]:
        """Train all members and return a result for each."""
        subject, plan = self.subject, self.plan
        order = self._order()
        lengths = self.known.lengths.numpy()
        totals = np.array([lengths[rows].sum(1) for rows in order])
        width, least = _rounded(int(totals.max())), int(totals.min())
        known, asked = self.known.to(self.device), self.asked.to(self.device)
        seen = [
            torch.arange(first, first + min(plan.looked, size))
            for first, (size, _) in zip(self.first, self.members, strict=True)
        ]
        looks = {round(subject.updates * (k + 1) / plan.looks) for k in range(plan.looks)}
        curves: list[Curve] = [[] for _ in self.members]
        began = time.monotonic()
        what = f"{subject.name} {self.cut}, {len(self.members)} models"
        with Progress(what, subject.updates, "updates") as shown:
            for update in range(subject.updates):
                rows = torch.from_numpy(order[:, update]).to(self.device)
                batch, _ = known.lay_out(rows, width, least, self.longest)
                losses = self.learners.update(batch, update / subject.updates)
                if update + 1 in looks:
                    unseen = [torch.arange(min(plan.looked, len(self.tested)))] * len(self.members)
                    found = self._right(asked, unseen), self._right(known, seen)
                    for curve, new, old in zip(curves, *found, strict=True):
                        curve.append([update + 1, int(new.sum()), len(new), int(old.sum()), len(old)])
                    speed = (update + 1) * len(self.members) * width / (time.monotonic() - began)
                    shown.advance(0, f"loss {losses.mean().item():.3f}, {rate(speed)} tokens/s")
                shown.advance()
        seconds = time.monotonic() - began
        return self._results(curves, losses, asked, totals.sum(1), seconds)

    def _results(
        self,
        curves: list[Curve],
        losses: Tensor,
        asked: Texts,
        tokens: NDArray[np.int64],
        seconds: float,
    ) -> list[Record]:
        everything = [torch.arange(len(self.tested))] * len(self.members)
        parameters = sum(weight[0].numel() for weight in self.learners.weights.values())
        results = []
        for member, right in enumerate(self._right(asked, everything)):
            size, seed = self.members[member]
            results.append({
                "subject": self.subject.name, "cut": self.cut, "size": size, "seed": seed,
                "right": int(right.sum()), "of": len(right), "by_length": _by_length(self.tested, right.tolist()),
                "curve": curves[member], "loss": losses[member].item(), "updates": self.subject.updates,
                "tokens": int(tokens[member]), "known": self.known.known, "longest": self.longest,
                "parameters": parameters, "seconds": round(seconds, 1), "together": len(self.members),
                "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "CPU",
            })  # fmt: skip
        return results

    def _order(self) -> NDArray[np.int64]:
        """Return which text each model reads, (models, updates, batch); the same however texts are cut."""
        subject = self.subject
        return np.array([
            first + rows_of_updates(size, subject.batch, subject.updates, subject.name, size, seed)
            for first, (size, seed) in zip(self.first, self.members, strict=True)
        ])  # fmt: skip

    def _model(self, seed: int) -> GPT2LMHeadModel:
        """Return a fresh GPT-2; the same seed gives the same weights, rows of the embedding aside."""
        plan = self.plan
        config = gpt2_config(
            self.known.known, self.longest, plan.layers, plan.width, plan.heads, bos_token_id=0, eos_token_id=0
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of("trial", "weights", seed))
            return GPT2LMHeadModel(config)

    def _right(self, texts: Texts, asked: Sequence[Tensor]) -> list[Tensor]:
        """Return for each model which of the texts that it is asked, by place in ``texts``, it would write."""
        most = max(map(len, asked))
        found: list[list[Tensor]] = [[] for _ in asked]
        for start in range(0, most, _LOOK):
            # A model that is asked fewer is asked its last once more, and that is not counted.
            places = torch.arange(start, min(start + _LOOK, most))
            rows = torch.stack([some[places.clamp(max=len(some) - 1)] for some in asked]).to(self.device)
            totals = texts.lengths[rows].sum(1)
            width = _rounded(int(totals.max()))
            batch, which = texts.lay_out(rows, width, int(totals.min()), self.longest)
            right = self.learners.read(batch)[1]
            wrong = (~right & (batch.labels != NOT_ASKED)).long()
            wrong = torch.zeros_like(rows).scatter_add_(1, which, wrong)
            for some, counts, mine in zip(asked, found, wrong.cpu(), strict=True):
                counts.append(mine[: max(0, len(some) - start)] == 0)
        return [torch.cat(counts) for counts in found]


def _rounded(tokens: int) -> int:
    return -(-tokens // _ROUND) * _ROUND


def _by_length(problems: Sequence[Problem], right: Sequence[bool]) -> list[list[int]]:
    """Return ``[digits, ..., right, of]`` for the numbers of digits that were asked, as summaries have it."""
    of = Counter(problem.lengths for problem in problems)
    count = Counter(problem.lengths for problem, good in zip(problems, right, strict=True) if good)
    return [[*lengths, count[lengths], of[lengths]] for lengths in sorted(of)]
