"""A fresh environment with aritmo and one extra, and what is run there, as a reader would at a terminal."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from threading import Timer

from trust.play import ask, first_question

_LIMIT_S = 1_200
_SERVING_S = 180
_ADDRESS = re.compile(r"http://[\w.]+:\d+")
_LIST = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"


class Environment:
    """An environment in the folder ``.venv`` of a clone, where ``make`` looks for it, and an empty home.

    Nothing but what is installed here is seen there. The model hub is not asked.
    """

    def __init__(self, clone: Path, home: Path) -> None:
        self.folder = clone / ".venv"
        gone = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
        self.variables = {name: value for name, value in os.environ.items() if name not in gone} | {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "HF_HUB_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def install(self, clone: Path, extra: str) -> dict[str, str]:
        """Install the torch of this Python's version, then aritmo with the extra; return what is there.

        Raises CalledProcessError where that fails or packages do not go together.
        """
        pip = [str(self.folder / "bin" / "pip"), "--disable-pip-version-check"]
        torch = version("torch").partition("+")[0]
        for words in (
            [sys.executable, "-m", "venv", str(self.folder)],
            [*pip, "install", "--quiet", "--no-compile", f"torch=={torch}"],
            [*pip, "install", "--quiet", "--no-compile", f"{clone}[{extra}]" if extra else str(clone)],
            [*pip, "check"],
        ):
            subprocess.run(words, check=True, capture_output=True, text=True)
        listed = subprocess.run(
            [self.folder / "bin" / "python", "-c", _LIST], check=True, capture_output=True, text=True
        )
        found: dict[str, str] = json.loads(listed.stdout)
        return {name.lower().replace("_", "-"): number for name, number in found.items()}

    def run(self, words: Sequence[str], folder: Path) -> tuple[int, str, str]:
        """Return the exit code of a command and what it wrote to standard output and error."""
        done = subprocess.run(
            words, cwd=folder, env=self.variables, capture_output=True, text=True, timeout=_LIMIT_S,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def serve(self, words: Sequence[str], folder: Path, ask: Callable[[str], str]) -> str:
        """Start what serves a page, ask there, end it as Ctrl-C does; return what was wrong, or nothing."""
        server = subprocess.Popen(
            words, cwd=folder, env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        assert server.stdout
        watch = Timer(_SERVING_S, os.killpg, (server.pid, signal.SIGKILL))
        watch.start()
        try:
            said = ""
            for line in server.stdout:
                said += line
                if found := _ADDRESS.search(line):
                    wrong = ask(found.group())
                    break
            else:
                wrong = f"it served nothing: {said[-500:]}"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGINT)
            server.communicate()
            watch.cancel()
        return wrong or ("Ctrl-C did not end it" if server.returncode == -signal.SIGKILL else "")


def ask_page(address: str) -> str:
    """Ask for a page; return what was wrong, or nothing."""
    with urllib.request.urlopen(address, timeout=60) as answer:
        return "" if answer.read() else f"{address} is empty"


def ask_sum(address: str) -> str:
    """Ask the playground for a sum, as its page does; return what was wrong, or nothing."""
    with urllib.request.urlopen(f"{address}/?en", timeout=60) as answer:
        became = ask(address, first_question(answer.read().decode()), leaves=False)
    return "" if became == "answered" else f"a sum that was asked is {became}"
