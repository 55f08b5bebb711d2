"""Try every extra alone: ``python -m scripts.extras [--out FOLDER] [EXTRA...]``, or ``make test-extras``.

For each: a clone of what is committed here, a fresh environment with aritmo and that extra only, and the commands
of the page that tells to install it, one after another, in an empty folder with an empty home. What needs a GPU
has to say so in one sentence where there is none. ``bare`` is aritmo without an extra: the README's commands, and
for each extra a command that needs it, which has to name it in one sentence. Environments are removed when done.
"""

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

from scripts.environment import Environment, ask_page, ask_sum
from scripts.extras_table import Result, line_of, write_table
from scripts.pages import commands_down_to, sections

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("playground", "tools", "guide")
BARE = ("Nested squares", "Adding any two lengths", "Squares of centres that it never saw", "Step by step")
"""The README's sections whose commands are those of the bare package."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ASKED: dict[str, list[str]] = {
    "bare": ["torch", "transformers"],
    **{
        name: packages
        for name, packages in PROJECT["optional-dependencies"].items()
        if name not in ("tools", "test-tools", "test", "trust", "check")
    },
}
"""The extras and what they ask for, those aside that only developers take."""
LONG = ("gpt2-xl --init scratch", "--config docs/addition.yaml")
"""Parts of the README's commands that are left out: they want a GPU or a long time."""
SHORTER = {"--corpus A --steps 2000": "--corpus A --steps 100", "--count 100000": "--count 2000"}
"""What stands in them, and what is run instead."""
SERVERS = {"aritmo play": ask_sum, "tensorboard --logdir": ask_page, "trackio show": ask_page}
TRAIN = "aritmo train --model tutor --corpus A --out NOTHING"
HARNESS = "aritmo corpus export A --format lm-eval --out NOTHING"
REFUSED = {
    "aritmo play": "play",
    f"{TRAIN} --adapter lora": "lora",
    **{f"{TRAIN} --track {name}": name for name in ("tensorboard", "trackio", "wandb")},
    "aritmo probe tutor --bits 4 --out NOTHING": "qlora",
    f"{HARNESS} && cd NOTHING && python -c 'import utils; utils.load()'": "datasets",
    "aritmo export RUN --format gguf --out model.gguf": "gguf",
    "python -c 'import aritmo.bridges.inspect_ai'": "inspect",
    "python -c 'import aritmo.bridges.reasoning_gym'": "reasoning-gym",
    "python -c 'import aritmo.bridges.verifiers'": "verifiers",
}
"""What needs an extra, tried without any, and the extra."""


class Step(NamedTuple):
    """What is run, and where it is to be refused, what the last line says."""

    words: list[str]
    says: str = ""

    @property
    def shown(self) -> str:
        command = self.words[-1].strip().splitlines()[-1]
        return f"python: {command}" if self.words[0] == "python" else command


def steps_of(extra: str) -> list[Step]:
    """Return what is run for an extra. Raises ValueError for one that no page tells to install."""
    if extra == "docs":
        return [Step(["sh", "-c", "make api"])]
    if extra == "bare":
        found = [section for section in sections(ROOT / "README.md") if section.title in BARE]
        lines = [words[-1] for section in found for words in section.commands()]
        for long, short in SHORTER.items():
            lines = [line.replace(long, short) for line in lines]
        tried = [Step(["sh", "-c", line]) for line in lines if not any(part in line for part in LONG)]
        return tried + [Step(["sh", "-c", line], f"aritmo[{name}]") for line, name in REFUSED.items()]
    for page in PAGES:
        for section in sections(ROOT / "docs" / f"{page}.md"):
            if section.installs(extra):
                gpu = "" if shutil.which("nvidia-smi") else "needs a GPU"
                commands = commands_down_to(section)
                return [Step(words, gpu if "--base-bits 4" in words[-1] else "") for words in commands]
    raise ValueError(f"no page tells to install {extra!r}: there are {', '.join(ASKED)}")


def wrong(step: Step, environment: Environment, folder: Path) -> str:
    """Run a step; return what was wrong, or nothing."""
    for begin, ask in SERVERS.items():
        if step.shown.startswith(begin) and not step.says:
            return environment.serve(step.words, folder, ask)
    try:
        code, out, err = environment.run(step.words, folder)
    except subprocess.TimeoutExpired as error:
        return str(error)
    last = (err.strip().splitlines() or [""])[-1]
    if step.says:
        return "" if code and step.says in last else f"ended with {code}, last line: {last}"
    return f"ended with {code}:\n{out[-1_000:]}\n{err[-2_000:]}" if code else ""


def try_alone(extra: str, temporary: Path) -> Result:
    """Install an extra alone and run what its page says, to the end or to the first thing that is wrong."""
    clone, work, home = (temporary / name for name in ("aritmo", "work", "home"))
    for folder in (work, home):
        folder.mkdir()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    (work / "sums.txt").write_text("9+71421\n8292+29039\n")  # which the README's reader brings
    environment, began = Environment(clone, home), time.monotonic()
    try:
        packages = environment.install(clone, "" if extra == "bare" else extra)
    except subprocess.CalledProcessError as error:
        return Result(extra, [], 0, time.monotonic() - began, 0.0, [], (error.stderr or error.stdout)[-2_000:])
    installed, ran, failed = time.monotonic(), [], ""
    for step in steps_of(extra):
        ran.append(f"{step.shown}{' (refused, as it should be)' if step.says else ''}")
        if failed := wrong(step, environment, clone if extra == "docs" else work):
            failed = f"{step.shown}\n{failed}"
            break
    names = [re.split(r"[^\w.-]", asked)[0].lower() for asked in ASKED[extra]]
    brings = [f"{name} {packages[name]}" for name in names if name in packages and name != "aritmo"]
    return Result(extra, brings, len(packages), installed - began, time.monotonic() - installed, ran, failed)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.extras",
        description="Install each extra alone and do what its page says. Exit code 1: one does not hold.",
    )
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help=f"{', '.join(ASKED)}; all where none is named")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write the table there, too, in a dated file")
    given = parser.parse_args()
    if unknown := [name for name in given.extras if name not in ASKED]:
        print(f"extras: no extra {unknown[0]!r}: there are {', '.join(ASKED)}", file=sys.stderr)
        return 2
    if not (ROOT / ".git").exists():
        print(f"extras: {ROOT} is no git repository, of which a clone is tried", file=sys.stderr)
        return 2
    # In the background of a shell it is ignored, and what serves pages would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    results = []
    for name in given.extras or ASKED:
        with tempfile.TemporaryDirectory(prefix="aritmo-extras-") as temporary:
            results.append(try_alone(name, Path(temporary)))
        print(line_of(results[-1]), flush=True)
    if given.out:
        print(write_table(given.out, results))
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
