"""Never lose a run: training is killed again and again, and every time it must end as if nothing had happened.

Run ``python -m benchmarks.killed --kills 200``. A small GPT-2 with dropout, gradient accumulation and a cosine
schedule is trained on the CPU in fp32, once undisturbed and then once for each kill: a child process dies of
SIGKILL and a second one resumes it. Half of the kills come by the clock, at seeded moments spread over the
whole life of the child. The others come inside a save, at seeded ones of its crash points: before every
file that it opens, renames or removes, and in the middle of the weights and of the optimizer's state. One more
run is killed five times in a row. Final weights, optimizer state, and the losses and learning rates of all
steps must be those of the undisturbed run to the bit. Prints one JSON line; exit 1 where anything differs.

``--leave-out random schedule data`` takes one of these things at a time away from resumed children, as if
checkpoints did not hold it: a control in which every run must end otherwise, so with exit 1.
"""

import argparse
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import safetensors.torch
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from aritmo import checkpoints, training
from aritmo.files import file_hash
from aritmo.numbers.randomness import seed_of
from aritmo.packing import pack
from aritmo.records import read_jsonl
from aritmo.tokens import digit_tokenizer
from aritmo.training import METRICS, TrainingConfig, train

TOKENIZER = digit_tokenizer(("STEP",))
CONFIG = TrainingConfig(
    steps=26, context=32, batch_size=2, gradient_accumulation=2, warmup=4, save_every=4, evaluate_every=9, seed=11
)
ROWS = pack(TOKENIZER, [(f"{a}+{b}=", f"{a + b}") for a in range(12) for b in range(11)], CONFIG.context)
HELD_OUT = pack(TOKENIZER, [(f"{a}+{b}=", f"{a + b}") for a in (12, 13) for b in range(11)], CONFIG.context)

IN_A_ROW = 5
PIECES = 4
"""Writes in which a killed child puts a file of tensors on the disk, so that it can die between two."""
PATIENCE = 120.0
"""Seconds after which a child that neither ends nor reaches its crash point is given up."""

_FILE_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "shutil.rmtree"}
_PARTS = {"random": "seed_of", "schedule": "learning_rate", "data": "rows_of_update"}
"""What can be left out on resuming, and the function of ``aritmo.training`` that derives it from the step."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill training and compare what resuming makes of it.")
    parser.add_argument("--kills", type=int, default=200, help="runs that are killed once and resumed")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    parser.add_argument(
        "--leave-out", choices=_PARTS, nargs="+", default=(), help="what a resumed child is not given back"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = _try(Path(folder), given.kills, given.seed, given.leave_out)
    print(json.dumps(found))
    return 1 if found["differing"] else 0


@dataclass(frozen=True, slots=True)
class Death:
    """When a child is to die: so many seconds after its start, or at a crash point of its saves, from 0."""

    seconds: float = 0.0
    point: int | None = None


def _try(folder: Path, kills: int, seed: int, leave_out: Sequence[str]) -> dict[str, Any]:
    """Kill as many runs and return what was done and which of them ended otherwise than the undisturbed one."""
    whole = folder / "whole"
    began = time.monotonic()
    points, saves = map(int, _finish(whole, counting=True).split())
    life = time.monotonic() - began
    expected = outcome(whole)
    # Whether a control bites must not hang on the clock.
    by_clock = 0 if leave_out else kills - kills // 2
    deaths = [[Death(seconds=share * life)] for share in _spread("clock", by_clock, seed)]
    deaths += [[Death(point=int(share * points))] for share in _spread("save", kills - by_clock, seed)]
    if not leave_out:
        # Each child passes a whole save before it dies, so that the run gets on.
        shares = _spread("again", IN_A_ROW, seed)
        deaths.append([Death(point=int((1 + share) * points / saves)) for share in shares])
    met = [
        _kill_and_resume(folder / str(number), one, expected, part)
        for number, (part, one) in enumerate(product(leave_out or (None,), deaths))
    ]
    return {
        "kills": sum(one["kills"] for one in met),
        "inside_a_save": sum(one["inside"] for one in met),
        "before_the_first_checkpoint": sum(one["resumed_from"] is None for one in met),
        "crash_points": points,
        "seconds_a_run": round(life, 2),
        "seconds": round(time.monotonic() - began, 1),
        "differing": [one for one in met if one["differs"]],
    }


def _spread(what: str, count: int, seed: int) -> list[float]:
    """Return so many seeded moments spread over [0, 1), one in each of as many equal parts."""
    return [(number + seed_of(what, seed, number) / 2**64) / count for number in range(count)]


def _kill_and_resume(
    run: Path, deaths: list[Death], expected: dict[str, Any], leave_out: str | None
) -> dict[str, Any]:
    """Kill a run at each death in turn, let it end, and say what of it is not as expected."""
    for number, death in enumerate(deaths):
        _kill(run, death, resume=number > 0)
    inside = sum(death.point is not None for death in deaths)
    if deaths[-1].point is None:
        inside += any(run.glob("checkpoints/*.partial"))
    newest = checkpoints.latest(run, say=lambda line: None)
    _finish(run, resume=True, leave_out=leave_out)
    found = outcome(run)
    return {
        "run": run.name,
        "left_out": leave_out,
        "kills": len(deaths),
        "inside": inside,
        "resumed_from": newest.name if newest else None,
        "differs": sorted(name for name in expected if found[name] != expected[name]),
    }


def outcome(run: Path) -> dict[str, Any]:
    """Return what a finished run must have in common with the undisturbed one: files, weights, steps.

    Earlier checkpoints are left out: a child killed after its last save, before it deleted the oldest, has
    one more.
    """
    lines = list(read_jsonl(run / METRICS))
    last = checkpoints.place_of(run, CONFIG.steps)
    steps = [line for line in lines if "loss" in line]
    state = json.loads((last / checkpoints.STATE).read_bytes())
    return {
        "files": sorted(path.name for path in [*run.iterdir(), *last.iterdir(), *run.rglob("*.partial*")]),
        "best": (run / "checkpoints" / checkpoints.BEST).readlink().name,
        "weights": file_hash(last / "model.safetensors"),
        "optimizer": file_hash(last / checkpoints.OPTIMIZER),
        "state": {name: value for name, value in state.items() if name != "seconds"},
        "losses": [(line["step"], line["loss"], line["tokens"]) for line in steps],
        "learning_rates": [line["learning_rate"] for line in steps],
        "evaluations": [
            (line["step"], line["evaluation"]["validation_loss"]) for line in lines if "evaluation" in line
        ],
    }


def _kill(run: Path, death: Death, resume: bool) -> None:
    """Start a child and kill it. One that ends before its moment is begun anew and killed in half the time."""
    points = None if death.point is None else CrashPoints(run, death.point)
    while True:
        child, said = _fork(
            lambda pipe: _train(run, resume, points=points and points.through(pipe)), run.with_suffix(".log")
        )
        if points:
            reached = bool(select.select([said], [], [], PATIENCE)[0]) and os.read(said, 1) == b"!"
            if not reached:
                os.kill(child, signal.SIGKILL)
                log = run.with_suffix(".log").read_text()
                raise RuntimeError(f"{run}: a child did not reach its crash point {death.point}:\n{log}")
        else:
            time.sleep(death.seconds)
        os.kill(child, signal.SIGKILL)
        os.close(said)
        if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            return
        shutil.rmtree(run)
        death = Death(seconds=death.seconds / 2)


def _finish(run: Path, resume: bool = False, leave_out: str | None = None, counting: bool = False) -> str:
    """Let a child train to the end and return what it says. Raises RuntimeError where it fails."""
    points = CrashPoints(run) if counting else None

    def work(pipe: int) -> None:
        with without(leave_out) if leave_out else nullcontext():
            _train(run, resume, points)
        os.write(pipe, f"{points.passed} {points.saves}".encode() if points else b"")

    log = run.with_suffix(".log")
    child, said = _fork(work, log)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(said) as answer:
        text = answer.read()
    if status:
        raise RuntimeError(f"{run}: a child ended with status {status}:\n{log.read_text()}")
    return text


def _fork(work: Callable[[int], None], log: Path) -> tuple[int, int]:
    """Do ``work`` in a copy of this process; return its id, and what to read from the pipe that work is given.

    A copy starts at once, with everything imported; ``log`` gets all that it prints. This process has one
    thread and never trains itself.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        os.close(reading)
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        work(writing)
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _train(run: Path, resume: bool, points: "CrashPoints | None" = None) -> None:
    torch.manual_seed(seed_of("weights", CONFIG.seed))
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(TOKENIZER), n_positions=CONFIG.context, n_embd=16, n_layer=2, n_head=2,
            resid_pdrop=0.1, embd_pdrop=0.1, attn_pdrop=0.1,
            bos_token_id=TOKENIZER.bos_token_id, eos_token_id=TOKENIZER.eos_token_id,
        )
    )  # fmt: skip
    with points.watched() if points else nullcontext():
        train(model, TOKENIZER, ROWS, HELD_OUT, CONFIG, run, resume=resume)


class CrashPoints:
    """The moments of a child's saves at which it can die, counted over all saves.

    At number ``stop_at`` the child writes ``!`` to its pipe and waits for the end.
    """

    def __init__(self, run: Path, stop_at: int | None = None) -> None:
        self.run, self.stop_at = run, stop_at
        self.passed, self.saves, self.saving, self.pipe = 0, 0, False, -1

    def through(self, pipe: int) -> "CrashPoints":
        self.pipe = pipe
        return self

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Count the points of every save; there is no way back, so only a child of its own may do this."""
        sys.addaudithook(self._hear)
        save, write = checkpoints.save, safetensors.torch.serialize_file

        def watched_save(*given: Any, **named: Any) -> Path:
            self.saving, self.saves = True, self.saves + 1
            try:
                return save(*given, **named)
            finally:
                self.saving = False

        def in_pieces(tensors: Any, filename: str | os.PathLike[str], metadata: Any = None) -> None:
            write(tensors, filename, metadata=metadata)
            content = Path(filename).read_bytes()
            with Path(filename).open("wb", buffering=0) as file:
                for part in range(PIECES):
                    ends = [len(content) * at // PIECES for at in (part, part + 1)]
                    file.write(content[slice(*ends)])
                    self._pass()

        with (
            mock.patch.object(checkpoints, "save", watched_save),
            mock.patch.object(safetensors.torch, "serialize_file", in_pieces),
        ):
            yield

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        """Pass a point where the interpreter is about to do something to a file of the run."""
        if self.saving and event in _FILE_EVENTS and isinstance(given[0], str | os.PathLike):
            path = Path(given[0])
            # Folders are emptied through handles, with names that are not absolute.
            if not path.is_absolute() or path.is_relative_to(self.run):
                self._pass()

    def _pass(self) -> None:
        if self.passed == self.stop_at:
            self.saving = False
            os.write(self.pipe, b"!")
            time.sleep(PATIENCE)
        self.passed += 1


@contextmanager
def without(part: str) -> Iterator[None]:
    """Let ``aritmo.training`` count a part's steps from where this process began, as if it were not restored."""
    true: Callable[..., Any] = getattr(training, _PARTS[part])
    begun: list[int] = []

    def since(step: int) -> int:
        begun.append(step)
        return step - begun[0]

    def random(what: str, seed: int, number: int, *rest: int) -> Any:
        return true(what, seed, since(number) if what == "step" else number, *rest)

    def schedule(config: TrainingConfig, step: int, fraction: float) -> Any:
        return true(config, since(step), since(step) / config.steps)

    def data(count: int, size: int, step: int, seed: int) -> Any:
        return true(count, size, since(step), seed)

    changed = {"random": random, "schedule": schedule, "data": data}[part]
    with mock.patch.object(training, _PARTS[part], changed):
        yield


if __name__ == "__main__":
    sys.exit(main())
