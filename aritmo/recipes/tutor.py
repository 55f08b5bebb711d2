"""The tutor: a GPT-2 that writes the report's tutorial for operands to 12 digits, and takes numbers apart.

Plain learned positions that begin anew with each text, digit-level tokens, and fresh problems of the train
families for as long as the training lasts: 88 % tutorials, 6 % decompositions of either style.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase

from aritmo.numbers.randomness import Stream, seed_of
from aritmo.recipes.siblings import NOT_ASKED, Batch, Course, gpt2_config
from aritmo.tasks import TASKS, TaskOptions
from aritmo.tokens import task_tokenizer
from aritmo.workers import Workers

_DECOMPOSED = 6
"""Of 100 texts so many take a number apart joined, and as many spaced."""

Integers = NDArray[np.integer[Any]]


def _late(done: float) -> float:
    """Return the share of the learning rate that is left: it falls to 0 in the last 60 % of the work."""
    return min(1.0, (1 - done) / 0.6)


_COURSE = Course(1e-3, 300, _late, decay=0.02)


@dataclass(frozen=True, slots=True)
class Tutor:
    """``digits`` of an operand, ``apart`` of a number taken apart. An update takes ``stream`` tokens,
    at most ``texts`` texts of at most ``most`` tokens.
    """

    digits: int = 12
    apart: int = 7
    stream: int = 65_536
    texts: int = 768
    most: int = 800
    layers: int = 6
    width: int = 256
    heads: int = 8
    name: str = "tutor"
    steps: int = 16_000
    course: Course = _COURSE

    def model(self, seed: int) -> GPT2LMHeadModel:
        """Return a fresh model."""
        tokenizer = _tokenizer()
        config = gpt2_config(
            len(tokenizer), self.most, self.layers, self.width, self.heads, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of("tutor", "weights", seed))
            return GPT2LMHeadModel(config)

    def batches(
        self, seed: int, device: torch.device, processes: int, done: Callable[[], float]
    ) -> Generator[Batch, None, None]:
        """Yield streams of whole texts, the last of each cut, drawn by so many processes."""
        jobs = ((self, seed, index) for index in count())
        with Workers(processes) as workers:
            for made in workers.map(_stream, jobs):
                tokens, labels, ends = (torch.from_numpy(part).to(device, non_blocking=True) for part in made)
                place = torch.arange(self.stream, device=device, dtype=torch.int32)
                begin = ends[torch.searchsorted(ends, place, right=True) - 1]
                yield Batch(tokens[None], (place - begin).long()[None], labels[None], ends, self.most)

    def finish(self, model: GPT2LMHeadModel) -> PreTrainedTokenizerBase:
        """Return the tokenizer; the model is saved as it is."""
        return _tokenizer()


FULL = Tutor()
TOY = Tutor(
    digits=2,
    apart=3,
    stream=512,
    texts=64,
    most=192,
    layers=2,
    width=32,
    heads=2,
    steps=20,
    course=Course(3e-3, 5),
)


@cache
def _tokenizer() -> PreTrainedTokenizerBase:
    return task_tokenizer()


def _stream(job: tuple[Tutor, int, int]) -> tuple[Integers, Integers, Integers]:
    """Return the tokens of a stream, the label of each place, and the borders of its texts.

    A GPU wants one shape, and how many texts there are varies: borders that are not used stand at the end.
    """
    tutor, seed, index = job
    encoder, end = _tokenizer().backend_tokenizer, int(_tokenizer().eos_token_id)
    stream = Stream("tutor", "texts", seed, index)
    tokens: list[int] = []
    labels: list[int] = []
    ends = [0]
    for text in count():
        if len(tokens) >= tutor.stream:
            break
        prompt, told = (encoder.encode(part).ids for part in _text(tutor, stream, seed, index, text))
        tokens += [*prompt, *told, end]
        labels += [*[NOT_ASKED] * (len(prompt) - 1), *told, end, NOT_ASKED]
        ends.append(min(len(tokens), tutor.stream))
    # Four times the texts that a stream holds on average: no draw comes near.
    assert len(ends) <= tutor.texts + 1
    ends += [tutor.stream] * (tutor.texts + 1 - len(ends))
    cut = slice(tutor.stream)
    return np.array(tokens[cut], np.int64), np.array(labels[cut], np.int64), np.array(ends, np.int32)


def _text(tutor: Tutor, stream: Stream, seed: int, index: int, text: int) -> tuple[str, str]:
    """Return the prompt and the completion of one text of a stream."""
    kind = stream.below(100)
    name, style, digits = "addition", "tutorial", tutor.digits
    if kind < 2 * _DECOMPOSED:
        name, style, digits = "decomposition", "joined" if kind < _DECOMPOSED else "spaced", tutor.apart
    task = TASKS[name]
    at = index * tutor.stream + text
    (problem,) = task.problems("train", seed, at, at + 1, TaskOptions(max_digits=digits))
    return task.prompt(problem, style), task.completion(problem, style)
