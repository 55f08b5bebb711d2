"""Everything that docs/tools.md tells a reader to type works, in its order, one after another."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tools.md"
NEEDED = ("datasets", "gguf", "inspect_ai", "lm_eval", "reasoning_gym", "trl", "verifiers")
LEFT_OUT = ("pip install", "make ")


def steps() -> list[list[str]]:
    """Return the page's commands and Python blocks, as words to run."""
    found = []
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        if kind == "python":
            found.append([sys.executable, "-c", block])
        else:
            found += [["sh", "-c", line] for line in block.splitlines() if not line.startswith(LEFT_OUT)]
    return found


def test_the_page_works_from_top_to_end(tmp_path: Path) -> None:
    for name in NEEDED:
        pytest.importorskip(name, reason=f"{name} is not installed")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
    }
    ran = steps()
    assert len(ran) == 14
    for words in ran:
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{words[-1]}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    assert (tmp_path / "model.gguf").is_file()
