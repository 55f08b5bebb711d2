"""From examples to full rows: tokenise, pack without letting examples see each other, and keep account."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel, PreTrainedTokenizerBase
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from aritmo.tokens import encode_batch

LossOn = Literal["completion", "text"]

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


@dataclass(frozen=True, slots=True)
class Groups:
    """Where the examples of a batch lie, so that attention takes each alone, those of like length at once.

    Places are flat over rows and width. Each tensor of ``gather`` is (examples, longest): the places of each
    example, filled up with its first. ``scatter`` (rows * width) says where each place stands in the groups
    laid end to end.
    """

    gather: tuple[torch.Tensor, ...]
    scatter: torch.Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows as tensors on a device: what a model is given, and what it should say.

    ``inputs`` are the model's arguments; its token ids are (rows, width), cut after the fullest row.
    ``places`` are the flat places in (rows * width) whose next token bears loss, ``targets`` those tokens.
    """

    inputs: dict[str, Any]
    places: torch.Tensor
    targets: torch.Tensor


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
    """Pack (prompt, completion) pairs into rows of ``context`` tokens, each into the first row with room.

    Examples of more than ``context`` tokens are left out and counted. The same examples in the same order
    give the same rows. Raises ValueError for a context below 2.
    """
    if context < 2:
        raise ValueError(f"training.context must be at least 2 tokens, not {context}")
    encoded = encode_examples(tokenizer, examples, loss_on)
    kept = [example for example in encoded if len(example.ids) <= context]
    rows = first_fit([len(example.ids) for example in kept], context)
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


def first_fit(lengths: Iterable[int], room: int) -> list[int]:
    """Return for each length the row it goes to: the first, in order of opening, with so much room left.

    A tree of the greatest room below each node finds that row in logarithmic time.
    """
    lengths = list(lengths)
    leaves = 1 << max(len(lengths) - 1, 0).bit_length()
    left = [room] * (2 * leaves)
    rows = []
    for length in lengths:
        assert 0 < length <= room
        node = 1
        while node < leaves:
            node = 2 * node if left[2 * node] >= length else 2 * node + 1
        rows.append(node - leaves)
        left[node] -= length
        while node > 1:
            node //= 2
            left[node] = max(left[2 * node], left[2 * node + 1])
    return rows


def collate(
    packed: Packed, rows: NDArray[np.int64], device: torch.device, dtype: torch.dtype, alone: bool
) -> Batch:
    """Return the given rows as a batch on ``device``, in which a token sees its own example up to itself.

    ``alone`` is what ``isolate`` said of the model: whether its attention takes each example alone, or needs
    a mask over whole rows, in ``dtype``.
    """
    width = packed.filled[rows].max()
    tokens = torch.from_numpy(packed.tokens[rows, :width]).long()
    trained = torch.from_numpy(packed.trained[rows, :width])
    next_trained = trained.roll(-1, dims=1)
    next_trained[:, -1] = False
    positions = packed.positions[rows, :width]
    inputs: dict[str, Any] = {
        "input_ids": tokens.to(device),
        "position_ids": torch.from_numpy(positions).long().to(device),
        "use_cache": False,
    }
    if alone:
        # Any 4-D mask keeps transformers from making one; the attention below looks at the groups alone.
        inputs["attention_mask"] = torch.zeros(1, 1, 1, 1, device=device)
        inputs["groups"] = _groups(positions, device)
    else:
        documents = torch.from_numpy(packed.documents[rows, :width]).to(device)
        inputs["attention_mask"] = _mask(documents, dtype)
    places = next_trained.flatten().nonzero().squeeze(1)
    return Batch(inputs, places.to(device), tokens[trained].to(device))


def _mask(documents: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return what is added to the scores, (rows, 1, width, width).

    Padding sees padding, so that no row of the mask is empty, where attention would divide nought by nought.
    """
    width = documents.shape[1]
    hidden = torch.ones(width, width, dtype=torch.bool, device=documents.device).triu_(1)
    hidden = hidden | (documents[:, :, None] != documents[:, None, :])
    mask = torch.zeros(hidden.shape, dtype=dtype, device=documents.device)
    return mask.masked_fill_(hidden, torch.finfo(dtype).min)[:, None]


def _groups(positions: NDArray[np.int32], device: torch.device) -> Groups:
    """Group the examples, each from a position 0 on, by the power of two that holds their length."""
    starts = np.flatnonzero(positions == 0)
    lengths = np.diff(starts, append=positions.size)
    powers = np.ceil(np.log2(lengths)).astype(np.int64)
    scatter, laid, gather = np.empty(positions.size, np.int64), 0, []
    for power in np.unique(powers):
        start, length = starts[powers == power, None], lengths[powers == power, None]
        along = np.arange(length.max())
        inside = along < length
        places = np.where(inside, start + along, start)
        scatter[places[inside]] = laid + np.flatnonzero(inside)
        laid += places.size
        gather.append(torch.from_numpy(places).to(device))
    return Groups(tuple(gather), torch.from_numpy(scatter).to(device))


def _attend_alone(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    groups: Groups | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each example: (rows, heads, width, size) in, (rows, width, heads, size) out.

    What fills an example up stands behind it, where a causal query never looks. Without groups this is
    transformers' own attention.
    """
    if groups is None:
        attended: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return attended
    flat = [states.transpose(1, 2).flatten(0, 1) for states in (query, key, value)]
    laid = []
    for places in groups.gather:
        q, k, v = (
            states.index_select(0, places.flatten()).view(*places.shape, *states.shape[1:]).transpose(1, 2)
            for states in flat
        )
        longest, band = places.shape[1], None
        if sliding_window is not None and sliding_window < longest:
            band = torch.ones(longest, longest, dtype=torch.bool, device=q.device)
            band = band.tril().triu(1 - sliding_window)
        alone = F.scaled_dot_product_attention(
            q, k, v, attn_mask=band, dropout_p=dropout, is_causal=band is None, scale=scaling,
            enable_gqa=q.shape[1] != k.shape[1],
        )  # fmt: skip
        laid.append(alone.transpose(1, 2).flatten(0, 1))
    rows, _, width, _ = query.shape
    written = torch.cat(laid).index_select(0, groups.scatter)
    return written.view(rows, width, *written.shape[1:]), None


_ALONE = "aritmo_alone"
AttentionInterface.register(_ALONE, _attend_alone)
AttentionMaskInterface.register(_ALONE, sdpa_mask)


class LossHead:
    """Lets a model compute logits only where they bear loss, whatever its class does around its head.

    A hook before the output layer picks the places, so the call still goes through the wrapped model.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._places: torch.Tensor | None = None
        self._handle = model.get_output_embeddings().register_forward_pre_hook(self._pick)

    def _pick(self, module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
        if self._places is None:
            return None
        return (given[0].flatten(0, -2)[self._places], *given[1:])

    @contextmanager
    def only_at(self, places: torch.Tensor) -> Iterator[None]:
        """For one call, let the logits be (places, vocabulary); ``places`` are flat over rows and width."""
        self._places = places
        try:
            yield
        finally:
            self._places = None

    def release(self) -> None:
        """Take the hook off the model."""
        self._handle.remove()


@contextmanager
def isolate(model: PreTrainedModel) -> Iterator[bool]:
    """Make sure that packed examples of a model do not see each other; give ``alone`` for ``collate``.

    Attention that takes each example alone is tried first: it spends nothing on pairs of tokens that may not
    see each other. Models with an attention of their own get a mask. Either way the model is put to the
    test, so that one which ignores it (a recurrent one, say) is found out instead of learning silently wrong.
    The model is as it was at the end. Raises ValueError where examples see each other.
    """
    before = model.config._attn_implementation
    alone = False
    try:
        if before == "sdpa" and model._can_set_attn_implementation():
            model.set_attn_implementation(_ALONE)
            if not (alone := _isolated(model, alone=True)):
                model.set_attn_implementation(before)
        if not alone and not _isolated(model, alone=False):
            raise ValueError(
                f"models of type {model.config.model_type} let packed examples see each other; "
                "choose one that takes a 4-D attention mask and position ids, such as GPT-2, GPT-J or Llama"
            )
        yield alone
    finally:
        if alone:
            model.set_attn_implementation(before)


@torch.no_grad()
def _isolated(model: PreTrainedModel, alone: bool) -> bool:
    """Show a model two examples in a row, twice, with another first one: is the second answered alike?"""
    tokens = np.array([[1, 2, 3, 4, 5, 6], [6, 5, 4, 4, 5, 6]], np.int32)
    positions = np.array([[0, 1, 2, 0, 1, 2]] * 2, np.int32)
    documents = np.array([[0, 0, 0, 1, 1, 1]] * 2, np.int16)
    nothing = np.zeros_like(tokens, np.bool_)
    tokens %= model.get_input_embeddings().num_embeddings
    packed = Packed(tokens, positions, documents, nothing, np.array([6, 6]), Account(4, 0, 2, 6, 12, 0))
    batch = collate(packed, np.arange(2), model.device, model.dtype, alone)
    was_training = model.training
    model.eval()
    try:
        logits = model(**batch.inputs).logits
    except (TypeError, ValueError, RuntimeError, IndexError):
        return False
    finally:
        model.train(was_training)
    return torch.allclose(logits[0, 3:], logits[1, 3:], atol=1e-3, rtol=1e-3)
