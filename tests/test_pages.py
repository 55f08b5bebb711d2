from typing import Any

import pytest
import torch
from torch.nn import Parameter

from aritmo.lean import LeanAdamW
from aritmo.pages import PagedAdamW

CPU = torch.device("cpu")
SHAPES = ((30, 41), (7,), (700,), (3, 5, 2), (1300,))


def parameters(dtype: torch.dtype = torch.float32) -> list[Parameter]:
    torch.manual_seed(2)
    return [Parameter(torch.randn(shape).to(dtype)) for shape in SHAPES]


def groups(of: list[Parameter]) -> list[dict[str, Any]]:
    return [
        {"params": [p for p in of if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in of if p.dim() < 2], "weight_decay": 0.0},
    ]


def teach(optimizer: PagedAdamW, of: list[Parameter], steps: int, seed: int = 0, rate: float = 1e-2) -> None:
    torch.manual_seed(seed)
    for _ in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for p in of:
            p.grad = torch.randn(p.shape).to(p.dtype)
        optimizer.clip(1.0)
        optimizer.step()


@pytest.mark.parametrize("page", [256, 1024, 2**24])
def test_it_is_adamw_whatever_the_pages(page: int) -> None:
    ours, theirs = parameters(), parameters()
    paged = PagedAdamW(groups(ours), CPU, page=page)
    plain = torch.optim.AdamW(groups(theirs), lr=1e-2, betas=(0.9, 0.95))
    torch.manual_seed(5)
    for _ in range(6):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape)
            other.grad = one.grad.clone()
        for group in paged.param_groups:
            group["lr"] = 1e-2
        torch.testing.assert_close(paged.clip(3.0), torch.nn.utils.clip_grad_norm_(theirs, 3.0))
        paged.step()
        plain.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
        for name in ("exp_avg", "exp_avg_sq", "step"):
            torch.testing.assert_close(paged.state[one][name], plain.state[other][name])


def test_a_parameter_without_gradient_decays_alone() -> None:
    of = parameters()
    before = [p.detach().clone() for p in of]
    paged = PagedAdamW(groups(of), CPU, page=512)
    for group in paged.param_groups:
        group["lr"] = 0.5
    of[1].grad = torch.ones(7)
    paged.clip(1.0)
    paged.step()
    torch.testing.assert_close(of[0], before[0] * (1 - 0.5 * 0.1))
    torch.testing.assert_close(of[2], before[2])
    torch.testing.assert_close(of[1], before[1] - 0.5)


def test_the_master_gathers_what_bf16_would_lose() -> None:
    weight = Parameter(torch.ones(300))
    paged = PagedAdamW([{"params": [weight], "weight_decay": 0.0}], CPU)
    weight.data = weight.data.bfloat16()
    for _ in range(100):
        for group in paged.param_groups:
            group["lr"] = 1e-4
        weight.grad = torch.ones(300, dtype=torch.bfloat16)
        paged.clip(1e9)
        paged.step()
    assert torch.bfloat16 == weight.dtype
    torch.testing.assert_close(paged.state[weight]["master"], torch.full((300,), 0.99), atol=1e-5, rtol=0)
    assert (weight.float() - 0.99).abs().max() < 0.004


@pytest.mark.parametrize("kind", [PagedAdamW, LeanAdamW])
def test_what_is_saved_goes_on_as_before(kind: type[PagedAdamW]) -> None:
    dtype = torch.bfloat16
    whole, begun, resumed = parameters(dtype), parameters(dtype), parameters(dtype)
    teach(one := kind(groups(whole), CPU, page=512), whole, 3)
    teach(one, whole, 3, seed=1)
    teach(first := kind(groups(begun), CPU, page=512), begun, 3)
    saved = {
        index: {name: tensor.clone() for name, tensor in first.state[p].items()}
        for index, p in enumerate(p for group in first.param_groups for p in group["params"])
    }
    second = kind(groups(resumed), CPU, page=512)
    second.load_state_dict({"state": saved})
    for p, q in zip(resumed, begun, strict=True):
        p.data.copy_(q.data)
    teach(second, resumed, 3, seed=1)
    for p, q in zip(resumed, whole, strict=True):
        assert torch.equal(p, q)
        for name, tensor in second.state[p].items():
            assert torch.equal(tensor, one.state[q][name])
