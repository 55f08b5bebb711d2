import pytest
import torch
from torch.nn import Linear
from transformers.pytorch_utils import Conv1D

from aritmo.float8 import check_float8, in_float8, to_float8
from aritmo.operands import E4M3


def test_scaled_to_the_largest() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 64, dtype=torch.bfloat16) * 1e-4
    x8, scale = to_float8(x, E4M3)
    assert x8.dtype == E4M3
    assert x8.float().abs().max() == 448
    assert (x8.float() * scale - x.float()).norm() < 0.04 * x.float().norm()
    zero, scale = to_float8(torch.zeros(4, 4), E4M3)
    assert not zero.float().any()
    assert scale > 0


@pytest.mark.parametrize("kind", [Linear, Conv1D])
def test_products_and_gradients_are_near_those_of_bf16(kind: type[torch.nn.Module]) -> None:
    torch.manual_seed(1)
    layer = (Linear(32, 48) if kind is Linear else Conv1D(48, 32)).bfloat16()
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x, given = torch.randn(2, 40, 32).bfloat16(), torch.randn(2, 40, 48).bfloat16()
    found = []
    for in_eight in (False, True):
        inputs = x.clone().requires_grad_()
        layer.zero_grad()
        if in_eight:
            with in_float8([layer]) as count:
                assert count == 1
                out = layer(inputs)
                out.backward(given)
                with torch.no_grad():
                    assert torch.equal(layer(x), found[0][0]), "what is asked of it is answered in bf16"
        else:
            out = layer(inputs)
            out.backward(given)
        gradients = [inputs.grad, layer.weight.grad, layer.bias.grad]
        found.append([out.detach(), *(gradient.clone() for gradient in gradients if gradient is not None)])
    assert type(layer) is kind
    for plain, eight in zip(*found, strict=True):
        assert plain.shape == eight.shape
        assert eight.dtype == torch.bfloat16
        error = (plain.float() - eight.float()).norm() / plain.float().norm()
        assert error < 0.08
    assert not torch.equal(found[0][0], found[1][0])


def test_what_does_not_fit_stays_in_bf16() -> None:
    odd, even = Linear(30, 32).bfloat16(), Linear(32, 32).bfloat16()
    with in_float8([odd, even]) as count:
        assert count == 1
        x = torch.randn(5, 32).bfloat16()
        few = even(x)
    assert torch.equal(few, even(x)), "five tokens are no multiple of 16"


def test_where_it_is_refused() -> None:
    with pytest.raises(ValueError, match="float8 needs a GPU, and training is on the CPU here"):
        check_float8(torch.device("cpu"))
