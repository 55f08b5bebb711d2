"""The texts of an experiment: cut in the way that is on trial, and laid out in batches."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from aritmo.numbers.randomness import seed_of
from aritmo.recipes.siblings import NOT_ASKED, Batch
from aritmo.tokens import gpt2_tokenizer, task_tokenizer
from aritmo.trials.plans import Cut
from aritmo.trials.problems import Problem

_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])(?=[0-9])")
_DIGITS = re.compile("Ġ?[0-9]+")


def set_apart(text: str) -> str:
    """Return a text with a space between digits that are neighbours: ``57`` becomes ``5 7``."""
    return _BETWEEN_DIGITS.sub(" ", text)


class Cutter:
    """Cuts texts into the tokens of one of the ways that are on trial; ``vocabulary`` says where GPT-2's lies."""

    def __init__(self, cut: Cut, vocabulary: Path | None) -> None:
        """Raise ValueError where GPT-2's vocabulary is wanted and not there."""
        self._apart = cut == "apart"
        if cut == "digits":
            self._tokenizer = task_tokenizer().backend_tokenizer
            self._end = self._tokenizer.token_to_id("<end>")
        else:
            self._tokenizer = gpt2_tokenizer(vocabulary)
            self._end = self._tokenizer.token_to_id("<|endoftext|>")
        known = self._tokenizer.get_vocab().items()
        self._numbers = np.array([id for token, id in known if _DIGITS.fullmatch(token)], np.int32)

    def encode(self, texts: Iterable[str]) -> list[NDArray[np.int32]]:
        """Return the token ids of each text."""
        told = [set_apart(text) for text in texts] if self._apart else list(texts)
        return [np.array(encoded.ids, np.int32) for encoded in self._tokenizer.encode_batch_fast(told)]

    def cut(self, problems: list[list[Problem]]) -> list["Texts"]:
        """Return each list of problems as texts, all with one numbering of the tokens from 0, the end being 0.

        Tokens of the vocabulary that no text holds have no row, those of digits aside: their logits would be
        driven down in the first updates and never be heard of again.
        """
        ids = [
            self.encode(text for problem in some for text in (problem.prompt, problem.completion))
            for some in problems
        ]
        used = np.unique(np.concatenate([self._numbers, *(row for some in ids for row in some)]))
        numbering = np.zeros(self._tokenizer.get_vocab_size(), np.int32)
        numbering[used] = np.arange(1, len(used) + 1)
        return [self._texts(some, numbering, len(used) + 1) for some in ids]

    def _texts(self, ids: list[NDArray[np.int32]], numbering: NDArray[np.int32], known: int) -> "Texts":
        end = np.zeros(1, np.int32)
        pieces = [part for prompt, told in zip(ids[::2], ids[1::2], strict=True) for part in (prompt, told)]
        sizes = np.array([len(piece) for piece in pieces], np.int64).reshape(-1, 2)
        flat = [
            np.concatenate((numbering[prompt], numbering[told], end))
            for prompt, told in zip(pieces[::2], pieces[1::2], strict=True)
        ]
        lengths = sizes.sum(1) + 1
        return Texts(
            torch.from_numpy(np.concatenate(flat)),
            torch.from_numpy(lengths.cumsum() - lengths),
            torch.from_numpy(lengths),
            torch.from_numpy(sizes[:, 0].copy()),
            known,
        )


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts as tokens, end token included, end to end in ``tokens``.

    For each text ``starts`` is where it begins, ``lengths`` how long it is, and ``asked`` how many tokens of it
    are the prompt. ``known`` is how many tokens there are to know.
    """

    tokens: Tensor
    starts: Tensor
    lengths: Tensor
    asked: Tensor
    known: int

    def to(self, device: torch.device) -> "Texts":
        """Return the texts on a device."""
        tokens, starts, lengths, asked = (
            part.to(device) for part in (self.tokens, self.starts, self.lengths, self.asked)
        )
        return Texts(tokens, starts, lengths, asked, self.known)

    def lay_out(self, rows: Tensor, width: int, least: int, longest: int) -> tuple[Batch, Tensor]:
        """Return the texts named by ``rows`` (models, texts) as a batch of ``width`` tokens a model.

        What is left of a row is filled with end tokens, at which nothing is asked. ``least`` is the fewest tokens
        that the texts of a row have together, ``longest`` the most of one text. Returned with the batch is which
        text of its row each place belongs to, (models, width); fillers count to the last text.
        """
        device = rows.device
        lengths = self.lengths[rows]
        stops = lengths.cumsum(1)
        place = torch.arange(width, device=device).expand(len(rows), -1).contiguous()
        which = torch.searchsorted(stops, place, right=True).clamp(max=rows.shape[1] - 1)
        row, inside = rows.gather(1, which), place < stops[:, -1:]
        along = place - (stops - lengths).gather(1, which)
        tokens = torch.where(inside, self.tokens[torch.where(inside, self.starts[row] + along, 0)].long(), 0)
        asked = inside & (along >= self.asked[row])
        labels = functional.pad(torch.where(asked, tokens, NOT_ASKED)[:, 1:], (0, 1), value=NOT_ASKED)
        positions = torch.where(inside, along, (place - stops[:, -1:]) % longest)
        fillers = stops[:, -1:] + longest * torch.arange(1, (width - least) // longest + 2, device=device)
        ends = torch.cat((stops, fillers), 1).clamp(max=width)
        ends = functional.pad((ends + width * torch.arange(len(rows), device=device)[:, None]).flatten(), (1, 0))
        return Batch(tokens, positions, labels, ends.int(), longest), which


def rows_of_updates(size: int, batch: int, updates: int, *names: str | int) -> NDArray[np.int64]:
    """Return which of ``size`` examples each update takes, (updates, batch); every epoch is a new permutation."""
    epochs = -(-batch * updates // size)
    # Raw bits, since NumPy promises their stream across versions but not that of its shuffles.
    bits = np.random.PCG64(seed_of("trial", *names)).random_raw(epochs * size).reshape(epochs, size)
    order = np.argsort(bits, axis=1, kind="stable")
    return order.reshape(-1)[: batch * updates].reshape(updates, batch)
