"""Matrices as the products of a model's blocks want them: in bf16, or in 8-bit floating point.

In 8 bits, forward in e4m3, gradients in e5m2, sums in fp32 (Micikevicius et al. 2022, arXiv 2209.05433). A Hopper
card multiplies 8-bit matrices only where both lie along the dimension that is summed over, so each is written
both by rows and by columns. Whatever makes a matrix writes it in 8 bits at once: it knows what to multiply it by
from the largest number of the update before (delayed scaling), and a power of two that leaves room for growth.
"""

from typing import NamedTuple

import torch
from torch import Tensor

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2

MULTIPLE = 16
"""Both dimensions of a matrix in 8 bits must be a multiple of this."""

ROOM = 4.0
"""How many times larger a number may be than the largest of the update before; beyond, it is cut off."""


class Dial(NamedTuple):
    """What one kind of matrix is scaled by: ``numbers`` (4,), fp32, are the scale that makes the 8-bit matrix
    right again, what it is multiplied by, the largest number seen since, and nothing, so that each scale begins
    at a multiple of 16 bytes.

    While not ``ready`` nothing has been seen yet: the matrix stays in bf16 and is only looked at.
    """

    numbers: Tensor
    dtype: torch.dtype
    ready: bool

    @property
    def scale(self) -> Tensor:
        return self.numbers[0]


class Operand(NamedTuple):
    """A matrix (r, c): ``rows`` as it is, ``columns`` (c, r) turned, in 8 bits a copy and in bf16 a view.

    ``scale`` (0-d, fp32) makes it right again; None in bf16.
    """

    rows: Tensor
    columns: Tensor
    scale: Tensor | None = None


def plain(matrix: Tensor) -> Operand:
    """Return a matrix in bf16 as an operand."""
    return Operand(matrix, matrix.t())


def times(a: Tensor, b: Tensor, a_scale: Tensor | None = None, b_scale: Tensor | None = None) -> Tensor:
    """Return ``a @ b.T``; ``a`` is (m, k), ``b`` (n, k), both in 8 bits where they have scales."""
    if a_scale is None or b_scale is None:
        return a @ b.t()
    return times_in_eight_bits(a, b, a_scale, b_scale)


def times_in_eight_bits(
    a: Tensor, b: Tensor, a_scale: Tensor, b_scale: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Return ``a @ b.T + bias`` in bf16; ``a`` is (m, k), ``b`` (n, k). Off a GPU it is the same product in fp32.

    Where neither is a gradient, the card sums with fewer bits, which is faster.
    """
    if a.is_cuda:
        return torch._scaled_mm(
            a, b.t(), scale_a=a_scale, scale_b=b_scale, bias=bias, out_dtype=torch.bfloat16,
            use_fast_accum=a.dtype == b.dtype == E4M3,
        )  # fmt: skip
    product = (a.float() @ b.float().t()) * (a_scale * b_scale)
    return (product if bias is None else product + bias.float()).to(torch.bfloat16)


class Dials:
    """The dials of all matrices that the blocks of a model make, ``dtypes`` naming those of one block."""

    def __init__(self, blocks: int, dtypes: tuple[torch.dtype, ...], device: torch.device) -> None:
        self.numbers = torch.zeros(blocks, len(dtypes), 4, device=device)
        self.ready = False
        self._dtypes = dtypes
        self._most = torch.tensor([torch.finfo(dtype).max for dtype in dtypes], device=device)

    def of(self, block: int, place: int, ready: bool = True) -> Dial:
        """Return the dial of a matrix of a block; with ``ready`` False one that only looks at it."""
        return Dial(self.numbers[block, place], self._dtypes[place], self.ready and ready)

    @torch.no_grad()
    def turn(self) -> None:
        """Set all dials by what was seen since the last time, by any process."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            largest = self.numbers[..., 2].contiguous()
            torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)
            self.numbers[..., 2] = largest
        factor = (self._most / (ROOM * self.numbers[..., 2].clamp(min=1e-30))).log2().floor().exp2()
        self.numbers[..., 0], self.numbers[..., 1], self.numbers[..., 2] = 1 / factor, factor, 0.0
        self.ready = True

    def state(self) -> list[list[float]]:
        """Return what a checkpoint must hold so that a run goes on as it would have."""
        numbers: list[list[float]] = self.numbers[..., 1].tolist()
        return numbers if self.ready else []

    def restore(self, state: list[list[float]]) -> None:
        """Set the dials as they were when ``state`` was given."""
        if state:
            factor = torch.tensor(state, device=self.numbers.device)
            self.numbers[..., 0], self.numbers[..., 1] = 1 / factor, factor
            self.ready = True
