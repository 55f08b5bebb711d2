"""The tutor: a GPT-2 that writes the report's tutorial for operands to 12 digits, and takes numbers apart.

Plain learned positions that begin anew with each text, digit-level tokens, and fresh problems of the train
families for as long as the training lasts: 88 % tutorials, 6 % decompositions of either style.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from itertools import count

import torch
from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase

from aritmo.numbers.randomness import seed_of
from aritmo.recipes.siblings import Batch, Course, gpt2_config
from aritmo.recipes.tutor_streams import TextStreams, draw_stream
from aritmo.tokens import task_tokenizer
from aritmo.workers import Workers


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
        streams = TextStreams(self.digits, self.apart, self.stream, self.texts, seed)
        jobs = ((streams, index) for index in count())
        with Workers(processes) as workers:
            for made in workers.map(draw_stream, jobs):
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
