"""AdamW in 6 bytes a parameter: weights and gradients in bf16, both moments in 8 bits, and no master weights.

Moments are kept as logarithms, one scale for each block of 256 as in Dettmers et al. (2022, arXiv 2110.02861). A
square never becomes 0 beside a mean that is not, which would make an update without bound (Li et al. 2023, arXiv
2309.01507). Whatever is rounded, weights too, goes up or down at random so that it stays right on average (Gupta
et al. 2015, arXiv 1502.02551): rounded to the nearest, a change smaller than half a step would be lost for ever.
"""

from typing import ClassVar

import torch
from torch import Tensor

from aritmo.numbers.randomness import seed_of
from aritmo.pages import BLOCK, Kind, PagedAdamW

_MEAN_LEVELS, _MEAN_OCTAVES = 127, 16.0
_SQUARE_LEVELS, _SQUARE_OCTAVES = 255, 32.0
"""How many sizes a code tells apart, and the powers of two that lie between the largest and the smallest."""


class LeanAdamW(PagedAdamW):
    """``PagedAdamW`` with 8-bit moments, on weights in bf16 alone."""

    kinds: ClassVar[dict[str, Kind]] = {
        "exp_avg": Kind(torch.uint8),
        "exp_avg_sq": Kind(torch.uint8),
        "exp_avg_scale": Kind(torch.float32, BLOCK),
        "exp_avg_sq_scale": Kind(torch.float32, BLOCK),
    }

    def _seed(self, step: int, group: int, page: int) -> int:
        return seed_of("rounding", self.seed, step, group, page) % 2**31

    @staticmethod
    def rule(  # type: ignore[override]
        dials: Tensor, seed: Tensor, weight: Tensor, gradient: Tensor,
        mean: Tensor, square: Tensor, mean_scale: Tensor, square_scale: Tensor,
    ) -> Tensor:  # fmt: skip
        """Change a page of moments in place and return the weights, in bf16; ``dials`` as in ``PagedAdamW``."""
        rate, decay, beta1, beta2, fix1, fix2, eps, scale = dials.unbind()
        drawn = draw_bits(weight.numel(), seed)
        g = (gradient.float() * scale).view(-1, BLOCK)
        m, v = decode_mean(mean, mean_scale), decode_square(square, square_scale)
        m = m + (1 - beta1) * (g - m)
        v = beta2 * v + (1 - beta2) * g * g
        w = weight.float() * (1 - rate * decay)
        w = w - (rate * (m / fix1) / ((v / fix2).sqrt() + eps)).view(-1)
        size = m.abs().amax(1)
        mean.copy_(encode_mean(m, size, (drawn & 0xFF).view(-1, BLOCK)))
        mean_scale.copy_(size)
        size = v.amax(1)
        square.copy_(encode_square(v, size, (drawn >> 8 & 0xFF).view(-1, BLOCK)))
        square_scale.copy_(size)
        return round_at_random(w, drawn >> 16 & 0xFFFF)


def draw_bits(count: int, seed: Tensor) -> Tensor:
    """Return ``count`` draws of 32 bits that follow from ``seed`` (int32, 0-d), by murmur3's finaliser."""
    # The seed comes in before the product, too: what is only places and constants, Inductor multiplies out in
    # numbers that no int32 holds, and Triton refuses them.
    x = (torch.arange(count, dtype=torch.int32, device=seed.device) ^ seed) * -1640531535 + seed
    x = (x ^ (x >> 16 & 0xFFFF)) * -2048144789
    x = (x ^ (x >> 13 & 0x7FFFF)) * -1028477387
    return x ^ (x >> 16 & 0xFFFF)


def round_at_random(x: Tensor, bits: Tensor) -> Tensor:
    """Return fp32 as bf16, one of the two neighbours, the nearer the likelier; ``bits`` are 16 random ones."""
    return ((x.view(torch.int32) + bits) & -65536).view(torch.float32).to(torch.bfloat16)


def encode_mean(m: Tensor, largest: Tensor, bits: Tensor) -> Tensor:
    """Return codes (blocks * BLOCK), 0 for 0, 1 to 127 for what is above it by size, 129 to 255 for below."""
    code = _encode(m.abs(), largest, bits, _MEAN_LEVELS, _MEAN_OCTAVES)
    return torch.where(m < 0, code + 128, code).clamp(0, 255).to(torch.uint8).view(-1)


def decode_mean(code: Tensor, largest: Tensor) -> Tensor:
    """Return what codes stand for, (blocks, BLOCK)."""
    code = code.view(-1, BLOCK).to(torch.int32)
    size = _decode(code & 127, largest, _MEAN_LEVELS, _MEAN_OCTAVES)
    return torch.where(code >= 128, -size, size)


def encode_square(v: Tensor, largest: Tensor, bits: Tensor) -> Tensor:
    """Return codes (blocks * BLOCK), 0 only where the whole block is 0."""
    code = _encode(v, largest, bits, _SQUARE_LEVELS, _SQUARE_OCTAVES).clamp(min=1)
    return torch.where(largest[:, None] > 0, code, 0).to(torch.uint8).view(-1)


def decode_square(code: Tensor, largest: Tensor) -> Tensor:
    """Return what codes stand for, (blocks, BLOCK)."""
    return _decode(code.view(-1, BLOCK).to(torch.int32), largest, _SQUARE_LEVELS, _SQUARE_OCTAVES)


def _encode(x: Tensor, largest: Tensor, bits: Tensor, levels: int, octaves: float) -> Tensor:
    """Return 0 to ``levels``: sizes (blocks, BLOCK) by logarithm, up or down by 8 random bits."""
    step = octaves / (levels - 1)
    share = x / largest[:, None].clamp(min=1e-38)
    below = (share.clamp(min=2.0**-octaves).log2() / step + levels).floor().clamp(1, levels)
    value = ((below - levels) * step).exp2()
    # Between nothing and the smallest size, up is to that size; elsewhere to the next.
    small = share < 2.0**-octaves
    part = torch.where(small, share * 2.0**octaves, (share / value - 1) / (2.0**step - 1))
    code = torch.where(small, below - 1, below) + (part * 256 > bits + 0.5)
    return code.clamp(0, levels).to(torch.int32)


def _decode(code: Tensor, largest: Tensor, levels: int, octaves: float) -> Tensor:
    size = ((code - levels).float() * (octaves / (levels - 1))).exp2() * largest[:, None]
    return torch.where(code > 0, size, 0.0)
