"""What stands between the products of a GPT-2 block: by a kernel each on a GPU, by plain operations elsewhere.

Matrices are (tokens, width). The stream of a model is kept as a matrix and a ``drift`` (width,), fp32, that is to
be added to each of its lines: the biases of all products so far that added to it. So no bias is added by itself.
``dial`` scales a matrix that is written in 8 bits; without one it is written in bf16.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from aritmo.attention import Spans, one_by_one
from aritmo.operands import E4M3, Dial, Operand, plain


def norm(
    x: Tensor,
    branch: Tensor | None,
    drift: Tensor,
    weight: Tensor,
    bias: Tensor,
    epsilon: float,
    dial: Dial | None,
) -> tuple[Tensor, Operand, Tensor]:
    """Add ``branch`` to ``x`` and norm the lines of the sum with drift.

    Returns the sum without drift, the normed lines, and their moments (2, tokens) in fp32: mean, and what was
    multiplied by.
    """
    if x.is_cuda:
        from aritmo import fused_kernels

        return fused_kernels.norm(x, branch, drift, weight, bias, epsilon, dial)
    total = x if branch is None else x + branch
    value = total.float() + drift
    mean = value.mean(1)
    spread = (value.var(1, correction=0) + epsilon).rsqrt()
    normed = (value - mean[:, None]) * spread[:, None] * weight.float() + bias.float()
    return total, _written(normed, dial, x.dtype), torch.stack((mean, spread))


def norm_backward(
    given: Tensor, total: Tensor, drift: Tensor, moments: Tensor, weight: Tensor, residual: Tensor,
    dial: Dial | None,
) -> tuple[Tensor, Operand, Tensor]:  # fmt: skip
    """Return the gradient of the sum that ``norm`` made, ``residual`` included, alone and as a factor of products.

    ``given`` is the gradient of the normed lines. Last come three sums over tokens (3, width) in fp32: the
    gradients of the norm's weight and bias, and the gradient itself added up, which is the drift's.
    """
    if given.is_cuda:
        from aritmo import fused_kernels

        return fused_kernels.norm_backward(given, total, drift, moments, weight, residual, dial)
    mean, spread = moments[:, :, None]
    normed = (total.float() + drift - mean) * spread
    by_normed = given.float() * weight.float()
    along = (by_normed * normed).mean(1, keepdim=True)
    change = (by_normed - by_normed.mean(1, keepdim=True) - normed * along) * spread + residual.float()
    sums = torch.stack(((given.float() * normed).sum(0), given.float().sum(0), change.sum(0)))
    gradient = change.to(total.dtype)
    return gradient, _written(change, dial, total.dtype), sums


def gelu(hidden: Tensor, bias: Tensor, dial: Dial | None) -> Operand:
    """Return GELU, by its tanh approximation, of hidden states with their bias."""
    if hidden.is_cuda:
        from aritmo import fused_kernels

        return fused_kernels.gelu(hidden, bias, dial)
    return _written(F.gelu(hidden.float() + bias.float(), approximate="tanh"), dial, hidden.dtype)


def gelu_backward(given: Tensor, hidden: Tensor, bias: Tensor, dial: Dial | None) -> tuple[Operand, Tensor]:
    """Return the gradient of the hidden states, and its sum over tokens in fp32, which is the bias'."""
    if hidden.is_cuda:
        from aritmo import fused_kernels

        return fused_kernels.gelu_backward(given, hidden, bias, dial)
    with torch.enable_grad():
        inner = (hidden.float() + bias.float()).requires_grad_()
        (change,) = torch.autograd.grad(F.gelu(inner, approximate="tanh"), inner, given.float())
    return _written(change, dial, hidden.dtype), change.sum(0)


def prepare(matrix: Tensor, dial: Dial | None) -> Operand:
    """Return a matrix as a factor of products."""
    if dial is None:
        return plain(matrix)
    if matrix.is_cuda:
        from aritmo import fused_kernels

        return fused_kernels.prepare(matrix, dial)
    return _written(matrix.float(), dial, matrix.dtype)


@torch.no_grad()
def in_eight_bits(matrix: Tensor) -> Operand:
    """Return a matrix in e4m3, scaled by its own largest number."""
    largest = torch.linalg.vector_norm(matrix, math.inf, dtype=torch.float32)
    factor = torch.finfo(E4M3).max / largest.clamp(min=1e-12)
    numbers = torch.stack((1 / factor, factor, torch.zeros_like(factor), torch.zeros_like(factor)))
    return prepare(matrix, Dial(numbers, E4M3, ready=True))


def attend(
    joined: Tensor, bias: Tensor, borders: Tensor, spans: Spans, heads: int, scale: float,
    dial: Dial | None,
) -> tuple[Tensor, Tensor, Operand]:  # fmt: skip
    """Attend from each token of a stream to those of its own example up to itself.

    ``joined`` (tokens, 3 * width) holds queries, keys and values, their bias not yet added; ``borders`` (examples
    + 1) are where examples begin, and the end, which ``spans`` says for each token. Returns (tokens, width), what
    the softmax divided by (heads, tokens), and the first as a factor of products.
    """
    if joined.is_cuda:
        from aritmo import packed_attention

        return packed_attention.attend(joined, bias, spans, heads, scale, dial)
    out = _attend_plainly(joined + bias, borders, heads, scale)
    return out, out.new_empty(0), _written(out.float(), dial, out.dtype)


def attend_backward(
    given: Tensor, joined: Tensor, bias: Tensor, out: Tensor, sums: Tensor, borders: Tensor,
    spans: Spans, heads: int, scale: float, dial: Dial | None,
) -> tuple[Operand, Tensor]:  # fmt: skip
    """Return the gradient of ``joined``, and its sum over tokens in fp32, which is the bias'."""
    if joined.is_cuda:
        from aritmo import packed_attention

        return packed_attention.attend_backward(given, joined, bias, out, sums, spans, heads, scale, dial)
    with torch.enable_grad():
        inner = (joined + bias).requires_grad_()
        (change,) = torch.autograd.grad(_attend_plainly(inner, borders, heads, scale), inner, given)
    return _written(change.float(), dial, joined.dtype), change.float().sum(0)


def _attend_plainly(joined: Tensor, borders: Tensor, heads: int, scale: float) -> Tensor:
    query, key, value = joined.view(len(joined), 3, heads, -1).unbind(1)
    seen: Tensor = one_by_one(query, key, value, borders, len(joined), 0.0, scale, (-1, 0))
    return seen.flatten(1)


def _written(value: Tensor, dial: Dial | None, dtype: torch.dtype) -> Operand:
    """Do what ``fused_kernels.put`` does."""
    if dial is None:
        return plain(value.to(dtype))
    dial.numbers[2] = torch.maximum(dial.numbers[2], value.abs().max())
    if not dial.ready:
        return plain(value.to(dtype))
    most = torch.finfo(dial.dtype).max
    eight = (value * dial.numbers[1]).clamp(-most, most).to(dial.dtype)
    return Operand(eight, eight.t().contiguous(), dial.scale)
