import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

Command = Callable[..., Any]


def test_a_person_reads_a_table_and_a_sentence(command: Command) -> None:
    ended = command("plan", "--model", "gpt2-xl", "--steps", 2000, "--context", 1024, "--gpu", "H100")
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == "model gpt2-xl: 1,557,611,200 parameters, 48 layers, width 1,600"
    assert lines[1] == "work: 2,000 updates of 8 x 1,024 tokens: 16,384,000 tokens, 168 PFLOP"
    assert lines[2] == "device: H100, 79.1 GiB"
    assert lines[4].split()[:3] == ["way", "fits", "weights"]
    assert lines[5].startswith("full  ")
    assert lines[-1] == "fits: «full», with --set training.precision=bf16"


def test_a_machine_reads_json_and_the_answer_is_the_exit_code(command: Command) -> None:
    small = ["plan", "--model", "gpt2-xl", "--context", 1024, "--memory"]
    ended = command(*small, 16, "--json")
    record = json.loads(ended.out)
    assert ended.status == 0
    assert record["fits"] is True
    assert record["best"] == "lean"
    assert record["parameters"] == 1_557_611_200
    assert next(mode["mode"] for mode in record["modes"] if mode["fits"]) == "lean"
    assert record["modes"][0]["seconds"] is None
    ended = command(*small, 1, "--json")
    assert ended.status == 1
    assert json.loads(ended.out)["best"] is None
    assert command(*small, 1).status == 1


def test_settings_come_as_for_training(command: Command) -> None:
    words = ["--model", "gpt2", "--gpu", "none", "--set", "training.gradient_accumulation=4", "--json"]
    record = json.loads(command("plan", *words).out)
    assert record["tokens"] == 300 * 8 * 4 * 512
    assert record["device"].startswith("CPU, ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--model", "gtp2"], "did you mean gpt2"),
        (["--gpu", "Z9000"], "gpu: 'Z9000' is no card known here"),
        (["--corpus", "nowhere"], "is no corpus"),
        (["--examples", 5], "add --tokens-per-example"),
        (["--model", "gpt2", "--context", 2000], "takes 1,024 tokens at once, not 2,000"),
        (["--set", "training.stepz=3"], "did you mean steps?"),
    ],
)
def test_a_mistake_is_one_sentence(command: Command, words: list[Any], sentence: str) -> None:
    ended = command("plan", *words)
    assert ended.status == 2
    assert ended.err.startswith("aritmo: ")
    assert ended.err.count("\n") == 1
    assert sentence in ended.err


def test_the_arithmetic_needs_no_torch() -> None:
    source = "import sys, aritmo.planning; print('torch' in sys.modules or 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
