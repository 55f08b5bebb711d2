"""GPT-2 in numpy, for small models and quick answers: it starts in a tenth of a second, where torch and
transformers take several, and its logits are theirs but for the rounding of float32.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Self

import numpy as np

from aritmo.positions import Layout
from aritmo.weights import Floats, Integers, open_folder

_CELLS = 32_768
"""Tokens that the cache of one batch holds at most, if it has more than one row."""
_BLOCK = 1024
"""Tokens of all rows together that a prompt is read by: what they compute stays in the processor's cache."""
_HIDDEN = np.float32(-1e30)
"""Added to the score of a token that must not be seen. Finite, so that padding sees something."""


_EXPECTED = {
    "model_type": "gpt2",
    "activation_function": "gelu_new",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "tie_word_embeddings": True,
}


@dataclass(frozen=True, slots=True)
class Text:
    """A prompt to be written on: its tokens, their layout, and the most tokens that are to be written."""

    tokens: Sequence[int]
    layout: Layout
    most: int


class Gpt2:
    """The weights of a GPT-2 in float32. ``table`` is how many position ids it knows; ``ids_a_place`` as for
    ``lay_out``; ``end`` the token that ends a text.
    """

    def __init__(self, config: dict[str, Any], weights: dict[str, Floats]) -> None:
        """Raise ValueError where the config is not one of a GPT-2 as OpenAI made it, or a tensor is not there."""
        for name, expected in _EXPECTED.items():
            if (found := config.get(name, expected)) != expected:
                raise ValueError(f"{name} is {found!r} and only {expected!r} is read here: open it with torch")
        self.heads, self.layers, self.table = (int(config[key]) for key in ("n_head", "n_layer", "n_positions"))
        self.ids_a_place, self.end = int(config.get("ids_a_place", 0)), int(config["eos_token_id"])
        self.epsilon = np.float32(config["layer_norm_epsilon"])
        self._weights = {name.removeprefix("transformer."): value for name, value in weights.items()}
        self.width = self._weights["wte.weight"].shape[1]
        for layer in range(self.layers):
            for kind in ("weight", "bias"):
                joined = self._weights.pop(f"h.{layer}.attn.c_attn.{kind}")
                for name, part in zip(("query", "key", "value"), np.split(joined, 3, axis=-1), strict=True):
                    self._weights[f"h.{layer}.{name}.{kind}"] = np.ascontiguousarray(part)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read config.json and model.safetensors. Raises ValueError where they are damaged or of another kind."""
        return open_folder(folder, cls)

    def read(self, tokens: Integers, positions: Integers, cache: "Cache", asked: int = 1) -> Floats:
        """Read tokens (rows, length) at their position ids, and add them to the cache.

        Returns the logits (rows, asked, vocabulary) of what follows each of the last ``asked`` tokens.
        """
        x = self._weights["wte.weight"][tokens] + self._weights["wpe.weight"][positions]
        for layer in range(self.layers):
            name = f"h.{layer}."
            normed = self._norm(x, name + "ln_1")
            key, value = (self._linear(normed, name + part) for part in ("key", "value"))
            if layer == self.layers - 1:
                # What the others would write is not asked for: from here on they are only looked at.
                x, normed = (part[:, part.shape[1] - asked :] for part in (x, normed))
            seen = cache.attend(layer, self._linear(normed, name + "query"), key, value)
            x = x + self._linear(seen, name + "attn.c_proj")
            hidden = _gelu(self._linear(self._norm(x, name + "ln_2"), name + "mlp.c_fc"))
            x += self._linear(hidden, name + "mlp.c_proj")
        cache.length += tokens.shape[1]
        logits: Floats = self._norm(x, "ln_f") @ self._weights["wte.weight"].T
        return logits

    def _linear(self, x: Floats, name: str) -> Floats:
        flat = x.reshape(-1, x.shape[-1]) @ self._weights[name + ".weight"]
        flat += self._weights[name + ".bias"]
        return flat.reshape(*x.shape[:-1], flat.shape[-1])

    def _norm(self, x: Floats, name: str) -> Floats:
        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + self.epsilon)
        return x * self._weights[name + ".weight"] + self._weights[name + ".bias"]


class Cache:
    """Keys and values of what a batch has read, (2, layers, rows, heads, room, size).

    ``skipped`` is how many tokens of padding stand at the left of each row, and are not to be seen.
    """

    def __init__(self, model: Gpt2, skipped: Integers, room: int) -> None:
        self.length = 0
        self._heads = model.heads
        shape = (2, model.layers, len(skipped), model.heads, room, model.width // model.heads)
        self._held = np.empty(shape, dtype=np.float32)
        hidden = np.arange(room) < skipped[:, None]
        self._hidden = np.where(hidden, _HIDDEN, np.float32(0))[:, None, None] if hidden.any() else None

    def attend(self, layer: int, *parts: Floats) -> Floats:
        """Return what queries (rows, asking, width) see of keys and values (rows, length, width) and of the past.

        The queries are those of the last tokens.
        """
        rows, asking, width = parts[0].shape
        size = width // self._heads
        query, key, value = (part.reshape(*part.shape[:2], self._heads, size).swapaxes(1, 2) for part in parts)
        end = self.length + key.shape[2]
        self._held[0, layer, :, :, self.length : end] = key
        self._held[1, layer, :, :, self.length : end] = value
        keys, values = self._held[:, layer, :, :, :end]
        scores = (query * np.float32(1 / math.sqrt(size))) @ keys.swapaxes(-1, -2)
        if self._hidden is not None:
            scores += self._hidden[..., :end]
        if asking > 1:
            scores[..., end - asking :] += np.triu(np.full((asking, asking), _HIDDEN), 1)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        seen: Floats = (scores @ values).swapaxes(1, 2).reshape(rows, asking, width)
        return seen


def write_greedily(
    model: Gpt2, texts: Sequence[Text], threads: int = 1, advance: Callable[[int], None] = lambda count: None
) -> list[list[int]]:
    """Return the tokens that the model writes on each text, the likeliest each time, without the end token.

    Texts of like length are written together, by several threads at once. A text stops at the end token or
    after ``most`` tokens. ``advance`` is called with the number of texts that have come to their end.
    """
    written: list[list[int]] = [[] for _ in texts]
    stopped = Event()
    with ThreadPoolExecutor(threads) as pool:
        try:
            batches = list(_batches(texts, threads))
            asked = [[texts[index] for index in batch] for batch in batches]
            for batch, rows in zip(batches, pool.map(partial(_write_batch, model, stopped), asked), strict=True):
                for index, row in zip(batch, rows, strict=True):
                    written[index] = row
                advance(len(batch))
        finally:
            # A thread cannot be ended from outside, and a batch of long sums takes a while.
            stopped.set()
            pool.shutdown(cancel_futures=True)
    return written


def _batches(texts: Sequence[Text], threads: int) -> Iterator[list[int]]:
    """Yield the indices of texts that go together, longest first: like ones, as many as the cache is to hold."""

    def cells(index: int) -> int:
        return len(texts[index].tokens) + texts[index].most

    order = sorted(range(len(texts)), key=lambda index: (-texts[index].most, -cells(index)))
    limit = min(_CELLS, sum(map(cells, order)) // threads + 1)
    batch: list[int] = []
    widest = 0
    for index in order:
        widest = max(widest, cells(index))
        if batch and ((len(batch) + 1) * widest > limit or 1.25 * texts[index].most + 4 < texts[batch[0]].most):
            yield batch
            batch, widest = [], cells(index)
        batch.append(index)
    if batch:
        yield batch


def write_on(model: Gpt2, text: Text) -> Iterator[int]:
    """Yield the tokens that ``write_greedily`` returns for a text, each as soon as the model has chosen it.

    Nothing is computed between two tokens that are taken: an iterator that is closed costs nothing more.
    """
    for column in _columns(model, [text]):
        if column[0] == model.end:
            return
        yield int(column[0])


def _write_batch(model: Gpt2, stopped: Event, texts: Sequence[Text]) -> list[list[int]]:
    written = np.full((len(texts), max(text.most for text in texts)), model.end, dtype=np.int64)
    for step, column in enumerate(_columns(model, texts)):
        written[:, step] = column
        if stopped.is_set():
            break
    return [_until(model.end, row[: text.most].tolist()) for row, text in zip(written, texts, strict=True)]


def _columns(model: Gpt2, texts: Sequence[Text]) -> Iterator[Integers]:
    """Yield the next token of each text (rows,), until all have ended.

    A text that has ended goes along until the last has; what it gets is not to be read.
    """
    longest, steps = max(len(text.tokens) for text in texts), max(text.most for text in texts)
    skipped = np.array([longest - len(text.tokens) for text in texts])
    tokens, positions = np.zeros((2, len(texts), longest), dtype=np.int64)
    for row, (text, pad) in enumerate(zip(texts, skipped, strict=True)):
        tokens[row, pad:], positions[row, pad:] = text.tokens, text.layout.ids
    cache = Cache(model, skipped, longest + steps)
    block = max(1, _BLOCK // len(texts))
    for start in range(0, longest, block):
        part = slice(start, start + block)
        logits = model.read(tokens[:, part], positions[:, part], cache, asked=int(start + block >= longest))
    stride = np.array([text.layout.stride for text in texts])
    most = np.array([text.most for text in texts])
    alive = np.ones(len(texts), dtype=np.bool_)
    for step in range(steps):
        column = logits[:, 0].argmax(axis=-1)
        yield column
        alive &= (column != model.end) & (step + 1 < most)
        if not alive.any():
            break
        # A row that has ended goes along until the last has, and must not leave the table.
        position = np.minimum(positions[:, -1] + (step + 1) * stride, model.table - 1)
        logits = model.read(column[:, None], position[:, None], cache)


def _until(end: int, tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(end)] if end in tokens else tokens


def _gelu(x: Floats) -> Floats:
    """Return GELU by its tanh approximation (Hendrycks and Gimpel 2016, arXiv 1606.08415), as GPT-2 has it."""
    inner = x * x
    inner *= np.float32(0.044715)
    inner += 1
    inner *= x
    inner *= np.float32(math.sqrt(2 / math.pi))
    np.tanh(inner, out=inner)
    inner += 1
    inner *= x
    inner *= np.float32(0.5)
    return inner
