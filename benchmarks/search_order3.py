"""Measure the exhaustive search for prime magic squares of order 3 on one core, counting only.

Run: python benchmarks/search_order3.py [BOUND ...]
"""

import sys
import time

from aritmo.cli.output import print_table
from aritmo.numbers.search import count_order3
from aritmo.progress import rate

_BOUNDS = (1_000, 10_000, 30_000, 100_000, 300_000)
_REPEATS = 3


def best_seconds(below: int) -> tuple[int, float]:
    """Return how many squares there are and the least seconds of a few counts, the sieve included."""
    squares, least = 0, float("inf")
    for _ in range(_REPEATS):
        began = time.perf_counter()
        squares = count_order3(below)
        least = min(least, time.perf_counter() - began)
    return squares, least


def main() -> None:
    bounds = [int(word) for word in sys.argv[1:]] or _BOUNDS
    count_order3(1_000)  # compiles, or loads what was compiled before
    rows = []
    for below in bounds:
        squares, seconds = best_seconds(below)
        rows.append((f"{below:,}", f"{squares:,}", f"{seconds:.3g}", rate(squares / seconds)))
    print_table(("cells below", "squares", "seconds", "squares/s"), rows)


if __name__ == "__main__":
    main()
