"""Training that is killed with SIGKILL and resumed ends as if nothing had happened (see benchmarks/killed.py)."""

import errno
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from aritmo import checkpoints
from aritmo.checkpoints import latest, save
from aritmo.tokens import digit_tokenizer
from tests.copies import Copies

TOKENIZER = digit_tokenizer(("STEP",))
LEFT_OUT = {"random": "losses", "schedule": "learning_rates", "data": "losses"}
"""What a resumed run is not given back, and in what that has to be seen."""


def killed(copies: Copies, *words: str) -> tuple[int, dict[str, Any]]:
    """Run the benchmark in a process of its own, since it forks, and return its status and what it found."""
    done = copies.run("benchmarks.killed", *words)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_killed_run_ends_as_the_undisturbed_one_to_the_bit(copies: Copies) -> None:
    status, found = killed(copies, "--kills", "20")
    assert found["differing"] == []
    assert status == 0
    assert found["kills"] >= 20
    assert found["inside_a_save"] >= 10
    assert found["before_the_first_checkpoint"] >= 1
    assert found["crash_points"] > 100


@pytest.fixture(scope="module")
def controls(copies: Copies) -> dict[str, list[dict[str, Any]]]:
    """Return the runs that went on without a part, and so otherwise than the undisturbed one, for each part."""
    status, found = killed(copies, "--kills", "2", "--leave-out", *LEFT_OUT)
    assert status == 1
    return {part: [one for one in found["differing"] if one["left_out"] == part] for part in LEFT_OUT}


@pytest.mark.parametrize("part", LEFT_OUT)
def test_what_a_resumed_run_is_not_given_back_is_missed(
    part: str, controls: dict[str, list[dict[str, Any]]]
) -> None:
    """The controls: with a part left out on purpose the same comparison fails, in the weights too."""
    assert len(controls[part]) == 2
    for one in controls[part]:
        assert {LEFT_OUT[part], "weights", "optimizer"} <= set(one["differs"])
        assert ("learning_rates" in one["differs"]) == (part == "schedule")
        assert "files" not in one["differs"]


def make() -> tuple[GPT2LMHeadModel, torch.optim.Optimizer]:
    config = GPT2Config(
        vocab_size=len(TOKENIZER), n_positions=8, n_embd=4, n_layer=1, n_head=1, bos_token_id=1, eos_token_id=1
    )
    model = GPT2LMHeadModel(config)
    return model, torch.optim.AdamW(model.parameters())


def write(run: Path, step: int, keep: int = 0, tokenizer: Any = TOKENIZER, best: bool = False) -> Path:
    model, optimizer = make()
    return save(run, step, model, tokenizer, optimizer, {"step": step}, keep, best)


def best(run: Path) -> str:
    return (run / "checkpoints" / "best").readlink().name


def names(run: Path) -> set[str]:
    return {path.name for path in (run / "checkpoints").iterdir()}


def test_what_a_killed_save_left_behind_goes_with_the_next_one(tmp_path: Path) -> None:
    write(tmp_path, 1)
    left = tmp_path / "checkpoints" / "step-000007.partial"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    (tmp_path / "checkpoints" / "best.1f.link").symlink_to("step-000001")
    write(tmp_path, 2)
    assert names(tmp_path) == {"step-000001", "step-000002"}


def test_a_damaged_later_checkpoint_does_not_cost_the_new_one(tmp_path: Path) -> None:
    """A run that fell back from a damaged checkpoint saves before it gets there again, and keeps one."""
    write(tmp_path, 10)
    (write(tmp_path, 20) / "model.safetensors").unlink()
    fallen_back = latest(tmp_path, say=lambda line: None)
    assert fallen_back == tmp_path / "checkpoints" / "step-000010"
    new = write(tmp_path, 15, keep=1)
    assert latest(tmp_path, say=lambda line: None) == new
    assert names(tmp_path) == {"step-000015", "step-000020"}
    assert write(tmp_path, 20, keep=1) == latest(tmp_path)
    assert names(tmp_path) == {"step-000020"}


def test_a_best_checkpoint_that_was_not_yet_linked_is_linked_on_resuming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1, best=True)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "_link", killed)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, 2, best=True)
    assert best(tmp_path) == "step-000001"
    model, optimizer = make()
    assert checkpoints.load(tmp_path / "checkpoints" / "step-000002", model, optimizer) == {"step": 2}
    assert best(tmp_path) == "step-000002"
    checkpoints.load(write(tmp_path, 3), model, optimizer)
    assert best(tmp_path) == "step-000002"


def test_processes_that_resume_at_once_may_all_link_the_best(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    link = tmp_path / "checkpoints" / "best"
    with ThreadPoolExecutor(8) as processes:
        for step in ("step-000001", "step-000002") * 20:
            list(processes.map(checkpoints._link, [link] * 8, [step] * 8))
            assert link.readlink().name == step
    assert names(tmp_path) == {"best"}


def test_a_disk_that_is_full_at_the_tokenizer_is_one_sentence_too(tmp_path: Path) -> None:
    class Full:
        """Its library reports a full disk as a bare Exception."""

        def save_pretrained(self, folder: Path) -> None:
            TOKENIZER.backend_tokenizer.save("/dev/full")

    good = write(tmp_path, 1)
    with pytest.raises(OSError, match="disk is full, so the checkpoint of step 2 was not written") as caught:
        write(tmp_path, 2, keep=1, tokenizer=Full())
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == {good.name}
