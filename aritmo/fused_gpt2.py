"""The blocks of a GPT-2 as they learn from streams, each one step of autograd whose parts are kernels.

What is computed is transformers' GPT2Block. What is spared are bytes and power, which are what a training on a
large GPU is short of: nothing is read or written twice between products, no bias is added by itself, sums are
made where their numbers are, and the gradients of a second micro-batch are added by the product that makes them.
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Dropout, LayerNorm, Module, Parameter
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.activations import NewGELUActivation
from transformers.models.gpt2.modeling_gpt2 import GPT2Attention, GPT2Block, GPT2Model
from transformers.pytorch_utils import Conv1D

from aritmo import fused
from aritmo.attention import Spans, score_scale
from aritmo.operands import E4M3, E5M2, MULTIPLE, Dial, Dials, Operand, plain, times

_MADE = (E4M3, E4M3, E4M3, E4M3, E5M2, E5M2, E5M2, E5M2)
"""The matrices that a block makes for products, in their order; what is a gradient has a wider range."""


def fits(model: PreTrainedModel) -> bool:
    """Return whether a model's blocks are those of a plain GPT-2 that learns as a whole, without dropout."""
    base, config = model.base_model, model.config
    if type(base) is not GPT2Model or config.attn_pdrop or config.resid_pdrop or config.add_cross_attention:
        return False
    kinds = {LayerNorm, GPT2Attention, Conv1D, NewGELUActivation, Dropout}
    blocks = list(base.h)
    inside = (module for block in blocks for name, module in block.named_modules() if name not in ("", "mlp"))
    known = all(type(block) is GPT2Block for block in blocks) and all(type(module) in kinds for module in inside)
    return (
        known
        and not any(size % MULTIPLE for size in (config.n_embd, config.n_inner or 0))
        and all(p.requires_grad for p in base.parameters())
    )


class Weights(NamedTuple):
    """A block's parameters."""

    norm1: Parameter
    norm1_bias: Parameter
    joined: Parameter
    joined_bias: Parameter
    back: Parameter
    back_bias: Parameter
    norm2: Parameter
    norm2_bias: Parameter
    up: Parameter
    up_bias: Parameter
    down: Parameter
    down_bias: Parameter

    @classmethod
    def of(cls, block: Module) -> "Weights":
        parts: Any = block
        modules = (parts.ln_1, parts.attn.c_attn, parts.attn.c_proj, parts.ln_2, parts.mlp.c_fc, parts.mlp.c_proj)
        return cls(*(parameter for module in modules for parameter in (module.weight, module.bias)))


class Told(NamedTuple):
    """What a block's step is told besides numbers that have gradients."""

    number: int
    borders: Tensor
    spans: Spans
    heads: int
    scale: float
    epsilon: float
    model: "FusedGpt2"
    eight: bool

    def dial(self, place: int) -> Dial | None:
        dials = self.model.dials
        return None if dials is None else dials.of(self.number, place, self.eight)

    def factor(self, weight: Tensor) -> Operand:
        """Return a weight as a factor of products."""
        return self.model.in_eight_bits(weight) if self.eight else plain(weight)


class FusedGpt2:
    """A GPT-2's way from tokens to its last hidden states, for streams.

    ``float8`` multiplies in 8 bits, from the second update on. ``adds`` lets a product add its gradient to what
    is there already, which no one else may then wait for: not where processes add up gradients as they come.
    """

    def __init__(self, model: PreTrainedModel, float8: bool, checkpointing: bool, adds: bool) -> None:
        self._base, self._checkpointing, self.adds = model.base_model, checkpointing, adds
        self.dials = Dials(len(self._base.h), _MADE, model.device) if float8 else None
        self._eight: dict[int, tuple[int, Operand]] = {}

    def __call__(self, input_ids: Tensor, position_ids: Tensor, attention_mask: Tensor, **_: Any) -> Tensor:
        """Return the hidden states (1, tokens, width) of a stream, as ``batches.collate_stream`` gives it."""
        base = self._base
        borders = attention_mask[0, 0, 0]
        spans = Spans.of(borders, input_ids.shape[1])
        stream = base.drop(base.wte(input_ids) + base.wpe(position_ids))[0]
        eight = self.dials is not None and self.dials.ready and len(stream) % MULTIPLE == 0
        branch, drift = None, torch.zeros(stream.shape[1], device=stream.device)
        for number, block in enumerate(base.h):
            heads, scale = block.attn.num_heads, score_scale(block.attn)
            told = Told(number, borders, spans, heads, scale, block.ln_1.eps, self, eight)
            step = partial(_Block.apply, told)
            weights = Weights.of(block)
            if self._checkpointing and torch.is_grad_enabled():
                stream, branch, drift = checkpoint(step, stream, branch, drift, *weights, use_reentrant=False)
            else:
                stream, branch, drift = step(stream, branch, drift, *weights)
        if branch is not None:
            stream = stream + branch
        hidden: Tensor = base.ln_f((stream + drift).to(stream.dtype))[None]
        return hidden

    def in_eight_bits(self, weight: Tensor) -> Operand:
        """Return a weight in 8 bits, made so once for all micro-batches of an update."""
        place = weight.data_ptr()
        version, operand = self._eight.get(place, (-1, None))
        if operand is None or version != weight._version:
            operand = fused.in_eight_bits(weight)
            self._eight[place] = weight._version, operand
        return operand

    def state(self) -> list[list[float]]:
        """Return what a checkpoint must hold so that a run goes on as it would have: of bf16, nothing."""
        return [] if self.dials is None else self.dials.state()

    def restore(self, state: list[list[float]]) -> None:
        """Go on from what ``state`` gave."""
        if self.dials is not None:
            self.dials.restore(state)

    def turn(self) -> None:
        """Take note of an update's end."""
        if self.dials is not None:
            self.dials.turn()


class _Block(torch.autograd.Function):
    """From the stream, the branch that is still to be added to it (None in bf16), and drift, to the same."""

    @staticmethod
    def forward(
        ctx: Any, told: Told, x: Tensor, branch: Tensor | None, drift: Tensor, *given: Parameter
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        w = Weights(*given)
        joined_w, back, up, down = (told.factor(weight) for weight in (w.joined, w.back, w.up, w.down))
        total, normed, moments1 = fused.norm(x, branch, drift, w.norm1, w.norm1_bias, told.epsilon, told.dial(0))
        joined = _forward(normed, joined_w)
        seen, shares, seen_factor = fused.attend(
            joined, w.joined_bias, told.borders, told.spans, told.heads, told.scale, told.dial(1)
        )
        middle = drift + w.back_bias
        if told.eight:
            after, other = total, _forward(seen_factor, back)
        else:
            after, other = torch.addmm(total, seen_factor.rows, w.back), None
        between, normed2, moments2 = fused.norm(
            after, other, middle, w.norm2, w.norm2_bias, told.epsilon, told.dial(2)
        )
        hidden = _forward(normed2, up)
        bent = fused.gelu(hidden, w.up_bias, told.dial(3))
        if told.eight:
            out, rest = between, _forward(bent, down)
        else:
            out, rest = torch.addmm(between, bent.rows, w.down), None
        # Not saved as tensors are, so that their gradients can be reached wherever this is made again.
        ctx.told, ctx.branched, ctx.weights = told, branch is not None, w
        ctx.scales = normed.scale, seen_factor.scale, normed2.scale, bent.scale
        ctx.save_for_backward(
            total, drift, moments1, normed.columns, joined, seen, shares, seen_factor.columns, between, moments2,
            normed2.columns, hidden, bent.columns,
        )  # fmt: skip
        return out, rest, middle + w.down_bias

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        by_out, by_rest, by_drift = given
        told, (scale1, scale2, scale3, scale4) = ctx.told, ctx.scales
        (
            total, drift, moments1, normed, joined, seen, shares, seen_columns, between, moments2, normed2, hidden,
            bent,
        ) = ctx.saved_tensors  # fmt: skip
        w: Weights = ctx.weights
        change = fused.prepare(by_out if by_rest is None else by_rest, told.dial(4))
        by_down = _by_weight(told, bent, scale4, change, w.down)
        by_hidden, by_up_bias = fused.gelu_backward(
            _backward(change, told.factor(w.down)), hidden, w.up_bias, told.dial(5)
        )
        by_up = _by_weight(told, normed2, scale3, by_hidden, w.up)
        middle = drift + w.back_bias
        by_between, change, sums2 = fused.norm_backward(
            _backward(by_hidden, told.factor(w.up)), between, middle, moments2, w.norm2, by_out, told.dial(6)
        )
        by_back = _by_weight(told, seen_columns, scale2, change, w.back)
        by_joined, by_joined_bias = fused.attend_backward(
            _backward(change, told.factor(w.back)), joined, w.joined_bias, seen, shares, told.borders, told.spans,
            told.heads, told.scale, told.dial(7),
        )  # fmt: skip
        by_weight = _by_weight(told, normed, scale1, by_joined, w.joined)
        by_x, _, sums1 = fused.norm_backward(
            _backward(by_joined, told.factor(w.joined)), total, drift, moments1, w.norm1, by_between, None
        )
        vectors = (
            sum_.to(w.norm1.dtype)
            for sum_ in (sums1[0], sums1[1], by_joined_bias, sums2[2], sums2[0], sums2[1], by_up_bias, by_drift)
        )
        norm1, norm1_bias, joined_bias, back_bias, norm2, norm2_bias, up_bias, down_bias = vectors
        return (
            None, by_x, by_x if ctx.branched else None, sums1[2],
            norm1, norm1_bias, by_weight, joined_bias, by_back, back_bias, norm2, norm2_bias, by_up, up_bias,
            by_down, down_bias,
        )  # fmt: skip


def _forward(x: Operand, weight: Operand) -> Tensor:
    return times(x.rows, weight.columns, x.scale, weight.scale)


def _backward(given: Operand, weight: Operand) -> Tensor:
    return times(given.rows, weight.rows, given.scale, weight.scale)


def _by_weight(told: Told, columns: Tensor, scale: Tensor | None, given: Operand, weight: Tensor) -> Tensor | None:
    """Return the gradient of a weight, or add it to the one that is there and return None."""
    if scale is None and told.model.adds and weight.grad is not None:
        torch.addmm(weight.grad, columns, given.rows, out=weight.grad)
        return None
    return times(columns, given.columns, scale, given.scale)
