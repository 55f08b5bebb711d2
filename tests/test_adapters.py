import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTJConfig,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
)

from aritmo.adapters import base_of, check_extra
from aritmo.models import open_adapted, open_model
from aritmo.packing import pack
from aritmo.tokens import digit_tokenizer
from aritmo.training import TrainingConfig, TrainingResult, train

TOKENIZER = digit_tokenizer(())
ROWS = pack(TOKENIZER, [(f"{a}+{b}=", f"{a + b}") for a in range(9) for b in range(9)], 32)
SIZE = {"vocab_size": len(TOKENIZER), "bos_token_id": 1, "eos_token_id": 1}
CONFIGS: dict[str, PretrainedConfig] = {
    "gpt2": GPT2Config(n_positions=32, n_embd=16, n_layer=2, n_head=2, **SIZE),
    "gptj": GPTJConfig(n_positions=32, n_embd=16, n_layer=1, n_head=2, rotary_dim=8, **SIZE),
    "llama": LlamaConfig(
        max_position_embeddings=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, **SIZE,
    ),
}  # fmt: skip


@pytest.fixture(params=CONFIGS)
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(CONFIGS[request.param]).save_pretrained(tmp_path / "base")
    TOKENIZER.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def fresh(base: Path, seed: int = 3) -> PreTrainedModel:
    return open_adapted(str(base), None, 32, seed, rank=4, bits=32)[0]


def learn(model: PreTrainedModel, run: Path, steps: int, resume: bool = False) -> TrainingResult:
    config = TrainingConfig(
        model="base", context=32, batch_size=3, steps=6, learning_rate=0.05, schedule="constant",
        save_every=2, evaluate_every=2,
    ).model_copy(update={"steps": steps})  # fmt: skip
    return train(model, TOKENIZER, ROWS, ROWS, config, run, resume=resume)


def test_only_the_adapter_is_trained_saved_and_resumed_to_the_bit(base: Path, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in open_model(str(base), context=32)[0].state_dict().items()}
    model = fresh(base)
    ids = torch.arange(12)[None]
    first = model(ids).logits
    torch.testing.assert_close(first, open_model(str(base), context=32)[0](ids).logits, rtol=0, atol=0)
    whole = learn(model, tmp_path / "whole", 6)
    names = {path.name for path in whole.checkpoint.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "optimizer.safetensors"} <= names
    assert not {"model.safetensors", "config.json"} & names
    assert Path(base_of(whole.checkpoint)) == base.resolve()
    for name, tensor in model.state_dict().items():
        if "lora_" not in name:
            assert torch.equal(tensor, before[name.replace(".base_layer", "")]), name
    learn(fresh(base), tmp_path / "parts", 2)
    parts = learn(fresh(base, seed=8), tmp_path / "parts", 6, resume=True)
    for file in ("adapter_model.safetensors", "optimizer.safetensors"):
        one, other = load_file(whole.checkpoint / file), load_file(parts.checkpoint / file)
        assert one.keys() == other.keys()
        assert one.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    opened, _ = open_model(str(whole.checkpoint), context=32)
    torch.testing.assert_close(opened(ids).logits, model(ids).logits, rtol=0, atol=0)
    assert (opened(ids).logits - first).abs().max() > 1e-3


def test_an_adapter_is_no_whole_model(tmp_path: Path) -> None:
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(CONFIGS["gpt2"]).save_pretrained(tmp_path / "base")
    TOKENIZER.save_pretrained(tmp_path / "base")
    learn(fresh(tmp_path / "base"), tmp_path / "run", 2)
    plain = open_model(str(tmp_path / "base"), context=32)[0]
    with pytest.raises(ValueError, match="is of another model"):
        learn(plain, tmp_path / "run", 4, resume=True)
    with pytest.raises(ValueError, match="tiny has no learned weights"):
        open_adapted("tiny", TOKENIZER, 32, 0, 4, 32)


def test_a_missing_extra_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    for package, bits, said in (("bitsandbytes", 4, r"aritmo\[qlora\]"), ("peft", 32, r"aritmo\[lora\]")):
        monkeypatch.setattr(
            "aritmo.adapters.find_spec", lambda name, gone=package: None if name == gone else found("json")
        )
        with pytest.raises(ValueError, match=said):
            check_extra(bits)
