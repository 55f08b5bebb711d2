"""Choosing the next token of each text, by seeded random numbers of its own or the likeliest."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from aritmo.numbers.randomness import seed_of


class SamplingConfig(BaseModel):
    """How text is drawn from a model. ``temperature`` 0 takes the likeliest token each time (greedy).

    ``top_k`` 0 and ``top_p`` 1 leave the distribution whole; where both are set, ``top_k`` cuts first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_new_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    batch_size: int = Field(default=256, ge=1)
    seed: int = 0


def uniforms(seed: int, indices: Sequence[int], count: int) -> NDArray[np.float64]:
    """Return the first ``count`` numbers in [0, 1) of each index's stream, as (len(indices), count).

    The generator is splitmix64 (Steele, Lea and Flood, Fast splittable pseudorandom number generators,
    OOPSLA 2014), started at a hash of seed and index; the top 53 bits make the number.
    """
    starts = np.array([seed_of("sampling", seed, index) for index in indices], dtype=np.uint64)
    bits = starts[:, None] + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    drawn: NDArray[np.float64] = (bits >> np.uint64(11)) * 2.0**-53
    return drawn


def choose(logits: torch.Tensor, drawn: torch.Tensor | None, config: SamplingConfig) -> torch.Tensor:
    """Return one token for each row: the likeliest, or the one at which the row's uniform number falls.

    ``logits`` is (rows, vocabulary), ``drawn`` (rows,) float64 in [0, 1), unused at temperature 0. The
    distribution is summed up in the order of the tokens, in float64 (inverse transform sampling).
    A row whose largest logit is not finite gets -1.
    """
    best, tokens = logits.max(dim=-1)
    if config.temperature > 0:
        assert drawn is not None
        weights = _weights(logits.double() - best[:, None].double(), config)
        cumulated = weights.cumsum(dim=-1)
        total = cumulated[:, -1:]
        # Rounding could lift the product to the total itself, behind the last token.
        at = torch.minimum(drawn[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
        tokens = torch.searchsorted(cumulated, at, right=True).squeeze(-1)
    return tokens.masked_fill(~best.isfinite(), -1)


def _weights(scores: torch.Tensor, config: SamplingConfig) -> torch.Tensor:
    """Return the filtered, unscaled probabilities for scores whose largest is 0 in each row."""
    scores = scores / config.temperature
    if 0 < config.top_k < scores.shape[-1]:
        least = scores.topk(config.top_k, dim=-1).values[:, -1:]
        scores = scores.masked_fill(scores < least, -torch.inf)
    weights = scores.exp()
    if config.top_p < 1:
        falling, order = weights.sort(dim=-1, descending=True, stable=True)
        before = falling.cumsum(dim=-1) - falling
        kept = falling.masked_fill(before >= config.top_p * falling.sum(dim=-1, keepdim=True), 0)
        weights = torch.zeros_like(weights).scatter(-1, order, kept)
    return weights
