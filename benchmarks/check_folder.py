"""Measure `aritmo squares check` on a folder of nested prime squares, one file each, made for the occasion.

Run: python benchmarks/check_folder.py [--files 5000] [--order 51] [--centre 600011] [--repeat 3]

Every file holds another square, written in right-aligned columns. Times are those of the whole command.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aritmo.cli.output import print_table
from aritmo.numbers.matrixfiles import write_matrices
from aritmo.numbers.rings import draw_odd
from aritmo.progress import rate


def fill(folder: Path, files: int, order: int, centre: int) -> int:
    """Write so many squares and return their bytes."""
    for number, cells in enumerate(draw_odd(centre, order, files, seed=1), 1):
        write_matrices(folder / f"{number:05}.txt", [cells])
    written = list(folder.iterdir())
    if len(written) != files:
        raise ValueError(f"only {len(written)} squares of order {order} were drawn; give another --centre")
    return sum(path.stat().st_size for path in written)


def check(folder: Path) -> tuple[float, float]:
    """Return the seconds, and the processor's seconds with those of all workers, of one check."""
    before, began = os.times(), time.perf_counter()
    command = [sys.executable, "-m", "aritmo", "squares", "check", "--nested", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - began, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--order", type=int, default=51)
    parser.add_argument("--centre", type=int, default=600_011)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        size = fill(Path(name), args.files, args.order, args.centre)
        seconds, used = min(check(Path(name)) for _ in range(args.repeat))
    head = ("files", "order", "MB", "seconds", "processor seconds", "files/s")
    print_table(
        head,
        [
            (
                args.files,
                args.order,
                round(size / 1e6, 1),
                round(seconds, 2),
                round(used, 2),
                rate(args.files / seconds),
            )
        ],
    )


if __name__ == "__main__":
    main()
