"""How a micro-batch becomes a loss: the sum of the nats over its places that bear loss.

Logits are the largest tensor of a small model's training (50,257 numbers a place for GPT-2), so they are computed
where loss is borne and nowhere else; in a stream also a chunk of places at a time, whose gradient is made on the
spot, so that they never exist whole (as in Liger kernel, Hsu et al. 2024, arXiv 2410.10989).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel

from aritmo.attention import TRITON
from aritmo.batches import Batch

CHUNK = 2048
"""Places whose logits exist at once."""

_MULTIPLE = 64
"""Tokens that the vocabulary is filled up to a multiple of: matrix units want even rows."""

CrossEntropy = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


class LossHead:
    """Lets a model compute logits only where they bear loss, whatever its class does around its head.

    A hook before the output layer picks the places, so the call still goes through the wrapped model.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._places: Tensor | None = None
        self._handle = model.get_output_embeddings().register_forward_pre_hook(self._pick)

    def _pick(self, module: torch.nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if self._places is None:
            return None
        return (given[0].flatten(0, -2)[self._places], *given[1:])

    @contextmanager
    def only_at(self, places: Tensor) -> Iterator[None]:
        """For one call, let the logits be (places, vocabulary); ``places`` are flat over rows and width."""
        self._places = places
        try:
            yield
        finally:
            self._places = None

    def release(self) -> None:
        """Take the hook off the model."""
        self._handle.remove()


class StreamLoss(torch.nn.Module):
    """A model with its loss as one module, so that data parallelism wraps both. It takes streams.

    ``body`` makes the last hidden states in the model's place.
    """

    def __init__(self, model: PreTrainedModel, body: Callable[..., Tensor] | None = None) -> None:
        super().__init__()
        self.model, self.body = model, body
        self._cross_entropy: CrossEntropy = _by_kernel if model.device.type == "cuda" and TRITON else cross_entropy

    def forward(self, batch: Batch) -> Tensor:
        """Return the summed loss of a batch, in nats."""
        if self.body is None:
            hidden = self.model.base_model(**batch.inputs).last_hidden_state
        else:
            hidden = self.body(**batch.inputs)
        head = self.model.get_output_embeddings()
        chosen = hidden.flatten(0, -2).index_select(0, batch.places)
        return head_loss(chosen, head.weight, head.bias, batch.targets, self._cross_entropy)


def head_loss(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    of_chunk: CrossEntropy | None = None,
) -> Tensor:
    """Return the summed cross-entropy of ``hidden @ weight.T + bias`` with its gradient made chunk by chunk.

    ``hidden`` is (places, width), ``weight`` (vocabulary, width), ``bias`` (vocabulary) or None; ``targets``
    (places) are tokens, below 0 where nothing is asked. The sum is in fp32 whatever the type of ``hidden``.
    ``of_chunk`` is ``cross_entropy``, which it is by default, or a kernel that does the same.
    """
    learns = torch.is_grad_enabled()
    loss: Tensor = _HeadLoss.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, targets, of_chunk or cross_entropy, learns
    )
    return loss


def cross_entropy(logits: Tensor, targets: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Return the summed loss of a chunk and its gradient by the logits (places, padded vocabulary).

    Tokens from ``vocabulary`` on are padding: nothing is given to them.
    """
    scores = logits[:, :vocabulary].float()
    asked = targets >= 0
    whole = scores.logsumexp(-1, keepdim=True)
    right = torch.arange(vocabulary, device=logits.device) == targets[:, None]
    loss = torch.where(asked, whole[:, 0] - (scores * right).sum(-1), 0.0).sum()
    gradient = torch.where(asked[:, None], (scores - whole).exp() - right.float(), 0.0)
    return loss, F.pad(gradient.to(logits.dtype), (0, logits.shape[1] - vocabulary))


def _by_kernel(logits: Tensor, targets: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
    from aritmo.fused_kernels import cross_entropy

    return cross_entropy(logits, targets, vocabulary)


class _HeadLoss(torch.autograd.Function):
    """The head and its cross-entropy as one step, whose gradient is known when its value is."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        function: CrossEntropy,
        learns: bool,
    ) -> Tensor:
        vocabulary = weight.shape[0]
        spare = -vocabulary % _MULTIPLE
        padded = F.pad(weight, (0, 0, 0, spare)).to(hidden.dtype)
        shift = None if bias is None else F.pad(bias, (0, spare)).to(hidden.dtype)
        total = torch.zeros((), device=hidden.device)
        by_hidden = torch.empty_like(hidden) if learns else None
        by_weight = torch.zeros_like(padded) if learns and weight.requires_grad else None
        by_bias = torch.zeros(vocabulary + spare, device=hidden.device) if learns and bias is not None else None
        for start in range(0, len(hidden), CHUNK):
            inside = slice(start, start + CHUNK)
            loss, gradient = function(F.linear(hidden[inside], padded, shift), targets[inside], vocabulary)
            total += loss
            if by_hidden is not None:
                torch.mm(gradient, padded, out=by_hidden[inside])
            if by_weight is not None:
                by_weight.addmm_(gradient.T, hidden[inside])
            if by_bias is not None:
                by_bias += gradient.sum(0, dtype=torch.float32)
        ctx.gradients = by_hidden, _cut(by_weight, weight), None if bias is None else _cut(by_bias, bias)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        scaled = (None if part is None else part.mul_(given[0]) for part in ctx.gradients)
        return *scaled, None, None, None


def _cut(gradient: Tensor | None, like: Tensor) -> Tensor | None:
    return None if gradient is None else gradient[: len(like)].to(like.dtype)
