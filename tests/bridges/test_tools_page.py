"""Everything that docs/tools.md tells a reader to type works, in its order, one after another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.pages import sections

PAGE = Path(__file__).parents[2] / "docs" / "tools.md"
NEEDED = ("datasets", "gguf", "inspect_ai", "lm_eval", "reasoning_gym", "trl", "verifiers")


def test_the_page_works_from_top_to_end(tmp_path: Path) -> None:
    for name in NEEDED:
        pytest.importorskip(name, reason=f"{name} is not installed")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
    }
    ran = [words for section in sections(PAGE) for words in section.commands()]
    assert len(ran) == 15
    for words in ran:
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{words[-1]}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    assert (tmp_path / "model.gguf").is_file()
