"""Worker processes: results in order, errors passed on, and no process left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path

import pytest

from aritmo.workers import Workers, cores


def square(number: int) -> int:
    if number == 13:
        raise ValueError("thirteen")
    return number * number


@pytest.mark.parametrize("processes", [0, 2])
def test_results_come_in_order_and_endless_jobs_may_be_left(processes: int) -> None:
    with Workers(processes) as workers:
        assert list(workers.map(square, range(12))) == [n * n for n in range(12)]
        assert list(islice(workers.map(square, count(20)), 5)) == [n * n for n in range(20, 25)]
        with pytest.raises(ValueError, match="thirteen"):
            list(workers.map(square, range(20)))
    assert cores() >= 1


BUILD = [
    sys.executable,
    "-m",
    "aritmo",
    "corpus",
    "build",
    "--task",
    "addition",
    "--count",
    "3000000",
    "--workers",
    "2",
]


def running(session: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
@pytest.mark.parametrize(
    ("send", "signum", "status", "left"),
    [
        (os.kill, signal.SIGINT, 130, False),
        (os.kill, signal.SIGTERM, 143, False),
        (os.killpg, signal.SIGTERM, 143, False),
        (os.kill, signal.SIGKILL, -9, True),
    ],
)
def test_a_stopped_build_leaves_no_process_and_no_corpus(
    send: Callable[[int, int], None], signum: signal.Signals, status: int, left: bool, tmp_path: Path
) -> None:
    out = tmp_path / "c"
    child = subprocess.Popen(
        [*BUILD, "--out", str(out)], start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size > 4 for path in tmp_path.glob(".c.partial-*/train.parquet")):
        assert child.poll() is None, child.stderr.read() if child.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.05)
    send(child.pid, signum)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == status
    assert "Traceback" not in errors
    assert not out.exists()
    # Chunks that were written are kept for the same command.
    others = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".c.chunks-")]
    assert bool(others) == left
    while running(child.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(child.pid)
    if left:
        again = [*BUILD[:-4], "--count", "300", "--out", str(out)]
        subprocess.run(again, check=True, capture_output=True)
        assert [path.name for path in tmp_path.iterdir()] == ["c"]
