"""Several GPT-2s of one shape that learn side by side, on one device and in one pass.

Small models leave a GPU idle; a dozen of them, each parameter held as one tensor with the model as its first
dimension, fill it. What each model computes is what transformers' GPT2LMHeadModel computes without dropout.
"""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel

from aritmo.attention import varlen
from aritmo.recipes import NOT_ASKED as NOT_ASKED

Weights = dict[str, Tensor]
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


class Batch(NamedTuple):
    """What several models read, one row a model: texts end to end, which do not see each other.

    ``tokens``, ``positions`` and ``labels`` are (models, tokens); the label of a place is its next token or
    ``NOT_ASKED``. ``ends`` (texts of all models + 1,) int32 holds the borders of the texts in the flat tokens,
    from 0 on; ``longest`` is at least the length of each text. ``kinds``, shaped like the labels, says of what
    kind of step each label is, where a recipe tells them apart.
    """

    tokens: Tensor
    positions: Tensor
    labels: Tensor
    ends: Tensor
    longest: int
    kinds: Tensor | None = None


def cosine(done: float) -> float:
    """Return the share of the learning rate that is left: half a cosine, from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True, slots=True)
class Course:
    """How to train: ``rate`` is the highest learning rate, reached after ``warmup`` updates; then ``falls`` says
    what share of it is left when a share of the work is done. ``decay`` falls on matrices only.
    """

    rate: float = 1e-3
    warmup: int = 100
    falls: Callable[[float], float] = cosine
    decay: float = 0.0
    clip: float = 1.0


def gpt2_config(
    vocabulary: int, positions: int, layers: int, width: int, heads: int, **others: int | None
) -> GPT2Config:
    """Return the config of a GPT-2 without dropout, which drawing problems anew makes needless."""
    return GPT2Config(
        vocab_size=vocabulary, n_positions=positions, n_embd=width, n_layer=layers, n_head=heads,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **others,
    )  # fmt: skip


class Siblings:
    """GPT-2s that learn side by side, each from its own row of a batch, as if each were alone."""

    def __init__(self, models: Sequence[GPT2LMHeadModel], course: Course, device: torch.device) -> None:
        self.course, self.device, self.updates = course, device, 0
        self._first, self._count = models[0], len(models)
        states = [dict(model.named_parameters()) for model in models]
        self.weights: Weights = {
            name: torch.stack([state[name].detach() for state in states]).to(device).requires_grad_()
            for name in states[0]
        }
        parameters = list(self.weights.values())
        groups = [
            {"params": [p for p in parameters if p.dim() > 2], "weight_decay": course.decay},
            {"params": [p for p in parameters if p.dim() == 2], "weight_decay": 0.0},
        ]
        self._adamw = torch.optim.AdamW(groups, lr=course.rate, betas=(0.9, 0.98), fused=True)
        on_gpu = device.type == "cuda"
        self._losses = torch.compile(losses, dynamic=False) if on_gpu else losses
        self._clip = torch.compile(_clip, dynamic=False) if on_gpu else _clip

    def update(self, batch: Batch, done: float) -> Tensor:
        """Make one update of every model, ``done`` being the share of the work behind it; return the losses.

        The loss of each model (models,) is its mean over what is asked, in nats a token.
        """
        course = self.course
        rate = course.rate * min(1.0, (self.updates + 1) / course.warmup) * course.falls(done)
        for group in self._adamw.param_groups:
            group["lr"] = rate
        with self._precision():
            loss = self._losses(self.weights, self._first.config.n_head, batch)[0]
        torch.autograd.backward(loss.sum())
        self._clip([weight.grad for weight in self.weights.values() if weight.grad is not None], course.clip)
        self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)
        self.updates += 1
        return loss.detach()

    @torch.no_grad()
    def read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the losses (models,), and at which places (models, tokens) the likeliest token is the label."""
        with self._precision():
            return losses(self.weights, self._first.config.n_head, batch)

    def model(self, index: int) -> GPT2LMHeadModel:
        """Return one of the models, on the CPU and ready to be saved."""
        model = deepcopy(self._first).cpu()
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for name, weight in self.weights.items():
                parameters[name].copy_(weight[index])
        return model.eval()

    def __len__(self) -> int:
        return self._count

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")


def losses(weights: Weights, heads: int, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return each model's mean loss (models,), and where its likeliest token is the label (models, tokens)."""
    attend = attend_texts(batch.ends, batch.longest)
    logits = forward(weights, heads, batch.tokens, batch.positions, attend).float()
    flat = functional.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), reduction="none")
    asked = (batch.labels != NOT_ASKED).sum(1).clamp(min=1)
    return flat.view_as(batch.labels).sum(1) / asked, logits.argmax(-1) == batch.labels


def forward(weights: Weights, heads: int, tokens: Tensor, positions: Tensor, attend: Attend) -> Tensor:
    """Return the logits (models, tokens, vocabulary) of what follows each token.

    ``attend`` is given query, key and value of all tokens, (models * tokens, heads, size) each.
    """
    embedding = weights["transformer.wte.weight"]
    x = _rows(embedding, tokens) + _rows(weights["transformer.wpe.weight"], positions)
    layer = 0
    while (name := f"transformer.h.{layer}.") + "ln_1.weight" in weights:
        parts = _linear(weights, name + "attn.c_attn", _norm(weights, name + "ln_1", x)).chunk(3, -1)
        query, key, value = (part.flatten(0, 1).view(-1, heads, part.shape[-1] // heads) for part in parts)
        seen = attend(query, key, value).reshape(x.shape)
        x = x + _linear(weights, name + "attn.c_proj", seen)
        inner = _linear(weights, name + "mlp.c_fc", _norm(weights, name + "ln_2", x))
        x = x + _linear(weights, name + "mlp.c_proj", functional.gelu(inner, approximate="tanh"))
        layer += 1
    return torch.bmm(_norm(weights, "transformer.ln_f", x), embedding.mT)


def attend_texts(ends: Tensor, longest: int) -> Attend:
    """Return a causal attention within each text; on a GPU by kernels for texts of varying length."""
    if ends.is_cuda:
        return lambda query, key, value: varlen(query, key, value, ends, longest)
    lengths = ends.diff().long()
    along = torch.arange(int(lengths.max()))
    inside = along < lengths[:, None]
    places = torch.where(inside, ends[:-1, None] + along, 0)
    written = inside.flatten().nonzero().squeeze(1)

    def attend(*states: Tensor) -> Tensor:
        # What fills a text up stands behind it, where a causal query never looks.
        query, key, value = (
            part.index_select(0, places.flatten()).view(*places.shape, *part.shape[1:]).transpose(1, 2)
            for part in states
        )
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return seen.transpose(1, 2).flatten(0, 1).index_select(0, written)

    return attend


def _rows(tables: Tensor, ids: Tensor) -> Tensor:
    """Return the rows of each model's table (models, rows, width) that its ids (models, tokens) name."""
    models, rows, _ = tables.shape
    first = rows * torch.arange(models, device=ids.device)
    return functional.embedding(ids + first[:, None], tables.flatten(0, 1))


def _linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return torch.baddbmm(weights[name + ".bias"][:, None], x, weights[name + ".weight"])


def _norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    normed = functional.layer_norm(x, x.shape[-1:])
    return normed * weights[name + ".weight"][:, None] + weights[name + ".bias"][:, None]


def _clip(gradients: list[Tensor], most: float) -> None:
    """Scale each model's gradients, the first dimension of each tensor, to a norm of at most ``most``."""
    squares = torch.stack([gradient.square().flatten(1).sum(1) for gradient in gradients]).sum(0)
    factor = (most / (squares.sqrt() + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))
