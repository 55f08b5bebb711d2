"""What texts that are being written remember: keys and values, in room set aside, and the attention to them."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel
from transformers.activations import NewGELUActivation
from transformers.cache_utils import DynamicCache, DynamicLayer

from aritmo.attention import TRITON, own_attentions

_NAME = "aritmo_memory"

_SPARE = 32
"""Tokens of room that a cache layer sets aside at least when it grows."""


class _GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """A cache layer with room set aside, where DynamicLayer copies every key and value at each token."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        held = self.get_seq_length()
        length = held + key_states.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._rooms = [states[..., :0, :] for states in (key_states, value_states)]
        if length > self._rooms[0].shape[-2]:
            self._rooms = [_wider(room, held, length + max(_SPARE, length // 2)) for room in self._rooms]
        for room, states in zip(self._rooms, (key_states, value_states), strict=True):
            room[..., held:length, :] = states
        self.keys, self.values = (room[..., :length, :] for room in self._rooms)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Keep the rows named, in that order."""
        if self.is_initialized:
            length = self.get_seq_length()
            self._rooms = [room.index_select(0, beam_idx.to(room.device)) for room in self._rooms]
            self.keys, self.values = (room[..., :length, :] for room in self._rooms)


def _wider(room: torch.Tensor, held: int, length: int) -> torch.Tensor:
    """Return room for ``length`` tokens that holds the first ``held`` of the old one."""
    wider = room.new_empty((*room.shape[:-2], length, room.shape[-1]))
    wider[..., :held, :] = room[..., :held, :]
    return wider


def open_cache(model: PreTrainedModel) -> DynamicCache:
    """Return an empty cache of the layers that the model asks for, the plain ones growing in place."""
    cache = DynamicCache(config=model.config)
    cache.layers = [_GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


class Memory:
    """Keys and values of every row and layer, as (layers, 2, rows, key heads, room, size).

    ``held`` (rows) counts the tokens that each row holds; it is looked at, never changed. Rows are unequal in
    length and begin at the left, so no mask is needed and what stands behind a row's length is never seen.
    """

    def __init__(self, model: PreTrainedModel, held: Tensor, room: int) -> None:
        layers, heads, size = _sizes(model)
        shape = (layers, 2, len(held), heads, room, size)
        # Not left as it is: what is masked is multiplied by 0 in places, which no NaN survives.
        self._cells = torch.zeros(shape, dtype=model.dtype, device=model.device)
        self._held = held
        self._reading: Tensor | None = None

    @contextmanager
    def reading(self, rows: Tensor) -> Iterator[None]:
        """Let the model read prompts, filled up on the right, into the rows of these numbers."""
        self._reading = rows
        try:
            yield
        finally:
            self._reading = None

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None, window: int | None = None
    ) -> Tensor:
        """Take in keys and values and attend: (rows, heads, tokens, size) in, (rows, tokens, heads, size) out.

        Prompts are read whole; else there is one new token of each of the first rows. ``window`` is how many
        tokens up to itself a token sees, ``scale`` what scores are multiplied by, 1 / sqrt(size) without it.
        """
        cells = self._cells[layer]
        scale = query.shape[3] ** -0.5 if scale is None else scale
        if self._reading is not None:
            length = key.shape[2]
            cells[0, self._reading, :, :length] = key.to(cells.dtype)
            cells[1, self._reading, :, :length] = value.to(cells.dtype)
            return _read(query, key, value, scale, window).transpose(1, 2)
        rows = len(query)
        attend = _by_kernel if query.is_cuda and TRITON else attend_plainly
        new = (query[:, :, 0], key[:, :, 0], value[:, :, 0])
        return attend(*new, cells[:, :rows], self._held[:rows], scale, window)[:, None]

    def move(self, sources: Tensor, targets: Tensor, length: int) -> None:
        """Copy the first ``length`` tokens of rows into others, none of which may be a source too."""
        for cells in self._cells:
            cells[:, targets, :, :length] = cells[:, sources, :, :length]


def bytes_a_token(model: PreTrainedModel) -> int:
    """Return the bytes that a token's keys and values take in all layers."""
    numbers = 2 * math.prod(_sizes(model))
    return numbers * torch.empty((), dtype=model.dtype).element_size()


def attend_plainly(
    query: Tensor, key: Tensor, value: Tensor, cells: Tensor, held: Tensor, scale: float, window: int | None
) -> Tensor:
    """Do by plain operations what ``kernels.attend_one`` does, which says what is taken and returned."""
    lines = torch.arange(len(query), device=query.device)
    cells[0, lines, :, held] = key.to(cells.dtype)
    cells[1, lines, :, held] = value.to(cells.dtype)
    # A graph of the GPU has one shape, and so looks at the whole room.
    width = cells.shape[3] if query.is_cuda else int(held.max()) + 1
    places = torch.arange(width, device=query.device)
    seen = places <= held[:, None]
    if window is not None:
        seen &= places > held[:, None] - window
    keys, values = cells[:, :, :, :width].to(query.dtype)
    return F.scaled_dot_product_attention(
        query[:, :, None], keys, values, attn_mask=seen[:, None, None], scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )[:, :, 0]  # fmt: skip


def _by_kernel(*given: Any) -> Tensor:
    from aritmo.kernels import attend_one

    return attend_one(*given)


def _read(query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None) -> Tensor:
    """Attend within prompts, each token to those up to itself."""
    length, band = query.shape[2], None
    if window is not None and window < length:
        band = torch.ones(length, length, dtype=torch.bool, device=query.device).tril().triu(1 - window)
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=band, is_causal=band is None, scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip


def _sizes(model: PreTrainedModel) -> tuple[int, int, int]:
    """Return how many layers and key heads a model has, and the size of a head."""
    config = model.config.get_text_config()
    heads: int = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return config.num_hidden_layers, getattr(config, "num_key_value_heads", None) or heads, size


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    memory: Memory, scaling: float | None = None, sliding_window: int | None = None, **others: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    return memory.attend(module.layer_idx, query, key, value, scaling, sliding_window), None


AttentionInterface.register(_NAME, _attend)


@contextmanager
def remembering(model: PreTrainedModel, memory: Memory) -> Iterator[None]:
    """Let a model's attention use a memory, and its GELU be one operation; undone at the end.

    Before transformers 5.24 GPT-J has an attention of its own, of which two methods are replaced: it would copy
    its table of angles for every row. Other models hand ``memory=`` on to the attention that is set here.
    """
    with ExitStack() as stack:
        own = own_attentions(model)
        for module in own:
            _replace(stack, module, "_attn", _gptj_attention(module, memory))
            _replace(stack, module, "_get_embed_positions", _angles(module))
        if not own:
            stack.callback(model.set_attn_implementation, model.config._attn_implementation)
            model.set_attn_implementation(_NAME)
        for module in model.modules():
            if isinstance(module, NewGELUActivation):
                _replace(stack, module, "forward", _gelu)
        yield


def _replace(stack: ExitStack, module: torch.nn.Module, name: str, function: Any) -> None:
    module.__dict__[name] = function
    stack.callback(module.__dict__.pop, name)


def _gptj_attention(module: Any, memory: Memory) -> Any:
    def attend(query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None) -> Any:
        seen = memory.attend(module.layer_idx, query, key, value, 1 / module.scale_attn)
        return seen.transpose(1, 2), None

    return attend


def _angles(module: Any) -> Any:
    return lambda position_ids: module.embed_positions.expand(len(position_ids), -1, -1)


def _gelu(states: Tensor) -> Tensor:
    return F.gelu(states, approximate="tanh")
