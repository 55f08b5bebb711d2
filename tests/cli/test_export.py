import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_the_command_exports_the_best_checkpoint_of_a_run(command: Callable[..., Any]) -> None:
    assert command("corpus", "build", "--task", "decomposition", "--count", "60", "--out", "C").status == 0
    words = ["--context", 64, "--batch-size", 2, "--steps", 4, "--evaluate-every", 2, "--set", "look=2"]
    assert command("train", "--corpus", "C", "--out", "R", *words).status == 0
    ended = command("export", "R/checkpoints/best", "--out", "E", "--json")
    assert ended.status == 0
    told = json.loads(ended.out)
    assert told["difference"] == 0
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "README.md"} <= {
        path.name for path in Path("E").iterdir()
    }
    assert "aritmo train --corpus C" in Path("E/README.md").read_text()
