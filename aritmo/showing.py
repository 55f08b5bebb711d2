"""The examples of a corpus as training would see them; torch only where a model's own tokens are asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from aritmo.corpus import Corpus
from aritmo.numbers.randomness import split_named
from aritmo.packing import LossOn
from aritmo.tokens import Numbers, learned_pieces, task_tokenizer


def show_examples(folder: Path, split: str, wanted: int, tokens: str, loss_on: str) -> Iterator[dict[str, Any]]:
    """Yield a corpus' examples with their token pieces, each with whether training would learn it."""
    if loss_on not in get_args(LossOn):
        raise ValueError(f"loss_on: got {loss_on!r}, allowed {', '.join(get_args(LossOn))}")
    if tokens in get_args(Numbers):
        tokenizer: Any = task_tokenizer(tokens)
    else:
        from aritmo.models import open_tokenizer

        tokenizer = open_tokenizer(tokens)
    for example in Corpus(folder).examples(split_named(split), wanted):
        yield {
            "prompt": example.prompt,
            "completion": example.completion,
            "meta": example.meta,
            "tokens": learned_pieces(tokenizer, example.prompt, example.completion, loss_on == "text"),
        }
