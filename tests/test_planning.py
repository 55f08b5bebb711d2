from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PretrainedConfig

from aritmo.cards import card_named
from aritmo.planning import (
    CORE_FLOPS,
    CPU_MODE,
    GIB,
    GPU_MODES,
    Device,
    Work,
    advice,
    best_of,
    kept_per_token,
    parts_at_peak,
    plan,
    sequences_of,
)
from aritmo.shapes import KNOWN_SHAPES, shape_of

MODES = {mode.name: mode for mode in GPU_MODES}
XL, GPTJ = KNOWN_SHAPES["gpt2-xl"], KNOWN_SHAPES["gpt-j-6b"]
WORK = Work(steps=1000, batch=8, context=1024)
LLAMA = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2}


def card(name: str, gib: float | None = None) -> Device:
    return Device.of_card(card_named(name), gib)


def kept_by_autograd(config: PretrainedConfig, layers: int, tokens: int) -> int:
    """Return the bytes of all that autograd keeps of a forward pass, weights left out, each storage once."""
    config.num_hidden_layers = layers
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no other gets its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.base_model(
            input_ids=torch.ones(1, tokens, dtype=torch.long), use_cache=False
        ).last_hidden_state.sum()
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in weights)


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(n_embd=64, n_head=4, vocab_size=50, attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0),
        GPT2Config(n_embd=64, n_head=4, vocab_size=50, attn_pdrop=0.0),
        LlamaConfig(**LLAMA, vocab_size=50),
    ],
    ids=["gpt2", "gpt2 with dropout", "llama"],
)
def test_a_block_keeps_what_autograd_keeps(config: PretrainedConfig) -> None:
    """In fp32 and uncompiled, where autograd itself can be asked; one block is the difference of three and two."""
    tokens = 256
    difference = kept_by_autograd(config, 3, tokens) - kept_by_autograd(config, 2, tokens)
    planned = tokens * kept_per_token(shape_of(config.to_dict(), "x"), compiled=False, element=4)
    assert planned == pytest.approx(difference, rel=0.03)


def test_states_are_counted_by_the_parameter() -> None:
    parts = parts_at_peak(XL, MODES["full"], 8, 1024, accumulates=True)
    count = XL.parameters
    assert parts["weights"] == 2 * count
    assert parts["master weights"] == 4 * count
    assert parts["moments"] == 8 * count
    assert parts["gradients"] == 2 * count
    assert XL.layers * 8 * 1024 * 16 * 2 * XL.width < parts["activations"] < 20 * GIB


def test_xl_in_full_is_near_what_was_measured() -> None:
    """On an H100 it took 62.07 GiB with 8 times 16 sequences of 1,024, in bf16 and in float8."""
    full, eight, *_ = plan(replace(XL, dropout=False), replace(WORK, batch=16), card("H100"))
    assert full.micro == eight.micro == 16
    for one in (full, eight):
        parts = parts_at_peak(replace(XL, dropout=False), one.mode, 16, 1024, accumulates=True)
        assert sum(parts.values()) / GIB == pytest.approx(62.07, rel=0.02)


def test_xl_fits_in_16_gib_and_gptj_in_80() -> None:
    xl = plan(XL, WORK, card("V100"))
    best = best_of(xl)
    assert best is not None
    assert best.mode.name == "lean"
    assert sum(best.host.values()) < 12 * GIB
    assert not xl[0].fits
    gptj = best_of(plan(GPTJ, WORK, card("H100")))
    assert gptj is not None
    assert gptj.mode.name.startswith("lean")
    small = best_of(plan(GPTJ, WORK, card("V100")))
    assert small is not None
    assert small.mode.rank == 16


def test_the_micro_batch_is_the_largest_divisor_that_fits() -> None:
    for one in plan(XL, replace(WORK, batch=48), card("A100")):
        assert one.micro * one.accumulation == 48
        if one.fits and one.accumulation > 1:
            larger = next(size for size in range(one.micro + 1, 49) if 48 % size == 0)
            parts = parts_at_peak(XL, one.mode, larger, 1024, larger < 48)
            assert sum(parts.values()) + 0.5 * GIB > 0.97 * one.device.memory - 0.2 * GIB


@given(
    st.sampled_from(sorted(KNOWN_SHAPES)), st.sampled_from(GPU_MODES), st.integers(1, 64), st.integers(2, 1024),
    st.booleans(),
)  # fmt: skip
def test_more_never_takes_less(name: str, mode: Any, micro: int, context: int, accumulates: bool) -> None:
    shape = KNOWN_SHAPES[name]
    peak = sum(parts_at_peak(shape, mode, micro, context, accumulates).values())
    assert peak <= sum(parts_at_peak(shape, mode, micro + 1, context, accumulates).values())
    assert peak <= sum(parts_at_peak(shape, mode, micro, context, True).values())
    assert peak > mode.weights(shape) > 0
    if mode.compiled:
        again = replace(mode, checkpointing=True)
        eager = replace(mode, compiled=False)
        assert peak <= sum(parts_at_peak(shape, eager, micro, context, accumulates).values())
        if micro * context > 4096:
            assert peak >= sum(parts_at_peak(shape, again, micro, context, accumulates).values())


def test_time_follows_from_the_work_and_the_card() -> None:
    full, again, *_ = plan(XL, WORK, card("H100"))
    assert full.tokens_per_second == pytest.approx(0.51 * 989e12 / 10.2735e9, rel=1e-3)
    assert full.seconds == pytest.approx(1000 * 8 * 1024 / full.tokens_per_second)
    assert again.seconds == pytest.approx(full.seconds * 4 / 3)
    half = plan(XL, WORK, card("A100 80GB"))[0]
    assert half.seconds == pytest.approx(full.seconds * 989 / 312)
    short = plan(XL, replace(WORK, steps=10), card("H100"))[0]
    assert not short.mode.compiled
    # It is the work that makes compiling worth its time (aritmo.engine), not the number of updates.
    assert full.mode.compiled
    assert not plan(KNOWN_SHAPES["gpt2"], WORK, card("H100"))[0].mode.compiled
    assert short.parts["activations"] > 1.5 * full.parts["activations"]
    unknown = plan(XL, WORK, Device.of_card(None, 16))[0]
    assert (unknown.seconds, unknown.tokens_per_second) == (None, None)


def test_eight_bits_are_for_cards_that_have_them_and_whoever_asks() -> None:
    plain = replace(XL, dropout=False)
    for name, there in (("H100", True), ("L4", True), ("A100 80GB", False)):
        fits = plan(plain, WORK, card(name))
        assert any(one.mode.eight for one in fits) == there
        assert not best_of(fits).mode.eight  # type: ignore[union-attr]
    assert not any(one.mode.eight for one in plan(XL, WORK, card("H100"))), "with dropout"
    assert not any(one.mode.eight for one in plan(GPTJ, WORK, card("H100")))
    full, eight, *_ = plan(plain, WORK, card("H100"))
    assert full.tokens_per_second == pytest.approx(55_513, rel=0.01)
    assert eight.tokens_per_second == pytest.approx(70_130, rel=0.01)
    # With few sequences at once the 8-bit copies of the matrices weigh more than what they spare.
    one, other = (parts_at_peak(plain, mode, 1, 1024, False) for mode in (full.mode, eight.mode))
    assert other["weights"] - one["weights"] == 2 * XL.layers * XL.block


def test_a_cpu_has_one_way_in_its_own_memory() -> None:
    (only,) = plan(KNOWN_SHAPES["gpt2"], WORK, Device("CPU", 8 * GIB, 2 * CORE_FLOPS, gpu=False))
    assert only.mode.name == CPU_MODE.name
    assert only.needed == only.peak + sum(only.host.values())
    assert only.parts["moments"] == 8 * KNOWN_SHAPES["gpt2"].parameters
    assert only.tokens_per_second == pytest.approx(2 * CORE_FLOPS / KNOWN_SHAPES["gpt2"].flops(1024))


def test_sequences_and_epochs() -> None:
    assert sequences_of(45_000, 60, 1024) == pytest.approx(45_000 * 60 / 1024, rel=0.03)
    assert sequences_of(1, 1, 1024) == 1
    assert replace(WORK, sequences=2000).epochs == 4
    assert WORK.epochs is None


def test_advice() -> None:
    assert advice(plan(XL, WORK, card("H100"))) == "fits: «full», with --set training.precision=bf16"
    tight = advice(plan(XL, replace(WORK, batch=64), card("A100")))
    assert tight.endswith("--batch-size 4 --set training.gradient_accumulation=16")
    nothing = advice(plan(GPTJ, WORK, Device.of_card(None, 2)))
    assert nothing.startswith("does not fit: «LoRA, 4-bit base», which takes least, takes ")
    assert nothing.endswith("GiB of the 2.0 there are: take a larger card, a smaller model or a shorter context")
    with pytest.raises(ValueError, match=r"takes 1,024 tokens at once, not 2,048; lower training\.context"):
        plan(XL, replace(WORK, context=2048), card("H100"))


@pytest.mark.parametrize(
    ("model", "mode", "measured"),
    [
        ("gpt2", "full", 4.52), ("gpt2", "full, float8", 4.34), ("gpt2", "full, checkpointing", 2.41),
        ("gpt2", "lean", 3.37), ("gpt2", "lean, checkpointing", 1.25), ("gpt2", "LoRA", 0.98),
        ("gpt2", "LoRA, 8-bit base", 1.87), ("gpt2", "LoRA, 4-bit base", 0.85), ("gpt2-xl", "full", 40.29),
        ("gpt2-xl", "full, float8", 40.02), ("gpt2-xl", "full, checkpointing", 24.05),
        ("gpt2-xl", "lean", 25.83), ("gpt2-xl", "lean, checkpointing", 9.58), ("gpt2-xl", "LoRA", 5.37),
        ("gpt2-xl", "LoRA, 8-bit base", 12.30), ("gpt2-xl", "LoRA, 4-bit base", 3.29),
        ("gpt-j-6b", "full", 104.90), ("gpt-j-6b", "full, checkpointing", 91.25), ("gpt-j-6b", "lean", 48.72),
        ("gpt-j-6b", "lean, checkpointing", 35.07), ("gpt-j-6b", "LoRA", 15.72),
        ("gpt-j-6b", "LoRA, 8-bit base", 21.30), ("gpt-j-6b", "LoRA, 4-bit base", 7.93),
    ],
)  # fmt: skip
def test_the_memory_is_what_was_measured(model: str, mode: str, measured: float) -> None:
    """GiB on an H200 at 8 sequences of 1,024 tokens: benchmarks/memory_gpu_H200_2026-11-28.md."""
    shape = replace(KNOWN_SHAPES[model], dropout=False)
    planned = sum(parts_at_peak(shape, MODES[mode], 8, 1024, accumulates=False).values()) / GIB
    assert planned == pytest.approx(measured, rel=0.05)
