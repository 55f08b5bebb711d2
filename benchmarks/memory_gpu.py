"""GPU memory as ``aritmo plan`` reckons it, beside what training takes: three models, every mode.

Run ``python -m benchmarks.memory_gpu`` on a machine with a GPU; ``--models gpt2 --modes full lean`` does a part.
Weights are drawn at random and nothing is downloaded. Each case is a process of its own: three updates of full
sequences through ``aritmo.training.train``, the first of which is not counted, since compiling takes memory too.
Prints one JSON line a case: GiB that torch allocated at most, GiB planned, and the second over the first.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from aritmo import checkpoints
from aritmo.adapters import add_adapter, quantised
from aritmo.config import load_config
from aritmo.models import known_config, set_dropout
from aritmo.packing import Account, Packed, pack
from aritmo.planning import GIB, GPU_MODES, Mode, parts_at_peak
from aritmo.shapes import KNOWN_SHAPES
from aritmo.tokens import digit_tokenizer
from aritmo.training import TrainingConfig, train

MODELS = ("gpt2", "gpt2-xl", "gpt-j-6b")
SEQUENCE = 1024
EXAMPLE = 128
"""Tokens of each of the examples that fill a sequence."""
UPDATES = 3


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the GPU memory of training beside the plan's figure.")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--modes", nargs="+", choices=[mode.name for mode in GPU_MODES])
    parser.add_argument("--batch", type=int, default=8, help="sequences at once")
    parser.add_argument("--context", type=int, default=SEQUENCE)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        model, mode = given.case.split(":")
        print(json.dumps(_measure(model, _mode(mode), given.batch, given.context)))
        return 0
    for model in given.models:
        for mode in given.modes or [mode.name for mode in GPU_MODES]:
            words = ["--case", f"{model}:{mode}", "--batch", str(given.batch), "--context", str(given.context)]
            _report(model, mode, words)
    return 0


def _mode(name: str) -> Mode:
    return next(mode for mode in GPU_MODES if mode.name == name)


def _report(model: str, mode: str, words: list[str]) -> None:
    """Measure one case in a process of its own, and print its line, or the last of what it says where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory_gpu", *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip() or "nothing said").splitlines()[-1]
        print(json.dumps({"model": model, "mode": mode, "failed": last[:300]}), flush=True)
    else:
        print(done.stdout.strip().splitlines()[-1], flush=True)


def _measure(name: str, mode: Mode, batch: int, context: int) -> dict[str, Any]:
    began = time.monotonic()
    parts = parts_at_peak(replace(KNOWN_SHAPES[name], dropout=False), mode, batch, context, accumulates=False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plain = {
        "model": name, "context": context, "batch_size": batch, "steps": UPDATES, "evaluate_every": 1, "warmup": 0,
        "loss_on": "text", "learning_rate": 1e-5, "compile": "on" if mode.compiled else "off",
    }  # fmt: skip
    settings = [setting.removeprefix("training.") for setting in mode.settings]
    config = load_config(TrainingConfig, [plain], settings)
    tokenizer = digit_tokenizer(())
    rows = _rows(UPDATES * batch, context, len(tokenizer))
    peaks: list[int] = []

    def look(model: PreTrainedModel, step: int) -> dict[str, Any]:
        if device.type == "cuda":
            peaks.append(torch.cuda.max_memory_allocated())
            torch.cuda.reset_peak_memory_stats()
        return {}

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(checkpoints, "save"):
        model = _drawn(name, mode, device)
        set_dropout(model, config.dropout)
        train(model, tokenizer, rows, pack(tokenizer, [], context), config, Path(folder), evaluate=look)
    planned = sum(parts.values()) / GIB
    measured = max(peaks[1:], default=0) / GIB
    return {
        "model": name,
        "mode": mode.name,
        "batch": batch,
        "context": context,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "measured_gib": round(measured, 2),
        "first_update_gib": round(max(peaks[:1], default=0) / GIB, 2),
        "reserved_gib": round(torch.cuda.max_memory_reserved() / GIB, 2) if device.type == "cuda" else None,
        "planned_gib": round(planned, 2),
        "planned_over_measured": round(planned / measured, 3) if measured else None,
        "parts_gib": {part: round(size / GIB, 2) for part, size in parts.items()},
        "seconds": round(time.monotonic() - began, 1),
    }


def _drawn(name: str, mode: Mode, device: torch.device) -> PreTrainedModel:
    """Return a model with weights drawn on the device itself; training turns them into what the mode asks for."""
    config = known_config(name)
    bits = int(8 * mode.base) if mode.rank and mode.base < 2 else 16
    if bits in (4, 8):
        model = in_bits(config, bits, device)
    else:
        with device:
            model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return add_adapter(model, mode.rank, name, seed=0) if mode.rank else model


def in_bits(config: PretrainedConfig, bits: int, device: torch.device) -> PreTrainedModel:
    """Return a model of random weights in 8 or 4 bits: only from a folder are they made so."""
    with tempfile.TemporaryDirectory() as folder:
        with device:
            AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16, quantization_config=quantised(bits), device_map={"": 0}
        )
    return model


def _rows(count: int, context: int, tokens: int) -> Packed:
    """Return full sequences of examples of equal length, of random tokens that bear loss but for the first."""
    random = np.random.Generator(np.random.PCG64(0))
    positions = np.tile(np.arange(context, dtype=np.int32) % EXAMPLE, (count, 1))
    trained = positions > 0
    account = Account(count * (context // EXAMPLE), 0, count, context, count * context, int(trained.sum()))
    return Packed(
        tokens=random.integers(0, tokens, (count, context), dtype=np.int32),
        positions=positions,
        documents=(np.tile(np.arange(context) // EXAMPLE, (count, 1))).astype(np.int16),
        trained=trained,
        filled=np.full(count, context, np.int64),
        account=account,
    )


if __name__ == "__main__":
    sys.exit(main())
