"""Each kernel between products gives what the plain operations give: on a GPU, or by Triton's interpreter.

Without a GPU: install triton and run with TRITON_INTERPRET=1.
"""

import os
from importlib.util import find_spec
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from aritmo import fused
from aritmo.attention import Spans
from aritmo.losses import cross_entropy
from aritmo.operands import E4M3, E5M2, Dials, Operand

CUDA = torch.cuda.is_available()
pytestmark = pytest.mark.skipif(
    find_spec("triton") is None or not (CUDA or os.environ.get("TRITON_INTERPRET") == "1"),
    reason="needs a GPU, or triton and TRITON_INTERPRET=1",
)
DEVICE = torch.device("cuda" if CUDA else "cpu")
TOKENS = 272
BORDERS = [0, 1, 6, 76, 140, 255, 272, 272]
KINDS = ("bf16", "seen", "eight")


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def dials(kind: str, dtype: torch.dtype) -> tuple[Dials, Dials]:
    """Return the dials of the plain operations, and of the kernels."""
    both = Dials(1, (dtype,), torch.device("cpu")), Dials(1, (dtype,), DEVICE)
    if kind == "eight":
        for dial in both:
            dial.numbers[..., 2] = 3.0
            dial.turn()
    return both


def moved(*tensors: Tensor) -> list[Tensor]:
    return [tensor.to(DEVICE) for tensor in tensors]


def check(found: Operand, expected: Operand, both: tuple[Dials, Dials], kind: str) -> None:
    assert found.rows.dtype == expected.rows.dtype
    step = {torch.bfloat16: 0.01, E4M3: 0.13, E5M2: 0.26}[found.rows.dtype]
    for ours, theirs in zip((t.float().cpu() for t in found[:2]), (t.float() for t in expected[:2]), strict=True):
        # The interpreter cuts off where it should round, and sometimes rounds up to half.
        assert (ours - theirs).norm() < step * theirs.norm()
        if CUDA:
            torch.testing.assert_close(ours, theirs, atol=0.02, rtol=step)
            # One step of the type here and there, where sums were rounded another way.
            assert (ours != theirs).float().mean() < 0.05
    assert (found.scale is None) == (expected.scale is None)
    if kind != "bf16":
        largest = [float(dial.numbers[0, 0, 2]) for dial in both]
        assert largest[0] == pytest.approx(largest[1], rel=0.01)
        assert largest[0] > 0


def given(both: tuple[Dials, Dials], kind: str, which: int):  # type: ignore[no-untyped-def]
    return None if kind == "bf16" else both[which].of(0, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("branched", [False, True])
@pytest.mark.parametrize("width", [64, 80, 320])
def test_norm_and_back(kind: str, branched: bool, width: int) -> None:
    from aritmo import fused_kernels

    x, branch, residual, by_out = (draw(TOKENS, width, seed=seed) for seed in range(4))
    x = x * 3 + 5
    weight, bias, drift = draw(width, seed=5), draw(width, seed=6), draw(width, seed=7).float()
    both = dials(kind, E4M3)
    extra = branch if branched else None
    total, normed, moments = fused.norm(x, extra, drift, weight, bias, 1e-5, given(both, kind, 0))
    x_, branch_, drift_, weight_, bias_ = moved(x, branch, drift, weight, bias)
    found = fused_kernels.norm(
        x_, branch_ if branched else None, drift_, weight_, bias_, 1e-5, given(both, kind, 1)
    )
    torch.testing.assert_close(found[0].float().cpu(), total.float(), atol=0, rtol=0 if CUDA else 0.01)
    check(found[1], normed, both, kind)
    torch.testing.assert_close(found[2].cpu(), moments, atol=1e-4 if CUDA else 0.01, rtol=1e-4 if CUDA else 0.01)

    both = dials(kind, E5M2)
    expected = fused.norm_backward(by_out, total, drift, moments, weight, residual, given(both, kind, 0))
    back = fused_kernels.norm_backward(
        *moved(by_out, total, drift, moments, weight, residual), given(both, kind, 1)
    )
    torch.testing.assert_close(back[0].float().cpu(), expected[0].float(), atol=0.02 if CUDA else 0.07, rtol=0.01)
    check(back[1], expected[1], both, kind)
    assert (back[2].cpu() - expected[2]).norm() < (1e-4 if CUDA else 0.01) * expected[2].norm()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [64, 144])
def test_gelu_and_back(kind: str, width: int) -> None:
    from aritmo import fused_kernels

    hidden, bias, by_out = 2 * draw(TOKENS, width), draw(width, seed=2), draw(TOKENS, width, seed=3)
    both = dials(kind, E4M3)
    expected = fused.gelu(hidden, bias, given(both, kind, 0))
    check(fused_kernels.gelu(*moved(hidden, bias), given(both, kind, 1)), expected, both, kind)
    both = dials(kind, E5M2)
    back, sums = fused.gelu_backward(by_out, hidden, bias, given(both, kind, 0))
    found, summed = fused_kernels.gelu_backward(*moved(by_out, hidden, bias), given(both, kind, 1))
    check(found, back, both, kind)
    assert (summed.cpu() - sums).norm() < (1e-4 if CUDA else 0.01) * sums.norm()


@pytest.mark.parametrize("kind", KINDS[1:])
def test_prepare(kind: str) -> None:
    from aritmo import fused_kernels

    matrix, both = draw(TOKENS, 144), dials(kind, E5M2)
    expected = fused.prepare(matrix, given(both, kind, 0))
    check(fused_kernels.prepare(matrix.to(DEVICE), given(both, kind, 1)), expected, both, kind)


@pytest.mark.parametrize("vocabulary", [90, 5000])
def test_cross_entropy(vocabulary: int) -> None:
    from aritmo import fused_kernels

    logits = 3 * draw(40, vocabulary + 6)
    targets = torch.arange(40) * 7 % vocabulary
    targets[5:9] = -100
    loss, gradient = cross_entropy(logits, targets, vocabulary)
    found, by_logits = fused_kernels.cross_entropy(*moved(logits.clone(), targets), vocabulary)
    assert float(found) == pytest.approx(float(loss), rel=1e-4)
    assert (by_logits.float().cpu() - gradient.float()).norm() < 0.01 * gradient.float().norm()
    assert not by_logits[5:9].any()
    assert not by_logits[:, vocabulary:].any()


@pytest.mark.parametrize("shape", [(16, 16), (272, 144), (128, 1600)])
def test_a_matrix_of_bytes_is_turned(shape: tuple[int, int]) -> None:
    from aritmo import fused_kernels

    drawn = torch.randint(-128, 128, shape, dtype=torch.int8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(fused_kernels.turned(drawn.to(DEVICE)).cpu(), drawn.t())


@pytest.mark.skipif(not CUDA, reason="the interpreter takes no loop between two numbers of a tensor")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("heads", "size"), [(3, 16), (2, 64), (3, 20)])
def test_attention_and_back(kind: str, heads: int, size: int) -> None:
    from aritmo import packed_attention

    width = heads * size
    joined, bias, by_out = draw(TOKENS, 3 * width), draw(3 * width, seed=2), draw(TOKENS, width, seed=3)
    borders = torch.tensor(BORDERS, dtype=torch.int32)
    spans = Spans.of(borders, TOKENS)
    for token, (start, stop) in enumerate(zip(*spans, strict=True)):
        assert (int(start), int(stop)) in set(pairwise(BORDERS))
        assert start <= token < stop
    both = dials(kind, E4M3)
    out, sums, operand = fused.attend(joined, bias, borders, spans, heads, 0.2, given(both, kind, 0))
    joined_, bias_, by_out_, *spans_ = moved(joined, bias, by_out, *spans)
    there = Spans(*spans_)
    seen, shares, factor = packed_attention.attend(joined_, bias_, there, heads, 0.2, given(both, kind, 1))
    torch.testing.assert_close(seen.float().cpu(), out.float(), atol=0.03, rtol=0.02)
    if kind != "eight":
        assert factor.rows is seen
    else:
        for ours, theirs in zip(factor[:2], operand[:2], strict=True):
            assert (ours.float().cpu() - theirs.float()).norm() < 0.05 * theirs.float().norm()

    both = dials(kind, E5M2)
    back, columns = fused.attend_backward(
        by_out, joined, bias, out, sums, borders, spans, heads, 0.2, given(both, kind, 0)
    )
    found, summed = packed_attention.attend_backward(
        by_out_, joined_, bias_, seen, shares, there, heads, 0.2, given(both, kind, 1)
    )
    for ours, theirs in zip(found[:2], back[:2], strict=True):
        apart = (ours.float().cpu() - theirs.float()).norm() / theirs.float().norm()
        assert apart < (0.02 if kind != "eight" else 0.1)
    assert (summed.cpu() - columns).norm() < 0.01 * columns.norm()
    if kind != "bf16":
        assert float(both[1].numbers[0, 0, 2]) == pytest.approx(float(both[0].numbers[0, 0, 2]), rel=0.03)
