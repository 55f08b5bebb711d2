"""How many of all squares the shipped model writes when asked for any, drawn by the hundred thousand on GPUs.

    python -m benchmarks.squares_drawn any --count 200000 --out DRAWN
    python -m benchmarks.squares_drawn test --count 11200 --out DRAWN

As ``benchmarks/squares_novelty.py``, at temperature 1 in fp32, but with the weights in torch: what it writes is
the same but for the last bits. Each GPU has a process and its share of the texts, several processes judge them,
and a line a text is kept: whether the square is valid and as asked, whether each step is right, whether training
lacks it, and its key. The same command goes on behind the last line; it prints the figures of what there is.
The first ``--texts`` texts are kept whole, as squares_novelty keeps them, so that it can judge them, too.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from benchmarks.squares_novelty import is_good, new_shares, questions, trained

BLOCK = 64
"""Texts that are judged, and saved, together."""
LONGEST = 4_096
"""Tokens that a text may have: the longest right search for order 3 has fewer than 3,600."""
MILESTONES = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("asked", choices=("any", "test"))
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--out", type=Path, required=True, help="a folder for what is written")
    parser.add_argument("--minutes", type=float, default=600, help="write no longer than this")
    parser.add_argument("--parts", type=int, help="processes that write; one a GPU without it, or one")
    parser.add_argument("--judges", type=int, default=4, help="processes that judge, for each that writes")
    parser.add_argument("--rows", type=int, default=1_024, help="texts at once")
    parser.add_argument("--texts", type=int, default=10_000, help="that are kept whole")
    parser.add_argument("--only-show", action="store_true", help="write nothing more")
    parser.add_argument("--part", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.part is not None:
        write(args)
        return
    if not args.only_show:
        start_parts(args)
    print(json.dumps(summary(args)))


def start_parts(args: argparse.Namespace) -> None:
    """Let a process a GPU write its part."""
    import torch

    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(torch.cuda.device_count())))).split(",")
    args.parts = args.parts or len(gpus)
    started = []
    for part in range(args.parts):
        words = [*sys.argv[1:], "--part", str(part), "--parts", str(args.parts)]
        seen = os.environ | {"CUDA_VISIBLE_DEVICES": gpus[part % len(gpus)]}
        started.append(subprocess.Popen([sys.executable, "-m", "benchmarks.squares_drawn", *words], env=seen))
    if sum(process.wait() != 0 for process in started):
        sys.exit("a part failed")


def write(args: argparse.Namespace) -> None:
    """Write what is missing of a part."""
    from aritmo.records import count_records, write_samples
    from aritmo.workers import Workers

    first, stop = (args.count * (args.part + more) // args.parts for more in (0, 1))
    file: Path = args.out / f"{args.asked}-{first:06d}.jsonl"
    done = count_records(file) if file.exists() else 0
    began = time.monotonic()
    with Workers(args.judges) as workers:
        texts = takewhile(
            lambda _: time.monotonic() - began < 60 * args.minutes, written(args, first + done, stop)
        )
        blocks = iter(lambda: list(islice(texts, BLOCK)), [])
        for lines, samples in workers.map(judged, blocks):
            write_samples(file, lines)
            if kept := [sample for sample in samples if sample["index"] < args.texts]:
                write_samples(args.out / f"squares-{args.asked}-{first:06d}.jsonl", kept)


def written(args: argparse.Namespace, first: int, stop: int) -> Iterator[dict[str, Any]]:
    """Return the texts of these numbers as samples."""
    import torch

    from aritmo import filling
    from aritmo.choosing import SamplingConfig
    from aritmo.models import open_model
    from aritmo.shipped import shipped_folder
    from aritmo.tasks import find_task
    from aritmo.tasks.problems import read_square

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, tokenizer = open_model(str(shipped_folder("squares")), context=2, device=device)
    task, style = find_task("squares", "tutorial")
    prompts = [task.prompt(read_square(problem, 6), style) for problem in questions(args.asked)]
    mine = [prompts[index % len(prompts)] for index in range(first, stop)]
    config = SamplingConfig(max_new_tokens=LONGEST, temperature=1.0, batch_size=args.rows)
    return filling.written(model, tokenizer, filling.records_of(task.name, style, "test", mine, first), config)


def judged(samples: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a line on each text, and the texts."""
    from aritmo.judging import judge_samples

    return [_line(verdict) for verdict in judge_samples(samples, trained())], samples


def _line(verdict: dict[str, Any]) -> dict[str, Any]:
    line = {name: verdict[name] for name in ("index", "tokens", "finished")}
    line |= {"valid": False, "right": verdict["valid"], "origin": verdict["origin"]}
    if is_good(verdict):
        square = {"key": verdict["details"]["key"], "centre": verdict["answer"][1][1], "unseen": verdict["unseen"]}
        line |= {"valid": True, **square}
    return line


def summary(args: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of all parts."""
    from aritmo.numbers.search import count_order3
    from aritmo.records import read_jsonl
    from aritmo.statistics import share
    from aritmo.tasks.squares_search import LIMIT

    files = sorted(args.out.glob(f"{args.asked}-*.jsonl"))
    lines = [line for file in files for line in read_jsonl(file)]
    good = [line for line in lines if line["valid"]]
    there = count_order3(LIMIT)
    return {
        "asked": args.asked, "texts": len(lines), "tokens": sum(line["tokens"] for line in lines),
        "finished": share(sum(line["finished"] for line in lines), len(lines)),
        "valid": share(len(good), len(lines)),
        "every_step_right": share(sum(line["right"] for line in lines), len(lines)),
        "of_valid": new_shares([line["unseen"] for line in good]),
        "near_copies_of_valid": sum(line["origin"] == "near copy" for line in good),
        "centres": len({line["centre"] for line in good}),
        "there_are": there,
        "different": {
            many: len({line["key"] for line in lines[:many] if line["valid"]})
            for many in (*(many for many in MILESTONES if many < len(lines)), len(lines))
        },
        "different_share": share(len({line["key"] for line in good}), there),
    }  # fmt: skip


if __name__ == "__main__":
    main()
