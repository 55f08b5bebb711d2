"""Programs that need torch, each begun as a copy of one process that has imported it: at once, not in ten seconds.

``python -m tests.copies`` is that process. It has one thread, trains nothing itself, and is told on its standard
input what to do, a JSON line each; a copy becomes what ``python -m`` would begin, with its own output and signals.
"""

import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]


class Copy:
    """A program that runs, with ``said`` and ``errors``, what it printed."""

    def __init__(self, copies: "Copies", pid: int, printed: Path) -> None:
        self._copies, self.pid, self._printed = copies, pid, printed
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return the status as ``subprocess`` has it, or None while it runs."""
        if self._status is None:
            self._status = self._copies.ask({"poll": self.pid})
        return self._status

    def wait(self, seconds: float) -> int:
        """Return the status when it has ended; one that takes too long is killed."""
        end = time.monotonic() + seconds
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                self.send(signal.SIGKILL)
                raise TimeoutError(f"a copy did not end in {seconds} seconds: {self.errors[-2000:]}")
            time.sleep(0.02)
        return status

    def send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    @property
    def said(self) -> str:
        return self._printed.with_suffix(".out").read_text()

    @property
    def errors(self) -> str:
        return self._printed.with_suffix(".err").read_text()


class Copies:
    """Begins programs as copies of one process, which starts with the first and ends with ``close``."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._begun = folder, 0
        self._process: subprocess.Popen[str] | None = None

    def begin(self, module: str, *words: str) -> Copy:
        """Begin ``python -m module words`` in the folder of the project."""
        self._begun += 1
        printed = self._folder / str(self._begun)
        pid = self.ask({"module": module, "words": words, "printed": str(printed)})
        assert pid
        return Copy(self, pid, printed)

    def run(self, module: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run it to its end, as ``subprocess.run`` does."""
        copy = self.begin(module, *words)
        status = copy.wait(500)
        return subprocess.CompletedProcess([module, *words], status, copy.said, copy.errors)

    def ask(self, what: dict[str, Any]) -> int | None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.copies"], cwd=ROOT, text=True, bufsize=1,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(what) + "\n")
        answer: int | None = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        if self._process:
            self._process.communicate(timeout=20)


def _become(what: dict[str, Any]) -> None:
    """Do in a copy what ``python -m`` would, and end as it would."""
    for name, number in ((".out", 1), (".err", 2)):
        file = os.open(Path(what["printed"]).with_suffix(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [what["module"], *what["words"]]
    runpy.run_module(what["module"], run_name="__main__", alter_sys=True)


def main() -> None:
    # What Ctrl-C at a terminal is to do is up to the tests.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    import aritmo.runs  # noqa: F401
    from aritmo.models import quiet_transformers

    # The first model that a process saves takes a tenth of a second for tables; copies have them already.
    with TemporaryDirectory() as folder, torch.random.fork_rng(), quiet_transformers():
        sizes = dict.fromkeys(("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"), 1)
        GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)).save_pretrained(folder)
    assert threading.active_count() == 1, "what has threads cannot be copied"
    gc.collect()
    gc.freeze()  # so that no copy goes through what it has not made

    for line in sys.stdin:
        what = json.loads(line)
        if "poll" in what:
            pid, status = os.waitpid(what["poll"], os.WNOHANG)
            print(json.dumps(os.waitstatus_to_exitcode(status) if pid else None), flush=True)
            continue
        child = os.fork()
        if not child:
            _become(what)
            return
        print(child, flush=True)


if __name__ == "__main__":
    main()
