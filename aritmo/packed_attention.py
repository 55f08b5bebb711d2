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

_BLOCK = 64
"""Queries, and keys, that a program takes at once."""


def attend_packed(joined: Tensor, borders: Tensor, heads: int, scale: float) -> Tensor:
    """Attend from each token of a stream to those of its own example up to itself, with gradients.

    ``joined`` (tokens, 3 * heads * size) holds queries, keys and values one behind another; ``borders`` (examples
    + 1), int32, are where examples begin, and the end. ``scale`` multiplies the scores. Returns (tokens, heads *
    size), in the type of ``joined``.
    """
    places = torch.arange(len(joined), device=joined.device, dtype=torch.int32)
    behind = torch.searchsorted(borders, places, right=True)
    out: Tensor = _attend(joined, borders[behind - 1], borders[behind], heads, scale)[0]
    return out


@torch.library.custom_op("aritmo::attend_packed", mutates_args=())
def _attend(joined: Tensor, starts: Tensor, stops: Tensor, heads: int, scale: float) -> tuple[Tensor, Tensor]:
    tokens, size = len(joined), joined.shape[1] // (3 * heads)
    joined = joined.contiguous()
    out = torch.empty((tokens, heads * size), dtype=joined.dtype, device=joined.device)
    sums = torch.empty((heads, tokens), dtype=torch.float32, device=joined.device)
    _forward[(triton.cdiv(tokens, _BLOCK), heads)](
        joined, starts, out, sums, tokens, scale / math.log(2), *_constants(heads, size), num_warps=4, num_stages=2
    )
    return out, sums


@torch.library.custom_op("aritmo::attend_packed_backward", mutates_args=())
def _attend_backward(
    given: Tensor, joined: Tensor, out: Tensor, sums: Tensor, starts: Tensor, stops: Tensor,
    heads: int, scale: float,
) -> Tensor:  # fmt: skip
    tokens, size = len(joined), joined.shape[1] // (3 * heads)
    given, joined = given.contiguous(), joined.contiguous()
    gradient, inner = torch.empty_like(joined), torch.empty_like(sums)
    grid, constants = (triton.cdiv(tokens, _BLOCK), heads), _constants(heads, size)
    _backward_queries[grid](
        joined, starts, out, given, sums, inner, gradient, tokens, scale, *constants, num_warps=4, num_stages=2
    )
    _backward_keys[grid](
        joined, starts, stops, given, sums, inner, gradient, tokens, scale, *constants, num_warps=4, num_stages=2
    )
    return gradient


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
def _write(states, value, rows, part, head, tokens, HEADS: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    wide = tl.arange(0, WIDTH)
    where = rows.to(tl.int64)[:, None] * (3 * HEADS * SIZE) + (part * HEADS + head) * SIZE + wide[None, :]
    mask = (rows < tokens)[:, None] & (wide < SIZE)[None, :]
    tl.store(states + where, value.to(states.dtype.element_ty), mask=mask)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _forward(  # type: ignore[no-untyped-def]
    joined, starts, out, sums, tokens, scale,
    HEADS: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write what a block of queries sees, and the logarithm (base 2) of what its shares were divided by."""
    block, head = tl.program_id(0), tl.program_id(1)
    rows = block * BLOCK + tl.arange(0, BLOCK)
    start = tl.load(starts + rows, mask=rows < tokens, other=block * BLOCK)
    query = _read(joined, rows, 0, head, tokens, HEADS, SIZE, WIDTH)
    # A score that is hidden is finite: a block in which a row sees nothing is wiped out by the next it sees.
    most = tl.full([BLOCK], -1e30, tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    seen = tl.zeros([BLOCK, WIDTH], tl.float32)
    for first in range(tl.min(start, 0) // BLOCK * BLOCK, (block + 1) * BLOCK, BLOCK):
        columns = first + tl.arange(0, BLOCK)
        key = _read(joined, columns, 1, head, tokens, HEADS, SIZE, WIDTH)
        scores = tl.dot(query, tl.trans(key)) * scale
        visible = (columns[None, :] <= rows[:, None]) & (columns[None, :] >= start[:, None])
        scores = tl.where(visible, scores, -1e30)
        top = tl.maximum(most, tl.max(scores, 1))
        kept, share = tl.exp2(most - top), tl.exp2(scores - top[:, None])
        total = total * kept + tl.sum(share, 1)
        value = _read(joined, columns, 2, head, tokens, HEADS, SIZE, WIDTH)
        seen = tl.dot(share.to(value.dtype), value, seen * kept[:, None])
        most = top
    seen = seen / total[:, None]
    wide = tl.arange(0, WIDTH)
    where = rows.to(tl.int64)[:, None] * (HEADS * SIZE) + head * SIZE + wide[None, :]
    mask = (rows < tokens)[:, None] & (wide < SIZE)[None, :]
    tl.store(out + where, seen.to(out.dtype.element_ty), mask=mask)
    tl.store(sums + head * tokens + rows, most + tl.log2(total), mask=rows < tokens)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _backward_queries(  # type: ignore[no-untyped-def]
    joined, starts, out, given, sums, inner, gradient, tokens, scale,
    HEADS: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the gradient of a block of queries, and for each the product of its output and that's gradient."""
    block, head = tl.program_id(0), tl.program_id(1)
    rows = block * BLOCK + tl.arange(0, BLOCK)
    wide = tl.arange(0, WIDTH)
    real = (rows < tokens)[:, None] & (wide < SIZE)[None, :]
    where = rows.to(tl.int64)[:, None] * (HEADS * SIZE) + head * SIZE + wide[None, :]
    by_out = tl.load(given + where, mask=real, other=0.0)
    seen = tl.load(out + where, mask=real, other=0.0)
    product = tl.sum(by_out.to(tl.float32) * seen.to(tl.float32), 1)
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
    _write(gradient, by_query * scale, rows, 0, head, tokens, HEADS, SIZE, WIDTH)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _backward_keys(  # type: ignore[no-untyped-def]
    joined, starts, stops, given, sums, inner, gradient, tokens, scale,
    HEADS: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
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
    _write(gradient, by_key * scale, columns, 1, head, tokens, HEADS, SIZE, WIDTH)
    _write(gradient, by_value, columns, 2, head, tokens, HEADS, SIZE, WIDTH)
