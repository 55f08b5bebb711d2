import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTJConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from aritmo.shapes import KNOWN_SHAPES, gpt2_shape, shape_of

LLAMA = {
    "hidden_size": 64, "intermediate_size": 100, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 77,
}  # fmt: skip


def parameters(config: PretrainedConfig) -> int:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config).num_parameters()


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(n_embd=48, n_layer=3, n_head=4, n_inner=100, vocab_size=99),
        GPTJConfig(n_embd=64, n_layer=2, n_head=4, rotary_dim=8, vocab_size=333),
        LlamaConfig(**LLAMA),
        LlamaConfig(**LLAMA, attention_bias=True, tie_word_embeddings=True),
        MistralConfig(**LLAMA),
        Qwen2Config(**LLAMA),
        Qwen3Config(**LLAMA, head_dim=32),
    ],
    ids=lambda config: type(config).__name__,
)
def test_parameters_are_those_of_transformers(config: PretrainedConfig) -> None:
    shape = shape_of(config.to_dict(), "x")
    assert shape.parameters == parameters(config)
    assert shape.layers == config.num_hidden_layers


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("gpt2", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
        ("gpt-j-6b", 6_050_882_784),
    ],
)
def test_the_known_models(name: str, count: int) -> None:
    assert KNOWN_SHAPES[name].parameters == count


def test_the_known_models_are_those_that_open() -> None:
    from aritmo.models import KNOWN

    assert set(KNOWN_SHAPES) == set(KNOWN)


def test_a_token_of_gpt2_xl_costs_what_is_known() -> None:
    assert KNOWN_SHAPES["gpt2-xl"].flops(1024) == pytest.approx(10.27e9, rel=1e-3)


@given(st.integers(1, 5), st.integers(1, 8), st.integers(1, 500), st.integers(1, 64))
def test_an_adapter_has_two_thin_matrices_beside_each(layers: int, heads: int, vocabulary: int, rank: int) -> None:
    shape = gpt2_shape(layers, 8 * heads, heads, vocabulary)
    thin = sum(rank * inputs + outputs * rank for inputs, outputs in shape.matrices)
    assert shape.adapter(rank) == layers * thin


def test_what_cannot_be_counted_is_said() -> None:
    with pytest.raises(
        ValueError, match=r"model x is of type mamba, whose size is not counted here; counted are gpt2"
    ):
        shape_of({"model_type": "mamba"}, "x")
    with pytest.raises(ValueError, match=r"the config.json of model x lacks 'n_layer'"):
        shape_of({"model_type": "gpt2", "n_embd": 8}, "x")
