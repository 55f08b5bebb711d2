"""Matrix products in 8-bit floating point for the matrices of any model's blocks; GPT-2's have better ones
(``fused_gpt2``).

Each tensor is scaled by its own largest number (dynamic, tensorwise), forward in e4m3, gradients in e5m2, sums in
fp32 (Micikevicius et al. 2022, arXiv 2209.05433). Biases, norms, attention, embeddings and the head stay in bf16.
A Hopper card multiplies 8-bit matrices only where both lie along the dimension that is summed over, so each tensor
is written in the layout, or the two, that its products want. Only compiled are these writings cheap.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, Module
from transformers.pytorch_utils import Conv1D

from aritmo.blocks import as_class
from aritmo.operands import E4M3, E5M2, MULTIPLE, times_in_eight_bits


def check_float8(device: torch.device) -> None:
    """Raise ValueError unless the device multiplies 8-bit floating point: compute capability 8.9 or later."""
    if device.type != "cuda":
        raise ValueError("float8 needs a GPU, and training is on the CPU here: leave out training.float8")
    if torch.cuda.get_device_capability(device) < (8, 9):
        name = torch.cuda.get_device_name(device)
        raise ValueError(
            f"float8 needs a GPU of compute capability 8.9 or later (Ada, Hopper, Blackwell), and this is "
            f"{name}: leave out training.float8"
        )


def to_float8(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return ``x`` in 8 bits and the number (fp32, 0-d) that makes it right again."""
    most = torch.finfo(dtype).max
    scale = x.abs().amax().float().clamp(min=1e-12) / most
    return (x.float() / scale).clamp(-most, most).to(dtype), scale


class _Float8Product(torch.autograd.Function):
    """``x @ weight.T + bias``, and its gradients, with 8-bit operands.

    ``x`` is (m, k). ``weight`` is (n, k), or (k, n) where ``flipped``, as GPT-2 keeps it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, flipped: bool) -> Tensor:
        x8, x_scale = to_float8(x, E4M3)
        w8, w_scale = to_float8(weight, E4M3)
        across = w8.t().contiguous() if flipped else w8  # (n, k)
        ctx.save_for_backward(x8.t().contiguous(), x_scale, weight, w_scale)
        ctx.flipped, ctx.biased = flipped, bias is not None
        return times_in_eight_bits(x8, across, x_scale, w_scale, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x8_t, x_scale, weight, w_scale = ctx.saved_tensors
        g8, g_scale = to_float8(gradients[0], E5M2)
        g8_t = g8.t().contiguous()
        most = torch.finfo(E4M3).max
        w8 = (weight.float() / w_scale).clamp(-most, most).to(E4M3)
        along = w8 if ctx.flipped else w8.t().contiguous()  # (k, n)
        by_x = times_in_eight_bits(g8, along, g_scale, w_scale)
        if ctx.flipped:
            by_weight = times_in_eight_bits(x8_t, g8_t, x_scale, g_scale)
        else:
            by_weight = times_in_eight_bits(g8_t, x8_t, g_scale, x_scale)
        by_bias = gradients[0].sum(0, dtype=torch.float32).to(gradients[0].dtype) if ctx.biased else None
        return by_x, by_weight, by_bias, None


class _Float8Linear(Linear):
    """A linear layer that multiplies in 8 bits where it learns, from as many tokens as 8 bits want."""

    def forward(self, x: Tensor) -> Tensor:
        return _product(self, x, flipped=False) if _fits(x) else super().forward(x)


class _Float8Conv1D(Conv1D):  # type: ignore[misc]
    """The same for GPT-2, which keeps matrices as inputs by outputs."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = _product(self, x, flipped=True) if _fits(x) else super().forward(x)
        return out


_FLOAT8: dict[type, type] = {Linear: _Float8Linear, Conv1D: _Float8Conv1D}


def _even(weight: Any) -> bool:
    return not any(size % MULTIPLE for size in weight.shape)


def _fits(x: Tensor) -> bool:
    return torch.is_grad_enabled() and x.shape[:-1].numel() % MULTIPLE == 0


def _product(module: Linear, x: Tensor, flipped: bool) -> Tensor:
    out: Tensor = _Float8Product.apply(  # type: ignore[no-untyped-call]
        x.flatten(0, -2), module.weight, module.bias, flipped
    )
    return out.view(*x.shape[:-1], -1)


@contextmanager
def in_float8(blocks: list[Module]) -> Iterator[int]:
    """Let the matrices of blocks multiply in 8 bits; give how many do. They are as before at the end."""
    products = (module for block in blocks for module in block.modules() if type(module) in _FLOAT8)
    with as_class([module for module in products if _even(module.weight)], _FLOAT8) as count:
        yield count
