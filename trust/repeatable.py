"""Repeatable: the same words give the same bytes, whatever the process, the Python or the order of things."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from aritmo.workers import Workers
from trust import golden, seeds, splits
from trust.pythons import VERSIONS, python_for
from trust.rows import Figure, Row, Size

_HASH_SEEDS = ("0", "1", "4242424242")
_ROOT = Path(__file__).parents[1]


class Way(NamedTuple):
    """How a process is started that computes the hashes: PYTHONHASHSEED, and how many processes and cores."""

    hash_seed: str
    processes: int


def _compute(python: Path, way: Way) -> dict[str, str]:
    """Return the hashes that a process of its own finds. Raises RuntimeError with what it printed last."""
    command = [str(python), "-m", "trust.golden", "--workers", str(way.processes), "--cores", str(way.processes)]
    told = os.environ | {"PYTHONHASHSEED": way.hash_seed, "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(command, cwd=_ROOT, env=told, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{python}: {done.stderr[-400:]}")
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _same_hashes(size: Size) -> Figure:
    """Compare the hashes of each way with those that are kept."""
    ways = [Way(seed, processes) for seed in _HASH_SEEDS for processes in (1, 2)]
    ways = size.of(ways[-1:], ways)
    kept = golden.kept()
    differing = [
        f"PYTHONHASHSEED {way.hash_seed}, {way.processes} processes: {name}"
        for way in ways
        for name in golden.differences(_compute(Path(sys.executable), way), kept)
    ]
    shown = f"{len(kept)} hashes in {len(ways)} ways, {len(differing)} differ"
    return Figure(shown, not differing, (*differing[:5], *([_RENEW] if differing else [])))


_RENEW = "if the change is meant: python -m trust.golden --renew"


def _other_pythons(size: Size) -> Figure:
    """Compare the hashes of every Python; a small check those of the Python that runs it."""
    kept = golden.kept()
    compared: list[str] = []
    lines: list[str] = []
    for version in size.of([f"3.{sys.version_info.minor}"], VERSIONS):
        python = python_for(version)
        if isinstance(python, str):
            lines.append(python)
            continue
        compared.append(version)
        lines += [f"Python {version}: {name}" for name in golden.differences(_compute(python, Way("7", 1)), kept)]
    shown = f"Python {', '.join(compared)}: {len(kept)} hashes, {len(lines)} faults"
    return Figure(shown, not lines, tuple(lines[:5]))


def _neighbours(size: Size) -> Figure:
    found = [
        pair for name, space in seeds.spaces(size.of(2_000, 40_000)).items() for pair in seeds.shared(name, space)
    ]
    rarest = min(pair.odds for pair in found)
    lines = []
    for name in dict.fromkeys(pair.name for pair in found):
        mine = [pair for pair in found if pair.name == name]
        counts = ", ".join(str(pair.pairs) for pair in mine)
        lines.append(f"{name}: {counts} equal pairs, chance {mine[0].expected:,.1f}")
    in_place = sum(pair.in_place for pair in found)
    shown = f"{len(found)} pairs of corpora, chance gives the most alike with {rarest:.2g}"
    lines.append(f"the same item at the same place: {in_place}")
    return Figure(shown, rarest >= seeds.RARE and in_place <= len(found), tuple(lines))


def _families(size: Size) -> Figure:
    total = size.of(20_000, 10_000_000)
    jobs = list(splits.jobs(total, size.of(10_000, 100_000), size.seed))
    with Workers(size.workers) as pool:
        drawn, families, counts, wrong = splits.crossing(zip(jobs, pool.map(splits.look, jobs), strict=True))
    shown = f"{drawn:,} examples of {families:,} families, {len(wrong)} on two sides"
    lines = [f"{name}: {count:,} examples" for name, count in counts.items()]
    return Figure(shown, not wrong and drawn >= total, (*lines, *wrong[:5]))


_SAME = "corpora, samples and verdicts are as kept, over 3 PYTHONHASHSEED, 1 and 2 processes"
_FEW = f"neighbouring seeds share no more items than chance (odds of at least {seeds.RARE:g})"

ROWS: list[Row] = [
    Row("repeatable", "same bytes", _SAME, _same_hashes),
    Row(
        "repeatable",
        "every Python",
        "they are the same on Python 3.11, 3.12 and 3.13, without torch",
        _other_pythons,
    ),
    Row("repeatable", "seeds", _FEW, _neighbours),
    Row("repeatable", "families", "no family stands on two sides, in 10,000,000 examples of all tasks", _families),
]
