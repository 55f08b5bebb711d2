"""Tokens a second on the CPU: aritmo.training beside transformers' Trainer, same model, rows and AdamW.

Run ``python benchmarks/training_cpu.py``. The model is ``tiny``; the rows are tutorial additions of up to
five digits, packed. The Trainer is given the same packed rows with their positions, from which
transformers makes the mask that keeps examples apart; and, as most people use it, one padded example a
sequence. Only tokens that are no padding count. Time is this process's on the processor, with one thread,
so that what else the machine does matters little; the runs take turns all the same.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainingArguments

from aritmo.models import open_model
from aritmo.packing import Packed, encode_examples, pack
from aritmo.records import read_jsonl
from aritmo.tasks import TASKS
from aritmo.tasks.task import TaskOptions
from aritmo.tokens import digit_tokenizer
from aritmo.training import METRICS, TrainingConfig, train

STEPS = 12
WARM = 2
REPEATS = 3
Row = dict[str, list[int]]


def main() -> None:
    torch.set_num_threads(1)
    task = TASKS["addition"]
    problems = task.problems("train", 1, 0, 1_500, TaskOptions(max_digits=5))
    examples = [(task.prompt(p, "tutorial"), task.completion(p, "tutorial")) for p in problems]
    tokenizer = digit_tokenizer(task.words)
    print(f"torch {torch.__version__}, 1 thread, {STEPS - WARM} updates, median of {REPEATS}, tokens/s")
    print(f"{'sequences x tokens':<20} {'aritmo':>8} {'Trainer':>8} {'ratio':>6} {'padded':>8} {'ratio':>6}")
    for batch, context in ((4, 512), (16, 512), (4, 1024)):
        rows = pack(tokenizer, examples, context)
        runs: list[Callable[[], float]] = [
            lambda b=batch, c=context, r=rows: _ours(tokenizer, r, b, c),  # type: ignore[misc]
            lambda b=batch, c=context, r=rows: _trainer(tokenizer, _packed(r), b, c),  # type: ignore[misc]
            lambda b=batch, c=context: _trainer(tokenizer, _single(tokenizer, examples, c), b, c),  # type: ignore[misc]
        ]
        rates: list[list[float]] = [[] for _ in runs]
        for _ in range(REPEATS):
            for kept, run in zip(rates, runs, strict=True):
                kept.append(run())
        ours, packed, padded = map(median, rates)
        print(
            f"{f'{batch} x {context:,}':<20} {ours:8,.0f} {packed:8,.0f} {ours / packed:6.2f} "
            f"{padded:8,.0f} {ours / padded:6.2f}"
        )


def _ours(tokenizer: PreTrainedTokenizerBase, rows: Packed, batch: int, context: int) -> float:
    model, _ = open_model("tiny", tokenizer=tokenizer, context=context)
    config = TrainingConfig(steps=STEPS, context=context, batch_size=batch, save_every=10**6, evaluate_every=WARM)
    clock: dict[int, float] = {}

    def note(_: object, step: int) -> dict[str, Any]:
        clock[step] = time.process_time()
        return {}

    with tempfile.TemporaryDirectory() as folder:
        train(model, tokenizer, rows, pack(tokenizer, [], context), config, Path(folder), evaluate=note)
        lines = read_jsonl(Path(folder) / METRICS)
        tokens = {line["step"]: line["tokens"] for line in lines if "loss" in line}
    return float((tokens[STEPS] - tokens[WARM]) / (clock[STEPS] - clock[WARM]))


class _Clock(TrainerCallback):  # type: ignore[misc]
    """Notes when the updates to be timed begin and end."""

    began = ended = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.ended = time.process_time()
        if state.global_step == WARM:
            self.began = self.ended


def _trainer(tokenizer: PreTrainedTokenizerBase, rows: list[Row], batch: int, context: int) -> float:
    """Return the Trainer's tokens a second; a row's own length is counted from its labels' key ``tokens``."""
    model, _ = open_model("tiny", tokenizer=tokenizer, context=context)
    seen: list[int] = []

    def collate(chosen: list[Row]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in chosen)
        seen.append(sum(row["tokens"][0] for row in chosen))
        fill = {"input_ids": tokenizer.pad_token_id, "labels": -100, "position_ids": 0, "attention_mask": 0}
        return {
            key: torch.tensor([row[key] + [value] * (longest - len(row[key])) for row in chosen])
            for key, value in fill.items()
            if key in chosen[0]
        }

    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=STEPS, per_device_train_batch_size=batch, learning_rate=1e-3,
            optim="adamw_torch_fused", adam_beta2=0.95, weight_decay=0.01, max_grad_norm=1.0, warmup_steps=20,
            lr_scheduler_type="cosine", logging_steps=1, save_strategy="no", report_to=[], disable_tqdm=True,
            use_cpu=True, remove_unused_columns=False, dataloader_num_workers=0,
        )  # fmt: skip
        _silent(Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[clock]))
    return sum(seen[WARM:STEPS]) / (clock.ended - clock.began)


def _silent(trainer: Any) -> None:
    """Train without the lines that the Trainer prints."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.train()


def _packed(rows: Packed) -> list[Row]:
    """Return packed rows as the Trainer takes them: the mask follows from the positions."""
    labels = torch.from_numpy(rows.tokens).long().masked_fill(~torch.from_numpy(rows.trained), -100)
    return [
        {"input_ids": tokens, "labels": wanted, "position_ids": positions, "tokens": [filled]}
        for tokens, wanted, positions, filled in zip(
            rows.tokens.tolist(), labels.tolist(), rows.positions.tolist(), rows.filled.tolist(), strict=True
        )
    ]


def _single(tokenizer: PreTrainedTokenizerBase, examples: list[tuple[str, str]], context: int) -> list[Row]:
    """Return one example a row, to be padded to the longest of its batch."""
    return [
        {
            "input_ids": example.ids,
            "labels": [-100] * example.first + example.ids[example.first :],
            "attention_mask": [1] * len(example.ids),
            "tokens": [len(example.ids)],
        }
        for example in encode_examples(tokenizer, examples)
        if len(example.ids) <= context
    ]


if __name__ == "__main__":
    main()
