import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import Parameter

from aritmo.lean import (
    LeanAdamW,
    decode_mean,
    decode_square,
    draw_bits,
    encode_mean,
    encode_square,
    round_at_random,
)
from aritmo.pages import BLOCK, PagedAdamW

CPU = torch.device("cpu")


def bits(seed: int, shift: int = 0, width: int = 8) -> torch.Tensor:
    return (draw_bits(BLOCK, torch.tensor(seed, dtype=torch.int32)) >> shift & (2**width - 1)).view(1, BLOCK)


@given(st.integers(0, 2**31 - 1), st.floats(-12, 6))
@settings(max_examples=50)
def test_codes_are_within_a_step(seed: int, size: float) -> None:
    torch.manual_seed(seed % 1000)
    m = torch.randn(1, BLOCK) * 10**size
    largest = m.abs().amax(1)
    back = decode_mean(encode_mean(m, largest, bits(seed)), largest)
    near = m.abs() > largest * 2.0**-16
    assert ((back / m - 1).abs()[near] < 2 ** (16 / 126) - 1 + 1e-4).all()
    assert (back.abs()[~near] <= largest * 2.0**-15.9).all()
    back = decode_square(encode_square(m * m, largest**2, bits(seed)), largest**2)
    near = m * m > largest**2 * 2.0**-32
    assert ((back / (m * m) - 1).abs()[near] < 2 ** (32 / 254) - 1 + 1e-4).all()
    assert (back > 0).all(), "a square never becomes nothing"


def test_codes_are_right_on_average() -> None:
    torch.manual_seed(1)
    m = torch.randn(1, BLOCK)
    m[0, :64] *= 2.0**-18
    largest = m.abs().amax(1)
    draws = [decode_mean(encode_mean(m, largest, bits(seed)), largest) for seed in range(4000)]
    error = (torch.stack(draws).mean(0) - m).abs()
    step = torch.maximum(m.abs() * 0.1, largest * 2.0**-16)
    assert (error < 0.05 * step + largest * 1e-9).float().mean() > 0.95
    squares = [decode_square(encode_square(m * m, largest**2, bits(seed, 8)), largest**2) for seed in range(4000)]
    assert ((torch.stack(squares).mean(0) / (m * m) - 1).abs()[0, 64:] < 0.01).float().mean() > 0.95


def test_nothing_stays_nothing() -> None:
    nothing, largest = torch.zeros(1, BLOCK), torch.zeros(1)
    assert not decode_mean(encode_mean(nothing, largest, bits(1)), largest).any()
    assert not decode_square(encode_square(nothing, largest, bits(1)), largest).any()


def test_rounding_goes_to_a_neighbour_and_is_right_on_average() -> None:
    x = torch.linspace(-3, 3, BLOCK) + 1e-3
    drawn = torch.stack([round_at_random(x, bits(seed, 16, 16)[0]).float() for seed in range(3000)])
    assert ((drawn - x).abs() <= x.abs() * 2**-7).all()
    assert ((drawn.mean(0) - x).abs() < 0.05 * 2**-7 * x.abs() + 1e-6).float().mean() > 0.9
    exact = torch.tensor([1.0, -0.5, 0.0, 3.0])
    assert torch.equal(round_at_random(exact, torch.full((4,), 0xFFFF, dtype=torch.int32)).float(), exact)


def test_draws_look_drawn() -> None:
    drawn = draw_bits(1 << 16, torch.tensor(12345, dtype=torch.int32))
    for bit in range(32):
        assert (drawn >> bit & 1).float().mean().item() == pytest.approx(0.5, abs=0.01)
    low, high = (drawn & 0xFF).float(), (drawn >> 16 & 0xFFFF).float()
    assert abs(torch.corrcoef(torch.stack([low, high]))[0, 1]) < 0.02
    assert abs(torch.corrcoef(torch.stack([high[1:], high[:-1]]))[0, 1]) < 0.02


def learn(kind: type[PagedAdamW], seed: int = 0) -> tuple[float, torch.Tensor]:
    """Teach a small network a function; return its loss over the last steps, and its weights."""
    torch.manual_seed(4)
    truth = [torch.randn(16, 64) / 4, torch.randn(64, 8) / 8]
    weights = [Parameter(torch.randn(16, 64) / 4), Parameter(torch.randn(64, 8) / 8)]
    optimizer = kind([{"params": weights, "weight_decay": 0.0}], CPU, seed=seed)
    for weight in weights:
        weight.data = weight.data.bfloat16()
    late = []
    for step in range(400):
        x = torch.randn(64, 16)
        wanted = torch.tanh(x @ truth[0]) @ truth[1]
        loss = F.mse_loss(torch.tanh(x.bfloat16() @ weights[0]) @ weights[1], wanted.bfloat16())
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / 400)
        optimizer.clip(1.0)
        optimizer.step()
        optimizer.zero_grad()
        late += [loss.item()] * (step >= 350)
    return sum(late) / len(late), torch.cat([weight.detach().flatten() for weight in weights])


def test_it_learns_as_well_as_adamw_and_the_same_from_the_same_seed() -> None:
    lean, weights = learn(LeanAdamW)
    plain, _ = learn(PagedAdamW)
    assert plain < 0.1
    assert lean < 1.15 * plain + 1e-4
    assert torch.equal(weights, learn(LeanAdamW)[1])
    assert not torch.equal(weights, learn(LeanAdamW, seed=1)[1])


def test_six_bytes_a_parameter() -> None:
    weight = Parameter(torch.zeros(1 << 16, dtype=torch.bfloat16))
    optimizer = LeanAdamW([{"params": [weight], "weight_decay": 0.0}], CPU)
    held = sum(tensor.numel() * tensor.element_size() for tensor in optimizer.state[weight].values())
    assert held < 2.04 * weight.numel()
