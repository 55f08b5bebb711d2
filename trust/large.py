"""Rows on what is long and large: the peaks of memory of whole commands, each in a process of its own."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from aritmo import checkpoints
from aritmo.corpus import Corpus
from aritmo.models import quiet_transformers
from aritmo.numbers.matrixfiles import write_matrices
from aritmo.numbers.randomness import SPLITS
from aritmo.numbers.rings import draw_odd
from aritmo.records import count_records, read_jsonl, write_samples
from aritmo.tasks import TASKS, TaskOptions
from aritmo.tokens import task_tokenizer
from trust.rows import Figure, Row, Size
from trust.screens import command

_MIB = 1 << 20
_LIMIT = 2048
"""MiB that a command may take at most, importing torch and transformers (600 MiB) among them."""

# The peak that Linux gives for a process counts what its parent held when it began, so a small one starts it.
_STARTER = """
import json, os, sys
child = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ)
_, status, used = os.wait4(child, 0)
told = {"status": os.waitstatus_to_exitcode(status), "kib": used.ru_maxrss, "cpu": used.ru_utime + used.ru_stime}
print("\\n" + json.dumps(told))
"""


class Used(NamedTuple):
    """What a command took: its peak of memory in MiB (that of its largest process), and seconds of processor."""

    mib: float
    cpu: float
    said: str


def measured(size: Size, folder: Path, *words: object) -> Used:
    """Run the command in a folder and return what it took. Raises RuntimeError where it fails.

    On a small scale it runs in this process, whose own memory is among what it took, and saves the imports.
    """
    if not size.full:
        return _here(folder, *words)
    command = [sys.executable, "-S", "-c", _STARTER, "-m", "aritmo", *map(str, words)]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    said, _, told = done.stdout.rstrip().rpartition("\n")
    used = json.loads(told)
    if used["status"]:
        raise RuntimeError(f"{' '.join(map(str, words))} ended with {used['status']}: {done.stderr[-1000:]}")
    return Used(used["kib"] / 1024, used["cpu"], said)


def _here(folder: Path, *words: object) -> Used:
    before, began = Path.cwd(), time.process_time()
    os.chdir(folder)
    try:
        said, status = command(*words)
    finally:
        os.chdir(before)
    if status:
        raise RuntimeError(f"{' '.join(map(str, words))} ended with {status}: {said}")
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Used(kib / 1024, time.process_time() - began, said.rstrip())


def _corpus(size: Size) -> Figure:
    count = size.of(3_000, 1_000_000)
    with tempfile.TemporaryDirectory() as place:
        words = ("--task", "addition", "--style", "tutorial", "--count", count, "--seed", size.seed, "--out", "C")
        built = measured(size, Path(place), "corpus", "build", *words)
        shown = measured(size, Path(place), "corpus", "show", "C", "--count", 1)
        corpus = Corpus(Path(place) / "C")
        found = sum(corpus.manifest["splits"][split]["count"] for split in SPLITS)
        disk = sum(path.stat().st_size for path in corpus.folder.iterdir()) / _MIB
    peak = max(built.mib, shown.mib)
    told = f"building {built.mib:,.0f} MiB, {built.cpu:,.0f} s of processor; showing {shown.mib:,.0f} MiB"
    return Figure(
        f"{found:,} examples, peak {peak:,.0f} MiB", found == count and peak <= _LIMIT,
        (f"{told}; {disk:,.0f} MiB on the disk",),
    )  # fmt: skip


def _small_model(folder: Path) -> None:
    """Write a model that is as small as can be, so that its texts come fast."""
    tokenizer = task_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=32, n_embd=8, n_layer=1, n_head=1,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    with quiet_transformers():
        GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _sampling(size: Size) -> Figure:
    few, many = size.of((200, 800), (100_000, 1_000_000))
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        _small_model(place / "M")
        common: tuple[object, ...] = ("sample", "M", "--task", "addition", "--style", "aligned")
        common = (*common, "--batch-size", 4096, "--max-new-tokens", 6, "--temperature", 1)
        first = measured(size, place, *common, "--count", few, "--out", "few.jsonl")
        second = measured(size, place, *common, "--count", many, "--out", "many.jsonl")
        written = count_records(place / "many.jsonl")
    grown = second.mib - first.mib
    shown = f"{written:,} texts, peak {second.mib:,.0f} MiB, {grown:+,.0f} on {few:,}"
    holds = written == many and second.mib <= _LIMIT and grown <= 256
    return Figure(shown, holds, (f"{second.cpu:,.0f} s of processor",))


def _answers(count: int, seed: int) -> Iterator[dict[str, object]]:
    """Yield samples as a model would write them: right, wrong, unfinished and empty in turn."""
    task, style, chunk = TASKS["addition"], "aligned", 10_000
    options = TaskOptions(max_digits=9)
    for start in range(0, count, chunk):
        problems = task.problems("test", seed, start, min(start + chunk, count), options)
        for index, problem in enumerate(problems, start):
            right = task.completion(problem, style)
            text = (right, right, right[::-1], f"{right}1", right[:-1], "", "?")[index % 7]
            yield {
                "index": index, "split": "test", "task": task.name, "style": style,
                "prompt": task.prompt(problem, style), "text": text, "finished": index % 5 > 0, "tokens": 9,
            }  # fmt: skip


def _verdicts(size: Size) -> Figure:
    count, drawn = size.of((2_000, 2_000), (10_000_000, 500_000))
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_samples(place / "part.jsonl", _answers(drawn, size.seed))
        with (place / "samples.jsonl").open("wb") as whole:  # the same answers come again and again
            for _ in range(count // drawn):
                with (place / "part.jsonl").open("rb") as part:
                    shutil.copyfileobj(part, whole)
        used = measured(size, place, "judge", "samples.jsonl", "--out", "verdicts.jsonl", "--json")
        group = json.loads(used.said)["groups"]["test"]
        lines = count_records(place / "verdicts.jsonl")
        disk = sum(path.stat().st_size for path in place.iterdir()) / _MIB
    shown = f"{lines:,} verdicts, peak {used.mib:,.0f} MiB"
    holds = lines == group["samples"] == count and group["valid"]["share"] >= 2 / 7 and used.mib <= _LIMIT
    rate = f"{count / used.cpu:,.0f} a second of processor, {drawn:,} of them different"
    return Figure(shown, holds, (f"{rate}; {disk:,.0f} MiB on the disk",))


def _matrices(size: Size) -> Figure:
    files = size.of(100, 10_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "matrices"
        folder.mkdir()
        for number, cells in enumerate(draw_odd(600_011, size.of(11, 51), files, seed=size.seed + 1)):
            write_matrices(folder / f"{number:05}.txt", [cells])
        megabytes = sum(path.stat().st_size for path in folder.iterdir()) / _MIB
        used = measured(size, Path(name), "squares", "check", "--nested", "matrices", "--json")
        last = json.loads(used.said.splitlines()[-1])
    shown = f"{last['valid']:,} of {files:,} files valid, peak {used.mib:,.0f} MiB"
    holds = last["valid"] == last["matrices"] == files and used.mib <= _LIMIT
    return Figure(shown, holds, (f"{megabytes:,.0f} MiB of matrices, {used.cpu:,.1f} s of processor",))


def _resumed(size: Size) -> Figure:
    """Train a GPT-2 for some steps, lay older checkpoints beside it for size, and go on for one step."""
    steps, model = size.of((4, "tiny"), (10, "gpt2"))
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        corpus = ("corpus", "build", "--task", "addition", "--style", "aligned", "--count", 60, "--out", "C")
        measured(size, place, *corpus)
        words: list[object] = ["train", "--corpus", "C", "--model", model, "--context", 32, "--batch-size", 1]
        words += ["--out", "R", "--save-every", steps, "--evaluate-every", 100]
        words += ["--set", "training.keep=20", "--set", "look=0"]
        words += ["--init", "scratch", "--tokenizer", "digits"] if model != "tiny" else []
        measured(size, place, *words, "--steps", steps)
        newest = checkpoints.latest(place / "R")
        assert newest is not None
        for step in range(1, steps):  # older ones, which nobody needs to read: their weights are holes
            older = checkpoints.place_of(place / "R", step)
            shutil.copytree(newest, older, ignore=shutil.ignore_patterns("*.safetensors"))
            for file in newest.glob("*.safetensors"):
                (older / file.name).touch()
                os.truncate(older / file.name, file.stat().st_size)
        gigabytes = sum(path.stat().st_size for path in (place / "R").rglob("*") if path.is_file()) / 1e9
        read = sum(path.stat().st_size for path in newest.iterdir()) / 1e9
        began = time.monotonic()
        used = measured(size, place, *words, "--steps", steps + 1, "--resume")
        seconds = time.monotonic() - began
        last = max(line["step"] for line in read_jsonl(place / "R" / "metrics.jsonl"))
    shown = f"{gigabytes:,.1f} GB, resumed and trained on in {seconds:,.0f} s"
    holds = last == steps + 1 and seconds <= 120
    details = f"the newest checkpoint, {read:,.2f} GB, is read and verified; one step and a save are among them"
    return Figure(shown, holds, (f"{details}; {used.cpu:,.0f} s of processor, peak {used.mib:,.0f} MiB",))


ROWS = [
    Row("large", "a corpus of a million", f"1,000,000 tutorials in {_LIMIT:,} MiB", _corpus),
    Row("large", "texts without end", "memory does not grow with their number", _sampling),
    Row("large", "ten million verdicts", f"10,000,000 in {_LIMIT:,} MiB", _verdicts),
    Row("large", "ten thousand files", f"10,000 files of matrices in {_LIMIT:,} MiB", _matrices),
    Row("large", "a run of 10 GB", "resumes in seconds", _resumed),
]
