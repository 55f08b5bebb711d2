"""The texts that the tutor learns from, drawn by processes that start fast because nothing here needs torch."""

from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from aritmo.numbers.randomness import Stream
from aritmo.recipes import NOT_ASKED
from aritmo.tasks import TASKS, TaskOptions
from aritmo.tokens import END, digit_backend, task_words

Integers = NDArray[np.integer[Any]]

_DECOMPOSED = 6
"""Of 100 texts so many take a number apart joined, and as many spaced."""


@dataclass(frozen=True, slots=True)
class TextStreams:
    """Streams of ``stream`` tokens, of at most ``texts`` texts: sums of operands with up to ``digits`` digits, and
    numbers with up to ``apart`` digits taken apart.
    """

    digits: int
    apart: int
    stream: int
    texts: int
    seed: int


def draw_stream(job: tuple[TextStreams, int]) -> tuple[Integers, Integers, Integers]:
    """Return the tokens of a stream, the label of each place, and the borders of its texts.

    A GPU wants one shape, and how many texts there are varies: borders that are not used stand at the end.
    """
    streams, index = job
    encoder = _encoder()
    end = encoder.token_to_id(END)
    assert end is not None
    stream = Stream("tutor", "texts", streams.seed, index)
    tokens: list[int] = []
    labels: list[int] = []
    ends = [0]
    for text in count():
        if len(tokens) >= streams.stream:
            break
        prompt, told = (encoder.encode(part).ids for part in _text(streams, stream, index, text))
        tokens += [*prompt, *told, end]
        labels += [*[NOT_ASKED] * (len(prompt) - 1), *told, end, NOT_ASKED]
        ends.append(min(len(tokens), streams.stream))
    # Four times the texts that a stream holds on average: no draw comes near.
    assert len(ends) <= streams.texts + 1
    ends += [streams.stream] * (streams.texts + 1 - len(ends))
    cut = slice(streams.stream)
    return np.array(tokens[cut], np.int64), np.array(labels[cut], np.int64), np.array(ends, np.int32)


@cache
def _encoder() -> Tokenizer:
    return digit_backend(task_words())


def _text(streams: TextStreams, stream: Stream, index: int, text: int) -> tuple[str, str]:
    """Return the prompt and the completion of one text of a stream."""
    kind = stream.below(100)
    name, style, digits = "addition", "tutorial", streams.digits
    if kind < 2 * _DECOMPOSED:
        name, style, digits = "decomposition", "joined" if kind < _DECOMPOSED else "spaced", streams.apart
    task = TASKS[name]
    at = index * streams.stream + text
    (problem,) = task.problems("train", streams.seed, at, at + 1, TaskOptions(max_digits=digits))
    return task.prompt(problem, style), task.completion(problem, style)
