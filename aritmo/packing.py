"""From examples to full rows: tokenise, pack without letting examples see each other, and keep account."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from aritmo.tokens import encode_batch

LossOn = Literal["completion", "text"]

_TRIED = 256
"""Different lengths that are tried at most to fill a row, the longest of those that fit."""

_CHUNK = 8_192
"""Examples tokenised at a time, which bounds the memory of the tokenizer's own objects."""


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the examples: rows -> sequences -> tokens -> dropped. ``str`` gives it in one line.

    ``tokens`` counts the tokens of the packed examples, end tokens included and padding left out;
    ``trained`` those of them that bear loss; ``sequences`` are of ``context`` tokens each.
    """

    examples: int
    dropped: int
    sequences: int
    context: int
    tokens: int
    trained: int

    def __str__(self) -> str:
        room = self.sequences * self.context
        line = (
            f"{self.examples:,} examples -> {self.sequences:,} sequences of {self.context:,} tokens -> "
            f"{room:,} tokens ({_percent(self.tokens, room)} filled, "
            f"{_percent(self.trained, room)} trained on) -> {self.dropped:,} dropped"
        )
        return line + f" (longer than {self.context:,} tokens; raise training.context)" * bool(self.dropped)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as tokens: ``ids`` with the end token, of which those from ``first`` on bear loss."""

    ids: list[int]
    first: int


@dataclass(frozen=True, slots=True)
class Packed:
    """Packed sequences, one a row: arrays have the shape (sequences, context), but ``filled`` (sequences,).

    ``tokens`` holds token ids; ``positions`` the place of each token in its example, from 0;
    ``documents`` a number for each example of a row, padding being one more; ``trained`` marks the tokens
    that bear loss; ``filled`` counts each row's tokens without padding.
    """

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    documents: NDArray[np.int16]
    trained: NDArray[np.bool_]
    filled: NDArray[np.int64]
    account: Account

    def __len__(self) -> int:
        return len(self.tokens)


def encode_examples(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[tuple[str, str]], loss_on: LossOn = "completion"
) -> list[Encoded]:
    """Return (prompt, completion) pairs as tokens, the end token appended and trained on.

    Prompt and completion are tokenised apart, since a model that is asked sees the prompt alone.
    ``loss_on="text"`` lets the prompt bear loss too, but for its first token, which nothing predicts.
    """
    if loss_on not in get_args(LossOn):
        raise ValueError(f"loss_on must be one of {', '.join(get_args(LossOn))}, not {loss_on!r}")
    encoded = []
    for start in range(0, len(examples), _CHUNK):
        chunk = examples[start : start + _CHUNK]
        ids = encode_batch(tokenizer, [text for example in chunk for text in example])
        for prompt, completion in zip(ids[::2], ids[1::2], strict=True):
            first = len(prompt) if loss_on == "completion" else 1
            encoded.append(Encoded([*prompt, *completion, tokenizer.eos_token_id], max(first, 1)))
    return encoded


def pack(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[tuple[str, str]],
    context: int,
    loss_on: LossOn = "completion",
) -> Packed:
    """Pack (prompt, completion) pairs into rows of ``context`` tokens, so that hardly any room is left (``fill``).

    Examples of more than ``context`` tokens are left out and counted. The same examples in the same order
    give the same rows. Raises ValueError for a context below 2.
    """
    if context < 2:
        raise ValueError(f"training.context must be at least 2 tokens, not {context}")
    encoded = encode_examples(tokenizer, examples, loss_on)
    kept = [example for example in encoded if len(example.ids) <= context]
    rows = fill([len(example.ids) for example in kept], context)
    shape = (max(rows, default=-1) + 1, context)
    tokens = np.full(shape, tokenizer.pad_token_id, np.int32)
    positions, documents = np.zeros(shape, np.int32), np.zeros(shape, np.int16)
    trained = np.zeros(shape, np.bool_)
    filled, held = np.zeros(shape[0], np.int64), np.zeros(shape[0], np.int16)
    places = np.arange(context, dtype=np.int32)
    for row, example in zip(rows, kept, strict=True):
        start = int(filled[row])
        stop = start + len(example.ids)
        tokens[row, start:stop] = example.ids
        positions[row, start:stop] = places[: stop - start]
        documents[row, start:stop] = held[row]
        trained[row, start + example.first : stop] = True
        filled[row], held[row] = stop, held[row] + 1
    for row, start in enumerate(filled.tolist()):
        positions[row, start:] = places[: context - start]
        documents[row, start:] = held[row]
    account = Account(
        len(encoded), len(encoded) - len(kept), shape[0], context, int(filled.sum()), int(trained.sum())
    )
    return Packed(tokens, positions, documents, trained, filled, account)


def fill(lengths: Sequence[int], room: int) -> list[int]:
    """Return for each length the row it goes to: rows hold at most ``room``, and are full where that can be.

    A row begins with the longest that waits. Of the sums that others make with it, found longest first, it takes
    the largest, and is content with the first that fills it; equal lengths go in their order.
    """
    waiting: dict[int, list[int]] = {}
    for index in range(len(lengths) - 1, -1, -1):
        assert 0 < lengths[index] <= room
        waiting.setdefault(lengths[index], []).append(index)
    sizes = sorted(waiting)
    rows, row = [0] * len(lengths), 0
    while sizes:
        for size in _parts(sizes, waiting, room):
            rows[waiting[size].pop()] = row
            if not waiting[size]:
                del sizes[bisect_left(sizes, size)]
        row += 1
    return rows


def _parts(sizes: list[int], waiting: dict[int, list[int]], room: int) -> list[int]:
    """Return the sizes of the next row; bit n of ``reached`` says that some of them make the sum n."""
    longest, left = sizes[-1], room - sizes[-1]
    parts, reached, inside, taken = [longest], 1, (1 << (left + 1)) - 1, []
    fitting = bisect_right(sizes, left)
    for size in reversed(sizes[max(fitting - _TRIED, 0) : fitting]):
        for _ in range(min(len(waiting[size]) - (size == longest), left // size)):
            before = reached
            reached |= (reached << size) & inside
            taken.append((size, before))
            if reached == before or reached >> left:
                break
        if reached >> left:
            break
    best = reached.bit_length() - 1
    for size, before in reversed(taken):
        if not before >> best & 1:
            parts.append(size)
            best -= size
    return parts
