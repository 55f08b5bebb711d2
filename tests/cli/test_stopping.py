"""A signal ends a command even where it comes while C has called Python, as llvmlite does."""

import subprocess
import sys

import pytest

_COMMAND = """
import ctypes, os, signal, time
from aritmo import cli

@ctypes.CFUNCTYPE(None)
def called_by_c():
    os.kill(os.getpid(), signal.{name})
    for _ in range(1000):
        pass

def app(**_):
    called_by_c()
    print("went on", flush=True)
    time.sleep(30)
    print("to the end")

cli.app = app
cli.main()
"""


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_that_c_drops_comes_again(name: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND.format(name=name)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == status, done.stderr
    assert done.stdout == "went on\n"
    assert "Traceback" not in done.stderr


def test_what_else_is_dropped_is_told() -> None:
    command = "from aritmo import cli\nclass A:\n def __del__(self): 1 / 0\ncli.app = lambda **_: A()\ncli.main()"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert "ZeroDivisionError" in done.stderr
