"""A small Llama that learns from streams of texts that do not see each other, its matrices by Muon."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaForCausalLM

from aritmo.attention import varlen
from aritmo.recipes.siblings import NOT_ASKED, Attend, Batch, Course

_FASTER = 2.0
"""The rate of the matrices that Muon moves, as a multiple of the rate of the rest."""


class Muon:
    """Momentum made orthogonal (Jordan and others 2024), in steps as large as AdamW's.

    A step of a matrix has 0.2 * sqrt(its longer side) times the rate (Liu and others 2025, arXiv 2502.16982).
    """

    def __init__(self, matrices: Sequence[Tensor], decay: float) -> None:
        shapes = sorted({matrix.shape for matrix in matrices})
        self._groups = [[matrix for matrix in matrices if matrix.shape == shape] for shape in shapes]
        self._kept = [torch.zeros(len(group), *group[0].shape, device=group[0].device) for group in self._groups]
        self._decay = decay

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move every matrix by its gradient."""
        for group, kept in zip(self._groups, self._kept, strict=True):
            gradient = torch.stack([matrix.grad for matrix in group if matrix.grad is not None])
            kept.lerp_(gradient, 0.05)
            change = orthogonal(gradient.lerp(kept, 0.95)) * (0.2 * rate * max(group[0].shape) ** 0.5)
            for matrix, moved in zip(group, change.to(group[0].dtype), strict=True):
                matrix.mul_(1 - rate * self._decay).sub_(moved)


def orthogonal(x: Tensor) -> Tensor:
    """Return nearly orthogonal matrices (count, rows, columns), in bfloat16, by five Newton-Schulz steps.

    Their singular values are between about 0.7 and 1.2. The three factors are Jordan's.
    """
    tall = x.shape[1] > x.shape[2]
    x = (x.transpose(1, 2) if tall else x).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.transpose(1, 2)
        x = 3.4445 * x + (2.0315 * square @ square - 4.7750 * square) @ x
    return x.transpose(1, 2) if tall else x


class LlamaLearner:
    """A Llama that learns from batches of one row, as ``Siblings`` do."""

    def __init__(self, model: LlamaForCausalLM, course: Course, device: torch.device) -> None:
        self.course, self.device, self.updates = course, device, 0
        self._model = model.to(device)
        inner = [p for layer in model.model.layers for p in layer.parameters() if p.dim() == 2]
        moved = {id(p) for p in inner}
        outer = [p for p in model.parameters() if id(p) not in moved]
        groups = [
            {"params": [p for p in outer if p.dim() == 2], "weight_decay": course.decay},
            {"params": [p for p in outer if p.dim() < 2], "weight_decay": 0.0},
        ]
        self._muon = Muon(inner, course.decay)
        self._adamw = torch.optim.AdamW(groups, lr=course.rate, betas=(0.9, 0.98), fused=True)
        self._losses = torch.compile(losses, dynamic=False) if device.type == "cuda" else losses

    def update(self, batch: Batch, done: float) -> Tensor:
        """Make one update, ``done`` being the share of the work behind it; return the loss (1,).

        It is the mean over what is asked, in nats a token.
        """
        course = self.course
        rate = course.rate * min(1.0, (self.updates + 1) / course.warmup) * course.falls(done)
        for group in self._adamw.param_groups:
            group["lr"] = rate
        with self._precision():
            each = self._losses(self._model, batch)[0]
        loss = each.sum() / (batch.labels != NOT_ASKED).sum().clamp(min=1)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), course.clip)
        self._adamw.step()
        self._muon.step(_FASTER * rate)
        self._model.zero_grad(set_to_none=True)
        self.updates += 1
        return loss.detach()[None]

    @torch.no_grad()
    def read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss at each place (1, tokens), and where the likeliest token is the label."""
        with self._precision():
            return losses(self._model, batch)

    def model(self, index: int) -> LlamaForCausalLM:
        """Return the model, on the CPU and ready to be saved; ``index`` is 0, since there is one."""
        assert index == 0
        return deepcopy(self._model).cpu().eval()

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")


def losses(model: LlamaForCausalLM, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the loss at each place (1, tokens), and where the likeliest token is the label."""
    attend = attend_stream(batch.ends, batch.longest)
    logits = forward(model, batch.tokens[0], batch.positions[0], attend).float()
    labels = batch.labels[0]
    return functional.cross_entropy(logits, labels, reduction="none")[None], (logits.argmax(-1) == labels)[None]


def attend_stream(ends: Tensor, longest: int) -> Attend:
    """Return a causal attention within each text; on a GPU by one kernel for all of them."""
    if ends.is_cuda:
        return lambda query, key, value: varlen(query, key, value, ends, longest)
    borders = [(start, stop) for start, stop in pairwise(ends.tolist()) if start < stop]

    def attend(*states: Tensor) -> Tensor:
        seen = []
        for start, stop in borders:
            query, key, value = (part[start:stop].transpose(0, 1) for part in states)
            seen.append(functional.scaled_dot_product_attention(query, key, value, is_causal=True))
        return torch.cat(seen, 1).transpose(0, 1)

    return attend


def forward(model: LlamaForCausalLM, tokens: Tensor, positions: Tensor, attend: Attend) -> Tensor:
    """Return the logits (tokens, vocabulary) of what follows each token, by the model's own modules.

    ``attend`` is given query, key and value, (tokens, heads, size) each.
    """
    core: Any = model.model
    x = core.embed_tokens(tokens)
    heads = model.config.num_attention_heads
    cos, sin = _angles(positions, model.config.head_dim, model.config.rope_parameters["rope_theta"])
    for layer in core.layers:
        inside, projected = layer.input_layernorm(x), layer.self_attn
        query, key, value = (
            project(inside).unflatten(-1, (heads, -1))
            for project in (projected.q_proj, projected.k_proj, projected.v_proj)
        )
        query, key = (_rotate(part, cos, sin).to(value.dtype) for part in (query, key))
        x = x + projected.o_proj(attend(query, key, value).flatten(-2))
        x = x + layer.mlp(layer.post_attention_layernorm(x))
    logits: Tensor = model.lm_head(core.norm(x))
    return logits


def _angles(positions: Tensor, size: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return cosine and sine (tokens, 1, size) of rotary positions (Su and others 2021, arXiv 2104.09864)."""
    rates = theta ** (-torch.arange(0, size, 2, device=positions.device).float() / size)
    angles = (positions[:, None].float() * rates).repeat(1, 2)[:, None]
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin
