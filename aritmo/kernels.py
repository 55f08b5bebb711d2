"""Kernels of the GPU, written in Triton; to be imported only where Triton is installed."""

import torch
import triton  # type: ignore[import-not-found,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,unused-ignore]
from torch import Tensor


def attend_one(
    query: Tensor, key: Tensor, value: Tensor, cells: Tensor, held: Tensor, scale: float, window: int | None
) -> Tensor:
    """Attend from one new token of each row, and put its key and value behind those that are held.

    ``query`` is (rows, heads, size), ``key`` and ``value`` (rows, key heads, size), ``cells`` (2, rows, key heads,
    room, size) of keys and values, ``held`` (rows) how many of them a row holds: only these are read. ``window``
    is how many tokens up to itself a token sees. Returns (rows, heads, size).
    """
    rows, heads, size = query.shape
    width = triton.next_power_of_2(size)
    assert all(states.stride(2) == 1 for states in (query, key, value))
    assert cells.stride(4) == 1
    assert cells.stride(3) == size
    out = torch.empty((rows, heads, size), dtype=query.dtype, device=query.device)
    _attend_one[(heads, rows)](
        query, key, value, cells, held, out, scale, window or cells.shape[3] + 1,
        *query.stride()[:2], *key.stride()[:2], *value.stride()[:2], *cells.stride()[:3],
        GROUP=heads // key.shape[1], SIZE=size, WIDTH=width, BLOCK=max(16, 4096 // width),
    )  # fmt: skip
    return out


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _attend_one(  # type: ignore[no-untyped-def]
    query, key, value, cells, held, out, scale, window,
    query_row, query_head, key_row, key_head, value_row, value_head,
    cells_kind, cells_row, cells_head,
    GROUP: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    # Each place of a block has a softmax of its own, so that the loop holds no sum across the block.
    head, row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    shared = head // GROUP
    wide = tl.arange(0, WIDTH)
    real = wide < SIZE
    count = tl.load(held + row).to(tl.int32)
    asked = tl.load(query + row * query_row + head * query_head + wide, mask=real, other=0.0)
    new_key = tl.load(key + row * key_row + shared * key_head + wide, mask=real, other=0.0)
    new_value = tl.load(value + row * value_row + shared * value_head + wide, mask=real, other=0.0)
    asked = asked.to(tl.float32) * scale
    keys = cells + row * cells_row + shared * cells_head
    values = keys + cells_kind

    places = tl.arange(0, BLOCK)
    most = tl.full([BLOCK], -1e30, tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    seen = tl.zeros([BLOCK, WIDTH], tl.float32)
    first = tl.maximum(count + 1 - window, 0)
    for start in range(first, count, BLOCK):
        there = start + places < count
        mask = there[:, None] & real[None, :]
        cell = (start + places)[:, None] * SIZE + wide[None, :]
        old_keys = tl.load(keys + cell, mask=mask, other=0.0)
        old_values = tl.load(values + cell, mask=mask, other=0.0)
        scores = tl.sum(old_keys.to(tl.float32) * asked[None, :], 1)
        scores = tl.where(there, scores, float("-inf"))
        top = tl.maximum(most, scores)
        kept, share = tl.exp(most - top), tl.exp(scores - top)
        total = total * kept + share
        seen = seen * kept[:, None] + share[:, None] * old_values.to(tl.float32)
        most = top

    score = tl.sum(asked * new_key.to(tl.float32), 0)
    best = tl.maximum(tl.max(most, 0), score)
    kept, share = tl.exp(most - best), tl.exp(score - best)
    summed = tl.sum(seen * kept[:, None], 0) + share * new_value.to(tl.float32)
    summed = summed / (tl.sum(total * kept, 0) + share)
    tl.store(out + (row * tl.num_programs(0) + head) * SIZE + wide, summed.to(out.dtype.element_ty), mask=real)
    if head % GROUP == 0:
        tl.store(keys + count.to(tl.int64) * SIZE + wide, new_key.to(cells.dtype.element_ty), mask=real)
        tl.store(values + count.to(tl.int64) * SIZE + wide, new_value.to(cells.dtype.element_ty), mask=real)
