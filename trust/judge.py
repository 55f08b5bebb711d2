"""The judge: nothing wrong is taken for right, nothing right for wrong, and no text makes it fail or hang."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from aritmo.workers import Workers
from trust import agreement, fuzz, long, mutations, strategies
from trust.cases import STYLES
from trust.guided import FOUND, TOLD
from trust.rows import Figure, Row, Size

J = TypeVar("J")
R = TypeVar("R")
_SHOWN = 5
"""What went wrong that is shown at most."""


def _spread(function: Callable[[J], R], jobs: Iterable[J], size: Size) -> Iterable[R]:
    with Workers(size.workers) as pool:
        yield from pool.map(function, jobs)


def _agreement(size: Size) -> Figure:
    groups, at_once = size.of(2, 1_000), size.of(2, 20)
    jobs = [
        agreement.Job(task, style, size.seed, start, start + at_once)
        for start in range(0, groups, at_once)
        for task, style in STYLES
    ]
    tallies = {named: agreement.Tally() for named in STYLES}
    for job, tally in zip(jobs, _spread(agreement.compare, jobs, size), strict=True):
        tallies[job.task, job.style] += tally
    least = min(tally.cases for tally in tallies.values())
    differing = [told for tally in tallies.values() for told in tally.differing]
    lines = [
        f"{task} {style}: {tally.cases:,} cases, {tally.right:,} right, {tally.unasked:,} that ask nothing"
        for (task, style), tally in tallies.items()
    ]
    shown = f"{least:,} cases for each of {len(STYLES)} styles, {len(differing)} differ"
    return Figure(shown, not differing and least >= size.of(200, 100_000), (*lines, *differing[:_SHOWN]))


def _mutations(size: Size) -> Figure:
    jobs = list(mutations.jobs(size.seed, size.of(1, 6), size.of(0, 2), size.of(50, 5_000)))
    if not size.full:
        jobs = [job for job in jobs if job.way != "characters" or len(job.case.text) < 130]
    total = sum(_spread(mutations.change, jobs, size), mutations.Tally())
    shown = f"{total.tried:,} changes of {len(jobs)} answers, {len(total.wrong)} passed wrongly"
    note = f"{total.passed:,} passed because nothing but white space is other"
    return Figure(shown, not total.wrong and total.tried > 0, (note, *total.wrong[:_SHOWN]))


def _told(total: fuzz.Tally, least: int, note: str) -> Figure:
    slowest = total.slowest
    shown = f"{total.texts:,} texts, {len(total.failed)} failures, at most {1e3 * slowest.seconds:.1f} ms"
    lines = (note, f"slowest: {slowest.target}, {len(slowest.text):,} bytes: {slowest.text!r:.60}")
    return Figure(shown, not total.failed and total.texts >= least, (*lines, *total.failed[:_SHOWN]))


def _most(size: Size) -> float:
    """Return the seconds that a text may take. A small check, which runs beside others, looks for hangs alone."""
    return size.of(2.0, fuzz.MOST_SECONDS)


def _any_text(size: Size) -> Figure:
    groups, at_once = size.of(10, 14_500), size.of(10, 250)
    starts = range(0, groups, at_once)
    jobs = [fuzz.Job(size.seed, start, start + at_once, _most(size)) for start in starts]
    total = sum(_spread(fuzz.read_group, jobs, size), fuzz.Tally())
    note = f"{total.calls:,} calls of judges and readers, texts of up to {fuzz.LONGEST:,} bytes"
    return _told(total, size.of(600, 900_000), note)


def _drawn_text(size: Size) -> Figure:
    count, at_once = size.of(200, 72_000), size.of(200, 6_000)
    jobs = [fuzz.Job(size.seed, start, start + at_once, _most(size)) for start in range(0, count, at_once)]
    total = sum(_spread(strategies.read_drawn, jobs, size), fuzz.Tally())
    return _told(total, size.of(100, 60_000), f"{total.calls:,} calls of judges and readers")


def _guided_text(size: Size) -> Figure:
    """Let atheris look for texts in processes of its own, and read those that reached new code on the clock."""
    runs, processes = size.of(1_000, 50_000), max(1, size.workers)
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / str(number) for number in range(processes)]
        for number, place in enumerate(places):
            _begin(place, number, size.of(5, 30))
        started = [_start(place, runs, size.seed * processes + number) for number, place in enumerate(places)]
        for process in started:
            process.wait()
        told = [_read_told(place) for place in places]
        found = [path.read_bytes() for place in places for path in sorted((place / FOUND).iterdir())]
    with fuzz.watched(_most(size)) as read:
        total = read(found)
    texts = sum(tally["texts"] for tally in told)
    failed = tuple(error for tally in told for error in tally["failed"])
    note = f"{len(found):,} texts that it began with or that reached new code, and were read again on the clock"
    total = total._replace(texts=texts, failed=(*failed, *total.failed))
    return _told(total, runs * processes, note)


def _long_text(size: Size) -> Figure:
    length = size.of(1 << 10, 1 << 16)
    tally = long.grow(length)
    worst, slowest = tally.worst, tally.slowest
    shown = (
        f"{tally.pairs:,} pairs of texts, {len(tally.failed)} failures, at most {worst.times:.0f} times the time"
    )
    lines = (
        f"the longer text has {long.TIMES * length:,} bytes, {long.TIMES} times the shorter; worst: {worst.of}",
        f"slowest: {slowest.of}, {slowest.seconds:.2f} s",
    )
    holds = not tally.failed and (worst.times <= long.MOST_TIMES or not size.full)
    return Figure(shown, holds, (*lines, *tally.failed[:_SHOWN]))


def _begin(place: Path, number: int, groups: int) -> None:
    """Write the texts that a process of atheris begins with."""
    (place / FOUND).mkdir(parents=True)
    texts = (text for group in range(groups) for text in fuzz.texts_of(number, group, 20))
    for at, text in enumerate(texts):
        (place / FOUND / f"begun-{at:03}").write_bytes(text)


def _start(place: Path, runs: int, seed: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "trust.guided", str(place), str(runs), str(seed)]
    with (place / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[1])


def _read_told(place: Path) -> dict[str, Any]:
    """Return what a process told, and where it ended before its time what it printed last."""
    told: dict[str, Any] = {"texts": 0, "failed": []}
    if (place / TOLD).is_file():
        told = json.loads((place / TOLD).read_text())
    else:
        told["failed"] = ["atheris ended early: " + (place / "log").read_text(errors="replace")[-600:]]
    return told


_FAST = f"no exception but ValueError, no hang, at most {1e3 * fuzz.MOST_SECONDS:.0f} ms of processor time each"

_GROWTH = f"a megabyte of one piece takes at most {long.MOST_TIMES} times what a 16th of it takes"

ROWS: list[Row] = [
    Row("judge", "two judges", "two independent judges agree on 100,000 cases a task and style", _agreement),
    Row(
        "judge", "one change", "no right answer with one character or one cell changed passes, unless it is right",
        _mutations,
    ),
    Row("judge", "any text", f"900,000 random and structured texts: {_FAST}", _any_text),
    Row("judge", "drawn text", f"60,000 texts drawn by hypothesis: {_FAST}", _drawn_text),
    Row(
        "judge", "guided text", f"50,000 texts a core, found by atheris as they reach new code: {_FAST}",
        _guided_text, needs="atheris",
    ),
    Row("judge", "long text", _GROWTH, _long_text),
]  # fmt: skip
