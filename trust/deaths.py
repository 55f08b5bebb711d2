"""Commands that are killed, told to end, or lose their disk, at seeded moments; then the same command is given.

Run ``python -m trust.deaths --trials 100``. Building, training, sampling, judging and the report run as copies of
this process, in a folder of their own. A copy dies of SIGKILL or SIGTERM by the clock, or where it is about to do
something to a file (crash points, from an audit hook); or the disk, a tmpfs where one may be mounted, is full
after a seeded number of bytes, or read-only from a crash point on. After each: what stands in the place of the
result is the whole result or nothing; the same command ends with the very bytes of an undisturbed one and leaves
nothing else; and of chunks, texts and verdicts that were kept none is made again. Prints one JSON line.
"""

import argparse
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from aritmo import checkpoints, chunks, judging, sampling
from aritmo.cli import main as aritmo
from aritmo.corpus import Corpus
from aritmo.numbers.randomness import Stream
from aritmo.records import count_records
from trust.disk import Disk

PATIENCE = 60.0
DEATHS = ("killed", "told to end", "full disk", "read-only disk")
_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.truncate"}
_WINDOW = 8 * sampling.WINDOW


@dataclass(frozen=True)
class Work:
    """A command, where its result stands, and how to tell what was kept of it and how much there is to make."""

    name: str
    words: tuple[str, ...]
    result: str
    outcome: Callable[[Path], Any]
    kept: Callable[[Path], int] | None = None


def _bytes(path: Path) -> Any:
    """Return a hash of a file or of every file of a folder, None where there is none."""
    if path.is_dir():
        return {file.name: _bytes(file) for file in sorted(path.iterdir())}
    return sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _trained(run: Path) -> Any:
    """Return the last checkpoint's hashes, None where the last step is not saved. What is there must be whole."""
    newest = checkpoints.latest(run, say=lambda line: None)
    every = [path for path in run.glob("checkpoints/step-*") if not path.name.endswith(".partial")]
    for folder in every:
        checkpoints.verify(folder)
    if newest is None or newest.name != "step-000008":
        return None
    return [_bytes(newest / name) for name in ("model.safetensors", checkpoints.OPTIMIZER)]


def _built(folder: Path) -> Any:
    if folder.is_dir():
        Corpus(folder).verify()
    return _bytes(folder)


WORKS = (
    Work(
        "building",
        ("corpus", "build", "--task", "addition", "--style", "plain", "--count", "14000", "--out", "built"),
        "built",
        _built,
        lambda folder: sum(path.name[0] != "." for path in folder.glob(".built.chunks-*/*")),
    ),
    Work(
        "training",
        ("train", "--model", "tiny", "--corpus", "corpus", "--steps", "8", "--save-every", "2", "--context", "64",
         "--batch-size", "2", "--resume", "--out", "trained"),
        "trained",
        _trained,
    ),
    Work(
        "sampling",
        ("sample", "model", "--corpus", "corpus", "--split", "train", "--count", "150", "--batch-size", "8",
         "--max-new-tokens", "6", "--out", "samples.jsonl"),
        "samples.jsonl",
        _bytes,
        lambda folder: _lines(folder / "samples.jsonl.partial") // _WINDOW * _WINDOW,
    ),
    Work(
        "judging",
        ("judge", "many.jsonl", "--out", "verdicts.jsonl"),
        "verdicts.jsonl",
        _bytes,
        lambda folder: _lines(folder / "verdicts.jsonl.partial"),
    ),
    Work("reporting", ("report", "run"), "run/report.html", _bytes),
)  # fmt: skip


def _lines(path: Path) -> int:
    return count_records(path) if path.exists() else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill commands and give them again.")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), help="which part of the trials, of how many")
    parser.add_argument("--works", nargs="+", default=[work.name for work in WORKS], help="which commands")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="deaths-") as place:
        disk = Disk(Path(place) / "disk")
        try:
            works = [work for work in WORKS if work.name in given.works]
            found = _try(disk, works, range(given.part[0], given.trials, given.part[1]), given.seed)
        finally:
            disk.gone()
    print(json.dumps(found | {"seconds": round(time.monotonic() - began, 1)}))
    return 1 if found["wrong"] else 0


def _try(disk: Disk, works: list[Work], trials: range, seed: int) -> dict[str, Any]:
    home = disk.folder / "home"
    home.mkdir()
    _prepare(home, any(work.name == "reporting" for work in works))
    undisturbed = {}
    for work in works:
        began = time.monotonic()
        used = shutil.disk_usage(disk.folder).used
        ended = _run(home, work, points=True)
        assert ended.status == 0, ended.said
        seconds, taken = time.monotonic() - began, max(shutil.disk_usage(disk.folder).used - used, 1 << 14)
        points, made = ended.counts["points"], ended.counts["made"]
        outcome = work.outcome(home / work.result)
        assert outcome is not None
        undisturbed[work.name] = _Undisturbed(outcome, seconds, points, made, taken, _names(home))
        _clear(home, work)
    met = Counter[str]()
    wrong: list[str] = []
    for number in trials:
        draw = Stream("deaths", seed, number)
        work, death = works[number % len(works)], DEATHS[number // len(works) % len(DEATHS)]
        found = _trial(disk, home, work, death, draw, undisturbed[work.name])
        met.update([death, work.name, *(["kept"] if found.kept else []), *(["inside"] if found.inside else [])])
        wrong += [f"{work.name}, {death}, trial {number}: {what}" for what in found.wrong]
        if disk.real:
            disk.limit(None)
        _clear(home, work)
    return {"trials": len(trials), "met": dict(met), "real_disk": disk.real, "wrong": wrong}


@dataclass(frozen=True)
class _Undisturbed:
    outcome: Any
    seconds: float
    points: int
    made: int
    bytes: int
    names: set[str]


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@dataclass
class _Found:
    wrong: list[str]
    inside: bool = False
    kept: int = 0


def _trial(disk: Disk, home: Path, work: Work, death: str, draw: Stream, whole: _Undisturbed) -> _Found:
    """Let a command meet one death, look at what it left, give it again, and say what is not as it must be."""
    found = _Found([])
    point = (
        draw.below(whole.points) if (death != "full disk" and draw.below(2)) or death == "read-only disk" else None
    )
    first = _meet(disk, home, work, death, point, draw, whole)
    found.inside = point is not None
    if "Traceback" in first.said:
        found.wrong.append("a traceback: " + first.said[-300:])
    try:
        there = work.outcome(home / work.result)
    except ValueError as error:
        there = str(error)
    if there not in (None, whole.outcome) and there != {}:
        found.wrong.append(f"what it left passes for whole: {there!r:.200}")
    if disk.real:
        disk.limit(None)
    found.kept = work.kept(home) if work.kept else 0
    if there == whole.outcome and work.name not in ("training", "reporting"):
        return found
    again = _run(home, work)
    if again.status:
        found.wrong.append(f"the same command ended with {again.status}: {again.said[-300:]}")
        return found
    if work.outcome(home / work.result) != whole.outcome:
        found.wrong.append("the same command ended otherwise than an undisturbed one")
    if left := sorted(_names(home) - whole.names):
        found.wrong.append(f"left behind: {', '.join(left)}")
    if work.kept and again.counts["made"] != whole.made - found.kept:
        found.wrong.append(f"{again.counts['made']} made again, and {found.kept} of {whole.made} were kept")
    return found


@dataclass
class _Ended:
    status: int
    said: str
    counts: Counter[str]


def _meet(
    disk: Disk, home: Path, work: Work, death: str, point: int | None, draw: Stream, whole: _Undisturbed
) -> _Ended:
    """Start a command, let it meet its death, and return how it ended."""
    share = draw.below(1 << 20) / (1 << 20)
    if death == "full disk":
        spare = int(share * whole.bytes)
        if disk.real:
            disk.limit(spare)
        return _run(home, work, most=None if disk.real else max(spare // 8, 2000))
    child = _Child(home, work, stop_at=point)
    if point is None:
        child.wait(share * whole.seconds)
    else:
        child.reach()
    if death == "read-only disk":
        # A disk is not made read-only under an open file, so the next point is tried, and the next.
        while disk.real and not disk.freeze() and child.step():
            pass
        if not disk.real:
            os.kill(child.process, signal.SIGKILL)
    else:
        os.kill(child.process, signal.SIGKILL if death == "killed" else signal.SIGTERM)
    return child.end()


def _run(home: Path, work: Work, most: int | None = None, points: bool = False) -> _Ended:
    return _Child(home, work, most=most, counting=points).end()


class _Child:
    """A copy of this process that runs a command; it starts at once, with everything imported."""

    def __init__(
        self, home: Path, work: Work, stop_at: int | None = None, most: int | None = None, counting: bool = False
    ) -> None:
        self._told, tell = os.pipe()
        go, self._go = os.pipe()
        self._log = tempfile.TemporaryFile(dir="/tmp")  # noqa: SIM115 (it lives as long as the child)
        self.process = os.fork()
        if not self.process:
            os.close(self._told)
            os.close(self._go)
            _live(home, work, tell, go, self._log.fileno(), stop_at, most, counting)
        os.close(tell)
        os.close(go)

    def wait(self, seconds: float) -> None:
        select.select([self._told], [], [], seconds)

    def reach(self) -> bool:
        """Wait until it is at a crash point; False where it ended before."""
        ready = select.select([self._told], [], [], PATIENCE)[0]
        return bool(ready) and os.read(self._told, 1) == b"!"

    def step(self) -> bool:
        """Let it go on to the next crash point; False where it ended before that."""
        os.write(self._go, b"+")
        return self.reach()

    def end(self) -> _Ended:
        os.close(self._go)  # whoever waits at a point goes on
        _, status, _ = os.wait4(self.process, 0)
        with os.fdopen(self._told) as told:
            last = told.read().strip("!+").splitlines()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace")
        self._log.close()
        counts = Counter[str](json.loads(last[-1])) if last and last[-1].startswith("{") else Counter[str]()
        return _Ended(os.waitstatus_to_exitcode(status), said, counts)


def _live(
    home: Path, work: Work, tell: int, go: int, log: int, stop_at: int | None, most: int | None, counting: bool
) -> None:
    """Run a command to its end, in a copy of the process that does nothing else."""
    status, counts = 1, Counter[str]()
    try:
        try:
            for number in (0, 1, 2):
                os.dup2(os.open(os.devnull, os.O_RDONLY) if not number else log, number)
            os.chdir(home)
            sys.argv = ["aritmo", *work.words]
            _count(counts)
            if most is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            if counting or stop_at is not None:
                sys.addaudithook(_points(home, counts, tell, go, stop_at))
            aritmo()
        except SystemExit as error:
            status = int(error.code or 0)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(tell, f"\n{json.dumps(counts)}\n".encode())
    finally:
        # SIGTERM may come as late as above, and is an exception then: it must not lead out of here, where the disk
        # of the process that this is a copy of would be cleared away.
        os._exit(status)


def _points(
    home: Path, counts: Counter[str], tell: int, go: int, stop_at: int | None
) -> Callable[[str, Any], None]:
    """Return a hook that counts what is about to be done to files of ``home``, and waits from a point on."""
    waiting = [stop_at is not None]

    def hear(event: str, given: tuple[Any, ...]) -> None:
        if event not in _EVENTS or not given or not isinstance(given[0], str | os.PathLike):
            return
        path = Path(given[0])
        if path.is_absolute() and not path.is_relative_to(home):
            return
        counts["points"] += 1
        if waiting[0] and stop_at is not None and counts["points"] > stop_at:
            os.write(tell, b"!")
            waiting[0] = os.read(go, 1) == b"+"

    return hear


def _count(counts: Counter[str]) -> None:
    """Count in this process the chunks drawn, the texts written and the verdicts given."""
    make, write, judge = chunks._made, sampling._Writer.write_batch, judging._judge

    def made(job: chunks.Job) -> chunks.Chunk:
        counts["made"] += 1
        return make(job)

    def written(self: Any, rows: Any, advance: Any) -> Any:
        counts["made"] += len(rows)
        return write(self, rows, advance)

    def judged(sample: Any) -> Any:
        counts["made"] += 1
        return judge(sample)

    chunks._made, judging._judge = made, judged
    sampling._Writer.write_batch = written  # type: ignore[method-assign]


def _prepare(home: Path, whole_run: bool) -> None:
    """Make what the commands work on: a corpus, a model, samples and a whole small run."""
    few = ("--set", "training.steps=2", "--set", "samples=20", "--set", "look=2", "--set", "corpus.count=400")
    commands = (
        ("corpus", "build", "--task", "addition", "--style", "plain", "--count", "500", "--out", "corpus"),
        ("train", "--model", "tiny", "--corpus", "corpus", "--steps", "1", "--context", "64", "--out", "model"),
        ("run", "--task", "addition", "--style", "plain", "--out", "run", *few),
    )
    for words in commands if whole_run else commands[:2]:
        ended = _run(home, Work("", words, "", _bytes))
        assert ended.status == 0, ended.said
    (home / "run" / "report.html").unlink(missing_ok=True)
    with (home / "many.jsonl").open("w") as file:
        for number in range(4000):
            record = {"index": number, "split": "test", "task": "addition", "style": "plain"}
            record |= {"prompt": f"{number}+8=", "text": f"{number + 8}", "finished": True, "tokens": 5}
            file.write(json.dumps(record) + "\n")


def _clear(home: Path, work: Work) -> None:
    """Take away all that a command left."""
    for path in (*home.glob(f"{work.result}*"), *home.glob(f".{work.result}*")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    sys.exit(main())
