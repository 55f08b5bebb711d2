"""What a training is going to take: the shape of the model, the size of the data and the device, found out.

Nothing is downloaded but, for a model of the Hub that is not known here, its config.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch

from aritmo import models
from aritmo.adapters import base_of, is_adapter
from aritmo.cards import card_named, find_card
from aritmo.corpus import Corpus
from aritmo.experiment import PartConfig
from aritmo.models import open_tokenizer
from aritmo.packing import fill
from aritmo.planning import CORE_FLOPS, GIB, Device, Fit, Work, advice, best_of, plan, sequences_of
from aritmo.shapes import KNOWN_SHAPES, Shape, gpt2_shape, shape_of
from aritmo.shipped import SHIPPED
from aritmo.tokens import Numbers, encode_batch, task_tokenizer
from aritmo.workers import cores

_SAMPLE = 1000
"""Examples whose tokens are counted; the others are taken to be like them."""
_CHARACTERS = 2.1
"""Characters of a token of GPT-2's vocabulary in the tasks' texts: 1.6 to 3.1 by style (measured)."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What was found out, and every way to train with what it takes; ``notes`` are sentences for people."""

    model: str
    shape: Shape
    work: Work
    device: Device
    fits: list[Fit]
    notes: list[str]

    @property
    def sentence(self) -> str:
        return advice(self.fits)

    def as_record(self) -> dict[str, Any]:
        """Return it as plain values: memory in bytes, time in seconds."""
        best = best_of(self.fits)
        return {
            "model": self.model,
            "parameters": self.shape.parameters,
            "flops_per_token": self.shape.flops(self.work.context),
            "device": self.device.name,
            "memory_bytes": round(self.device.memory),
            "steps": self.work.steps,
            "tokens": self.work.tokens,
            "sequences": self.work.sequences,
            "epochs": self.work.epochs,
            "fits": best is not None,
            "best": best and best.mode.name,
            "sentence": self.sentence,
            "notes": self.notes,
            "modes": [_record(fit) for fit in self.fits],
        }


def forecast(
    config: PartConfig,
    corpus: Path | None = None,
    examples: int | None = None,
    tokens_per_example: float | None = None,
    gpu: str = "auto",
    memory: float | None = None,
) -> Forecast:
    """Return what the training that ``config`` describes takes, on data that is a corpus or only counted.

    ``gpu`` is a card's name, «none», or «auto» for what is here; ``memory`` in GiB stands in for the card's own.
    Raises ValueError in one sentence for a model, corpus or card that cannot be used.
    """
    training, notes = config.training, list[str]()
    shape = replace(_shape(config), dropout=training.dropout > 0)
    sequences = None
    if corpus is not None:
        sequences = _sequences(Corpus(corpus), config, notes)
    elif examples is not None:
        if tokens_per_example is None:
            raise ValueError("examples are counted but not how long they are: add --tokens-per-example")
        sequences = sequences_of(examples, tokens_per_example, training.context)
    work = Work(training.steps, training.batch_size * training.gradient_accumulation, training.context, sequences)
    device = _device(gpu, memory, notes)
    if training.minutes is not None:
        notes.append(f"training ends after {training.minutes:g} minutes at the latest")
    return Forecast(training.model, shape, work, device, plan(shape, work, device, training.rank), notes)


def _shape(config: PartConfig) -> Shape:
    training = config.training
    own = training.tokenizer if training.tokenizer in get_args(Numbers) else config.numbers
    if training.model == "tiny":
        return gpt2_shape(2, 128, 4, len(task_tokenizer(str(own))), training.context, dropout=False)
    return _shape_named(training.model)


def _shape_named(name: str) -> Shape:
    """Return the shape of a model of that name, from a file or the Hub only where it is not known here."""
    if name in KNOWN_SHAPES:
        return KNOWN_SHAPES[name]
    if Path(name).is_dir() and is_adapter(Path(name)):
        return _shape_named(base_of(Path(name)))
    source = models._source(name, weights=False)
    return shape_of(models._config(name, source).to_dict(), name)


def _sequences(corpus: Corpus, config: PartConfig, notes: list[str]) -> int:
    """Return how many sequences a corpus makes, as many as its first training examples let expect."""
    count = int(corpus.manifest["splits"]["train"]["count"])
    texts = [example.prompt + example.completion for example in corpus.examples("train", _SAMPLE)]
    training = config.training
    name = training.tokenizer or training.model
    if name == "tiny" or name in get_args(Numbers):
        tokens = encode_batch(task_tokenizer(config.numbers if name == "tiny" else name), texts)
        lengths = list(map(len, tokens))
    elif name in SHIPPED or Path(name).is_dir():
        lengths = list(map(len, encode_batch(open_tokenizer(name), texts)))
    else:
        lengths = [round(len(text) / _CHARACTERS) for text in texts]
        notes.append(f"tokens are about {_CHARACTERS} characters long: the tokenizer is not here")
    # Each example ends in a token of its own; longer ones than fit are left out.
    kept = [length + 1 for length in lengths if length < training.context]
    rows = max(fill(kept, training.context), default=-1) + 1
    return max(1, round(count * rows / len(texts)))


def _device(gpu: str, memory: float | None, notes: list[str]) -> Device:
    if gpu == "auto" and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        card, memory = find_card(properties.name), memory or properties.total_memory / GIB
        if card is None:
            notes.append(f"the speed of {properties.name} is not known here, so no time is given")
    elif gpu == "none" or (gpu == "auto" and memory is None):
        return _cpu(memory)
    else:
        card = None if gpu == "auto" else card_named(gpu)
    if card and not card.bf16:
        notes.append(f"{card.name} has no bf16 of its own and works it out in fp32: it will be slower than said")
    return Device.of_card(card, memory)


def _cpu(memory: float | None) -> Device:
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if memory is None else memory * GIB
    return Device(f"CPU, {cores()} cores", there, cores() * CORE_FLOPS, gpu=False)


def _record(fit: Fit) -> dict[str, Any]:
    return {
        "mode": fit.mode.name,
        "fits": fit.fits,
        "settings": list(fit.mode.settings),
        "micro_batch": fit.micro,
        "accumulation": fit.accumulation,
        "memory_bytes": {name: round(size) for name, size in fit.parts.items()},
        "peak_bytes": round(fit.peak),
        "needed_bytes": round(fit.needed),
        "host_bytes": {name: round(size) for name, size in fit.host.items()},
        "tokens_per_second": fit.tokens_per_second and round(fit.tokens_per_second),
        "seconds": fit.seconds and round(fit.seconds),
    }
