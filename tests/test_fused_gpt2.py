"""A GPT-2's blocks, fused, say and learn what transformers' say and learn."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from aritmo.attention import as_mask, attention_of
from aritmo.fused_gpt2 import FusedGpt2, fits

BORDERS = [0, 1, 6, 76, 140, 333, 352, 352]
"""Where examples begin, of 1 to 193 tokens, an empty one last. 352 is a multiple of 16, as 8 bits want."""


def small(**changed: float) -> GPT2LMHeadModel:
    torch.manual_seed(2)
    config = GPT2Config(
        vocab_size=90, n_embd=48, n_layer=3, n_head=3, n_positions=200, bos_token_id=0, eos_token_id=0,
        **({"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0} | changed),
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    for parameter in model.parameters():  # of biases too, which begin at 0
        torch.nn.init.normal_(parameter, 0.0, 0.2)
    return model


def stream() -> dict[str, Tensor]:
    ends = torch.tensor(BORDERS)
    begins = ends[:-1].repeat_interleave(ends.diff())
    return {
        "input_ids": (torch.arange(BORDERS[-1]) * 7 % 90)[None],
        "position_ids": (torch.arange(BORDERS[-1]) - begins)[None],
        "attention_mask": as_mask(ends, 193),
    }


def theirs(model: GPT2LMHeadModel, given: Tensor) -> Tensor:
    with attention_of(model, "stream"):
        hidden = model.transformer(**stream(), use_cache=False).last_hidden_state
        (hidden * given).sum().backward()
    return hidden.detach()


def gradients(model: GPT2LMHeadModel) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        yield name, parameter.grad


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_it_is_what_transformers_computes_to_the_last_digits_of_fp32(checkpointing: bool, scaled: bool) -> None:
    ours, other = (small(scale_attn_by_inverse_layer_idx=scaled) for _ in range(2))
    assert fits(ours)
    given = torch.randn(1, BORDERS[-1], 48)
    expected = theirs(other, given)
    hidden = FusedGpt2(ours, float8=False, checkpointing=checkpointing, adds=True)(**stream())
    (hidden * given).sum().backward()
    torch.testing.assert_close(hidden.detach(), expected, atol=2e-5, rtol=1e-4)
    for (name, found), (_, wanted) in zip(gradients(ours), gradients(other), strict=True):
        assert (found - wanted).norm() <= 1e-5 * wanted.norm(), name


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_second_micro_batch_is_added_where_the_first_is(checkpointing: bool) -> None:
    for adds in (True, False):
        model, given = small(), torch.ones(1, BORDERS[-1], 48)
        body = FusedGpt2(model, float8=False, checkpointing=checkpointing, adds=adds)
        (body(**stream()) * given).sum().backward()
        first = {name: gradient.clone() for name, gradient in gradients(model)}
        held = {name: gradient.data_ptr() for name, gradient in gradients(model)}
        (body(**stream()) * given).sum().backward()
        for name, gradient in gradients(model):
            torch.testing.assert_close(gradient, 2 * first[name], atol=1e-4, rtol=1e-4)
            assert not adds or gradient.data_ptr() == held[name]


def test_in_eight_bits_it_begins_in_bf16_and_stays_near() -> None:
    torch.manual_seed(3)
    ours, other, given = small().bfloat16(), small(), torch.randn(1, BORDERS[-1], 48)
    expected = theirs(other, given)
    body = FusedGpt2(ours, float8=True, checkpointing=False, adds=True)
    assert body.dials is not None
    found = []
    for _ in range(2):
        ours.zero_grad()
        hidden = body(**stream())
        (hidden.float() * given).sum().backward()
        body.turn()
        found.append(hidden.detach().float())
        for (name, gradient), (_, wanted) in zip(gradients(ours), gradients(other), strict=True):
            apart = (gradient.float() - wanted).norm() / wanted.norm()
            assert apart < 0.2, (name, apart)
    plain, eight = ((hidden - expected).norm() / expected.norm() for hidden in found)
    assert plain < 0.02
    assert plain < eight < 0.1
    assert (body.dials.numbers[..., 1] > 0).all()


def test_dials_go_on_from_what_a_checkpoint_holds() -> None:
    torch.manual_seed(4)
    bodies = [FusedGpt2(small().bfloat16(), float8=True, checkpointing=False, adds=True) for _ in range(2)]
    one, other = (body.dials for body in bodies)
    assert one is not None
    assert other is not None
    assert one.state() == []
    bodies[0](**stream()).float().sum().backward()
    bodies[0].turn()
    other.restore(one.state())
    torch.testing.assert_close(one.numbers, other.numbers, atol=0, rtol=0)
    with torch.no_grad():
        hidden = [body(**stream()) for body in bodies]
    assert torch.equal(*hidden)


def test_a_changed_weight_is_turned_into_eight_bits_anew() -> None:
    model = small().bfloat16()
    body = FusedGpt2(model, float8=True, checkpointing=False, adds=True)
    body(**stream()).float().sum().backward()
    body.turn()
    with torch.no_grad():
        before = body(**stream())
        model.transformer.h[1].mlp.c_fc.weight.mul_(1.5)
        changed = body(**stream())
        model.transformer.h[1].mlp.c_fc.weight.div_(1.5)
        assert not torch.equal(before, changed)
        torch.testing.assert_close(before, body(**stream()), atol=0.05, rtol=0.05)


def test_a_stream_of_odd_length_stays_in_bf16() -> None:
    model, odd = small().bfloat16(), {name: tensor[..., :-1] for name, tensor in stream().items()}
    odd["attention_mask"] = as_mask(torch.tensor([0, 1, 351]), 193)
    hidden = []
    for float8 in (False, True):
        body = FusedGpt2(model, float8=float8, checkpointing=False, adds=True)
        if float8:
            body(**stream()).float().sum().backward()
            body.turn()
        hidden.append(body(**odd).detach())
    assert torch.equal(*hidden)


def test_what_does_not_fit() -> None:
    assert not fits(small(attn_pdrop=0.1))
    frozen = small()
    frozen.transformer.h[0].ln_1.weight.requires_grad_(False)
    assert not fits(frozen)
    assert not fits(GPT2LMHeadModel(GPT2Config(n_embd=24, n_layer=1, n_head=2, vocab_size=9)))
    odd = small()
    odd.transformer.h[0].mlp.act = torch.nn.ReLU()
    assert not fits(odd)


def test_examples_do_not_see_each_other() -> None:
    body, given = FusedGpt2(small(), False, False, True), stream()
    with torch.no_grad():
        before = body(**given)[0]
        given["input_ids"][0, 6:76] = 5
        after = body(**given)[0]
    for start, stop in pairwise(BORDERS[:-1]):
        assert torch.equal(before[start:stop], after[start:stop]) == (start != 6)
