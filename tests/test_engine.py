from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    GPTJConfig,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
)

import aritmo.engine as engine
from aritmo.engine import Engine, precision_on
from aritmo.packing import pack
from aritmo.records import read_jsonl
from aritmo.tokens import digit_tokenizer
from aritmo.training import TrainingConfig, rows_of_update, train

TOKENIZER = digit_tokenizer(("STEP",))
EXAMPLES = [(f"{a}+{b}=", f"{a + b}") for a in range(12) for b in range(11)]
ROWS, HELD_OUT = pack(TOKENIZER, EXAMPLES, 32), pack(TOKENIZER, [("99+1=", "100")] * 9, 32)
SIZES = {"vocab_size": len(TOKENIZER), "bos_token_id": 0, "eos_token_id": 0}
CONFIGS: dict[str, Callable[..., PretrainedConfig]] = {
    "gpt2": lambda drop: GPT2Config(
        **SIZES, n_positions=32, n_embd=32, n_layer=2, n_head=2, attn_pdrop=drop, resid_pdrop=drop, embd_pdrop=drop
    ),
    "gptj": lambda drop: GPTJConfig(
        **SIZES, n_positions=32, n_embd=32, n_layer=2, n_head=2, rotary_dim=8, attn_pdrop=drop, resid_pdrop=drop
    ),
    "llama": lambda _: LlamaConfig(
        **SIZES, max_position_embeddings=32, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=False,
    ),
}  # fmt: skip


def make(name: str = "gpt2", dropout: float = 0.0) -> PreTrainedModel:
    torch.manual_seed(1)
    return AutoModelForCausalLM.from_config(CONFIGS[name](dropout))


def config(**given: Any) -> TrainingConfig:
    return TrainingConfig(**({"context": 32, "batch_size": 4, "precision": "bf16", "warmup": 2} | given))


def teach(model: PreTrainedModel, steps: int, say: list[str] | None = None, **given: Any) -> list[float]:
    """Return the losses of so many updates."""
    chosen = config(**given)
    made, losses = Engine(model, chosen, ROWS, HELD_OUT), []
    with made.running((say if say is not None else []).append):
        for step in range(steps):
            rows = rows_of_update(len(ROWS), chosen.batch_size * chosen.gradient_accumulation, step, 0)
            made.set_rate(5e-3)
            made.train()
            loss, _ = made.learn(ROWS, rows, int(ROWS.trained[rows].sum()), step)
            made.step()
            losses.append(float(loss))
    return losses


@pytest.mark.parametrize("name", CONFIGS)
def test_streams_in_bf16_learn_what_rows_in_fp32_do(name: str) -> None:
    plain = teach(make(name), 20, precision="no")
    assert plain[-1] < plain[0] - 1
    for given in (
        {},
        {"optimizer": "lean"},
        {"checkpointing": True},
        {"batch_size": 2, "gradient_accumulation": 2},
    ):
        learned = teach(make(name), 20, **given)
        assert mean(abs(one - other) for one, other in zip(learned, plain, strict=True)) < 0.03
        # One update may lie further off where rounding is drawn by lot.
        assert learned == pytest.approx(plain, abs=0.2 if given.get("optimizer") == "lean" else 0.1)


def test_making_blocks_again_changes_nothing() -> None:
    model, again = make(dropout=0.1), make(dropout=0.1)
    assert teach(model, 4) == teach(again, 4, checkpointing=True)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    rows, same = make(), make()
    assert teach(rows, 4, precision="no") == teach(same, 4, precision="no", checkpointing=True)


@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_blocks_are_compiled_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[int] = []

    def count(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
        compiled.append(len(inputs))
        return graph.forward

    real = torch.compile
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", lambda what, **kw: real(what, backend=count, **kw))
    model = make()
    made = Engine(model, config(compile="on"), ROWS, HELD_OUT)
    losses, graphs = [], []
    with made.running():
        for step in range(4):
            rows = rows_of_update(len(ROWS), 4, step, 0)
            made.set_rate(5e-3)
            made.train()
            loss, _ = made.learn(ROWS, rows, int(ROWS.trained[rows].sum()), step)
            made.step()
            losses.append(float(loss))
            graphs.append(len(compiled))
        written = made.plainly(lambda: model.generate(torch.ones(1, 3, dtype=torch.long), max_new_tokens=3))()
        assert written.shape == (1, 6)
    assert 0 < graphs[0] == graphs[-1] == len(compiled)
    assert losses == pytest.approx(teach(make(), 4), abs=1e-3)
    assert all("forward" not in block.__dict__ for block in model.transformer.h)


def test_out_of_memory_halves_what_is_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real = engine.collate_stream

    def full(packed: Any, rows: Any, device: Any, count: int, limits: Any) -> Any:
        if count > 1 and len(rows):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(packed, rows, device, count, limits)

    said: list[str] = []
    whole = teach(make(), 5, gradient_accumulation=2)
    monkeypatch.setattr(engine, "collate_stream", full)
    assert teach(make(), 5, said, gradient_accumulation=2) == pytest.approx(whole, abs=0.01)
    assert said == [
        "out of memory with 4 sequences at once: going on with 2, the same an update",
        "out of memory with 2 sequences at once: going on with 1, the same an update",
    ]
    monkeypatch.setattr(engine, "collate_stream", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError()))
    with pytest.raises(ValueError, match=r"out of memory with one sequence at once: set training.checkpointing"):
        teach(make(), 1)


@pytest.mark.parametrize("optimizer", ["adamw", "lean"])
def test_a_resumed_run_in_bf16_equals_an_uninterrupted_one(optimizer: str, tmp_path: Path) -> None:
    chosen = config(optimizer=optimizer, steps=6, save_every=3, evaluate_every=100, keep=5)

    def run(folder: Path, resume: bool = False) -> dict[str, torch.Tensor]:
        model = make(dropout=0.1)
        result = train(model, TOKENIZER, ROWS, HELD_OUT, chosen, folder, resume=resume)
        assert model.dtype == torch.bfloat16
        found = load_file(result.checkpoint / "model.safetensors")
        return found | load_file(result.checkpoint / "optimizer.safetensors")

    whole = run(tmp_path / "whole")
    run(tmp_path / "parts")
    for left in (tmp_path / "parts" / "checkpoints").glob("*6"):
        (left / "manifest.json").unlink()
    parts = run(tmp_path / "parts", resume=True)
    assert whole.keys() == parts.keys()
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())
    assert any(name.startswith("exp_avg_sq_scale:" if optimizer == "lean" else "master:") for name in whole)
    lines = [list(read_jsonl(tmp_path / name / "metrics.jsonl")) for name in ("whole", "parts")]
    assert [line.get("loss") for line in lines[0]] == [line.get("loss") for line in lines[1]]


def test_a_model_with_an_attention_of_its_own_learns_in_bf16_all_the_same() -> None:
    torch.manual_seed(1)
    llama = make("llama")
    llama.set_attn_implementation("eager")
    losses = teach(llama, 10)
    assert llama.dtype == torch.float32, "autocast leaves weights as they are"
    assert losses == pytest.approx(teach(make("llama"), 10), abs=0.03)


def test_precision() -> None:
    assert precision_on("auto", torch.device("cpu")) == "no"
    assert precision_on("bf16", torch.device("cpu")) == "bf16"


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="float8 needs a GPU, and training is on the CPU here"):
        Engine(make(), config(float8=True), ROWS, HELD_OUT)
    with pytest.raises(ValueError, match="optimizer lean needs bf16 and a GPT-2, GPT-J or a model like Llama"):
        Engine(make(), config(optimizer="lean", precision="no"), ROWS, HELD_OUT)
    bloom = AutoModelForCausalLM.from_config(BloomConfig(vocab_size=99, hidden_size=16, n_layer=2, n_head=2))
    with pytest.raises(ValueError, match="optimizer lean needs bf16"):
        Engine(bloom, config(optimizer="lean"), ROWS, HELD_OUT)
