"""The model of squares.py on streams of whole documents, and how it writes."""

import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaForCausalLM

from research import search_text as st

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:
    varlen_attn = None
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CAUSAL = (
    {"is_causal": True}
    if varlen_attn and "is_causal" in inspect.signature(varlen_attn).parameters
    else {"window_size": (-1, 0)}
)


def batch_of(item: tuple[np.ndarray, ...]) -> tuple[Tensor, ...]:
    """Return tokens, positions, labels, roles of the labels, and borders."""
    tokens, roles, ends = (torch.from_numpy(x).to(DEVICE, non_blocking=True) for x in item)
    tokens, roles = tokens.long(), roles.long()
    place = torch.arange(len(tokens), device=DEVICE)
    begin = ends[torch.searchsorted(ends, place.int(), right=True) - 1].long()
    role = functional.pad(roles[1:], (0, 1), value=st.UNASKED)
    labels = torch.where(role == st.UNASKED, -100, functional.pad(tokens[1:], (0, 1)))
    return tokens, place - begin, labels, role, ends


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


def angles(position: Tensor, size: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return cosine and sine (..., size) of the rotary positions."""
    rate = theta ** (-torch.arange(0, size, 2, device=position.device).float() / size)
    turn = (position[..., None].float() * rate).repeat((1,) * position.dim() + (2,))
    return turn.cos(), turn.sin()


def forward(model: LlamaForCausalLM, tokens: Tensor, position: Tensor, attend: Any) -> Tensor:
    """Return logits (..., symbols) by the model's own modules. `attend` gets layer, q, k, v (..., heads, size)."""
    core = model.model
    x = core.embed_tokens(tokens)
    heads = model.config.num_attention_heads
    cos, sin = angles(position, model.config.hidden_size // heads, model.config.rope_parameters["rope_theta"])
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
    for i, layer in enumerate(core.layers):
        y = layer.input_layernorm(x)
        at = layer.self_attn
        q, k, v = (p(y).unflatten(-1, (heads, -1)) for p in (at.q_proj, at.k_proj, at.v_proj))
        q, k = (rotate(p, cos, sin).to(v.dtype) for p in (q, k))
        x = x + at.o_proj(attend(i, q, k, v).flatten(-2))
        x = x + layer.mlp(layer.post_attention_layernorm(x))
    logits: Tensor = model.lm_head(core.norm(x))
    return logits


def attend_documents(ends: Tensor, most: int) -> Any:
    def attend(_: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if DEVICE.type == "cuda":
            out: Tensor = varlen_attn(q, k, v, ends, ends, most, most, **CAUSAL)
            return out
        place = torch.arange(len(q))
        begin = torch.searchsorted(ends, place.int(), right=True)
        mask = (begin[:, None] == begin) & (place[:, None] >= place)
        return functional.scaled_dot_product_attention(
            *(x.transpose(0, 1)[None] for x in (q, k, v)), attn_mask=mask
        )[0].transpose(0, 1)

    return attend


def loss_of(
    model: LlamaForCausalLM, tokens: Tensor, position: Tensor, labels: Tensor, ends: Tensor, most: int
) -> tuple[Tensor, Tensor]:
    logits = forward(model, tokens, position, attend_documents(ends, most)).float()
    return functional.cross_entropy(logits, labels), logits.argmax(-1) == labels


@torch.inference_mode()
def write(
    model: LlamaForCausalLM, prompts: list[list[int]], most: int, temperature: float = 0.0
) -> list[list[int]]:
    """Return each prompt continued to its end token. Prompts have one length. What has ended leaves the batch."""
    heads, size = model.config.num_attention_heads, model.config.hidden_size // model.config.num_attention_heads
    dtype = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
    rows, length = list(range(len(prompts))), len(prompts[0])
    shape = (2, model.config.num_hidden_layers, len(rows), most + 1, heads, size)
    cache, end, texts = torch.zeros(shape, dtype=dtype, device=DEVICE), 0, [list(p) for p in prompts]

    def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        cache[0, layer, :, end : end + k.shape[1]] = k
        cache[1, layer, :, end : end + k.shape[1]] = v
        seen = cache[:, layer, :, : end + k.shape[1]].transpose(2, 3)
        return functional.scaled_dot_product_attention(
            q.transpose(1, 2), *seen.to(q.dtype), is_causal=end == 0
        ).transpose(1, 2)

    tokens, waiting = torch.tensor(prompts, device=DEVICE), []
    while rows and length < most:
        position = torch.arange(end, end + tokens.shape[1], device=DEVICE).expand_as(tokens)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda"):
            logits = forward(model, tokens, position, attend)[:, -1].float()
        end, length = end + tokens.shape[1], length + 1
        tokens = (
            (logits / temperature).softmax(-1).multinomial(1) if temperature else logits.argmax(-1, keepdim=True)
        )
        waiting.append(tokens)
        if len(waiting) == 64 or length == most:
            for row, new in zip(rows, torch.cat(waiting, 1).tolist(), strict=True):
                texts[row] += new[: new.index(st.END) + 1] if st.END in new else new
            waiting = []
            alive = [i for i, row in enumerate(rows) if texts[row][-1] != st.END]
            rows, kept = [rows[i] for i in alive], torch.tensor(alive, dtype=torch.long, device=DEVICE)
            tokens = tokens[kept]
            cache = cache[:, :, kept] if len(alive) < cache.shape[2] else cache
    return texts
