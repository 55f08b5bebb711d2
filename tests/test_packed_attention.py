"""GPT-2's attention by our kernels is that of each example alone, and so are its gradients. Needs a GPU."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.models.gpt2.modeling_gpt2 import GPT2Attention

from aritmo.attention import as_mask, attention_of
from aritmo.blocks import arranged, blocks_of

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
BORDERS = [0, 1, 6, 76, 140, 333, 333, 333]
"""Where examples begin, of 1 to 193 tokens, two empty ones last."""


def alone(joined: Tensor, heads: int, scale: float) -> Tensor:
    """Attend within each example by a softmax over its own pairs, in fp64."""
    seen = []
    for start, stop in pairwise(BORDERS[:-2]):
        query, key, value = joined[start:stop].double().view(stop - start, 3, heads, -1).permute(1, 2, 0, 3)
        scores = (query @ key.mT * scale).masked_fill(~torch.ones(stop - start, stop - start).tril().bool(), -1e30)
        seen.append((scores.softmax(-1) @ value).transpose(0, 1).flatten(1))
    return torch.cat(seen)


@needs_gpu
@pytest.mark.parametrize(("heads", "size"), [(25, 64), (2, 16), (3, 20), (4, 128)])
def test_a_token_sees_its_own_example_up_to_itself(heads: int, size: int) -> None:
    pytest.importorskip("triton")
    from aritmo.packed_attention import attend_packed

    torch.manual_seed(1)
    joined = torch.randn(BORDERS[-1], 3 * heads * size).bfloat16()
    given = torch.randn(BORDERS[-1], heads * size).bfloat16()
    theirs, ours = joined.double().requires_grad_(), joined.cuda().requires_grad_()
    seen = attend_packed(ours, torch.tensor(BORDERS, dtype=torch.int32, device="cuda"), heads, 0.2)
    expected = alone(theirs, heads, 0.2)
    seen.backward(given.cuda())
    expected.backward(given.double())
    torch.testing.assert_close(seen.cpu().double(), expected, atol=0.02, rtol=0.02)
    assert ours.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(ours.grad.cpu().double(), theirs.grad, atol=0.05, rtol=0.05)


def small(device: str) -> GPT2LMHeadModel:
    torch.manual_seed(2)
    config = GPT2Config(
        vocab_size=90, n_embd=48, n_layer=3, n_head=3, n_positions=200, attn_pdrop=0.0, resid_pdrop=0.0,
        embd_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).to(device)


def stream(device: str) -> dict[str, Tensor | bool]:
    begins = torch.tensor(BORDERS[:-3]).repeat_interleave(torch.tensor(BORDERS).diff()[:-2])
    return {
        "input_ids": (torch.arange(BORDERS[-1], device=device) * 7 % 90)[None],
        "position_ids": (torch.arange(BORDERS[-1]) - begins)[None].to(device),
        "attention_mask": as_mask(torch.tensor(BORDERS, device=device), 193),
        "use_cache": False,
    }


@needs_gpu
# Dynamo looks at the gradient of every tensor that it is given.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("compiled", [False, True])
def test_a_model_says_the_same_by_kernels_and_is_as_before_at_the_end(compiled: bool) -> None:
    model, reference = small("cuda").bfloat16(), small("cpu")
    before = [type(module) for module in model.modules()]
    with attention_of(model, "stream"), arranged(blocks_of(model), compiled, False):
        logits = model(**stream("cuda")).logits
        logits.float().square().sum().backward()
    with attention_of(reference, "stream"):
        expected = reference(**stream("cpu")).logits
        expected.square().sum().backward()
    torch.testing.assert_close(logits.float().cpu(), expected, atol=0.03, rtol=0.03)
    for ours, theirs in pairs(model, reference):
        assert (ours.float().cpu() - theirs).norm() < 0.05 * theirs.norm()
    assert [type(module) for module in model.modules()] == before


def pairs(model: GPT2LMHeadModel, reference: GPT2LMHeadModel) -> Iterator[tuple[Tensor, Tensor]]:
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        yield ours.grad, theirs.grad


def test_where_there_is_no_stream_the_attention_is_transformers_own() -> None:
    from aritmo.attention import _StreamedGPT2

    model = small("cpu")
    tokens = torch.arange(20)[None]
    expected = model(input_ids=tokens).logits
    for block in model.transformer.h:
        block.attn.__class__ = _StreamedGPT2
    assert torch.equal(model(input_ids=tokens).logits, expected)


def test_a_bias_that_is_added_by_itself_changes_nothing_but_rounding() -> None:
    from aritmo.blocks import _BiasApart

    block = small("cpu").transformer.h[0]
    x = torch.randn(2, 5, 4 * 48)
    torch.nn.init.normal_(block.mlp.c_proj.bias)
    expected = block.mlp.c_proj(x)
    block.mlp.c_proj.__class__ = _BiasApart
    torch.testing.assert_close(block.mlp.c_proj(x), expected)


def test_modules_of_another_class_are_as_before_at_the_end() -> None:
    from aritmo.attention import _StreamedGPT2
    from aritmo.blocks import as_class

    model = small("cpu")
    before = [type(module) for module in model.modules()]
    with as_class(model.modules(), {GPT2Attention: _StreamedGPT2}) as count:
        assert count == sum(type(module) is _StreamedGPT2 for module in model.modules()) == 3
    assert [type(module) for module in model.modules()] == before
