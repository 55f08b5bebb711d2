"""The shape of a transformer, read from its config: its parameters and the work of a token, counted without it.

The names known here are described without a network. N below are the weights of matrices.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["gpt2", "gptj", "llama"]

WORTH_COMPILING = 1e16
"""FLOP of a whole training for which compiling is worth its time: about a minute of an H100 without it."""

_LIKE_LLAMA = {"llama", "mistral", "qwen2", "qwen3"}
_BIASED = {"qwen2"}
"""Models like Llama whose queries, keys and values have biases."""
_NORMED = {"qwen3"}
"""Models like Llama that norm queries and keys."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large the parts of a model are.

    ``inner`` is the width inside the feed-forward part, ``tied`` says that the head is the embedding,
    ``positions`` how many tokens the model takes at once, and ``dropout`` that a block drops some of what it
    adds (at random, in training). ``extra`` counts the vectors of a block and ``last`` those behind the last.
    """

    kind: Kind
    layers: int
    width: int
    inner: int
    heads: int
    key_heads: int
    head_size: int
    vocabulary: int
    positions: int
    tied: bool
    extra: int
    last: int
    dropout: bool

    @property
    def matrices(self) -> tuple[tuple[int, int], ...]:
        """The matrices of one block, as inputs and outputs."""
        attended, keys = self.heads * self.head_size, self.key_heads * self.head_size
        if self.kind == "gpt2":
            attention: tuple[tuple[int, int], ...] = (self.width, 3 * self.width), (self.width, self.width)
            return *attention, (self.width, self.inner), (self.inner, self.width)
        attention = ((self.width, attended), (self.width, keys), (self.width, keys), (attended, self.width))
        rising = 2 if self.kind == "llama" else 1
        return *attention, *((self.width, self.inner),) * rising, (self.inner, self.width)

    @property
    def block(self) -> int:
        """The weights of a block's matrices."""
        return sum(inputs * outputs for inputs, outputs in self.matrices)

    @property
    def embedding(self) -> int:
        """The weights of the embedding, which are those of the head too where it is tied."""
        return self.vocabulary * self.width

    @property
    def parameters(self) -> int:
        """All parameters, as transformers counts them."""
        learned = self.positions * self.width if self.kind == "gpt2" else 0
        heads = 1 if self.tied else 2
        return heads * self.embedding + learned + self.layers * (self.block + self.extra) + self.last

    def flops(self, context: int) -> float:
        """Return the floating-point operations that training spends on a token: 6 N + 12 layers x width x context.

        Forward 2, backward 4 a weight (Kaplan et al. 2020, arXiv 2001.08361); attention as if every token saw the
        whole context (Chowdhery et al. 2022, arXiv 2204.02311). So GPT-2 XL at 1,024 tokens costs 10.27 GFLOP.
        """
        matrices = self.layers * self.block + self.embedding
        return 6.0 * matrices + 12.0 * self.layers * self.heads * self.head_size * context

    def adapter(self, rank: int) -> int:
        """Return the parameters of a LoRA adapter on every matrix of every block (Hu et al., arXiv 2106.09685)."""
        return self.layers * rank * sum(inputs + outputs for inputs, outputs in self.matrices)


def gpt2_shape(
    layers: int,
    width: int,
    heads: int,
    vocabulary: int = 50_257,
    positions: int = 1024,
    inner: int | None = None,
    dropout: bool = True,
) -> Shape:
    """Return the shape of a GPT-2."""
    inner = inner or 4 * width
    extra = 4 * width + 3 * width + width + inner + width
    return Shape(
        "gpt2", layers, width, inner, heads, heads, width // heads, vocabulary, positions, True, extra, 2 * width,
        dropout,
    )  # fmt: skip


def gptj_shape(
    layers: int, width: int, heads: int, vocabulary: int, positions: int, inner: int | None = None,
    tied: bool = False, dropout: bool = False,
) -> Shape:  # fmt: skip
    """Return the shape of a GPT-J, whose attention has no biases and whose head has one."""
    inner = inner or 4 * width
    extra = 2 * width + inner + width
    return Shape(
        "gptj", layers, width, inner, heads, heads, width // heads, vocabulary, positions, tied, extra,
        2 * width + vocabulary, dropout,
    )  # fmt: skip


KNOWN_SHAPES = {
    "gpt2": gpt2_shape(12, 768, 12),
    "gpt2-medium": gpt2_shape(24, 1024, 16),
    "gpt2-large": gpt2_shape(36, 1280, 20),
    "gpt2-xl": gpt2_shape(48, 1600, 25),
    "gpt-j-6b": gptj_shape(28, 4096, 16, 50_400, 2048),
}
"""The models whose shape needs no file, by the short names of ``aritmo.models.KNOWN``."""


def shape_of(config: Mapping[str, Any], name: str) -> Shape:
    """Return the shape that a ``config.json`` of transformers describes; ``name`` is for messages.

    Raises ValueError for a kind of model that is not counted here, or a config that lacks what counting needs.
    """
    kind = config.get("model_type")
    try:
        if kind == "gpt2":
            dropout = any(config.get(key, 0.1) for key in ("resid_pdrop", "embd_pdrop"))
            return gpt2_shape(
                config["n_layer"], config["n_embd"], config["n_head"], config["vocab_size"],
                config["n_positions"], config.get("n_inner"), dropout,
            )  # fmt: skip
        if kind == "gptj":
            dropout = any(config.get(key, 0.0) for key in ("resid_pdrop", "embd_pdrop"))
            return gptj_shape(
                config["n_layer"], config["n_embd"], config["n_head"], config["vocab_size"],
                config["n_positions"], config.get("n_inner"), bool(config.get("tie_word_embeddings")), dropout,
            )  # fmt: skip
        if kind in _LIKE_LLAMA:
            return _llama_shape(config)
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"the config.json of model {name} lacks {error}, so its size cannot be counted") from None
    counted = ", ".join(["gpt2", "gptj", *sorted(_LIKE_LLAMA)])
    raise ValueError(f"model {name} is of type {kind}, whose size is not counted here; counted are {counted}")


def _llama_shape(config: Mapping[str, Any]) -> Shape:
    kind, width, heads = config["model_type"], config["hidden_size"], config["num_attention_heads"]
    key_heads = config.get("num_key_value_heads") or heads
    size = config.get("head_dim") or width // heads
    biases = (heads + 2 * key_heads) * size if kind in _BIASED or config.get("attention_bias") else 0
    if config.get("attention_bias") and kind not in _BIASED:
        biases += width
    norms = 2 * size if kind in _NORMED else 0
    return Shape(
        "llama", config["num_hidden_layers"], width, config["intermediate_size"], heads, key_heads, size,
        config["vocab_size"], config["max_position_embeddings"], bool(config.get("tie_word_embeddings", False)),
        2 * width + biases + norms, width, False,
    )  # fmt: skip
