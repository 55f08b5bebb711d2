import pytest
import torch
import torch.nn.functional as F

import aritmo.losses as losses
from aritmo.batches import UNASKED
from aritmo.losses import head_loss


def parts(bias: bool, dtype: torch.dtype = torch.float32) -> list[torch.Tensor | None]:
    torch.manual_seed(3)
    given = [torch.randn(23, 16), torch.randn(70, 16), torch.randn(70) if bias else None]
    return [None if part is None else part.to(dtype).requires_grad_() for part in given]


def targets() -> torch.Tensor:
    wanted = torch.arange(23) * 3
    wanted[[4, 11, 22]] = UNASKED
    return wanted


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("chunk", [7, 2048])
def test_loss_and_gradients_are_those_of_the_whole(
    bias: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "CHUNK", chunk)
    ours, theirs = parts(bias), parts(bias)
    loss = head_loss(ours[0], ours[1], ours[2], targets())  # type: ignore[arg-type]
    logits = F.linear(theirs[0], theirs[1], theirs[2])  # type: ignore[arg-type]
    plain = F.cross_entropy(logits, targets(), reduction="sum", ignore_index=UNASKED)
    torch.testing.assert_close(loss, plain)
    (loss / 7).backward()
    (plain / 7).backward()
    for one, other in zip(ours, theirs, strict=True):
        if one is not None and other is not None:
            torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-4)


def test_bf16_gradients_are_near_and_of_the_parameters_type() -> None:
    ours, theirs = parts(True, torch.bfloat16), parts(True)
    head_loss(ours[0], ours[1], ours[2], targets()).backward()  # type: ignore[arg-type]
    head_loss(theirs[0], theirs[1], theirs[2], targets()).backward()  # type: ignore[arg-type]
    for one, other in zip(ours, theirs, strict=True):
        assert one is not None
        assert other is not None
        assert one.grad is not None
        assert one.grad.dtype == torch.bfloat16
        assert (one.grad.float() - other.grad).norm() < 0.02 * other.grad.norm()


def test_a_head_that_stands_still_gets_no_gradient() -> None:
    hidden, weight, _ = parts(False)
    assert weight is not None
    weight.requires_grad_(False)
    head_loss(hidden, weight, None, targets()).backward()  # type: ignore[arg-type]
    assert hidden is not None
    assert hidden.grad is not None
    assert weight.grad is None


def test_nothing_is_kept_where_nothing_learns() -> None:
    hidden, weight, bias = parts(True)
    with torch.no_grad():
        loss = head_loss(hidden, weight, bias, targets())  # type: ignore[arg-type]
    assert not loss.requires_grad
    with_gradient = head_loss(hidden, weight, bias, targets())  # type: ignore[arg-type]
    torch.testing.assert_close(loss, with_gradient.detach())
