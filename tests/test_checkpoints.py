import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from transformers import GPT2Config, GPT2LMHeadModel

from aritmo import checkpoints
from aritmo.checkpoints import latest, load, save, verify
from aritmo.models import open_model
from aritmo.tokens import digit_tokenizer

TOKENIZER = digit_tokenizer(("STEP",))


def make(seed: int, width: int = 16) -> tuple[GPT2LMHeadModel, torch.optim.Optimizer]:
    """Make a small model and an optimizer that has a past."""
    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=len(TOKENIZER), n_positions=16, n_embd=width, n_layer=1, n_head=2)
    model = GPT2LMHeadModel(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    for _ in range(2):
        ids = torch.randint(0, len(TOKENIZER), (2, 8))
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def write(run: Path, step: int, seed: int = 1, keep: int = 0) -> Path:
    model, optimizer = make(seed)
    return save(run, step, model, TOKENIZER, optimizer, {"step": step}, keep)


def moments(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [
        optimizer.state[parameter][kind]
        for group in optimizer.param_groups
        for parameter in group["params"]
        for kind in ("step", "exp_avg", "exp_avg_sq")
    ]


def test_what_is_loaded_is_what_was_saved(tmp_path: Path) -> None:
    model, optimizer = make(1)
    folder = save(tmp_path, 300, model, TOKENIZER, optimizer, {"step": 300, "seconds": 1.5})
    assert folder == tmp_path / "checkpoints" / "step-000300" == latest(tmp_path)
    other, its_optimizer = make(2)
    assert not torch.equal(other.lm_head.weight, model.lm_head.weight)
    assert load(folder, other, its_optimizer) == {"step": 300, "seconds": 1.5}
    for a, b in zip(other.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(moments(its_optimizer), moments(optimizer), strict=True):
        assert torch.equal(a, b)
    opened, tokenizer = open_model(str(folder), context=16)
    assert torch.equal(opened.lm_head.weight, model.lm_head.weight)
    assert tokenizer.get_vocab() == TOKENIZER.get_vocab()


def test_nothing_is_pickled(tmp_path: Path) -> None:
    names = {path.name for path in write(tmp_path, 1).rglob("*")}
    assert {Path(name).suffix for name in names} == {".json", ".safetensors", ".sha256"}
    hashes = json.loads((tmp_path / "checkpoints/step-000001/manifest.json").read_text())["sha256"]
    assert set(hashes) == names - {"manifest.json", "manifest.sha256"}


def test_the_newest_stay_in_the_order_of_numbers(tmp_path: Path) -> None:
    for step in (999_999, 2, 1_000_000, 10):
        write(tmp_path, step)
    assert latest(tmp_path) == tmp_path / "checkpoints/step-1000000"
    write(tmp_path, 1_000_001, keep=2)
    left = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert left == {"step-1000000", "step-1000001"}
    assert latest(tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "tokenizer.json"])
@pytest.mark.parametrize("how", ["a byte", "cut", "gone"])
def test_damage_is_found_named_and_passed_over(tmp_path: Path, name: str, how: str) -> None:
    good, bad = write(tmp_path, 1), write(tmp_path, 2)
    path = bad / name
    content = path.read_bytes()
    middle = len(content) // 2
    if how == "a byte":
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif how == "cut":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    said: list[str] = []
    assert latest(tmp_path, said.append) == good
    assert len(said) == 1
    assert str(bad) in said[0]
    assert name in said[0]
    with pytest.raises(ValueError, match=name):
        load(bad, *make(2))


@pytest.mark.parametrize("vouched", [True, False])
@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"sha256": 3}', '{"sha256": {}}'])
def test_a_checkpoint_without_a_whole_manifest_is_passed_over(
    tmp_path: Path, content: str | None, vouched: bool
) -> None:
    good, bad = write(tmp_path, 1), write(tmp_path, 2)
    (bad / "manifest.json").unlink()
    if not vouched:  # as earlier versions wrote them
        (bad / "manifest.sha256").unlink()
    if content is not None:
        (bad / "manifest.json").write_text(content)
    (tmp_path / "checkpoints" / "step-000003.partial").mkdir()
    said: list[str] = []
    assert latest(tmp_path, said.append) == good
    assert str(bad) in said[0]
    with pytest.raises(
        ValueError, match=r"incomplete: manifest\.json cannot be read|damaged: (state|manifest)\.json"
    ):
        verify(bad)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_leaves_the_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    good = write(tmp_path, 1)
    model, optimizer = make(2)

    def full(*_: Any) -> None:
        raise error

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(OSError, match="disk is full, so the checkpoint of step 2 was not") as caught:
        save(tmp_path, 2, model, TOKENIZER, optimizer, {}, keep=1)
    assert caught.value.errno == errno.ENOSPC
    assert list((tmp_path / "checkpoints").iterdir()) == [good]
    verify(good)


def test_a_crash_before_the_rename_leaves_the_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = write(tmp_path, 1)
    before = (good / "model.safetensors").read_bytes()

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 2, seed=2, keep=1)
    assert list((tmp_path / "checkpoints").iterdir()) == [good]
    assert (good / "model.safetensors").read_bytes() == before


def test_another_model_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, 1)
    with pytest.raises(ValueError, match="is of another model; resume with the model that began the run"):
        load(folder, *make(1, width=32))
