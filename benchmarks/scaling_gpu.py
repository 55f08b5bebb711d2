"""Tokens a second and losses of training on several GPUs of one host, beside one GPU on the same updates.

    python -m benchmarks.scaling_gpu --gpus 1 2 --model gpt2-xl

Every case makes the same updates, of as many rows, from the same random weights, however many GPUs share them. So
its losses must be those of one GPU, and its speed over that of one GPU is how training scales. Each is started by
torchrun and prints one line of JSON; the last line compares. The ways:

    data    each process holds the whole model: ``sharding: none``
    full    each process holds its part of it: ``sharding: full``

Weights, texts and packages needed are those of ``benchmarks/training_gpu.py``. Without a GPU the processes compute
on the CPU: ``--model toy --context 256 --rows 8 --batch 2``.
"""

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aritmo.distributed import leave, place
from aritmo.engine import Engine
from aritmo.training import TrainingConfig, rows_of_update
from aritmo.utilisation import mfu
from benchmarks.training_gpu import DEVICE, GIB, RATE, make, texts

WAYS = ("data", "full")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gpt2-xl", help="toy, or a short name of aritmo's, such as gpt-j-6b")
    parser.add_argument("--gpus", nargs="+", type=int, default=[1, 2], help="the first is what is compared with")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--rows", type=int, default=64, help="rows an update, of all GPUs")
    parser.add_argument("--batch", type=int, default=16, help="rows at once on a GPU")
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--warm", type=int, default=5, help="updates that are not timed")
    parser.add_argument("--precision", choices=("bf16", "no"), default="bf16")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--eager", action="store_true", help="do not compile")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.host, args.dropout = False, 0.0
    if args.way:
        case = measure(args)
        if place().is_main_process:
            print(json.dumps(case), flush=True)
        leave()
        return
    found = [started(gpus, way) for gpus in args.gpus for way in args.ways if gpus > 1 or way == "data"]
    print(json.dumps(compared([one for one in found if one])))
    sys.exit(any(one is None for one in found))


def started(gpus: int, way: str) -> dict[str, Any] | None:
    """Run a case in processes of its own and return what it found, None where it failed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(gpus)]
    command += ["-m", "benchmarks.scaling_gpu", *sys.argv[1:], "--way", way]
    said = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True).stdout
    print(said, end="", flush=True)
    lines = [line for line in said.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else None


def compared(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how much faster each case is than the first, and how far its losses lie from those."""
    first = cases[0]
    return {
        "beside": f"{first['gpus']} {first['way']}",
        "times_as_fast": {
            f"{one['gpus']} {one['way']}": round(one["tokens_per_second"] / first["tokens_per_second"], 3)
            for one in cases[1:]
        },
        "largest_loss_distance": {
            f"{one['gpus']} {one['way']}": round(
                float(np.abs(np.subtract(one["losses"], first["losses"])).max()), 5
            )
            for one in cases[1:]
        },
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Make the updates and return this case's speed, memory and losses."""
    here = place()
    rows = texts(args.updates * args.rows, args.context)
    model = make(args, "ours")
    share, nothing = mfu(model, args.context, DEVICE), texts(0, args.context)
    engine, ends, losses = Engine(model, config(args, here.num_processes), rows, nothing), [], []
    with engine.running():
        for step in range(args.updates):
            mine, all_rows = spread(args, len(rows), step)
            engine.set_rate(RATE * min(1.0, (step + 1) / 20))
            engine.train()
            part, _ = engine.learn(rows, mine, int(rows.trained[all_rows].sum()), step)
            engine.prefetch(rows, spread(args, len(rows), step + 1)[0])
            losses.append(float(engine.accelerator.reduce(part)))
            engine.step()
            if DEVICE.type == "cuda":
                torch.cuda.synchronize()
            ends.append(time.monotonic())
    seconds = (ends[-1] - ends[args.warm - 1]) / (args.updates - args.warm)
    taken = np.concatenate([spread(args, len(rows), step)[1] for step in range(args.warm, args.updates)])
    speed = float(rows.filled[taken].sum()) / (args.updates - args.warm) / seconds
    gpu = DEVICE.type == "cuda"
    return {
        "way": args.way, "gpus": here.num_processes, "model": args.model, "precision": engine.precision,
        "device": torch.cuda.get_device_name() if gpu else "CPU", "torch": torch.__version__,
        "rows": args.rows, "batch": args.batch, "context": args.context, "compiled": engine.compiled,
        "tokens_per_second": round(speed), "mfu": share and round(share * speed / here.num_processes, 4),
        "seconds_per_update": round(seconds, 4), "updates_timed": args.updates - args.warm,
        "gpu_peak_gib": round(torch.cuda.max_memory_allocated() / GIB, 2) if gpu else None,
        "losses": [round(loss, 5) for loss in losses],
    }  # fmt: skip


def config(args: argparse.Namespace, processes: int) -> TrainingConfig:
    accumulate, rest = divmod(args.rows, args.batch * processes)
    if rest or not accumulate:
        raise SystemExit(f"{args.rows} rows do not spread evenly over {processes} processes of {args.batch}")
    eager = args.eager or args.precision == "no" or DEVICE.type == "cpu"
    return TrainingConfig(
        model=args.model, context=args.context, batch_size=args.batch, gradient_accumulation=accumulate,
        steps=10**6, learning_rate=RATE, loss_on="text", precision=args.precision, clip=1.0,
        compile="off" if eager else "on", sharding="full" if args.way == "full" else "none",
        checkpointing=args.checkpointing,
    )  # fmt: skip


def spread(args: argparse.Namespace, count: int, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return this process' rows of an update, as ``aritmo.training`` deals them, and those of all."""
    here = place()
    rows = rows_of_update(count, args.rows, step, 0)
    return rows.reshape(-1, here.num_processes, args.batch)[:, here.process_index].reshape(-1), rows


if __name__ == "__main__":
    main()
