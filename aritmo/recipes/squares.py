"""The squares model: a Llama that writes its search for a prime magic square, of orders 3, 5 and 7.

Rotary positions, so that a step looks the same wherever it stands; 408 symbols, a number being two of them;
streams of whole documents drawn as it learns (``tasks/squares_drills``); Muon. A fifth of the documents only say
which square «Any» may be: that is short, and known by heart or not at all.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from aritmo.numbers.randomness import seed_of
from aritmo.recipes import tutor
from aritmo.recipes.siblings import NOT_ASKED, Batch, Course
from aritmo.recipes.squares_measure import Measure, tell
from aritmo.recipes.squares_streams import DocumentStreams, draw_stream
from aritmo.tasks.squares_documents import BEGIN, END, KINDS
from aritmo.tasks.squares_search import SYMBOLS
from aritmo.tokens import symbol_tokenizer
from aritmo.workers import Workers

_TABLE = 8_192
"""Tokens that a text may have."""
_COURSE = replace(tutor.FULL.course, decay=0.05)


@dataclass(frozen=True, slots=True)
class SquaresRecipe:
    """An update takes ``stream`` tokens, at most ``texts`` documents of at most ``most`` tokens.

    The share ``asked`` of the documents only ask, the share ``nested`` is of orders 5 and 7. The last layer of the
    trained model is multiplied by ``sharpen``, so that a draw at temperature 1 is one at 1 / ``sharpen`` before.
    """

    stream: int = 65_536
    texts: int = 192
    most: int = 6_400
    asked: float = 0.2
    nested: float = 0.45
    layers: int = 6
    width: int = 384
    inner: int = 1_024
    heads: int = 6
    sharpen: float = 1.5
    name: str = "squares"
    steps: int = 17_800
    course: Course = _COURSE
    measured: Measure = Measure()  # noqa: RUF009

    def model(self, seed: int) -> LlamaForCausalLM:
        """Return a fresh model."""
        config = LlamaConfig(
            vocab_size=len(SYMBOLS), hidden_size=self.width, intermediate_size=self.inner,
            num_hidden_layers=self.layers, num_attention_heads=self.heads, num_key_value_heads=self.heads,
            max_position_embeddings=_TABLE, bos_token_id=BEGIN, eos_token_id=END, pad_token_id=END,
            tie_word_embeddings=False,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of("squares", "weights", seed))
            return LlamaForCausalLM(config)

    def batches(
        self, seed: int, device: torch.device, processes: int, done: Callable[[], float]
    ) -> Generator[Batch, None, None]:
        """Yield streams of whole documents, the last of each cut, drawn by so many processes."""
        streams = DocumentStreams(self.stream, self.texts, self.most, self.asked, self.nested, seed)
        jobs = ((streams, index) for index in count())
        with Workers(processes) as workers:
            for made in workers.map(draw_stream, jobs):
                symbols, kinds, ends = (torch.from_numpy(part).to(device, non_blocking=True) for part in made)
                yield _batch(symbols.long(), kinds.long(), ends, self.most)

    def finish(self, model: LlamaForCausalLM) -> PreTrainedTokenizerBase:
        """Sharpen the last layer, and return the tokenizer."""
        with torch.no_grad():
            model.lm_head.weight.mul_(self.sharpen)
        return symbol_tokenizer(SYMBOLS, SYMBOLS[END])

    def look(self, batch: Batch, losses: Tensor, right: Tensor) -> dict[str, Any]:
        """Return for each kind of step that is in a batch its mean loss in nats, and the share written wrong."""
        assert batch.kinds is not None
        kinds = batch.kinds.flatten()
        of = torch.bincount(kinds, minlength=len(KINDS))
        loss, wrong = (torch.bincount(kinds, part.flatten().float(), len(KINDS)) / of for part in (losses, ~right))
        rows = zip(KINDS[1:], of.tolist()[1:], loss.tolist()[1:], wrong.tolist()[1:], strict=True)
        return {"kinds": {name: [round(lost, 5), round(bad, 5)] for name, many, lost, bad in rows if many}}

    def tell(self, folder: Path, told: dict[str, Any]) -> None:
        """Measure a saved model, and write down what came out and the model's card."""
        tell(folder, told, self.measured)


FULL = SquaresRecipe()
TOY = SquaresRecipe(
    stream=2_048,
    texts=64,
    asked=0.02,
    layers=1,
    width=32,
    inner=48,
    heads=2,
    steps=12,
    course=Course(3e-3, 5),
    measured=Measure(orders=(3,), centres=1, drawn=1),
)


def _batch(symbols: Tensor, kinds: Tensor, ends: Tensor, longest: int) -> Batch:
    """Return a stream as a batch of one row; its labels are the next symbols, where they are asked."""
    place = torch.arange(len(symbols), device=symbols.device, dtype=torch.int32)
    begin = ends[torch.searchsorted(ends, place, right=True) - 1]
    kinds = torch.nn.functional.pad(kinds[1:], (0, 1))
    labels = torch.where(kinds == 0, NOT_ASKED, torch.nn.functional.pad(symbols[1:], (0, 1)))
    return Batch(symbols[None], (place - begin).long()[None], labels[None], ends, longest, kinds[None])
