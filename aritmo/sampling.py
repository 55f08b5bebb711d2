"""Writing text with a model: batched, seeded decoding with a key-value cache.

Each row draws from its own stream of uniform numbers, named by seed and index, so that what a row
says does not depend on the batch that it was written in (but for the last bits of floating point).
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicLayer

from aritmo.choosing import SamplingConfig, choose, uniforms
from aritmo.decoding import DAMAGED, Decoder, decodes, room_of, rows_that_fit
from aritmo.guided import Guide, Path, stacked
from aritmo.memory import open_cache
from aritmo.models import quiet_transformers
from aritmo.positions import Layout, lay_out
from aritmo.progress import Progress
from aritmo.tokens import encode_batch

WINDOW = 4
"""Batches that are sorted by length together, and so are written before the first of them is yielded."""

_WORTH = 24
"""Tokens that all prompts of a batch have to begin with to be read once for all."""

_ENDED = 8
"""Rows leave a batch together, when one in so many has ended: each leaving copies the cache."""


Advance = Callable[[int], object]
"""Is told how many more texts are written."""


@dataclass(frozen=True, slots=True)
class Written:
    """One text that a model wrote: ``finished`` where it wrote the end token, which ``text`` leaves out.

    ``tokens`` is how many it wrote, the end token among them.
    """

    index: int
    text: str
    finished: bool
    tokens: int = field(default=0, compare=False)


def write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    config: SamplingConfig,
    *,
    start: int = 0,
    progress: bool | Advance = True,
    guide: Guide | None = None,
    head: Sequence[int] = (),
) -> Iterator[Written]:
    """Write on from each prompt and yield the texts in the order of the prompts.

    Works with any causal model of transformers. Prompts are sorted by length into batches within a window
    of four batches; a window's texts are yielded when all of it is written. On a GPU a text that ends makes room
    for the next prompt instead, so that a batch stays full to the last. The prompt at position i has
    index ``start + i``, which with the seed names its random stream: so a list may be written in parts.
    A text ends at the tokenizer's end token, after ``max_new_tokens``, or where the model's context is full.
    ``progress`` shows a line of its own, or is told of each text.
    The iterator may be closed early; between texts the model is in the mode in which it was given.

    A model whose config says ``ids_a_place`` has its position ids coupled by digit place (``positions``).
    With a ``guide`` of this tokenizer every text is a valid answer to its prompt (``guided``). The tokens of
    ``head`` come before every prompt: the sign that begins a text, for a model that learned with one.

    Raises ValueError at once for a prompt that is empty, leaves no room in the context, or is not what coupled
    positions are for, and for a tokenizer without an end token; while writing, for logits that are not finite.
    A guide refuses prompts too, and needs room for the longest answer.
    """
    rows = _rows(model, tokenizer, prompts, config, start, guide, head)
    return _write_all(_Writer(model, tokenizer, config), rows, progress)


def write_on(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, config: SamplingConfig, index: int = 0
) -> Iterator[str]:
    """Yield the text that ``write`` yields for a prompt of this index, piece by piece as the tokens come.

    A character is yielded when its last byte has come. Raises ValueError as ``write`` does.
    """
    rows = _rows(model, tokenizer, [prompt], config, index, None)
    columns = _Writer(model, tokenizer, config).columns(rows)
    tokens: list[int] = []
    told = ""
    while True:
        with _evaluating(model):
            _, new = next(columns, (None, None))
        over = new is None or new[0] == tokenizer.eos_token_id
        tokens += [] if new is None or over else new.tolist()
        text = tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
        if over or not text.endswith("\ufffd"):
            yield text[len(told) :]
            told = text
        if over:
            return


def _rows(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], config: SamplingConfig,
    start: int, guide: Guide | None, head: Sequence[int] = (),
) -> "list[_Row]":  # fmt: skip
    """Return what is written on, as ``write`` says it."""
    if tokenizer.eos_token_id is None:
        raise ValueError("the tokenizer has no end token, so no text could end: give it an eos_token")
    context, ids_a_place = _context(model), getattr(model.config, "ids_a_place", 0)
    rows = []
    for i, (prompt, ids) in enumerate(zip(prompts, encode_batch(tokenizer, prompts), strict=True)):
        if not ids:
            raise ValueError(f"prompt {start + i} is empty: give at least one token to write on from")
        ids = [*head, *ids]
        layout = lay_out(prompt, len(ids), context, ids_a_place)
        room = min(config.max_new_tokens, layout.room)
        if room < 1:
            raise ValueError(
                f"prompt {start + i} has {len(ids):,} tokens and leaves no room in the model's context of "
                f"{context:,}: shorten it or take a model with a longer context"
            )
        path = guide.begin(prompt) if guide else None
        if path and path.most > room:
            raise ValueError(
                f"prompt {start + i} leaves room for {room:,} tokens, and a guided answer may have {path.most:,}: "
                "raise max_new_tokens or take a model with a longer context"
            )
        rows.append(_Row(start + i, ids, layout, room, path))
    return rows


@dataclass(frozen=True, slots=True)
class _Row:
    """A prompt on its way: its tokens, their positions, how many new ones there is room for, what they may be."""

    index: int
    ids: list[int]
    layout: Layout
    room: int
    path: Path | None


def _context(model: PreTrainedModel) -> int:
    """Return how many tokens the model can hold; sys.maxsize where its configuration sets no bound."""
    config = model.config.get_text_config()
    for name in ("max_position_embeddings", "n_positions"):
        length = getattr(config, name, None)
        if length:
            return int(length)
    return sys.maxsize


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Switch dropout off and gradients too, and leave the model in the mode in which it came."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), quiet_transformers():
            yield
    finally:
        model.train(training)


def _write_all(writer: "_Writer", rows: list[_Row], progress: bool | Advance) -> Iterator[Written]:
    size = writer.prepare(rows)
    with Progress("writing", len(rows), "texts") if progress is True else nullcontext() as shown:
        advance = shown.advance if shown else progress if callable(progress) else _ignore
        if writer.decoder:
            yield from _write_flowing(writer, writer.decoder, rows, advance)
        else:
            yield from _write_windows(writer, rows, size, advance)


def _write_windows(writer: "_Writer", rows: list[_Row], size: int, advance: Advance) -> Iterator[Written]:
    for first in range(0, len(rows), size * WINDOW):
        window = sorted(rows[first : first + size * WINDOW], key=lambda row: len(row.ids))
        written: list[Written] = []
        for at in range(0, len(window), size):
            with _evaluating(writer.model):
                written += writer.write_batch(window[at : at + size], advance)
        yield from sorted(written, key=lambda text: text.index)


def _write_flowing(writer: "_Writer", decoder: Decoder, rows: list[_Row], advance: Advance) -> Iterator[Written]:
    """Yield the texts as a decoder ends them, each when those before it have ended too."""
    steps = max(row.room for row in rows)
    draws = writer.config.temperature > 0
    rounds = decoder.write(
        rows, (lambda some: writer.uniforms([rows[one] for one in some], steps)) if draws else None
    )
    kept: dict[int, Written] = {}
    told = 0
    while True:
        with _evaluating(writer.model):
            ended = next(rounds, None)
        if ended is None:
            return
        places = [place for place, _ in ended]
        texts = writer.decode([rows[place] for place in places], [tokens for _, tokens in ended])
        kept |= zip(places, texts, strict=True)
        advance(len(ended))
        while told in kept:
            yield kept.pop(told)
            told += 1


def _shared(rows: Sequence[_Row]) -> int:
    """Return how many tokens all prompts begin with, at the same positions, and each has another one after."""
    first, last = (end(rows, key=lambda row: row.ids).ids for end in (min, max))
    least = min(len(row.ids) for row in rows) - 1
    differing = (at for at in range(least) if first[at] != last[at])
    plain = rows[0].layout.ids[0] == 0 and rows[0].layout.stride == 1
    return next(differing, least) if plain and len(rows) > 1 else 0


def _ignore(count: int) -> None:
    """Take the place of a progress line where none is wanted."""


class _Writer:
    """A model with all that stays the same from batch to batch; ``decoder`` where a GPU writes by graphs."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: SamplingConfig) -> None:
        self.model, self.tokenizer, self.config = model, tokenizer, config
        self.context = _context(model)
        # Some models hold padded columns of logits for which no token exists.
        self.vocabulary = max(tokenizer.get_vocab().values()) + 1
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        taken = inspect.signature(inner.forward).parameters
        self.takes_positions = "position_ids" in taken
        # Its name from transformers 5.24 on, and the one before.
        self.cache_name = "cache" if "cache" in taken else "past_key_values"
        self.options = {"use_cache": True} | ({"logits_to_keep": 1} if "logits_to_keep" in taken else {})
        self.decoder: Decoder | None = None

    def prepare(self, rows: list[_Row]) -> int:
        """Return how many rows are written at once, and set memory for so many aside where a GPU is to do it."""
        size = self.config.batch_size
        if not rows or rows[0].path or not decodes(self.model):
            return size
        room = room_of(rows)
        size = min(size, len(rows), rows_that_fit(self.model, room))
        self.decoder = Decoder(
            self.model, partial(choose, config=self.config), end=self.tokenizer.eos_token_id,
            vocabulary=self.vocabulary, context=self.context, rows=size, room=room,
            steps=max(row.room for row in rows), draws=self.config.temperature > 0,
        )  # fmt: skip
        return size

    def write_batch(self, rows: list[_Row], advance: Advance) -> list[Written]:
        """Write on from every row, all at once, and return the texts in the order of the rows."""
        tokens = np.zeros((len(rows), max(row.room for row in rows)), dtype=np.int64)
        for step, (places, new) in enumerate(self.columns(rows, advance)):
            tokens[places, step] = new
        return self.decode(rows, tokens)

    def columns(
        self, rows: list[_Row], advance: Advance = _ignore
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield the places of the rows that are still written on and the next token of each, until all have ended.

        A row that has ended may go along for a while.
        """
        rooms = np.array([row.room for row in rows])
        steps = int(rooms.max())
        batch = _Batch(self, rows, steps)
        alive = np.ones(len(rows), dtype=bool)
        for step in range(steps):
            new = batch.step().cpu().numpy()
            if (new < 0).any():
                raise ValueError(DAMAGED)
            yield batch.places, new
            ended = (new == self.tokenizer.eos_token_id) | (step + 1 >= rooms[batch.places])
            over = int((ended & alive[batch.places]).sum())
            alive[batch.places[ended]] = False
            if over:
                advance(over)
            if not alive.any():
                break
            batch.drop(~alive[batch.places])

    def uniforms(self, rows: Sequence[_Row], steps: int) -> NDArray[np.float64]:
        """Return the uniform numbers of each row's steps (rows, steps)."""
        return uniforms(self.config.seed, [row.index for row in rows], steps)

    def decode(self, rows: Sequence[_Row], tokens: Iterable[NDArray[np.int64]]) -> list[Written]:
        """Return the texts of rows whose new tokens, and whatever comes behind their ends, are given."""
        texts, finished = [], []
        for row, ids in zip(rows, tokens, strict=True):
            ends = np.flatnonzero(ids[: row.room] == self.tokenizer.eos_token_id)
            texts.append(ids[: ends[0] if ends.size else row.room].tolist())
            finished.append(bool(ends.size))
        decoded = self.tokenizer.batch_decode(texts, clean_up_tokenization_spaces=False)
        for row, text in zip(rows, decoded, strict=True):
            if row.path:
                row.path.check(text)
        return [
            Written(row.index, text, end, len(ids) + end)
            for row, text, end, ids in zip(rows, decoded, finished, texts, strict=True)
        ]


class _Batch:
    """The rows that are being written: their cache, positions and random numbers on the model's device.

    ``places`` names the row of the whole batch that each line of it still holds.
    """

    def __init__(self, writer: _Writer, rows: list[_Row], steps: int) -> None:
        self._writer, self._steps = writer, steps
        device = writer.model.device
        longest = max(len(row.ids) for row in rows)
        self._cache = open_cache(writer.model)
        shared = self._read_shared(rows, longest + steps)
        ids = np.zeros((len(rows), longest - shared), dtype=np.int64)
        positions = np.zeros_like(ids)
        mask = np.ones((len(rows), longest + steps), dtype=np.int64)
        for line, row in enumerate(rows):
            ids[line, longest - len(row.ids) :] = row.ids[shared:]
            positions[line, longest - len(row.ids) :] = row.layout.ids[shared:]
            mask[line, shared : shared + longest - len(row.ids)] = 0
        self.places = np.arange(len(rows))
        self._paths = [row.path for row in rows if row.path]
        self._step = 0
        self._length = longest
        self._input = torch.from_numpy(ids).to(device)
        self._stride = rows[0].layout.stride
        # Attention is faster without a mask; but where position ids jump, transformers takes a row without one
        # for several texts, each of which sees only itself.
        needless = mask.all() and (np.diff(positions) == 1).all()
        self._mask = None if needless else torch.from_numpy(mask).to(device)
        self._positions = torch.from_numpy(positions).to(device)
        draws = writer.config.temperature > 0
        self._drawn = torch.from_numpy(writer.uniforms(rows, steps)).to(device) if draws else None

    def _read_shared(self, rows: list[_Row], most: int) -> int:
        """Read once what all prompts begin with, and return how many tokens that is; 0 where it does not pay.

        Unequal prompts then have their filling in the middle, which would count in a window of attention; so
        those that may grow beyond one, up to ``most`` tokens, are read whole.
        """
        count = _shared(rows)
        layers = self._cache.layers
        if count < _WORTH or not all(isinstance(layer, DynamicLayer) for layer in layers):
            return 0
        windows = [layer.sliding_window for layer in layers if hasattr(layer, "sliding_window")]
        if windows and most > min(windows):
            return 0
        writer, device = self._writer, self._writer.model.device
        inputs: dict[str, Any] = {"input_ids": torch.tensor([rows[0].ids[:count]], device=device)}
        if writer.takes_positions:
            inputs["position_ids"] = torch.tensor([rows[0].layout.ids[:count]], device=device)
        writer.model(**inputs, **{writer.cache_name: self._cache}, **writer.options)
        self._cache.reorder_cache(torch.zeros(len(rows), dtype=torch.int64, device=device))
        return count

    def step(self) -> torch.Tensor:
        """Return the next token of each line, and be ready for the one after it."""
        writer = self._writer
        inputs: dict[str, Any] = {"input_ids": self._input, writer.cache_name: self._cache}
        if self._mask is not None:
            inputs["attention_mask"] = self._mask[:, : self._length]
        if writer.takes_positions:
            inputs["position_ids"] = self._positions
        logits = writer.model(**inputs, **writer.options).logits[:, -1, : writer.vocabulary]
        drawn = None if self._drawn is None else self._drawn[:, self._step]
        choice = self._choose_guided if self._paths else choose
        tokens = choice(logits, drawn, writer.config)
        self._step += 1
        self._length += 1
        self._input = tokens[:, None]
        # A line that has ended is carried along for a while, and must not leave the model's positions.
        self._positions = (self._positions[:, -1:] + self._stride).clamp(max=writer.context - 1)
        return tokens

    def _choose_guided(
        self, logits: torch.Tensor, drawn: torch.Tensor | None, config: SamplingConfig
    ) -> torch.Tensor:
        """Return for each line one of the tokens that its path allows, or -1, as ``choose`` does."""
        allowed = torch.from_numpy(stacked(self._paths)).to(logits.device)
        scores = logits.gather(1, allowed.clamp(min=0)).masked_fill(allowed < 0, -torch.inf)
        places = choose(scores, drawn, config)
        tokens = allowed.gather(1, places.clamp(min=0)[:, None]).squeeze(1).masked_fill(places < 0, -1)
        for path, token in zip(self._paths, tokens.tolist(), strict=True):
            if token >= 0:
                path.follow(token)
        return tokens

    def drop(self, ended: NDArray[np.bool_]) -> None:
        """Leave out the lines that have ended, once there are enough of them to pay for the copy."""
        if ended.sum() * _ENDED < len(ended):
            return
        kept = np.flatnonzero(~ended)
        self.places = self.places[kept]
        self._paths = [self._paths[line] for line in kept] if self._paths else []
        lines = torch.from_numpy(kept).to(self._input.device)
        self._cache.reorder_cache(lines)
        self._input = self._input[lines]
        self._positions = self._positions[lines]
        if self._mask is not None:
            self._mask = self._mask[lines]
        if self._drawn is not None:
            self._drawn = self._drawn[lines]
