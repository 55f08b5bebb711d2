"""Kernels between the products of a GPT-2 block; to be imported only where Triton is installed.

Each reads what it needs once, computes in fp32, and writes a matrix in the type and the layouts in which the
products read it (``operands``). Sums over tokens are left as one line for each program, added up afterwards, so
the same input always gives the same sums.
"""

from typing import Any

import torch
import triton  # type: ignore[import-not-found,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,unused-ignore]
from torch import Tensor

from aritmo.operands import Dial, Operand, plain

_ELEMENTS, _PROGRAMS = 8192, 2
"""What a program of a norm takes at once, and how many go on side by side in a multiprocessor on the way back."""

_TILE, _WIDE = (64, 64), (32, 128)
"""Rows and columns that other programs take, where they sum over rows and where not (of 18, the fastest)."""


class Writer:
    """Room for a matrix (tokens, width) that a kernel writes, and what the kernel is told of it."""

    def __init__(self, tokens: int, width: int, dial: Dial | None, device: torch.device) -> None:
        self.kind = 0 if dial is None else 1 + dial.ready
        dtype = torch.bfloat16 if dial is None or not dial.ready else dial.dtype
        self._rows = torch.empty((tokens, width), dtype=dtype, device=device)
        self._dial = dial

    @property
    def given(self) -> tuple[Any, ...]:
        """What a kernel takes: the place to write to, the dial, and the largest number that the type holds."""
        return (
            self._rows,
            self._rows if self._dial is None else self._dial.numbers,
            torch.finfo(self._rows.dtype).max,
        )

    def operand(self) -> Operand:
        """Return what was written as a factor of products."""
        if self.kind < 2 or self._dial is None:
            return plain(self._rows)
        return Operand(self._rows, turned(self._rows), self._dial.scale)


def turned(rows: Tensor) -> Tensor:
    """Return a matrix of 8-bit numbers (r, c), both multiples of 4, as (c, r), by rows."""
    count, width = rows.shape
    columns = torch.empty((width, count), dtype=rows.dtype, device=rows.device)
    _turn[(triton.cdiv(width, 128), triton.cdiv(count, 128))](
        rows.view(torch.int32), columns.view(torch.int32), count // 4, WIDTH=width // 4, GROUPS=32, WORDS=32,
        num_warps=4,
    )  # fmt: skip
    return columns


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _turn(rows, columns, count, WIDTH: tl.constexpr, GROUPS: tl.constexpr, WORDS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Turn a matrix four bytes by four, so that what goes through shared memory are whole words."""
    group = tl.program_id(1) * GROUPS + tl.arange(0, GROUPS)
    word = tl.program_id(0) * WORDS + tl.arange(0, WORDS)
    mask = (group < count)[:, None] & (word < WIDTH)[None, :]
    place = rows + group.to(tl.int64)[:, None] * (4 * WIDTH) + word[None, :]
    first, second = tl.load(place, mask=mask, other=0), tl.load(place + WIDTH, mask=mask, other=0)
    third, fourth = tl.load(place + 2 * WIDTH, mask=mask, other=0), tl.load(place + 3 * WIDTH, mask=mask, other=0)
    back = (word < WIDTH)[:, None] & (group < count)[None, :]
    for byte in tl.static_range(4):
        shift = 8 * byte
        upper = ((third >> shift & 255) << 16) | ((fourth >> shift & 255) << 24)
        one = (first >> shift & 255) | ((second >> shift & 255) << 8) | upper
        where = (4 * word.to(tl.int64) + byte)[:, None] * count + group[None, :]
        tl.store(columns + where, tl.trans(one), mask=back)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _note(value, dial):  # type: ignore[no-untyped-def]
    """Remember the largest number of a tile that is 0 where nothing is there."""
    tl.atomic_max(dial + 2, tl.max(tl.abs(value)))


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def put(value, where, mask, out, dial, most, KIND: tl.constexpr):  # type: ignore[no-untyped-def]
    """Write a tile of a matrix, in 8 bits where KIND is 2. KIND 1 and 2 note the largest number."""
    if KIND > 0:
        _note(tl.where(mask, value, 0.0), dial)
    if KIND == 2:
        value = tl.minimum(tl.maximum(value * tl.load(dial + 1), -most), most)
    tl.store(out + where, value.to(out.dtype.element_ty), mask=mask)


def norm(
    x: Tensor, branch: Tensor | None, drift: Tensor, weight: Tensor, bias: Tensor, epsilon: float,
    dial: Dial | None,
) -> tuple[Tensor, Operand, Tensor]:  # fmt: skip
    """See ``fused.norm``."""
    tokens, width = x.shape
    out = Writer(tokens, width, dial, x.device)
    total = x if branch is None else torch.empty_like(x)
    moments = torch.empty((2, tokens), dtype=torch.float32, device=x.device)
    block, rows = _lines(width)
    _norm[(triton.cdiv(tokens, rows),)](
        x, x if branch is None else branch, drift, weight, bias, total, moments, *out.given, tokens, epsilon,
        WIDTH=width, BLOCK=block, BRANCH=branch is not None, KIND=out.kind, ROWS=rows, num_warps=4,
    )  # fmt: skip
    return total, out.operand(), moments


def norm_backward(
    given: Tensor, total: Tensor, drift: Tensor, moments: Tensor, weight: Tensor, residual: Tensor,
    dial: Dial | None,
) -> tuple[Tensor, Operand, Tensor]:  # fmt: skip
    """See ``fused.norm_backward``."""
    tokens, width = total.shape
    gradient = torch.empty_like(total)
    out = Writer(tokens, width, dial, total.device) if dial is not None and dial.ready else None
    told = out.given if out else (gradient, gradient if dial is None else dial.numbers, 1.0)
    kind = out.kind if out else int(dial is not None)
    block, rows = _lines(width)
    programs = min(triton.cdiv(tokens, rows), _PROGRAMS * _units(total.device))
    sums = torch.empty((programs, 3, width), dtype=torch.float32, device=total.device)
    _norm_backward[(programs,)](
        given, total, drift, moments, weight, residual, gradient, sums, *told, tokens,
        WIDTH=width, BLOCK=block, STEPS=triton.cdiv(tokens, rows * programs), PROGRAMS=programs, KIND=kind,
        ROWS=rows, num_warps=4,
    )  # fmt: skip
    return gradient, out.operand() if out else plain(gradient), sums.sum(0)


def _lines(width: int) -> tuple[int, int]:
    """Return the power of two that holds a line, and how many lines a program takes at once."""
    block = triton.next_power_of_2(width)
    return block, max(1, _ELEMENTS // block)


def _units(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 2


def gelu(hidden: Tensor, bias: Tensor, dial: Dial | None) -> Operand:
    """See ``fused.gelu``."""
    tokens, width = hidden.shape
    out, (rows, columns) = Writer(tokens, width, dial, hidden.device), _WIDE
    _gelu[(triton.cdiv(width, columns), triton.cdiv(tokens, rows))](
        hidden, bias, *out.given, tokens, WIDTH=width, KIND=out.kind, ROWS=rows, COLUMNS=columns, num_warps=4
    )
    return out.operand()


def gelu_backward(given: Tensor, hidden: Tensor, bias: Tensor, dial: Dial | None) -> tuple[Operand, Tensor]:
    """See ``fused.gelu_backward``."""
    tokens, width = hidden.shape
    out, (rows, columns) = Writer(tokens, width, dial, hidden.device), _TILE
    programs = triton.cdiv(tokens, rows)
    sums = torch.empty((programs, width), dtype=torch.float32, device=hidden.device)
    _gelu_backward[(triton.cdiv(width, columns), programs)](
        given, hidden, bias, sums, *out.given, tokens,
        WIDTH=width, KIND=out.kind, ROWS=rows, COLUMNS=columns, num_warps=4,
    )  # fmt: skip
    return out.operand(), sums.sum(0)


def prepare(matrix: Tensor, dial: Dial) -> Operand:
    """See ``fused.prepare``."""
    tokens, width = matrix.shape
    out, (rows, columns) = Writer(tokens, width, dial, matrix.device) if dial.ready else None, _WIDE
    told = out.given if out else (matrix, dial.numbers, 1.0)
    _prepare[(triton.cdiv(width, columns), triton.cdiv(tokens, rows))](
        matrix, *told, tokens, WIDTH=width, KIND=1 + dial.ready, ROWS=rows, COLUMNS=columns, num_warps=4
    )
    return out.operand() if out else plain(matrix)


def cross_entropy(logits: Tensor, targets: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Do what ``losses.cross_entropy`` does, the gradient in the place of the logits."""
    losses = torch.empty(len(logits), dtype=torch.float32, device=logits.device)
    _cross_entropy[(len(logits),)](
        logits, targets, losses, VOCABULARY=vocabulary, WIDTH=logits.shape[1], BLOCK=4096, num_warps=8
    )
    return losses.sum(), logits


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _norm(  # type: ignore[no-untyped-def]
    x, branch, drift, weight, bias, total, moments, out, dial, most, tokens, epsilon,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr, BRANCH: tl.constexpr, KIND: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    rows, columns = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, BLOCK)
    there, inside = rows < tokens, columns < WIDTH
    mask = there[:, None] & inside[None, :]
    where = rows.to(tl.int64)[:, None] * WIDTH + columns[None, :]
    value = tl.load(x + where, mask=mask, other=0.0).to(tl.float32)
    if BRANCH:
        value += tl.load(branch + where, mask=mask, other=0.0).to(tl.float32)
        rounded = value.to(total.dtype.element_ty)
        tl.store(total + where, rounded, mask=mask)
        value = rounded.to(tl.float32)
    value += tl.load(drift + columns, mask=inside, other=0.0)[None, :]
    mean = tl.sum(value, 1) / WIDTH
    apart = tl.where(inside[None, :], value - mean[:, None], 0.0)
    spread = 1 / tl.sqrt(tl.sum(apart * apart, 1) / WIDTH + epsilon)
    tl.store(moments + rows, mean, mask=there)
    tl.store(moments + tokens + rows, spread, mask=there)
    scale = tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    shift = tl.load(bias + columns, mask=inside, other=0.0).to(tl.float32)
    value = apart * spread[:, None] * scale[None, :] + shift[None, :]
    put(value, where, mask, out, dial, most, KIND)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _norm_backward(  # type: ignore[no-untyped-def]
    given, total, drift, moments, weight, residual, gradient, sums, out, dial, most, tokens,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr, PROGRAMS: tl.constexpr, KIND: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    program, columns = tl.program_id(0), tl.arange(0, BLOCK)
    inside = columns < WIDTH
    scale = tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)[None, :]
    shift = tl.load(drift + columns, mask=inside, other=0.0)[None, :]
    by_weight = tl.zeros([BLOCK], tl.float32)
    by_bias = tl.zeros([BLOCK], tl.float32)
    by_drift = tl.zeros([BLOCK], tl.float32)
    for step in range(STEPS):
        rows = (step * PROGRAMS + program) * ROWS + tl.arange(0, ROWS)
        there = rows < tokens
        mask = there[:, None] & inside[None, :]
        where = rows.to(tl.int64)[:, None] * WIDTH + columns[None, :]
        value = tl.load(total + where, mask=mask, other=0.0).to(tl.float32)
        by_out = tl.load(given + where, mask=mask, other=0.0).to(tl.float32)
        rest = tl.load(residual + where, mask=mask, other=0.0).to(tl.float32)
        mean = tl.load(moments + rows, mask=there, other=0.0)[:, None]
        spread = tl.load(moments + tokens + rows, mask=there, other=0.0)[:, None]
        normed = (value + shift - mean) * spread
        by_normed = by_out * scale
        along = tl.sum(by_normed * normed, 1) / WIDTH
        level = tl.sum(by_normed, 1) / WIDTH
        change = (by_normed - level[:, None] - normed * along[:, None]) * spread + rest
        change = tl.where(mask, change, 0.0)
        by_weight += tl.sum(by_out * normed, 0)
        by_bias += tl.sum(by_out, 0)
        by_drift += tl.sum(change, 0)
        tl.store(gradient + where, change.to(gradient.dtype.element_ty), mask=mask)
        if KIND == 2:
            put(change, where, mask, out, dial, most, KIND)
        elif KIND == 1:
            _note(change, dial)
    line = sums + program.to(tl.int64) * (3 * WIDTH) + columns
    tl.store(line, by_weight, mask=inside)
    tl.store(line + WIDTH, by_bias, mask=inside)
    tl.store(line + 2 * WIDTH, by_drift, mask=inside)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _tile(tokens, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the columns of a tile of a matrix (tokens, WIDTH), its places, and which of them are there."""
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    mask = (rows < tokens)[:, None] & (columns < WIDTH)[None, :]
    return columns, rows.to(tl.int64)[:, None] * WIDTH + columns[None, :], mask


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _shifted(hidden, bias, columns, where, mask, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return a tile of hidden states with their bias, in fp32."""
    x = tl.load(hidden + where, mask=mask, other=0.0).to(tl.float32)
    return x + tl.load(bias + columns, mask=columns < WIDTH, other=0.0).to(tl.float32)[None, :]


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _bent(x):  # type: ignore[no-untyped-def]
    """Return GELU, by its tanh approximation, divided by x, and its slope at x."""
    inner = 1.5957691216057308 * x * (1 + 0.044715 * x * x)
    share = 1 / (1 + tl.exp(-inner))
    return share, share + x * share * (1 - share) * 1.5957691216057308 * (1 + 0.134145 * x * x)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _gelu(  # type: ignore[no-untyped-def]
    hidden, bias, out, dial, most, tokens,
    WIDTH: tl.constexpr, KIND: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    columns, where, mask = _tile(tokens, WIDTH, ROWS, COLUMNS)
    x = _shifted(hidden, bias, columns, where, mask, WIDTH)
    share, _ = _bent(x)
    put(x * share, where, mask, out, dial, most, KIND)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _gelu_backward(  # type: ignore[no-untyped-def]
    given, hidden, bias, sums, out, dial, most, tokens,
    WIDTH: tl.constexpr, KIND: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    columns, where, mask = _tile(tokens, WIDTH, ROWS, COLUMNS)
    x = _shifted(hidden, bias, columns, where, mask, WIDTH)
    _, slope = _bent(x)
    change = slope * tl.load(given + where, mask=mask, other=0.0).to(tl.float32)
    line = sums + tl.program_id(1).to(tl.int64) * WIDTH + columns
    tl.store(line, tl.sum(change, 0), mask=columns < WIDTH)
    put(change, where, mask, out, dial, most, KIND)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _prepare(  # type: ignore[no-untyped-def]
    matrix, out, dial, most, tokens,
    WIDTH: tl.constexpr, KIND: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    _, where, mask = _tile(tokens, WIDTH, ROWS, COLUMNS)
    value = tl.load(matrix + where, mask=mask, other=0.0).to(tl.float32)
    if KIND == 2:
        put(value, where, mask, out, dial, most, KIND)
    else:
        _note(value, dial)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _cross_entropy(logits, targets, losses, VOCABULARY: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Turn a line of logits into their gradient. The second reading finds it near by."""
    row = tl.program_id(0).to(tl.int64)
    line, columns = logits + row * WIDTH, tl.arange(0, BLOCK)
    peak = tl.full([BLOCK], -1e30, tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    for first in range(0, VOCABULARY, BLOCK):
        x = tl.load(line + first + columns, mask=first + columns < VOCABULARY, other=-1e30).to(tl.float32)
        top = tl.maximum(peak, x)
        total = total * tl.exp(peak - top) + tl.exp(x - top)
        peak = top
    best = tl.max(peak)
    whole = best + tl.log(tl.sum(total * tl.exp(peak - best)))
    target = tl.load(targets + row)
    asked = target >= 0
    right = tl.load(line + tl.maximum(target, 0)).to(tl.float32)
    tl.store(losses + row, tl.where(asked, whole - right, 0.0))
    tl.debug_barrier()
    for first in range(0, WIDTH, BLOCK):
        place = first + columns
        x = tl.load(line + place, mask=place < VOCABULARY, other=-1e30).to(tl.float32)
        gradient = tl.where(asked, tl.exp(x - whole) - (place == target).to(tl.float32), 0.0)
        tl.store(line + place, gradient.to(logits.dtype.element_ty), mask=place < WIDTH)
