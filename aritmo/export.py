"""Export: a trained model as a folder that transformers loads, proved to compute the same, with its card."""

import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from aritmo.adapters import base_of, is_adapted, is_adapter, merge
from aritmo.config import read_yaml
from aritmo.experiment import Record, newest_model
from aritmo.files import new_folder
from aritmo.models import open_model, quiet_transformers
from aritmo.records import read_jsonl
from aritmo.report.words import interval, percent
from aritmo.tasks import TASKS, TaskOptions
from aritmo.tokens import encode_batch

TOLERANCE = 1e-4
"""How far a logit of a merged adapter may be from that of base and adapter apart, as a share of the largest one.

A model without an adapter must come back exactly.
"""

_PROMPTS = 8


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote, and how it was proved: prompts compared, and the largest difference of a logit."""

    folder: Path
    source: Path
    prompts: int
    difference: float


def export(source: str, out: Path) -> Exported:
    """Write the model of a run, checkpoint or folder to the new folder ``out``, an adapter merged into its base.

    The folder holds safetensors in fp32, config, generation config, tokenizer and ``README.md``. It is opened
    again by transformers alone and its fp32 logits are compared with the source's. Raises ValueError where
    ``out`` is taken, the source cannot be opened, or anything differs; then nothing is left.
    """
    with new_folder(out) as beside:
        opened = opened_source(source)
        with quiet_transformers():
            opened.model.save_pretrained(beside)
        opened.tokenizer.save_pretrained(beside)
        parameters = opened.model.num_parameters()
        difference = _difference(beside, opened)
        made = Exported(out, opened.folder, len(opened.texts), difference)
        (beside / "README.md").write_text(_card(made, _run_of(opened.folder), parameters), encoding="utf-8")
    return made


Logits = list[tuple[list[int], torch.Tensor]]
"""The token ids of each text and the logits after each token."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A model to export, an adapter on it merged; and texts, with what the source as it was computes on them.

    ``bound`` is how far from that a logit may be, as a share of the largest one.
    """

    folder: Path
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    texts: list[str]
    expected: Logits
    bound: float


def opened_source(source: str) -> Opened:
    """Open the model of a run, checkpoint or folder to export it. Raises ValueError where there is none."""
    folder = Path(newest_model(source))
    if not folder.is_dir():
        raise ValueError(f"there is no run or model folder {source}: give one that «aritmo train» wrote")
    model, tokenizer = open_model(str(folder), context=2)
    texts = list(islice(_prompts(_run_of(folder)), _PROMPTS))
    expected, bound = _logits(model, tokenizer, texts), 0.0
    if is_adapted(model):
        model, bound = merge(model), TOLERANCE
    return Opened(folder, model, tokenizer, texts, expected, bound)


def _run_of(folder: Path) -> Path | None:
    """Return the run that a checkpoint lies in, or None."""
    run = folder.resolve().parent.parent
    return run if folder.parent.name == "checkpoints" and (run / "config.yaml").is_file() else None


def _prompts(run: Path | None) -> Iterator[str]:
    """Yield prompts to compare on: a run's own samples, the looks of its evaluations, then those of its task."""
    for name in ("samples.jsonl", "metrics.jsonl") if run else ():
        assert run is not None
        for record in read_jsonl(run / name) if (run / name).is_file() else ():
            looks = record.get("evaluation", {}).get("samples", [])
            yield from (look["prompt"] for look in ([record] if "prompt" in record else looks))
    for task in TASKS.values():
        yield from (
            task.prompt(problem, task.styles[0]) for problem in task.problems("test", 0, 0, 1, TaskOptions())
        )


@torch.no_grad()
def _logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Logits:
    """Return the token ids of each text and the logits after each token, one text at a time."""
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    cut = [ids[:longest] for ids in encode_batch(tokenizer, texts)]
    return [(ids, model(torch.tensor([ids])).logits[0].float()) for ids in cut if ids]


def _difference(folder: Path, opened: Opened) -> float:
    """Open a folder with transformers alone and return the largest difference of a logit, as ``compared`` does."""
    with quiet_transformers():
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
    return compared(model, tokenizer, opened)


def compared(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, opened: Opened) -> float:
    """Return the largest difference of a logit between what was written and its source.

    Raises ValueError where token ids differ, or logits by more than ``bound`` times the largest.
    """
    largest = 0.0
    written = _logits(model, tokenizer, opened.texts)
    for (ids, logits), (wanted_ids, wanted) in zip(written, opened.expected, strict=True):
        if ids != wanted_ids:
            raise ValueError(
                "the exported tokenizer cuts texts otherwise than the source's, so nothing was exported"
            )
        worst = float((logits - wanted).abs().max())
        if not worst <= opened.bound * float(wanted.abs().max()):
            raise ValueError(
                f"the exported model's logits differ from the source's by {worst:g}, so nothing was exported; "
                "check the source's weights"
            )
        largest = max(largest, worst)
    return largest


def _card(made: Exported, run: Path | None, parameters: int) -> str:
    """Return the model card."""
    config = read_yaml(run / "config.yaml") if run else {}
    metrics = [line for line in read_jsonl(run / "metrics.jsonl") if "loss" in line] if run else []
    training = config.get("training", {})
    unrecorded = base_of(made.source) if is_adapter(made.source) else "not recorded"
    base = training.get("model", unrecorded)
    step = int(made.source.resolve().name.removeprefix("step-")) if run else None
    seconds = next((line["seconds"] for line in reversed(metrics) if line["step"] == step), None)
    facts = {
        "Base model": base + (", weights drawn from the seed" if training.get("init") == "scratch" else ""),
        "Parameters": f"{parameters:,}",
        "Task and style": f"{config['task']}, {config['style']}" if run else "not recorded",
        "Data hash": config.get("data", "not recorded"),
        "Seed": training.get("seed", "not recorded"),
        "Step": "not recorded" if step is None else f"{step:,}",
        "Adapter": f"LoRA of rank {training.get('rank')}, merged" if is_adapter(made.source) else "none",
        "Hardware": config.get("device", "not recorded"),
        "Training time": "not recorded" if seconds is None else f"{seconds:,.0f} s",
    }
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation", "---", "", "# Model card", ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items()), ""]
    lines += ["## Made with", "", "```", config.get("command", "not recorded"), "```", "", "Exported with", ""]
    lines += ["```", shlex.join(["aritmo", *sys.argv[1:]]), "```", "", "## Scores", "", *_scores(run, made), ""]
    lines += ["## Parity", "", _parity(made), "", "## Limits", "", *_LIMITS]
    return "\n".join(lines) + "\n"


_LIMITS = (
    "* The scores hold for the task, the style and the size of numbers it was asked; nothing is known of others.",
    "* It answers only prompts in the form it was trained on, and it may be wrong: check every answer.",
    "* It was trained to end its text with the end token, so stop there.",
)


def _parity(made: Exported) -> str:
    return (
        f"Opened again by transformers in fp32, its logits differ from the source's by at most "
        f"{made.difference:g} on {made.prompts} prompts."
    )


def _scores(run: Path | None, made: Exported) -> list[str]:
    """Return the scores of a run's summary, where it has one and it judges this checkpoint."""
    if run is None or not (run / "summary.json").is_file():
        return ["None: the run has no summary.json, so this model was not judged."]
    judged = Path(newest_model(str(run)))
    if judged.resolve() != made.source.resolve():
        return [f"None: the run's summary judges {judged.name}, another checkpoint."]
    groups: dict[str, Record] = json.loads((run / "summary.json").read_bytes())["groups"]
    rows = [f"| {name} | {group['samples']:,} | {_share(group['valid'])} |" for name, group in groups.items()]
    return ["| problems | asked | right (Wilson 95 % interval) |", "|---|---|---|", *rows]


def _share(share: Record) -> str:
    return f"{percent(share['share'])} ({share['count']:,}), {interval(share)}"
