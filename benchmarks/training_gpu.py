"""Tokens a second, utilisation and memory of training on a GPU: aritmo beside the report's recipe and the Trainer.

    python benchmarks/training_gpu.py --model gpt2-xl --mode ours float8 report trainer --batch 16

Each mode runs in a process of its own and prints one line of JSON. Weights are random, so nothing is downloaded;
the texts are additions written out step by step, 50 to 300 tokens long, packed into rows of 1,024. Speeds count
tokens that are no padding, and besides all places of the rows; what is built and compiled first is not timed.
The modes:

    ours, float8    the engine of ``aritmo train``; its blocks in bf16, or their products in 8 bits
    lean            the same with 6 bytes a parameter and gradient checkpointing; ``--limit 16`` gives it 16 GiB
    lora            an adapter of rank 16 on every matrix of a base in bf16; gradient checkpointing
    lora8, qlora    the same on a base in 8 or in 4 bits
    fp32            the engine without bf16: what learning is compared with
    report          the report's recipe: fp16 autocast over fp32 weights, eager attention, gradient checkpointing,
                    dropout, rows glued without masks, so with less work than ours
    trainer         transformers' Trainer: bf16 autocast, SDPA, torch.compile, fused AdamW; rows glued likewise
    trl             TRL's SFTTrainer with the same settings and rows; it makes no logits of a whole batch

With ``--loss N`` it prints instead how N equal updates learn: the modes and the fp32 reference, and each with its
micro-batches halved, which differs by rounding alone and so says what noise is. With ``--profile`` it prints
instead which kernels take the time of an update. Needs torch, transformers,
accelerate, pydantic and, for an adapter, peft, for trl trl. Where aritmo is not installed, run it with
PYTHONPATH=. from the root.
"""

import argparse
import gc
import itertools
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import fmean
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GPT2Config, PretrainedConfig, PreTrainedModel

from aritmo.adapters import add_adapter
from aritmo.engine import Engine
from aritmo.models import known_config, set_dropout
from aritmo.packing import Packed, pack
from aritmo.tokens import digit_tokenizer
from aritmo.training import TrainingConfig, rows_of_update
from aritmo.utilisation import flops_per_token, mfu
from benchmarks.memory_gpu import in_bits

GIB = 2**30
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MODES = ("ours", "float8", "lean", "lora", "lora8", "qlora", "fp32", "report", "trainer", "trl")
TOKENIZER = digit_tokenizer(("STEP", "carry"))
ADAPTED = {"lora": 16, "lora8": 8, "qlora": 4}
"""The modes with an adapter, and the bits of its base."""
RATE = 3e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gpt2-xl", help="toy, or a short name of aritmo's, such as gpt-j-6b")
    parser.add_argument("--mode", nargs="+", choices=MODES, default=["ours"])
    parser.add_argument("--batch", type=int, default=16, help="rows at once")
    parser.add_argument("--accumulate", type=int, default=2, help="micro-batches an update")
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--updates", type=int, default=10, help="that are timed")
    parser.add_argument("--warm", type=int, default=3, help="updates before")
    parser.add_argument("--dropout", type=float, help="0 where it is not given, but 0.1 for report")
    parser.add_argument("--rate", type=float, default=RATE, help="at which is learned")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--eager", action="store_true", help="do not compile")
    parser.add_argument("--host", action="store_true", help="make the weights in host memory, as a load does")
    parser.add_argument("--limit", type=float, help="GiB that torch may take of the GPU")
    parser.add_argument("--loss", type=int, help="compare the losses of so many updates")
    parser.add_argument("--profile", action="store_true", help="which kernels take the time of an update")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone or args.loss:
        found = compare(args) if args.loss else (profile if args.profile else measure)(args, args.mode[0])
        print(json.dumps(found), flush=True)
        return
    codes = []
    for mode in args.mode:
        # A process of its own, so that no mode inherits another's memory or compiled code.
        given = [part for part in sys.argv[1:] if part not in ("--mode", *MODES)]
        command = [sys.executable, __file__, *given, "--mode", mode, "--alone"]
        codes.append(subprocess.run(command, check=False).returncode)
    sys.exit(max(codes))


def measure(args: argparse.Namespace, mode: str) -> dict[str, Any]:
    """Return speed and memory of a mode."""
    if args.limit and DEVICE.type == "cuda":
        whole = torch.cuda.get_device_properties(DEVICE).total_memory
        torch.cuda.set_per_process_memory_fraction(args.limit * GIB / whole)
    rows = texts((args.warm + args.updates) * args.batch * args.accumulate, args.context)
    model, began = make(args, mode), time.monotonic()
    clock = _trainer(args, mode, model, rows) if mode in ("trainer", "trl") else _updates(args, mode, model, rows)
    ends, micros = zip(*clock, strict=True)
    seconds = (ends[-1] - ends[args.warm - 1]) / args.updates
    taken = np.concatenate([_rows(args, rows, step) for step in range(args.warm, args.warm + args.updates)])
    speed = float(rows.filled[taken].sum()) / args.updates / seconds
    places = args.batch * args.accumulate * args.context / seconds
    share = mfu(model, args.context, DEVICE)
    return {
        "mode": mode, "model": args.model, "device": _device(), "torch": torch.__version__,
        "batch": args.batch, "micro_batch": micros[-1], "accumulate": args.accumulate, "context": args.context,
        "dropout": dropout(args, mode), "tokens_per_second": round(speed),
        "places_per_second": round(places),
        "mfu": share and round(share * speed, 4),
        "gflop_per_token": round(flops_per_token(model, args.context) / 1e9, 3),
        "filled": round(float(rows.filled[taken].mean()) / args.context, 4),
        "gpu_peak_gib": _gib(torch.cuda.max_memory_allocated),
        "gpu_reserved_gib": _gib(torch.cuda.max_memory_reserved),
        "host_peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "first_update_seconds": round(ends[0] - began, 1), "seconds_per_update": round(seconds, 4),
    }  # fmt: skip


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Return how modes learn beside fp32: mean losses of the last fifth of the updates, and what differs.

    Distances from fp32 are means over the later half of the updates; at first every run goes its own way.
    """
    rows = texts(args.loss * args.batch * args.accumulate, args.context)
    halved = argparse.Namespace(**{**vars(args), "batch": args.batch // 2, "accumulate": 2 * args.accumulate})
    runs = {}
    for mode, part in itertools.product(dict.fromkeys([*args.mode, "fp32"]), ("", ", micro-batches halved")):
        name, given = mode + part, halved if part else args
        made = Engine(make(given, mode), config(given, mode), rows, texts(0, args.context))
        runs[name] = [float(loss) for loss in _learn(given, made, rows, args.loss)]
        print(name, *(round(loss, 4) for loss in runs[name]), file=sys.stderr, flush=True)
        del made
        gc.collect()
        torch._dynamo.reset()
    late, half, reference = -max(args.loss // 5, 1), args.loss // 2, runs["fp32"]
    return {
        "model": args.model, "device": _device(), "updates": args.loss, "rate": args.rate,
        "highest_after_5th": {name: round(max(losses[5:], default=0.0), 2) for name, losses in runs.items()},
        "mean_of_last": {name: round(fmean(losses[late:]), 5) for name, losses in runs.items()},
        "mean_distance": {
            name: round(fmean(abs(a - b) for a, b in zip(losses[half:], reference[half:], strict=True)), 5)
            for name, losses in runs.items() if losses is not reference
        },
        "every_20th": {name: [round(loss, 4) for loss in losses[::20]] for name, losses in runs.items()},
    }  # fmt: skip


def profile(args: argparse.Namespace, mode: str) -> dict[str, Any]:
    """Return the milliseconds and calls of the kernels of one update, of those that take the most of it."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as watched

    rows = texts((args.warm + 2) * args.batch * args.accumulate, args.context)
    updates = _updates(args, mode, make(args, mode), rows)
    for _ in range(args.warm):
        next(updates)
    kinds = [ProfilerActivity.CUDA] if DEVICE.type == "cuda" else [ProfilerActivity.CPU]
    began = _now()
    with watched(activities=kinds) as seen:
        next(updates)
    spent = {
        one.key[:100]: (round(one.self_device_time_total / 1000, 2), one.count)
        for one in sorted(seen.key_averages(), key=lambda one: -one.self_device_time_total)[:45]
    }
    return {"mode": mode, "model": args.model, "ms": round(1000 * (_now() - began), 1), "kernels": spent}


def texts(rows: int, context: int) -> Packed:
    """Return at least so many packed rows of additions written out, 50 to 300 tokens each."""
    rng = random.Random(7)
    examples = []
    for _ in range(1 + rows * context // 150):
        a, b = (rng.randrange(10 ** rng.randint(3, 20)) for _ in range(2))
        digits, steps, carry = max(len(str(a)), len(str(b))), [], 0
        for place in range(digits):
            one, other = a // 10**place % 10, b // 10**place % 10
            steps.append(f"STEP {one}+{other}+{carry}={one + other + carry}")
            carry = (one + other + carry) // 10
        examples.append((f"{a}+{b}=", "\n".join([*steps, str(a + b)])))
    examples = [pair for pair in examples if len("".join(pair)) < context] if rows else []
    return pack(TOKENIZER, examples, context, "text")


def dropout(args: argparse.Namespace, mode: str) -> float:
    if args.dropout is None:
        return 0.1 if mode == "report" else 0.0
    return float(args.dropout)


def make(args: argparse.Namespace, mode: str) -> PreTrainedModel:
    """Return a model of random weights, the same for the same seed and place."""
    chosen: PretrainedConfig = (
        GPT2Config(n_embd=64, n_layer=2, n_head=2, vocab_size=300, n_positions=args.context)
        if args.model == "toy"
        else known_config(args.model)
    )
    chosen.bos_token_id = chosen.eos_token_id = 0
    bits = ADAPTED.get(mode)
    torch.manual_seed(1)
    if bits in (4, 8):
        model = in_bits(chosen, bits, DEVICE)
    else:
        with torch.device("cpu" if args.host else DEVICE):
            how = {"attn_implementation": "eager"} if mode == "report" else {}
            dtype = torch.bfloat16 if bits else torch.float32
            model = AutoModelForCausalLM.from_config(chosen, dtype=dtype, **how)
    set_dropout(model, dropout(args, mode))
    return add_adapter(model, 16, args.model, 1) if bits else model


def config(args: argparse.Namespace, mode: str) -> TrainingConfig:
    """Return the settings with which ``aritmo train`` does a mode."""
    adapted = mode in ADAPTED
    eager = args.eager or adapted or mode in ("fp32", "report") or DEVICE.type == "cpu"
    return TrainingConfig(
        model=args.model, context=args.context, batch_size=args.batch, gradient_accumulation=args.accumulate,
        steps=10**6, learning_rate=args.rate, loss_on="text", weight_decay=0.01,
        precision="no" if mode == "fp32" else "fp16" if mode == "report" else "bf16",
        compile="off" if eager else "on", float8=mode == "float8",
        optimizer="lean" if mode == "lean" else "adamw", adapter="lora" if adapted else "none",
        checkpointing=args.checkpointing or adapted or mode == "lean",
    )  # fmt: skip


def _rows(args: argparse.Namespace, rows: Packed, step: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return rows_of_update(len(rows), args.batch * args.accumulate, step, 0)


def _learn(args: argparse.Namespace, made: Engine, rows: Packed, updates: int) -> Iterator[torch.Tensor]:
    """Make updates as ``aritmo.training`` does and yield their losses."""
    with made.running():
        for step in range(updates):
            chosen = _rows(args, rows, step)
            made.set_rate(args.rate * min(1.0, (step + 1) / 20))
            made.train()
            loss, _ = made.learn(rows, chosen, int(rows.trained[chosen].sum()), step)
            made.prefetch(rows, _rows(args, rows, step + 1))
            assert np.isfinite(float(loss))
            made.step()
            yield loss


def _updates(
    args: argparse.Namespace, mode: str, model: PreTrainedModel, rows: Packed
) -> Iterator[tuple[float, int]]:
    """Yield when each update ended, and how many rows were taken at once."""
    updates = args.warm + args.updates
    if mode == "report":
        yield from ((at, args.batch) for at in _report(args, model, rows, updates))
        return
    made = Engine(model, config(args, mode), rows, texts(0, args.context))
    for _ in _learn(args, made, rows, updates):
        yield _now(), made.micro


def _report(args: argparse.Namespace, model: PreTrainedModel, rows: Packed, updates: int) -> Iterator[float]:
    """Train as the report did, but for offloading to the host, which an 80 GB card does not need."""
    model.to(DEVICE).train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.rate, fused=True)
    scaler = torch.amp.GradScaler(DEVICE.type, enabled=DEVICE.type == "cuda")
    half = torch.float16 if DEVICE.type == "cuda" else torch.bfloat16
    for step in range(updates):
        for micro in _rows(args, rows, step).reshape(args.accumulate, args.batch):
            tokens = torch.from_numpy(rows.tokens[micro]).long().to(DEVICE)
            with torch.autocast(DEVICE.type, half):
                loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
            scaler.scale(loss / args.accumulate).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        yield _now()


def _trainer(args: argparse.Namespace, mode: str, model: PreTrainedModel, rows: Packed) -> list[tuple[float, int]]:
    """Train with transformers' Trainer, or TRL's, and return when each update ended."""
    import tempfile

    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    ends: list[tuple[float, int]] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append((_now(), args.batch))

    updates = args.warm + args.updates
    order = np.concatenate([_rows(args, rows, step) for step in range(updates)])
    data = [{"input_ids": tokens, "labels": tokens} for tokens in rows.tokens[order].tolist()]
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "output_dir": folder, "max_steps": updates, "per_device_train_batch_size": args.batch,
            "gradient_accumulation_steps": args.accumulate, "learning_rate": args.rate, "weight_decay": 0.01,
            "optim": "adamw_torch_fused", "max_grad_norm": 1.0, "bf16": True, "tf32": None,
            "torch_compile": DEVICE.type == "cuda" and not args.eager,
            "gradient_checkpointing": args.checkpointing,
            "logging_strategy": "no", "save_strategy": "no", "report_to": [], "disable_tqdm": True,
            "use_cpu": DEVICE.type == "cpu", "dataloader_num_workers": 0,
        }  # fmt: skip
        if mode == "trl":
            from datasets import Dataset
            from trl import SFTConfig, SFTTrainer

            trainer = SFTTrainer(
                model=model, args=SFTConfig(**settings, max_length=args.context), callbacks=[Clock()],
                train_dataset=Dataset.from_list(data), processing_class=TOKENIZER,
            )  # fmt: skip
        else:
            given = TrainingArguments(**settings)
            trainer = Trainer(model=model, args=given, train_dataset=data, callbacks=[Clock()])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return ends


def _now() -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.monotonic()


def _device() -> str:
    return torch.cuda.get_device_name(DEVICE) if DEVICE.type == "cuda" else "CPU"


def _gib(measured: Any) -> float | None:
    return round(measured() / GIB, 2) if DEVICE.type == "cuda" else None


if __name__ == "__main__":
    main()
