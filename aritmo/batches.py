"""From packed rows to what a model is given, and the proof that it keeps packed examples apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from aritmo.attention import Groups, Way, as_mask, attention_of, takes_streams
from aritmo.packing import Account, Packed

UNASKED = -100
"""The target of a place that bears no loss."""

_STEP = 2048
"""The places of a stream that bear loss are filled up to a multiple of this, so that their shapes are few."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows as tensors on a device: what a model is given, and what it should say.

    ``inputs`` are the model's arguments; its token ids are (rows, width), or (1, rows * width) for a stream.
    ``places`` are flat places in them whose next token bears loss, ``targets`` those tokens. A stream's are
    filled up with place 0 and the target ``UNASKED``.
    """

    inputs: dict[str, Any]
    places: Tensor
    targets: Tensor


@dataclass(frozen=True, slots=True)
class Limits:
    """What no row exceeds: tokens of its ``longest`` example, and examples, padding being one."""

    longest: int
    examples: int

    def __or__(self, other: "Limits") -> "Limits":
        return Limits(max(self.longest, other.longest), max(self.examples, other.examples))


def limits_of(packed: Packed) -> Limits:
    """Return the limits of all rows; of no rows, the least there are."""
    begins = (packed.positions == 0).sum(axis=1)
    return Limits(int(packed.positions.max(initial=0)) + 1, int(begins.max(initial=1)))


def collate(packed: Packed, rows: NDArray[np.int64], device: torch.device, dtype: torch.dtype, way: Way) -> Batch:
    """Return the given rows as a batch on ``device``, in which a token sees its own example up to itself.

    The rows are cut after the fullest. ``way`` is «alone» or «mask», which is made in ``dtype``.
    """
    assert way != "stream"
    width = packed.filled[rows].max()
    tokens = torch.from_numpy(packed.tokens[rows, :width]).long()
    trained = torch.from_numpy(packed.trained[rows, :width])
    next_trained = trained.roll(-1, dims=1)
    next_trained[:, -1] = False
    positions = packed.positions[rows, :width]
    inputs: dict[str, Any] = {
        "input_ids": tokens.to(device),
        "position_ids": torch.from_numpy(positions).long().to(device),
        "use_cache": False,
    }
    if way == "alone":
        # Any 4-D mask keeps transformers from making one; the attention looks at the groups alone.
        inputs["attention_mask"] = torch.zeros(1, 1, 1, 1, device=device)
        inputs["groups"] = _groups(positions, device)
    else:
        documents = torch.from_numpy(packed.documents[rows, :width]).to(device)
        inputs["attention_mask"] = _mask(documents, dtype)
    places = next_trained.flatten().nonzero().squeeze(1)
    return Batch(inputs, places.to(device), tokens[trained].to(device))


def collate_stream(
    packed: Packed, rows: NDArray[np.int64], device: torch.device, count: int, limits: Limits
) -> Batch:
    """Return ``count`` rows as one stream of ``count`` * context tokens on ``device``.

    Where fewer are given the rest is padding. All shapes follow from ``count``, context and ``limits``, save how
    many multiples of a fixed number of places bear loss.
    """
    context = packed.tokens.shape[1]
    size = count * context
    tokens, trained = np.zeros(size, np.int64), np.zeros(size + 1, np.bool_)
    positions = np.arange(size) % context % limits.longest
    given = len(rows) * context
    tokens[:given] = packed.tokens[rows].ravel()
    trained[:given] = packed.trained[rows].ravel()
    positions[:given] = packed.positions[rows].ravel()
    borders = np.full(count * limits.examples + 1, size, np.int32)
    begins = np.flatnonzero(positions == 0)
    borders[: len(begins)] = begins
    asked = np.flatnonzero(trained[1:])
    room = -(-max(len(asked), 1) // min(_STEP, size)) * min(_STEP, size)
    places, targets = np.zeros(room, np.int64), np.full(room, UNASKED, np.int64)
    places[: len(asked)], targets[: len(asked)] = asked, tokens[asked + 1]
    inputs = {
        "input_ids": _moved(tokens, device)[None],
        "position_ids": _moved(positions, device)[None],
        "attention_mask": as_mask(_moved(borders, device), limits.longest),
        "use_cache": False,
    }
    return Batch(inputs, _moved(places, device), _moved(targets, device))


def _moved(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array on a device; a GPU fetches it while it goes on computing."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _mask(documents: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what is added to the scores, (rows, 1, width, width).

    Padding sees padding, so that no row of the mask is empty, where attention would divide nought by nought.
    """
    width = documents.shape[1]
    hidden = torch.ones(width, width, dtype=torch.bool, device=documents.device).triu_(1)
    hidden = hidden | (documents[:, :, None] != documents[:, None, :])
    mask = torch.zeros(hidden.shape, dtype=dtype, device=documents.device)
    return mask.masked_fill_(hidden, torch.finfo(dtype).min)[:, None]


def _groups(positions: NDArray[np.int32], device: torch.device) -> Groups:
    """Group the examples, each from a position 0 on, by the power of two that holds their length."""
    starts = np.flatnonzero(positions == 0)
    lengths = np.diff(starts, append=positions.size)
    powers = np.ceil(np.log2(lengths)).astype(np.int64)
    scatter, laid, gather = np.empty(positions.size, np.int64), 0, []
    for power in np.unique(powers):
        start, length = starts[powers == power, None], lengths[powers == power, None]
        along = np.arange(length.max())
        inside = along < length
        places = np.where(inside, start + along, start)
        scatter[places[inside]] = laid + np.flatnonzero(inside)
        laid += places.size
        gather.append(torch.from_numpy(places).to(device))
    return Groups(tuple(gather), torch.from_numpy(scatter).to(device))


@contextmanager
def isolate(model: PreTrainedModel, streams: bool = False) -> Iterator[Way]:
    """Make sure that packed examples of a model do not see each other; give the way that it must be fed.

    With ``streams`` that is «stream», where the model takes them. Otherwise attention that takes each example
    alone is tried first: it spends nothing on pairs of tokens that may not see each other. Models with an
    attention of their own get a mask. Whichever, the model is put to the test, so that one which ignores it
    (a recurrent one, say) is found out instead of learning silently wrong. The model is as it was at the end.
    Raises ValueError where examples see each other.
    """
    for way in _ways(model, streams):
        with attention_of(model, way):
            if _isolated(model, way):
                yield way
                return
    raise ValueError(
        f"models of type {model.config.model_type} let packed examples see each other; "
        "choose one that takes a 4-D attention mask and position ids, such as GPT-2, GPT-J or Llama"
    )


def _ways(model: PreTrainedModel, streams: bool) -> list[Way]:
    if streams and takes_streams(model):
        return ["stream"]
    plain = model.config._attn_implementation == "sdpa" and model._can_set_attn_implementation()
    return ["alone", "mask"] if plain else ["mask"]


@torch.no_grad()
def _isolated(model: PreTrainedModel, way: Way) -> bool:
    """Show a model two examples in a row, twice, with another first one: is the second answered alike?"""
    tokens = np.array([[1, 2, 3, 4, 5, 6], [6, 5, 4, 4, 5, 6]], np.int32)
    positions = np.array([[0, 1, 2, 0, 1, 2]] * 2, np.int32)
    documents = np.array([[0, 0, 0, 1, 1, 1]] * 2, np.int16)
    nothing = np.zeros_like(tokens, np.bool_)
    tokens %= model.get_input_embeddings().num_embeddings
    packed = Packed(tokens, positions, documents, nothing, np.array([6, 6]), Account(4, 0, 2, 6, 12, 0))
    if way == "stream":
        batch = collate_stream(packed, np.arange(2), model.device, 2, limits_of(packed))
    else:
        batch = collate(packed, np.arange(2), model.device, model.dtype, way)
    was_training = model.training
    model.eval()
    try:
        logits = model(**batch.inputs).logits.float().view(2, 6, -1)
    except (TypeError, ValueError, RuntimeError, IndexError):
        return False
    finally:
        model.train(was_training)
    nearly = 1e-3 if model.dtype == torch.float32 else 5e-2
    return torch.allclose(logits[0, 3:], logits[1, 3:], atol=nearly, rtol=nearly)
