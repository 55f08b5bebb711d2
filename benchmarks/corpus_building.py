"""How fast corpora are built, from numbers to Parquet on disk, worker start-up included.

    python benchmarks/corpus_building.py [--workers N] [--repeat 3]

Prints a Markdown table: the median of the repeats, and the peak memory of this process and of its largest worker.
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

from aritmo.corpus import CorpusConfig, build_corpus
from aritmo.workers import cores

CASES = [
    CorpusConfig(task="squares", style="listing", count=1_000_000, below=40_000),
    CorpusConfig(task="addition", style="tutorial", count=500_000),
    CorpusConfig(task="addition", style="plain", count=500_000),
    CorpusConfig(task="decomposition", style="joined", count=500_000, max_digits=12),
    CorpusConfig(task="primality", style="plain", count=200_000, min_digits=6, max_digits=9),
]


def measure(config: CorpusConfig, workers: int) -> tuple[float, int, float]:
    """Return the seconds, the examples and the megabytes of one build into a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        corpus = build_corpus(config, Path(folder) / "corpus", workers)
        seconds = time.perf_counter() - began
        examples = sum(account["count"] for account in corpus.manifest["splits"].values())
        return seconds, examples, sum(file.stat().st_size for file in corpus.folder.iterdir()) / 1e6


def peak(who: int) -> int:
    """Return a peak of resident memory in MiB."""
    return resource.getrusage(who).ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    print("| task | style | examples | seconds (least to most) | examples/s | MB | peak here, a worker (MiB) |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for config in CASES:
        runs = [measure(config, args.workers) for _ in range(args.repeat)]
        seconds = sorted(run[0] for run in runs)
        median, examples = statistics.median(seconds), runs[0][1]
        memory = f"{peak(resource.RUSAGE_SELF)}, {peak(resource.RUSAGE_CHILDREN)}"
        spread = f"{median:.2f} ({seconds[0]:.2f} to {seconds[-1]:.2f})"
        print(
            f"| {config.task} | {config.style} | {examples:,} | {spread} | {examples / median:,.0f} "
            f"| {runs[0][2]:.1f} | {memory} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
