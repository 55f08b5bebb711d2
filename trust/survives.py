"""Rows on what survives: commands that die at any moment, and bytes that are not what was written."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from aritmo import checkpoints
from aritmo.corpus import Corpus, CorpusConfig, build_corpus
from aritmo.experiment import newest_model
from aritmo.models import open_model
from aritmo.numbers.randomness import SPLITS, Stream
from aritmo.tokens import task_tokenizer
from trust.rows import Figure, Row, Size

_ROOT = Path(__file__).parents[1]


def _script(module: str, *words: str) -> dict[str, Any]:
    """Run a script that forks, in a process of its own, and return what it found.

    Where this process may, it gives it mounts of its own, so that a disk can be full or read-only.
    """
    alone = ["unshare", "--mount"] if _may_mount() else []
    done = subprocess.run(
        [*alone, sys.executable, "-m", module, *words],
        cwd=_ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if not done.stdout.strip():
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _may_mount() -> bool:
    try:
        return not subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode
    except OSError:
        return False


def _deaths(size: Size) -> Figure:
    works = size.of(["--works", "building", "sampling", "judging"], [])
    trials = size.of(6, 160)
    parts = max(1, min(size.workers, trials // 3))
    words = ("--trials", str(trials), "--seed", str(size.seed), *works, "--part")
    with ThreadPoolExecutor(parts) as at_once:
        found = list(
            at_once.map(lambda part: _script("trust.deaths", *words, str(part), str(parts)), range(parts))
        )
    met = sum((Counter(one["met"]) for one in found), Counter[str]())
    wrong = [what for one in found for what in one["wrong"]]
    told = ", ".join(f"{count} {name}" for name, count in sorted(met.items()) if name not in ("inside", "kept"))
    real = all(one["real_disk"] for one in found)
    disk = "a tmpfs" if real else "no disk could be mounted here: files were kept short, and killed"
    shown = f"{trials} deaths, {met.get('inside', 0)} at a crash point; {len(wrong)} ended otherwise"
    return Figure(shown, not wrong, (f"{told}; the disk: {disk}", *wrong[:10]))


def _killed_training(size: Size) -> Figure:
    # On a small scale one run is killed five times in a row; tests/test_killed.py kills more.
    kills = size.of(0, 60)
    found = _script("benchmarks.killed", "--kills", str(kills), "--seed", str(size.seed))
    differing = [f"run {one['run']}: {', '.join(one['differs'])}" for one in found["differing"]]
    shown = f"{found['kills']} kills, {found['inside_a_save']} inside a save; {len(differing)} ended otherwise"
    return Figure(shown, not differing and found["kills"] >= kills, tuple(differing[:10]))


def _flips(folder: Path, names: list[str], count: int, stream: Stream) -> Iterator[tuple[str, str]]:
    """Flip one bit after another, shared out evenly over files; yield the file's name and place while it is so."""
    for number in range(count):
        path = folder / names[number % len(names)]
        place = stream.below(path.stat().st_size)
        with path.open("rb+") as file:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 1 << stream.below(8)]))
        yield path.name, f"{path.name}, byte {place:,}"
        with path.open("rb+") as file:
            file.seek(place)
            file.write(bytes([byte]))


def _found(folder: Path, names: list[str], count: int, stream: Stream, load: Callable[[], object]) -> Figure:
    missed = []
    for name, where in _flips(folder, names, count, stream):
        try:
            load()
            missed.append(f"{where}: nothing was said")
        except ValueError as error:
            # The hash of a manifest stands in a file of its own, and either of the two may be the damaged one.
            if name.replace(".sha256", ".json") not in str(error):
                missed.append(f"{where}: {error}")
    load()  # whole again
    shown = f"{count - len(missed):,} of {count:,} flipped bits found and named, over {len(names)} files"
    return Figure(shown, not missed, tuple(missed[:10]))


def _flipped_checkpoint(size: Size) -> Figure:
    import torch

    with tempfile.TemporaryDirectory() as place:
        model, tokenizer = open_model("tiny", tokenizer=task_tokenizer(), context=16)
        adam = torch.optim.AdamW(model.parameters())
        folder = checkpoints.save(Path(place), 1, model, tokenizer, adam, {"step": 1})
        names = sorted(path.name for path in folder.iterdir())
        load = partial(newest_model, str(folder))
        return _found(folder, names, size.of(32, 2000), Stream("flips", "checkpoint", size.seed), load)


def _flipped_corpus(size: Size) -> Figure:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "c"
        build_corpus(CorpusConfig(task="addition", count=size.of(300, 20_000), seed=size.seed), folder)

        def load() -> None:
            for split in SPLITS:
                Corpus(folder).table(split)

        names = sorted(path.name for path in folder.iterdir())
        return _found(folder, names, size.of(50, 2000), Stream("flips", "corpus", size.seed), load)


ROWS = [
    Row("survives", "any command at any moment", "160 deaths: whole or nothing, then the same bytes", _deaths),
    Row("survives", "training killed", "60 kills, to the bit as undisturbed", _killed_training),
    Row("survives", "a bit of a checkpoint", "every flipped bit found, its file named", _flipped_checkpoint),
    Row("survives", "a bit of a corpus", "every flipped bit found, its file named", _flipped_corpus),
]
