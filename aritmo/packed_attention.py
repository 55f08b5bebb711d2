"""Attention within packed examples, made for many short ones; to be imported only where Triton is installed.

Blocks of queries lie on the stream, not on its examples, and look back as far as the earliest example that they
touch, so that an example of 150 tokens costs hardly more than its own pairs: FlashAttention (Dao 2023, arXiv
2307.08691), whose softmax this is, takes each example by blocks of 128. Query, key and value are read where the
model's one product has written them, and their gradients written where its gradient is read, with no copies
between. Nothing is added up in an order that changes, so the same input gives the same gradient.
"""

import math
from typing import Any

import torch
import triton  # type: ignore[import-not-found,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,unused-ignore]
from torch import Tensor

from aritmo.attention import Spans
from aritmo.fused_kernels import Writer, prepare, put
from aritmo.operands import Dial, Operand, plain

_BLOCK = 64
"""Queries, and keys, that a program takes at once."""


def attend_packed(joined: Tensor, borders: Tensor, heads: int, scale: float) -> Tensor:
    """Attend from each token of a stream to those of its own example up to itself, with gradients.

    ``joined`` (tokens, 3 * heads * size) holds queries, keys and values one behind another; ``borders`` (examples
    + 1), int32, are where examples begin, and the end. ``scale`` multiplies the scores. Returns (tokens, heads *
    size), in the type of ``joined``.
    """
    out: Tensor = _attend(joined, *Spans.of(borders, len(joined)), heads, scale)[0]
    return out


def attend(
    joined: Tensor, bias: Tensor | None, spans: Spans, heads: int, scale: float, dial: Dial | None
) -> tuple[Tensor, Tensor, Operand]:
    """See ``fused.attend``. With a bias, that of queries is added to ``joined`` in place."""
    tokens, size = len(joined), joined.shape[1] // (3 * heads)
    out = torch.empty((tokens, heads * size), dtype=joined.dtype, device=joined.device)
    sums = torch.empty((heads, tokens), dtype=torch.float32, device=joined.device)
    _forward[(triton.cdiv(tokens, _BLOCK), heads)](
        joined, joined if bias is None else bias, spans.starts, out, sums, tokens, scale / math.log(2),
        *_constants(heads, size), bias is not None, num_warps=4, num_stages=2,
    )  # fmt: skip
    # What a product of matrices leaves in registers is written in single bytes slower than it is read again.
    return out, sums, plain(out) if dial is None else prepare(out, dial)


def attend_backward(
    given: Tensor, joined: Tensor, bias: Tensor | None, out: Tensor, sums: Tensor, spans: Spans,
    heads: int, scale: float, dial: Dial | None,
) -> tuple[Operand, Tensor]:  # fmt: skip
    """See ``fused.attend_backward``."""
    tokens, size = len(joined), joined.shape[1] // (3 * heads)
    writer = Writer(tokens, joined.shape[1], dial, joined.device)
    inner = torch.empty_like(sums)
    blocks, width = triton.cdiv(tokens, _BLOCK), heads * size
    columns = torch.empty((blocks if bias is not None else 0, 2, width), dtype=torch.float32, device=joined.device)
    constants = (*_constants(heads, size), bias is not None, writer.kind)
    _backward_queries[(blocks, heads)](
        joined, joined if bias is None else bias, spans.starts, out, given, sums, inner, columns, *writer.given,
        tokens, scale, *constants, num_warps=4, num_stages=2,
    )  # fmt: skip
    _backward_keys[(blocks, heads)](
        joined, spans.starts, spans.stops, given, sums, inner, *writer.given, tokens, scale, *constants,
        num_warps=4, num_stages=2,
    )  # fmt: skip
    by_query, by_value = columns.sum(0)
    return writer.operand(), torch.cat((by_query, torch.zeros_like(by_query), by_value))


@torch.library.custom_op("aritmo::attend_packed", mutates_args=())
def _attend(joined: Tensor, starts: Tensor, stops: Tensor, heads: int, scale: float) -> tuple[Tensor, Tensor]:
    out, sums, _ = attend(joined.contiguous(), None, Spans(starts, stops), heads, scale, None)
    return out, sums


@torch.library.custom_op("aritmo::attend_packed_backward", mutates_args=())
def _attend_backward(
    given: Tensor, joined: Tensor, out: Tensor, sums: Tensor, starts: Tensor, stops: Tensor,
    heads: int, scale: float,
) -> Tensor:  # fmt: skip
    given, joined, spans = given.contiguous(), joined.contiguous(), Spans(starts, stops)
    return attend_backward(given, joined, None, out, sums, spans, heads, scale, None)[0].rows


def _constants(heads: int, size: int) -> tuple[int, int, int, int]:
    return heads, size, max(16, triton.next_power_of_2(size)), _BLOCK


@_attend.register_fake
def _(joined: Tensor, starts: Tensor, stops: Tensor, heads: int, scale: float) -> tuple[Tensor, Tensor]:
    sums = joined.new_empty((heads, joined.shape[0]), dtype=torch.float32)
    return joined.new_empty((joined.shape[0], joined.shape[1] // 3)), sums


@_attend_backward.register_fake
def _(
    given: Tensor, joined: Tensor, out: Tensor, sums: Tensor, starts: Tensor, stops: Tensor,
    heads: int, scale: float,
) -> Tensor:  # fmt: skip
    return joined.new_empty(joined.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    joined, starts, stops, ctx.heads, ctx.scale = inputs
    ctx.save_for_backward(joined, *output, starts, stops)


def _gradients(ctx: Any, given: Tensor, _: Tensor) -> tuple[Tensor, None, None, None, None]:
    return _attend_backward(given, *ctx.saved_tensors, ctx.heads, ctx.scale), None, None, None, None


_attend.register_autograd(_gradients, setup_context=_keep)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _read(states, rows, part, head, tokens, HEADS: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return part 0, 1 or 2 (query, key, value) of a head at ``rows`` of the joined states."""
    wide = tl.arange(0, WIDTH)
    where = rows.to(tl.int64)[:, None] * (3 * HEADS * SIZE) + (part * HEADS + head) * SIZE + wide[None, :]
    return tl.load(states + where, mask=(rows < tokens)[:, None] & (wide < SIZE)[None, :], other=0.0)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _read_bias(bias, part, head, HEADS: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    wide = tl.arange(0, WIDTH)
    return tl.load(bias + (part * HEADS + head) * SIZE + wide, mask=wide < SIZE, other=0.0).to(tl.float32)[None, :]


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _write(  # type: ignore[no-untyped-def]
    value, rows, part, head, tokens, target, dial, most,
    HEADS: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr, KIND: tl.constexpr,
):  # fmt: skip
    wide = tl.arange(0, WIDTH)
    where = rows.to(tl.int64)[:, None] * (3 * HEADS * SIZE) + (part * HEADS + head) * SIZE + wide[None, :]
    put(value, where, (rows < tokens)[:, None] & (wide < SIZE)[None, :], target, dial, most, KIND)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _forward(  # type: ignore[no-untyped-def]
    joined, bias, starts, out, sums, tokens, scale,
    HEADS: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, BIASED: tl.constexpr,
):  # fmt: skip
    """Write what a block of queries sees, and the logarithm (base 2) of what its shares were divided by."""
    block, head = tl.program_id(0), tl.program_id(1)
    rows = block * BLOCK + tl.arange(0, BLOCK)
    start = tl.load(starts + rows, mask=rows < tokens, other=block * BLOCK)
    wide = tl.arange(0, WIDTH)
    mask = (rows < tokens)[:, None] & (wide < SIZE)[None, :]
    query = _read(joined, rows, 0, head, tokens, HEADS, SIZE, WIDTH)
    if BIASED:
        # The bias of keys moves all scores of a query alike and that of values all it sees, so neither is added
        # to what every query reads; the sum of a query's shares is 1.
        query = (query.to(tl.float32) + _read_bias(bias, 0, head, HEADS, SIZE, WIDTH)).to(query.dtype)
        place = rows.to(tl.int64)[:, None] * (3 * HEADS * SIZE) + head * SIZE + wide[None, :]
        tl.store(joined + place, query, mask=mask)
    # A score that is hidden is finite: a block in which a row sees nothing is wiped out by the next it sees.
    peak = tl.full([BLOCK], -1e30, tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    seen = tl.zeros([BLOCK, WIDTH], tl.float32)
    for first in range(tl.min(start, 0) // BLOCK * BLOCK, (block + 1) * BLOCK, BLOCK):
        columns = first + tl.arange(0, BLOCK)
        key = _read(joined, columns, 1, head, tokens, HEADS, SIZE, WIDTH)
        scores = tl.dot(query, tl.trans(key)) * scale
        visible = (columns[None, :] <= rows[:, None]) & (columns[None, :] >= start[:, None])
        scores = tl.where(visible, scores, -1e30)
        top = tl.maximum(peak, tl.max(scores, 1))
        kept, share = tl.exp2(peak - top), tl.exp2(scores - top[:, None])
        total = total * kept + tl.sum(share, 1)
        value = _read(joined, columns, 2, head, tokens, HEADS, SIZE, WIDTH)
        seen = tl.dot(share.to(value.dtype), value, seen * kept[:, None])
        peak = top
    seen = seen / total[:, None]
    if BIASED:
        seen += _read_bias(bias, 2, head, HEADS, SIZE, WIDTH)
    where = rows.to(tl.int64)[:, None] * (HEADS * SIZE) + head * SIZE + wide[None, :]
    tl.store(out + where, seen.to(out.dtype.element_ty), mask=mask)
    tl.store(sums + head * tokens + rows, peak + tl.log2(total), mask=rows < tokens)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _backward_queries(  # type: ignore[no-untyped-def]
    joined, bias, starts, out, given, sums, inner, columns_summed, target, dial, most, tokens, scale,
    HEADS: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
    BIASED: tl.constexpr, KIND: tl.constexpr,
):  # fmt: skip
    """Write the gradient of a block of queries, and for each the product of its output and that's gradient."""
    block, head = tl.program_id(0), tl.program_id(1)
    rows = block * BLOCK + tl.arange(0, BLOCK)
    wide = tl.arange(0, WIDTH)
    real = (rows < tokens)[:, None] & (wide < SIZE)[None, :]
    where = rows.to(tl.int64)[:, None] * (HEADS * SIZE) + head * SIZE + wide[None, :]
    by_out = tl.load(given + where, mask=real, other=0.0)
    seen = tl.load(out + where, mask=real, other=0.0).to(tl.float32)
    if BIASED:
        seen -= _read_bias(bias, 2, head, HEADS, SIZE, WIDTH)
    product = tl.sum(by_out.to(tl.float32) * seen, 1)
    tl.store(inner + head * tokens + rows, product, mask=rows < tokens)

    start = tl.load(starts + rows, mask=rows < tokens, other=block * BLOCK)
    whole = tl.load(sums + head * tokens + rows, mask=rows < tokens, other=0.0)
    query = _read(joined, rows, 0, head, tokens, HEADS, SIZE, WIDTH)
    by_query = tl.zeros([BLOCK, WIDTH], tl.float32)
    for first in range(tl.min(start, 0) // BLOCK * BLOCK, (block + 1) * BLOCK, BLOCK):
        columns = first + tl.arange(0, BLOCK)
        key = _read(joined, columns, 1, head, tokens, HEADS, SIZE, WIDTH)
        value = _read(joined, columns, 2, head, tokens, HEADS, SIZE, WIDTH)
        scores = tl.dot(query, tl.trans(key)) * (scale * 1.4426950408889634)
        visible = (columns[None, :] <= rows[:, None]) & (columns[None, :] >= start[:, None])
        share = tl.where(visible, tl.exp2(scores - whole[:, None]), 0.0)
        by_score = share * (tl.dot(by_out, tl.trans(value)) - product[:, None])
        by_query = tl.dot(by_score.to(key.dtype), key, by_query)
    by_query *= scale
    if BIASED:
        line = columns_summed + block * (2 * HEADS * SIZE) + head * SIZE + wide
        # A product with ones adds up columns faster than what crosses warps.
        ones = tl.full([BLOCK, BLOCK], 1.0, by_out.dtype)
        one = (rows == block * BLOCK)[:, None] & (wide < SIZE)[None, :]
        tl.store(line[None, :] + 0 * rows[:, None], tl.dot(ones, by_query.to(by_out.dtype)), mask=one)
        tl.store(line[None, :] + 0 * rows[:, None] + HEADS * SIZE, tl.dot(ones, by_out), mask=one)
    _write(by_query, rows, 0, head, tokens, target, dial, most, HEADS, SIZE, WIDTH, KIND)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _backward_keys(  # type: ignore[no-untyped-def]
    joined, starts, stops, given, sums, inner, target, dial, most, tokens, scale,
    HEADS: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
    BIASED: tl.constexpr, KIND: tl.constexpr,
):  # fmt: skip
    """Write the gradients of a block of keys and of their values."""
    block, head = tl.program_id(0), tl.program_id(1)
    columns = block * BLOCK + tl.arange(0, BLOCK)
    wide = tl.arange(0, WIDTH)
    stop = tl.max(tl.load(stops + columns, mask=columns < tokens, other=0), 0)
    key = _read(joined, columns, 1, head, tokens, HEADS, SIZE, WIDTH)
    value = _read(joined, columns, 2, head, tokens, HEADS, SIZE, WIDTH)
    by_key = tl.zeros([BLOCK, WIDTH], tl.float32)
    by_value = tl.zeros([BLOCK, WIDTH], tl.float32)
    for first in range(block * BLOCK, stop, BLOCK):
        rows = first + tl.arange(0, BLOCK)
        there = rows < tokens
        query = _read(joined, rows, 0, head, tokens, HEADS, SIZE, WIDTH)
        where = rows.to(tl.int64)[:, None] * (HEADS * SIZE) + head * SIZE + wide[None, :]
        by_out = tl.load(given + where, mask=there[:, None] & (wide < SIZE)[None, :], other=0.0)
        start = tl.load(starts + rows, mask=there, other=tokens)
        whole = tl.load(sums + head * tokens + rows, mask=there, other=0.0)
        product = tl.load(inner + head * tokens + rows, mask=there, other=0.0)
        scores = tl.dot(key, tl.trans(query)) * (scale * 1.4426950408889634)
        visible = (columns[:, None] <= rows[None, :]) & (columns[:, None] >= start[None, :])
        share = tl.where(visible, tl.exp2(scores - whole[None, :]), 0.0)
        by_value = tl.dot(share.to(by_out.dtype), by_out, by_value)
        by_score = share * (tl.dot(value, tl.trans(by_out)) - product[None, :])
        by_key = tl.dot(by_score.to(query.dtype), query, by_key)
    _write(by_key * scale, columns, 1, head, tokens, target, dial, most, HEADS, SIZE, WIDTH, KIND)
    _write(by_value, columns, 2, head, tokens, target, dial, most, HEADS, SIZE, WIDTH, KIND)
