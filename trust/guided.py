"""Texts that atheris finds, led by the code that each of them reaches.

It runs in a process of its own, which it ends itself: ``python -m trust.guided FOLDER RUNS SEED``. What reached
new code is left in the folder, beside what it began with, for ``read_all`` to read again without the instruments.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

TOLD = "told.json"
"""What is told at the end: how many texts were read, and what failed."""
FOUND = "found"


def fuzz(folder: Path, runs: int, seed: int) -> None:
    """Let atheris make so many texts out of those in the folder, and read them; never returns."""
    import atheris

    with atheris.instrument_imports(include=["aritmo"]):
        from trust import fuzz as reading
    known = reading.targets(Path(tempfile.mkdtemp(dir=folder)))
    tally: dict[str, Any] = {"texts": 0, "failed": []}

    def read(data: bytes) -> None:
        error = reading.read_each(known, bytes(data), tally["texts"])
        tally["texts"] += 1
        if error and len(tally["failed"]) < 20:
            tally["failed"].append(error)
        if tally["texts"] == runs:
            (folder / TOLD).write_text(json.dumps(tally))

    options = [f"-runs={runs}", f"-seed={seed + 1}", f"-max_len={reading.LONGEST}", "-timeout=20", "-verbosity=0"]
    atheris.Setup([sys.argv[0], str(folder / FOUND), *options], read)
    atheris.Fuzz()


if __name__ == "__main__":
    fuzz(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
