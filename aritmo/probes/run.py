"""Asking models all probes: every answer is kept as it comes, and an interrupted probe goes on where it stopped.

A folder holds a folder for each model, with ``answers.jsonl``, ``settings.json`` and ``summary.json``, and
``probe.html``, one page on all of them.
"""

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from transformers import PreTrainedTokenizerBase

from aritmo import __version__
from aritmo.files import write_json
from aritmo.numbers.randomness import seed_of
from aritmo.probes.cuts import cut_of
from aritmo.probes.endpoint import KEY_VARIABLE, Endpoint, Manners, is_address, split_address
from aritmo.probes.local import Local, check_local
from aritmo.probes.prompts import PROBES, VERSION, Item, Probe, find_probe
from aritmo.probes.reading import judged
from aritmo.probes.summary import summary_of
from aritmo.progress import Progress
from aritmo.records import read_jsonl, write_samples

Record = dict[str, Any]

ANSWERS, SETTINGS, SUMMARY, PAGE = "answers.jsonl", "settings.json", "summary.json", "probe.html"


class Speaker(Protocol):
    """A model that goes on from prompts. ``tokenizer`` is None where nobody knows it."""

    name: str
    tokenizer: PreTrainedTokenizerBase | None

    def account(self) -> Record: ...
    def write(self, items: Sequence[Item], temperature: float, seed: int) -> Iterator[str]:
        """Yield a text for each item in order. The items are of one group, their indices in a row."""
        ...


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked and how: the probes, how many problems each, and at which temperature besides greedily.

    ``temperature`` 0 leaves it at the likeliest text. What follows concerns opening a model: ``bits`` and
    ``batch_size`` local ones, ``chat``, ``key_variable`` and ``manners`` addresses.
    """

    probes: tuple[str, ...] = tuple(PROBES)
    items: int = 200
    temperature: float = 0.7
    seed: int = 0
    bits: int | None = None
    batch_size: int | None = None
    tokenizer: str | None = None
    chat: bool = False
    key_variable: str = KEY_VARIABLE
    manners: Manners = Manners()  # noqa: RUF009

    def check(self) -> None:
        """Raise ValueError for a probe that there is none of, or a number that makes no sense."""
        for name in self.probes:
            find_probe(name)
        if not 0 <= self.temperature < 100:
            raise ValueError(f"temperature: got {self.temperature:g}, give a number from 0 upwards, such as 0.7")
        if self.bits not in (None, 32, 16, 8, 4):
            raise ValueError(f"bits: got {self.bits}, allowed 32, 16, 8 and 4")

    def label(self, name: str) -> str:
        """Return what a model is called on the page: the end of its name, and what changes its answers."""
        parts = [part for part in Path(name).parts if part != "checkpoints"][-2:]
        short = name.partition("://")[2] if is_address(name) else "/".join(parts)
        short = Path(name).name if short.lower().endswith(".gguf") else short
        return short + (f", {self.bits} bits" if self.bits in (4, 8) else "") + (", chat" if self.chat else "")

    def ways(self) -> list[tuple[str, float]]:
        return [("greedy", 0.0), *([("sampled", self.temperature)] if self.temperature else [])]


def probe_models(names: Sequence[str], asking: Asking, out: Path) -> None:
    """Ask each model, one after another, and keep what it answers below ``out``.

    All names are looked at before the first model is opened. A model that fails does not keep the next from being
    asked; the first failure is raised at the end. Raises ValueError in one sentence for each of them.
    """
    asking.check()
    for name in names:
        if is_address(name):
            split_address(name)
        else:
            check_local(name, asking.tokenizer)
    failed: ValueError | None = None
    for name in dict.fromkeys(names):
        try:
            probe_model(_open(name, asking), asking, out)
        except ValueError as error:
            failed = failed or error
    if failed:
        raise failed


def _open(name: str, asking: Asking) -> Speaker:
    if is_address(name):
        return Endpoint(name, asking.chat, asking.tokenizer, asking.key_variable, asking.manners)
    return Local(name, asking.bits, asking.tokenizer, asking.batch_size)


def probe_model(speaker: Speaker, asking: Asking, out: Path) -> Record:
    """Ask one model what has not been answered yet, and return its summary."""
    folder, settings = _folder(speaker, asking, out)
    done = _done(folder / ANSWERS)
    todo = [
        (probe, group, way, temperature, items)
        for probe in map(find_probe, asking.probes)
        for way, temperature in asking.ways()
        for group, count in probe.counts(asking.items).items()
        if (items := probe.items(asking.seed, group, count)[done.get((probe.name, group, way), 0) :])
    ]
    total = sum(len(items) for *_, items in todo)
    try:
        with Progress(settings["label"], total, "answers") as shown:
            for probe, group, way, temperature, items in todo:
                seed = seed_of("probe", VERSION, asking.seed, probe.name, *group, way)
                for record in _answers(speaker, probe, items, temperature, seed):
                    write_samples(folder / ANSWERS, [record | {"way": way, "temperature": temperature}])
                    shown.advance()
    finally:
        summary = _summarised(folder, settings)
    return summary


def _answers(
    speaker: Speaker, probe: Probe, items: Sequence[Item], temperature: float, seed: int
) -> Iterator[Record]:
    began = time.monotonic()
    for item, text in zip(items, speaker.write(items, temperature, seed), strict=True):
        record = judged(item, text)
        record["cut"] = cut_of(speaker.tokenizer, item) if speaker.tokenizer and item.numbers else None
        now = time.monotonic()
        record["seconds"], began = round(now - began, 3), now
        yield record


def _summarised(folder: Path, settings: Record) -> Record:
    """Write down what the answers so far come to."""
    path = folder / ANSWERS
    answers = list(read_jsonl(path)) if path.is_file() else []
    summary = {
        "settings": settings,
        "answers": len(answers),
        "seconds": round(sum(answer["seconds"] for answer in answers), 1),
        "probes": summary_of(answers),
    }
    write_json(folder / SUMMARY, summary)
    return summary


def _done(path: Path) -> dict[tuple[str, tuple[int, ...], str], int]:
    """Return how many problems of each probe, group and way were answered: always the first ones.

    Raises ValueError for a file in which they are not.
    """
    done: dict[tuple[str, tuple[int, ...], str], int] = {}
    for number, answer in enumerate(read_jsonl(path) if path.is_file() else (), 1):
        key = answer["probe"], tuple(answer["group"]), answer["way"]
        if answer["index"] != done.get(key, 0):
            raise ValueError(f"{path}, answer {number}: answers are missing before it; give another --out")
        done[key] = done.get(key, 0) + 1
    return done


_FIXED = ("name", "version", "seed", "temperature", "tokenizer", "parameters", "served_as", "bits")
"""Settings that all answers of a folder have in common."""


def _folder(speaker: Speaker, asking: Asking, out: Path) -> tuple[Path, Record]:
    """Return the folder of a model below ``out``, made where there is none, and its settings.

    Raises ValueError where it holds answers to other problems, or of another model of that name.
    """
    label = asking.label(speaker.name)
    settings = {
        "label": label, "name": speaker.name, "version": VERSION, "seed": asking.seed,
        "temperature": asking.temperature, "tokenizer": asking.tokenizer, **speaker.account(),
        "aritmo": __version__, "transformers": version("transformers"), "torch": version("torch"),
    }  # fmt: skip
    folder = _named(out, label, speaker.name)
    path = folder / SETTINGS
    if path.is_file():
        before = _settings(path)
        for name in _FIXED:
            if before.get(name) != settings.get(name):
                raise ValueError(
                    f"{folder} holds answers with {name} {before.get(name)}, not {settings.get(name)}: "
                    "give another --out"
                )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, settings)
    return folder, settings


def _named(out: Path, label: str, name: str) -> Path:
    """Return the folder for a label, which says which it is; two models of one label get two folders."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.")[:80] or "model"
    folder = out / plain
    settings = folder / SETTINGS
    if settings.is_file() and _settings(settings).get("name") != name:
        return out / f"{plain}-{sha256(name.encode()).hexdigest()[:6]}"
    return folder


def _settings(path: Path) -> Record:
    try:
        told = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): remove its folder, or give another --out") from None
    return told if isinstance(told, dict) else {}


def model_folders(out: Path) -> list[Path]:
    """Return the folders of the models asked below ``out``, by name."""
    return sorted(path.parent for path in out.glob(f"*/{SUMMARY}"))


def rewrite(out: Path) -> list[Record]:
    """Sum up again what the folders below ``out`` hold, and return the summaries in the order of their names."""
    return [_summarised(folder, _settings(folder / SETTINGS)) for folder in model_folders(out)]
