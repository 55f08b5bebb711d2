"""Llama in numpy, for small models and quick answers: it starts in a tenth of a second, where torch and
transformers take several, and its logits are theirs but for the rounding of float32.

A text may come with a guess of what the model will write. The guess is read in blocks, which costs a fraction of
reading token by token, and the model's own choice is taken at every place: where it is another than was guessed,
the rest of the block is forgotten. So a guess, good or bad, changes the time and not the text (speculative
decoding, Leviathan and others 2023, arXiv 2211.17192, with one guess at each place).
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
from numpy.typing import NDArray

from aritmo.numbers.randomness import Stream
from aritmo.weights import Floats, Integers, open_folder

_BLOCK = 128
"""Tokens that are read at once: what they compute stays in the processor's cache."""
_BEGUN = 512
"""Tokens for which a cache has room at first."""
_FIRST = 8
"""Tokens that are guessed at first, so that the first of them come soon."""
_HIDDEN = np.float32(-1e30)
"""Added to the score of a token that must not be seen."""
_EXPECTED = {
    "model_type": "llama",
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
}

Guess = Callable[[Sequence[int]], Sequence[int]]
"""Returns what may follow the tokens that a model has written so far."""


@dataclass(frozen=True, slots=True)
class Text:
    """A prompt to be written on: its tokens, the most tokens to be written, what may be guessed, and its draws.

    ``draws`` is the stream that a temperature above 0 draws from; None takes the likeliest token each time.
    """

    tokens: Sequence[int]
    most: int
    guess: Guess = lambda written: ()
    draws: Stream | None = None
    temperature: float = 1.0


class Llama:
    """The weights of a Llama in float32. It reads ``table`` tokens; ``end`` ends a text."""

    def __init__(self, config: dict[str, Any], weights: dict[str, Floats]) -> None:
        """Raise ValueError where the config is none that is read here, KeyError where a tensor is not there."""
        rotary = config["rope_parameters"]
        for name, expected in (_EXPECTED | {"rope_type": "default"}).items():
            if (found := (config | rotary).get(name, expected)) != expected:
                raise ValueError(f"{name} is {found!r} and only {expected!r} is read here: open it with torch")
        self.layers, self.heads, self.groups, self.table = (
            int(config[name])
            for name in (
                *("num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
                "max_position_embeddings",
            )
        )
        self.end, self.size = int(config["eos_token_id"]), int(config["head_dim"])
        self._epsilon = np.float32(config["rms_norm_eps"])
        self._rates = rotary["rope_theta"] ** (-np.arange(0, self.size, 2) / self.size)
        self._embedding, self._last_norm = weights["model.embed_tokens.weight"], weights["model.norm.weight"]
        self._head = _turned(weights["lm_head.weight"])
        self._layers = [_Layer(weights, f"model.layers.{layer}.") for layer in range(self.layers)]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read config.json and model.safetensors. Raises ValueError where they are damaged or of another kind."""
        return open_folder(folder, cls)

    def read(self, tokens: Sequence[int], cache: "Cache", asked: int = 1) -> Floats:
        """Return the logits after the last ``asked`` of these tokens, (asked, vocabulary), the past in a cache."""
        x = self._embedding[np.asarray(tokens)]
        cos, sin = self._turns(np.arange(cache.length, cache.length + len(tokens)))
        for layer, part in enumerate(self._layers):
            normed = self._norm(x, part.first_norm)
            heads = (normed @ part.attention).reshape(len(tokens), -1, self.size)
            query, key, value = np.split(heads, (self.heads, self.heads + self.groups), axis=1)
            if layer == self.layers - 1:
                # What the others would write is not asked for: from here on they are only looked at.
                x, query = (part[len(tokens) - asked :] for part in (x, query))
            turned = _rotate(query, *(part[len(tokens) - len(query) :] for part in (cos, sin)))
            x = x + cache.attend(layer, turned, _rotate(key, cos, sin), value) @ part.out
            gate, up = np.split(self._norm(x, part.second_norm) @ part.gate_up, 2, axis=-1)
            x = x + _gated(gate, up) @ part.down
        cache.length += len(tokens)
        logits: Floats = self._norm(x, self._last_norm) @ self._head
        return logits

    def _norm(self, x: Floats, weight: Floats) -> Floats:
        normed: Floats = x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + self._epsilon) * weight
        return normed

    def _turns(self, positions: Integers) -> tuple[Floats, Floats]:
        """Return cosine and sine (n, 1, size / 2) of rotary positions (Su and others 2021, arXiv 2104.09864)."""
        angles = (positions[:, None] * self._rates)[:, None]
        return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


class _Layer:
    """The weights of one layer; products that read the same are made together."""

    def __init__(self, weights: dict[str, Floats], name: str) -> None:
        self.first_norm = weights[name + "input_layernorm.weight"]
        self.second_norm = weights[name + "post_attention_layernorm.weight"]
        self.attention = _turned(*(weights[f"{name}self_attn.{part}_proj.weight"] for part in "qkv"))
        self.out = _turned(weights[name + "self_attn.o_proj.weight"])
        self.gate_up = _turned(*(weights[f"{name}mlp.{part}_proj.weight"] for part in ("gate", "up")))
        self.down = _turned(weights[name + "mlp.down_proj.weight"])


class Cache:
    """Keys and values of a text that has been read, (layers, groups, room, size) each, so far as ``length``.

    A smaller ``length`` forgets the last tokens.
    """

    def __init__(self, model: Llama, room: int) -> None:
        self.length = 0
        self._repeats, self._room = model.heads // model.groups, room
        self._held = np.empty((2, model.layers, model.groups, min(room, _BEGUN), model.size), dtype=np.float32)

    def attend(self, layer: int, query: Floats, key: Floats, value: Floats) -> Floats:
        """Return what queries (asking, heads, size) see of keys and values (length, groups, size) and of the past.

        The queries are those of the last tokens. The result is (asking, heads * size).
        """
        asking, heads, size = query.shape
        end = self.length + len(key)
        if end > self._held.shape[3]:
            self._grow(end)
        for held, new in zip(self._held[:, layer], (key, value), strict=True):
            held[:, self.length : end] = new.swapaxes(0, 1)
        keys, values = self._held[:, layer, :, None, :end]
        grouped = query.swapaxes(0, 1).reshape(-1, self._repeats, asking, size)
        scores = (grouped * np.float32(1 / math.sqrt(size))) @ keys.swapaxes(-1, -2)
        if asking > 1:
            scores[..., end - asking :] += np.triu(np.full((asking, asking), _HIDDEN), 1)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        seen: Floats = (scores @ values).reshape(heads, asking, size).swapaxes(0, 1).reshape(asking, -1)
        return seen

    def _grow(self, least: int) -> None:
        """Make room for ``least`` tokens or more: memory that no token needs is not asked for."""
        shape = list(self._held.shape)
        shape[3] = min(self._room, max(least, 2 * shape[3]))
        held = np.empty(shape, dtype=np.float32)
        held[:, :, :, : self.length] = self._held[:, :, :, : self.length]
        self._held = held


def write_texts(
    model: Llama, texts: Sequence[Text], threads: int = 1, advance: Callable[[int], None] = lambda count: None
) -> list[list[int]]:
    """Return the tokens that the model writes on each text, without the end token.

    Several threads each write a text at a time. A text stops at the end token, after ``most`` tokens, or where the
    model's table ends. ``advance`` is called with the number of texts that have come to their end.
    """
    written: list[list[int]] = []
    stopped = Event()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for tokens in pool.map(partial(_write, model, stopped), texts):
                written.append(tokens)
                advance(1)
        finally:
            # A thread cannot be ended from outside, and a long text takes a while.
            stopped.set()
            pool.shutdown(cancel_futures=True)
    return written


def _write(model: Llama, stopped: Event, text: Text) -> list[int]:
    written = []
    for token in write_on(model, text):
        written.append(token)
        if stopped.is_set():
            break
    return written


def write_on(model: Llama, text: Text) -> Iterator[int]:
    """Yield the tokens that ``write_texts`` returns for a text as they come: one by one, or a right guess at once.

    Nothing is computed between two tokens that are taken: an iterator that is closed costs nothing more.
    """
    prompt = len(text.tokens)
    most = min(text.most, model.table - prompt)
    cache, unread = Cache(model, prompt + most), list(text.tokens)
    written: list[int] = []
    for start in range(0, prompt - 1, _BLOCK):
        model.read(unread[start : min(start + _BLOCK, prompt - 1)], cache)
    unread, size = unread[-1:], _FIRST
    while len(written) < most:
        guessed = list(text.guess(written)[: min(size, most - len(written) - 1)])
        logits = model.read([*unread, *guessed], cache, asked=1 + len(guessed))
        before = len(written)
        for row, guess in zip(logits, [*guessed, None], strict=True):
            token = _choose(row, text)
            if token == model.end:
                return
            written.append(token)
            yield token
            if token != guess:
                break
        cache.length = prompt + len(written) - 1
        unread = written[-1:]
        # After a wrong guess the next ones are likely to be wrong too: small steps until they are right again.
        size = min(_BLOCK, 2 * size) if len(written) - before > len(guessed) else 1


def _choose(logits: Floats, text: Text) -> int:
    """Return the likeliest token, or the one at which the next draw falls."""
    if text.draws is None:
        return int(logits.argmax())
    scores = (logits - logits.max()).astype(np.float64) / text.temperature
    cumulated = np.exp(scores).cumsum()
    drawn = text.draws.below(2**53) / 2**53
    return int(np.searchsorted(cumulated, drawn * cumulated[-1], side="right"))


def _turned(*weights: Floats) -> NDArray[np.float32]:
    """Return weights as stored, (out, in), joined and made ready for a product from the right."""
    return np.ascontiguousarray(np.concatenate(weights).T)


def _rotate(x: Floats, cos: Floats, sin: Floats) -> Floats:
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _gated(gate: Floats, up: Floats) -> Floats:
    """Return SwiGLU's product (Shazeer 2020, arXiv 2002.05202). The exponent is held where float32 holds it."""
    gated: Floats = gate / (1 + np.exp(-np.maximum(gate, np.float32(-80)))) * up
    return gated
