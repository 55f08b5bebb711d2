import json
import os
import random
import signal
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTJConfig,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
)

from aritmo.packing import encode_examples, pack
from aritmo.records import read_jsonl
from aritmo.tokens import digit_tokenizer
from aritmo.training import TrainingConfig, TrainingResult, learning_rate, rows_of_update, train
from tests.copies import Copies

TOKENIZER = digit_tokenizer(("STEP",))
EXAMPLES = [(f"{a}+{b}=", f"{a + b}") for a in range(12) for b in range(11)]
HELD_OUT = [(f"{a}+{b}=", f"{a + b}") for a in range(12, 14) for b in range(11)]
SMALL = {"context": 32, "batch_size": 3, "warmup": 2, "steps": 8, "save_every": 100, "evaluate_every": 100}
CONFIGS: dict[str, PretrainedConfig] = {
    "gpt2": GPT2Config(vocab_size=len(TOKENIZER), n_positions=32, n_embd=16, n_layer=2, n_head=2),
    "gptj": GPTJConfig(vocab_size=len(TOKENIZER), n_positions=32, n_embd=16, n_layer=1, n_head=2, rotary_dim=8),
    "llama": LlamaConfig(
        vocab_size=len(TOKENIZER),
        max_position_embeddings=32,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=False,
    ),
}


def make(name: str = "gpt2", seed: int = 1, dropout: float = 0.1) -> PreTrainedModel:
    torch.manual_seed(seed)
    config = type(CONFIGS[name])(**CONFIGS[name].to_dict())
    for key in ("resid_pdrop", "embd_pdrop", "attn_pdrop"):
        if hasattr(config, key):
            setattr(config, key, dropout)
    return AutoModelForCausalLM.from_config(config)


def run(
    folder: Path,
    model: PreTrainedModel | None = None,
    resume: bool = False,
    examples: list[tuple[str, str]] = EXAMPLES,
    **given: Any,
) -> TrainingResult:
    config = TrainingConfig(**{**SMALL, **{key: value for key, value in given.items() if key != "evaluate"}})
    rows = pack(TOKENIZER, examples, config.context, config.loss_on)
    held_out = pack(TOKENIZER, HELD_OUT, config.context)
    model = model if model is not None else make()
    return train(model, TOKENIZER, rows, held_out, config, folder, evaluate=given.get("evaluate"), resume=resume)


def losses(folder: Path) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in read_jsonl(folder / "metrics.jsonl") if "loss" in line}


def tensors(result: TrainingResult) -> dict[str, torch.Tensor]:
    return load_file(result.checkpoint / "model.safetensors") | load_file(
        result.checkpoint / "optimizer.safetensors"
    )


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    stopped = run(tmp_path / "parts", evaluate=StopAt(3), evaluate_every=1)
    assert (stopped.step, stopped.reason) == (4, "stopped"), "in the middle of the first epoch"
    assert 4 * SMALL["batch_size"] % len(pack(TOKENIZER, EXAMPLES, 32)) != 0  # type: ignore[operator]
    torch.manual_seed(999)
    random.seed(999)
    resumed = run(tmp_path / "parts", make(seed=7), resume=True)
    assert same(tensors(whole), tensors(resumed))
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    assert (whole.loss, whole.validation_loss, whole.tokens) == (
        resumed.loss,
        resumed.validation_loss,
        resumed.tokens,
    )
    assert not same(tensors(whole), tensors(run(tmp_path / "other", seed=1))), "the seed matters"
    assert not same(tensors(whole), tensors(run(tmp_path / "dry", make(dropout=0.0)))), "dropout matters"


class StopAt:
    """An evaluation that sends this process a signal after a step."""

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        self.step, self.number = step, number

    def __call__(self, model: PreTrainedModel, step: int) -> dict[str, Any]:
        torch.rand(5)  # an evaluation may draw at random without changing what is learned
        if step == self.step:
            os.kill(os.getpid(), self.number)
        return {"exact": None, "of": 0, "samples": []}


def test_lines_after_the_checkpoint_are_forgotten(tmp_path: Path) -> None:
    def crash(model: PreTrainedModel, step: int) -> dict[str, Any]:
        raise RuntimeError("crash")

    with pytest.raises(RuntimeError):
        run(tmp_path, save_every=2, evaluate_every=5, evaluate=crash)
    assert list(losses(tmp_path)) == [1, 2, 3, 4, 5]
    result = run(tmp_path, resume=True, save_every=2)
    assert [line["step"] for line in read_jsonl(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert same(tensors(result), tensors(run(tmp_path / "whole")))
    again = run(tmp_path, resume=True)
    assert (again.step, again.reason, again.loss) == (8, "done", result.loss)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_first_loss_is_that_of_each_example_alone(tmp_path: Path, name: str) -> None:
    model = make(name, dropout=0.0)
    examples = EXAMPLES[:30]
    with torch.no_grad():
        total, count = 0.0, 0
        for example in encode_examples(TOKENIZER, examples):
            ids = torch.tensor([example.ids])
            logits = model(ids).logits[0, example.first - 1 : -1]
            total += F.cross_entropy(logits, ids[0, example.first :], reduction="sum").item()
            count += len(example.ids) - example.first
    rows = len(pack(TOKENIZER, examples, 32))
    result = run(tmp_path, model, examples=examples, steps=1, batch_size=rows)
    assert result.loss == pytest.approx(total / count, abs=1e-5)


def test_accumulation_is_one_large_batch(tmp_path: Path) -> None:
    """Uneven micro-batches: the short answers of one and the long of another count by the token."""
    examples = [(f"{n}=", "1" * (1 + 25 * (n % 2))) for n in range(10, 40)]
    settings: dict[str, Any] = {"examples": examples, "steps": 3}
    large = run(tmp_path / "large", make(dropout=0.0), batch_size=6, **settings)
    small = run(tmp_path / "small", make(dropout=0.0), batch_size=2, gradient_accumulation=3, **settings)
    assert losses(tmp_path / "large") == pytest.approx(losses(tmp_path / "small"), abs=1e-5)
    for name, tensor in tensors(large).items():
        torch.testing.assert_close(tensors(small)[name], tensor, atol=1e-4, rtol=1e-3)


def test_it_learns_and_says_what_it_does(tmp_path: Path) -> None:
    seen: list[int] = []

    def evaluate(model: PreTrainedModel, step: int) -> dict[str, Any]:
        assert not model.training
        assert model(torch.ones(1, 4, dtype=torch.long)).logits.shape == (1, 4, len(TOKENIZER))
        seen.append(step)
        return {"exact": 0.5, "of": 2, "samples": [{"prompt": "1+1=", "text": "2", "valid": True}]}

    model = make(dropout=0.0)
    result = run(
        tmp_path, model, steps=40, evaluate_every=20, save_every=15, learning_rate=0.02, evaluate=evaluate
    )
    lines = list(read_jsonl(tmp_path / "metrics.jsonl"))
    training = [line for line in lines if "loss" in line]
    assert training[-1]["loss"] < training[0]["loss"] - 1
    assert set(training[0]) == {"step", "loss", "learning_rate", "tokens", "tokens_per_second", "seconds"}
    evaluations = [line for line in lines if "evaluation" in line]
    assert [line["step"] for line in evaluations] == seen == [20, 40]
    assert evaluations[-1]["evaluation"] == {
        "validation_loss": result.validation_loss,
        "exact": 0.5,
        "of": 2,
        "samples": [{"prompt": "1+1=", "text": "2", "valid": True}],
    }
    assert result.tokens == training[-1]["tokens"]
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"best", "step-000030", "step-000040"}
    assert not model.training
    assert model(torch.ones(1, 4, dtype=torch.long)).logits.shape == (1, 4, len(TOKENIZER))


def test_a_loss_that_is_not_finite_stops_before_the_update(tmp_path: Path) -> None:
    class Spoil(StopAt):
        def __call__(self, model: PreTrainedModel, step: int) -> dict[str, Any]:
            if step == 3:
                with torch.no_grad():
                    model.get_input_embeddings().weight.fill_(float("nan"))
            return {"exact": float(step < 3), "of": 1}

    with pytest.raises(ValueError, match=r"the loss is nan at step 4, .* \(checkpoint step-000002 stands\)"):
        run(tmp_path, save_every=2, evaluate_every=1, evaluate=Spoil(0))
    assert list(losses(tmp_path)) == [1, 2, 3]
    whole = run(tmp_path / "whole")
    assert same(tensors(whole), tensors(run(tmp_path, resume=True)))


def test_signal_handlers_come_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    result = run(tmp_path, evaluate=StopAt(1, signal.SIGINT), evaluate_every=1)
    assert (result.step, result.reason) == (2, "stopped")
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_sigterm_saves_and_leaves(tmp_path: Path, copies: Copies) -> None:
    child = copies.begin("tests.test_training", str(tmp_path))
    while not (tmp_path / "metrics.jsonl").exists():
        assert child.poll() is None, child.errors
        time.sleep(0.05)
    child.send(signal.SIGTERM)
    assert child.wait(60) == 0, child.errors
    reason, step = child.said.split()
    assert reason == "stopped"
    state = json.loads((tmp_path / "checkpoints" / f"step-{int(step):06d}" / "state.json").read_text())
    assert state["step"] == int(step) == max(losses(tmp_path))


def test_a_time_budget_ends_it(tmp_path: Path) -> None:
    result = run(tmp_path, steps=1_000_000, minutes=1e-6, learning_rate=0.01)
    assert result.reason == "time"
    assert result.step == 1
    assert result.checkpoint.is_dir()


def test_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing to train on: raise training.context"):
        run(tmp_path / "none", context=4)
    run(tmp_path / "run", steps=2)
    with pytest.raises(ValueError, match="holds checkpoints already: resume it or choose another"):
        run(tmp_path / "run", steps=2)
    with pytest.raises(ValueError, match=r"was begun with learning_rate 0\.001, not 0\.5: resume with"):
        run(tmp_path / "run", resume=True, learning_rate=0.5)
    with pytest.raises(ValueError, match="was begun with data"):
        run(tmp_path / "run", resume=True, examples=EXAMPLES[1:])
    assert run(tmp_path / "run", resume=True, steps=3).step == 3


def test_config() -> None:
    assert len(TrainingConfig.model_fields) <= 30
    for wrong in ({"stepz": 3}, {"steps": 0}, {"learning_rate": float("nan")}, {"schedule": "square"}):
        with pytest.raises(ValidationError):
            TrainingConfig(**wrong)  # type: ignore[arg-type]


@given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 5))
def test_every_epoch_shows_every_row_once(count: int, size: int, seed: int) -> None:
    updates = -(-3 * count // size)
    shown = np.concatenate([rows_of_update(count, size, step, seed) for step in range(updates)])
    for epoch in range(3):
        assert sorted(shown[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_the_order_is_fixed_and_changes_with_seed_and_epoch() -> None:
    drawn = np.random.PCG64(int.from_bytes(sha256(b"order:0:0").digest()[:8], "big")).random_raw(8)
    assert rows_of_update(8, 8, 0, 0).tolist() == sorted(range(8), key=lambda row: int(drawn[row]))
    orders = {tuple(rows_of_update(50, 50, step, seed)) for step in range(3) for seed in range(3)}
    assert len(orders) == 9


def test_schedules() -> None:
    for schedule, half in (("cosine", 0.5), ("linear", 0.5), ("constant", 1.0)):
        config = TrainingConfig(schedule=schedule, warmup=3, learning_rate=0.1)  # type: ignore[arg-type]
        assert learning_rate(config, 0, 0) == pytest.approx(0.1 / 4)
        assert learning_rate(config, 3, 0) == pytest.approx(0.1)
        assert learning_rate(config, 50, 0.5) == pytest.approx(0.1 * half)
        assert learning_rate(config, 99, 1) == pytest.approx(0.1 if schedule == "constant" else 0)


if __name__ == "__main__":
    result = run(Path(sys.argv[1]), steps=100_000, save_every=100_000)
    print(result.reason, result.step)
