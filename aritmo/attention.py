"""Attention that keeps packed examples apart, as transformers' interface of attention takes it.

There are three ways. «stream»: the rows of a micro-batch laid end to end, one row of fixed shape, with the borders
of its examples: on a GPU one kernel for all of them, in bf16. «alone»: rows as they are, examples of like length
taken at once; for CPUs and fp32. «mask»: a mask over whole rows, for models with an attention of their own.
"""

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.models.gpt2.modeling_gpt2 import GPT2Attention

from aritmo.blocks import as_class

Way = Literal["stream", "alone", "mask"]

_ALONE, _STREAM = "aritmo_alone", "aritmo_stream"
TRITON = find_spec("triton") is not None
"""Whether kernels of our own can be built here, for a GPU."""
_TAKES = inspect.signature(varlen_attn).parameters
"""What ``varlen_attn`` can be told: it differs between versions of torch."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Where the examples of a batch lie, so that attention takes each alone, those of like length at once.

    Places are flat over rows and width. Each tensor of ``gather`` is (examples, longest): the places of each
    example, filled up with its first. ``scatter`` (rows * width) says where each place stands in the groups
    laid end to end.
    """

    gather: tuple[Tensor, ...]
    scatter: Tensor


class Spans(NamedTuple):
    """Where the example of each token of a stream starts and stops, (tokens,) int32."""

    starts: Tensor
    stops: Tensor

    @classmethod
    def of(cls, borders: Tensor, tokens: int) -> "Spans":
        """Return the spans of a stream; ``borders`` (examples + 1) are where examples begin, and the end."""
        places = torch.arange(tokens, device=borders.device, dtype=torch.int32)
        behind = torch.searchsorted(borders, places, right=True)
        return cls(borders[behind - 1], borders[behind])


def as_mask(borders: Tensor, longest: int) -> Tensor:
    """Return the borders of a stream as a mask, which every model hands on to its attention.

    ``borders`` (examples + 1), int32, are the places where examples begin, and the end. The mask is
    (1, 1, longest, examples + 1) and takes no more memory than they do; its shape says how long the longest is.
    """
    return borders.to(torch.int32).view(1, 1, 1, -1).expand(1, 1, longest, -1)


def _attend_stream(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attend within each example of a stream: (1, heads, tokens, size) in, (1, tokens, heads, size) out.

    With a mask that holds no borders this is transformers' own attention.
    """
    if attention_mask is None or attention_mask.dtype != torch.int32:
        attended: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return attended
    borders, longest = attention_mask[0, 0, 0], attention_mask.shape[2]
    window = (-1 if sliding_window is None else sliding_window - 1, 0)
    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
    attend = varlen if query.is_cuda else one_by_one
    return attend(q, k, v, borders, longest, dropout, scaling, window)[None], None


def varlen(
    q: Tensor, k: Tensor, v: Tensor, borders: Tensor, longest: int, dropout: float = 0.0,
    scale: float | None = None, window: tuple[int, int] = (-1, 0),
) -> Tensor:  # fmt: skip
    """Attend within each example by one kernel of the GPU: (tokens, heads, size) in and out.

    ``borders`` (examples + 1) int32 are where examples begin, and the end; ``window`` is how many tokens before
    and after itself one sees, -1 for all. Examples of no tokens at the end cost nothing.
    """
    if dropout or (window[0] >= 0 and "window_size" not in _TAKES):
        # The operation on which varlen_attn stands, and which it hands no dropout.
        dropped: Tensor = torch.ops.aten._flash_attention_forward(
            q, k, v, borders, borders, longest, longest, dropout, True, False, scale=scale,
            window_size_left=window[0], window_size_right=window[1],
        )[0]  # fmt: skip
        return dropped
    options: dict[str, Any] = {"window_size": window} if "window_size" in _TAKES else {"is_causal": True}
    if q.shape[1] != k.shape[1] and "enable_gqa" in _TAKES:
        options["enable_gqa"] = True
    out = varlen_attn(q, k, v, borders, borders, longest, longest, scale=scale, **options)
    assert isinstance(out, Tensor)
    return out


@torch.compiler.disable  # type: ignore[untyped-decorator]
def one_by_one(
    q: Tensor, k: Tensor, v: Tensor, borders: Tensor, longest: int, dropout: float, scale: float | None,
    window: tuple[int, int],
) -> Tensor:  # fmt: skip
    """Do the same by plain operations, an example at a time."""
    parts = []
    for start, stop in pairwise(borders.tolist()):
        if start < stop:
            one = [states[start:stop].transpose(0, 1)[None] for states in (q, k, v)]
            length, seen = stop - start, window[0] + 1
            band = _band(length, seen, q) if 0 < seen < length else None
            parts.append(_sdpa(one[0], one[1], one[2], band, dropout, scale)[0].transpose(0, 1))
    return torch.cat(parts)


def _sdpa(q: Tensor, k: Tensor, v: Tensor, band: Tensor | None, dropout: float, scale: float | None) -> Tensor:
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=band, dropout_p=dropout, is_causal=band is None, scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )  # fmt: skip


def _band(length: int, window: int, like: Tensor) -> Tensor:
    """Return which of the ``window`` tokens up to itself each token sees, (length, length)."""
    return torch.ones(length, length, dtype=torch.bool, device=like.device).tril().triu(1 - window)


def _attend_alone(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    groups: Groups | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attend within each example: (rows, heads, width, size) in, (rows, width, heads, size) out.

    What fills an example up stands behind it, where a causal query never looks. Without groups this is
    transformers' own attention.
    """
    if groups is None:
        attended: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return attended
    flat = [states.transpose(1, 2).flatten(0, 1) for states in (query, key, value)]
    laid = []
    for places in groups.gather:
        q, k, v = (
            states.index_select(0, places.flatten()).view(*places.shape, *states.shape[1:]).transpose(1, 2)
            for states in flat
        )
        longest, band = places.shape[1], None
        if sliding_window is not None and sliding_window < longest:
            band = _band(longest, sliding_window, q)
        laid.append(_sdpa(q, k, v, band, dropout, scaling).transpose(1, 2).flatten(0, 1))
    rows, _, width, _ = query.shape
    written = torch.cat(laid).index_select(0, groups.scatter)
    return written.view(rows, width, *written.shape[1:]), None


for _name, _attend in ((_ALONE, _attend_alone), (_STREAM, _attend_stream)):
    AttentionInterface.register(_name, _attend)
    AttentionMaskInterface.register(_name, sdpa_mask)


def _gptj_forward(
    module: Any, hidden_states: Tensor, layer_past: Any = None, attention_mask: Tensor | None = None,
    position_ids: Tensor | None = None, **others: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Do what GPT-J's attention does before transformers 5.24, but for a stream, which it cannot read."""
    if attention_mask is None or attention_mask.dtype != torch.int32:
        plain: tuple[Tensor, None] = type(module).forward(
            module, hidden_states, layer_past=layer_past, attention_mask=attention_mask,
            position_ids=position_ids, **others,
        )  # fmt: skip
        return plain
    shape = (*hidden_states.shape[:2], module.num_attention_heads, module.head_dim)
    query, key, value = (
        project(hidden_states).view(shape) for project in (module.q_proj, module.k_proj, module.v_proj)
    )
    sin, cos = module.embed_positions[position_ids].chunk(2, -1)
    sin, cos = (turn.repeat_interleave(2, -1)[:, :, None] for turn in (sin, cos))
    query, key = (_rotated(states, sin, cos).transpose(1, 2) for states in (query, key))
    attended, _ = _attend_stream(
        module, query, key, value.transpose(1, 2), attention_mask,
        dropout=module.attn_dropout.p if module.training else 0.0, scaling=module.head_dim**-0.5,
    )  # fmt: skip
    return module.resid_dropout(module.out_proj(attended.flatten(2))), None


def _rotated(states: Tensor, sin: Tensor, cos: Tensor) -> Tensor:
    """Turn the first ``sin.shape[-1]`` of each head's numbers, neighbours as pairs, by their token's angles."""
    turned, rest = states[..., : sin.shape[-1]], states[..., sin.shape[-1] :]
    across = torch.stack((-turned[..., 1::2], turned[..., ::2]), -1).flatten(-2)
    return torch.cat(((turned * cos + across * sin).to(states.dtype), rest), -1)


class _StreamedGPT2(GPT2Attention):  # type: ignore[misc]
    """GPT-2's attention by kernels that read what its one product has written (``packed_attention``)."""

    def forward(
        self, hidden_states: Tensor, *given: Any, attention_mask: Tensor | None = None, **named: Any
    ) -> tuple[Tensor, Any]:
        streamed = attention_mask is not None and attention_mask.dtype == torch.int32
        if not streamed or (self.training and self.attn_dropout.p) or hidden_states.dtype == torch.float32:
            plain: tuple[Tensor, Any] = super().forward(
                hidden_states, *given, attention_mask=attention_mask, **named
            )
            return plain
        from aritmo.packed_attention import attend_packed

        assert attention_mask is not None
        joined = self.c_attn(hidden_states).flatten(0, 1)
        attended = attend_packed(joined, attention_mask[0, 0, 0], self.num_heads, score_scale(self))
        return self.resid_dropout(self.c_proj(attended[None])), None


def score_scale(attention: GPT2Attention) -> float:
    """Return what the scores of a GPT-2's attention are multiplied by."""
    scale: float = attention.head_dim**-0.5 if attention.scale_attn_weights else 1.0
    return scale / (attention.layer_idx + 1) if attention.scale_attn_by_inverse_layer_idx else scale


def own_attentions(model: PreTrainedModel) -> list[torch.nn.Module]:
    """Return the attention modules that know no interface: GPT-J's, before transformers 5.24."""
    return [
        module
        for module in model.modules()
        if type(module).__name__ == "GPTJAttention" and hasattr(module, "_attn")
    ]


def takes_streams(model: PreTrainedModel) -> bool:
    """Return whether a model is of a kind whose attention takes streams and whose head is one matrix."""
    if own_attentions(model):
        return bool(model.config._attn_implementation == "eager")
    known = model.config.model_type in ("gpt2", "gptj", "llama", "mistral", "qwen2", "qwen3")
    return known and model.config._attn_implementation == "sdpa" and model._can_set_attn_implementation()


@contextmanager
def attention_of(model: PreTrainedModel, way: Way) -> Iterator[None]:
    """Give a model the attention of a way; it has its own again at the end."""
    own = own_attentions(model)
    with ExitStack() as stack:
        if way == "stream" and own:
            for module in own:
                module.forward = _gptj_forward.__get__(module)
                stack.callback(delattr, module, "forward")
        elif way != "mask":
            stack.callback(model.set_attn_implementation, model.config._attn_implementation)
            model.set_attn_implementation(_STREAM if way == "stream" else _ALONE)
        if way == "stream" and model.device.type == "cuda" and TRITON:
            import aritmo.packed_attention  # noqa: F401 -- a compiler has to find its operations registered

            attentions = [m for m in model.modules() if type(m) is GPT2Attention and not m.is_cross_attention]
            stack.enter_context(as_class(attentions, {GPT2Attention: _StreamedGPT2}))
        yield
