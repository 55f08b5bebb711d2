"""Decoding on a GPU without waiting for the host: a step of all rows is one recorded graph.

What a step needs lies in tensors of fixed place: the rows' tokens, positions and lengths, and the ``Memory`` of
their keys and values. So the same graph serves every step, the token is chosen within it, and the host looks only
now and then which rows have ended. A row that has ended reads nothing more, and is soon given to a prompt that
waits; when none does and a graph of fewer rows is enough, the last rows take the places of those that ended. On a
CPU the same steps run one by one.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from aritmo.attention import own_attentions, takes_streams
from aritmo.memory import Memory, bytes_a_token, remembering
from aritmo.positions import Layout

Choose = Callable[[Tensor, Tensor | None], Tensor]
"""Logits (rows, vocabulary) and uniform numbers (rows) or None in, tokens (rows) out; -1 for damaged logits."""

_LOOK = 16
"""Steps between two looks at which rows have ended."""
_READ = 16_384
"""Tokens of prompts, with what fills them up, that are read at once."""
_SHARE = 0.8
"""How much of the free memory keys and values may take: the rest is for what a step computes."""
_WORTH = 16
"""Prompts that wait are read when one row in so many is free: a reading takes about as long as some steps."""
_ROUND = 64
"""Room is set aside in multiples of so many tokens, so that the next batch finds enough in the same room."""
_HELD, _LEFT, _PLACE = 3, 4, 5
"""Where lengths, the tokens that may still come, and the place of what is written stand among a row's numbers."""


DAMAGED = (
    "the model's logits are not finite numbers, so nothing can be drawn from them: its "
    "weights are damaged or its precision is too low, so try another checkpoint or float32"
)


class Prompt(Protocol):
    """A prompt's tokens and their layout, and how many tokens (at least one) there is room for behind them."""

    @property
    def ids(self) -> Sequence[int]: ...
    @property
    def layout(self) -> Layout: ...
    @property
    def room(self) -> int: ...


def decodes(model: PreTrainedModel) -> bool:
    """Return whether a model is written with here: one on a GPU that ``is_known``."""
    return model.device.type == "cuda" and is_known(model)


def is_known(model: PreTrainedModel) -> bool:
    """Return whether a model is a GPT-2, a GPT-J or one like Llama, unquantised and on one device."""
    inner = _inner(model)
    angles = getattr(inner.config, "rope_parameters", None) or {}
    return (
        takes_streams(inner)
        and not getattr(inner, "is_quantized", False)
        # Their angles hang on the longest text of the batch.
        and angles.get("rope_type", "default") not in ("dynamic", "longrope")
        and len({parameter.device for parameter in inner.parameters()}) == 1
    )


def rows_that_fit(model: PreTrainedModel, room: int) -> int:
    """Return how many rows of ``room`` tokens fit into the free memory of the model's GPU.

    Raises ValueError where not one does.
    """
    device = model.device
    free = torch.cuda.mem_get_info(device)[0]
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    row = bytes_a_token(_inner(model)) * _rounded(room)
    if (rows := int(free * _SHARE) // row) < 1:
        raise ValueError(
            f"a text of {room:,} tokens needs {row / 2**30:.1f} GiB of GPU memory for its keys and values and "
            f"{free * _SHARE / 2**30:.1f} are free for them: ask for fewer new tokens or free some"
        )
    return rows


def room_of(prompts: Sequence[Prompt]) -> int:
    """Return how many tokens the longest text may have, its prompt included."""
    return max(len(prompt.ids) + prompt.room for prompt in prompts)


class Decoder:
    """A model, its graphs, and memory for ``rows`` texts at once of ``room`` tokens, of which ``steps`` are new.

    ``choose`` picks tokens from the logits of the first ``vocabulary`` of them, by uniform numbers if it
    ``draws``; ``end`` ends a text, and ``context`` is how many position ids the model has. The weights must stay
    where they are.
    """

    def __init__(
        self, model: PreTrainedModel, choose: Choose, *, end: int, vocabulary: int, context: int, rows: int,
        room: int, steps: int, draws: bool,
    ) -> None:  # fmt: skip
        self.rows, self._room, self._steps = rows, _rounded(room), steps
        self._choose, self._end, self._vocabulary, self._last = choose, end, vocabulary, context - 1
        self._model = _inner(model)
        self._device = self._model.device
        self._lines = torch.zeros((7, rows), dtype=torch.int64, device=self._device)
        self._tokens, self._positions, _, self._held, _, _, _ = self._lines
        self._memory = Memory(self._model, self._held, self._room)
        # One column more than there are steps: a row that has ended has a place to write to, too.
        self._written = torch.full((rows, steps + 1), end, dtype=torch.int64, device=self._device)
        self._drawn = torch.zeros((rows, steps + 1), dtype=torch.float64, device=self._device)
        self._draws = draws
        self._empty()
        # Models look for padding, and wait for the GPU, where they are given no mask; four dimensions pass.
        self._mask = torch.ones((1, 1, 1, 1), dtype=torch.int64, device=self._device)
        self._graphs: dict[int, Any] = {}

    def takes(self, prompts: Sequence[Prompt]) -> bool:
        """Return whether there is room for each of the prompts and what is written on it."""
        return room_of(prompts) <= self._room and max(prompt.room for prompt in prompts) <= self._steps

    def write(
        self, prompts: Sequence[Prompt], drawn: Callable[[Sequence[int]], NDArray[np.float64]] | None
    ) -> Iterator[list[tuple[int, NDArray[np.int64]]]]:
        """Write on every prompt, and yield every few steps the texts that have ended since, as (prompt, tokens).

        A prompt is named by its place among ``prompts``; a text's tokens (steps,) are all ends behind the first.
        ``drawn`` returns for some prompts their uniform numbers, (some, new tokens or more), each row in the order
        of its use; it is None where none are drawn. The model must be in evaluation mode and gradients off
        while the iterator works; between texts it is as it was. Raises ValueError for logits that are not finite.
        """
        assert self.takes(prompts)
        assert self._draws == (drawn is not None)
        waiting = deque(range(len(prompts)))
        rows = self._enough(min(len(prompts), self.rows))
        self._empty()
        while waiting or (self._owners >= 0).any():
            with remembering(self._model, self._memory):
                if waiting:
                    self._fill(prompts, waiting, drawn)
                for _ in range(min(_LOOK, int(self._seen[_LEFT, :rows].max()))):
                    self._run(rows)
                ended = self._look(rows)
                if not waiting:
                    rows = self._draw_together(rows)
            if ended:
                yield ended

    def _empty(self) -> None:
        """Forget all texts."""
        self._seen = np.zeros(self._lines.shape, dtype=np.int64)
        self._seen[_PLACE] = np.arange(self.rows)
        self._owners = np.full(self.rows, -1)
        self._lines.copy_(torch.from_numpy(self._seen))

    def _fill(
        self, prompts: Sequence[Prompt], waiting: "deque[int]",
        drawn: Callable[[Sequence[int]], NDArray[np.float64]] | None,
    ) -> None:  # fmt: skip
        """Let prompts that wait have the rows that are free, once these are enough to pay for it."""
        free = np.flatnonzero(self._owners[self._seen[_PLACE]] < 0)
        if len(free) * _WORTH < self.rows:
            return
        some = sorted((waiting.popleft() for _ in free[: len(waiting)]), key=lambda one: len(prompts[one].ids))
        taken = [prompts[one] for one in some]
        rows = free[: len(some)]
        places = self._seen[_PLACE, rows]
        self._owners[places] = some
        # As one before the first new token, which ``_take`` then goes on from.
        for row, place, prompt in zip(rows, places, taken, strict=True):
            layout = prompt.layout
            self._seen[:, row] = 0, layout.ids[-1], layout.stride, len(prompt.ids) - 1, prompt.room, place, 0
        lines, slots = (torch.from_numpy(numbers).to(self._device) for numbers in (rows, places))
        self._lines[:, lines] = torch.from_numpy(self._seen[:, rows]).to(self._device)
        self._written[slots] = self._end
        if drawn is not None:
            numbers = drawn(some)[:, : self._steps]
            self._drawn[slots, : numbers.shape[1]] = torch.from_numpy(numbers).to(self._device)
        hidden = torch.cat([self._read(taken[part], lines[part]) for part in _parts(taken)])
        self._take(lines, self._head(hidden))
        self._seen[_LEFT, rows] -= 1

    def _read(self, prompts: Sequence[Prompt], rows: Tensor) -> Tensor:
        """Read prompts into the memory of rows; return what the model makes of their last tokens."""
        longest = max(len(prompt.ids) for prompt in prompts)
        ids, positions = np.zeros((2, len(prompts), longest), dtype=np.int64)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt.ids)], positions[row, : len(prompt.ids)] = prompt.ids, prompt.layout.ids
        with self._memory.reading(rows):
            hidden = self._hidden(*(torch.from_numpy(numbers).to(self._device) for numbers in (ids, positions)))
        return hidden[torch.arange(len(prompts), device=self._device), self._held[rows]]

    def _hidden(self, ids: Tensor, positions: Tensor) -> Tensor:
        own: dict[str, Any] = {} if own_attentions(self._model) else {"memory": self._memory}
        hidden: Tensor = self._model.base_model(
            input_ids=ids, position_ids=positions, attention_mask=self._mask, use_cache=False, **own
        ).last_hidden_state
        return hidden

    def _head(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._model.get_output_embeddings()(hidden)
        return logits[:, : self._vocabulary]

    def _run(self, rows: int) -> None:
        """Make one step of the first rows: by their graph, which is recorded at the second step of so many."""
        if self._device.type != "cuda" or rows not in self._graphs:
            # Run once as it is: kernels are compiled and libraries choose theirs.
            self._graphs[rows] = None
            self._advance(rows)
            return
        if self._graphs[rows] is None:
            graph = torch.cuda.CUDAGraph()
            made = [other for other in self._graphs.values() if other is not None]
            with torch.cuda.graph(graph, pool=made[0].pool() if made else None):
                self._advance(rows)
            self._graphs[rows] = graph
        self._graphs[rows].replay()

    def _advance(self, rows: int) -> None:
        hidden = self._hidden(self._tokens[:rows, None], self._positions[:rows, None])
        self._take(slice(rows), self._head(hidden[:, 0]))

    def _take(self, rows: slice | Tensor, logits: Tensor) -> None:
        """Choose the next token of rows and make them ready for the step after."""
        lines = self._lines[:, rows]
        tokens, positions, strides, held, left, places, taken = lines
        drawn = self._drawn[places, taken] if self._draws else None
        chosen = self._choose(logits, drawn).masked_fill(left == 0, self._end)
        self._written[places, taken] = chosen
        taken.add_(left > 0)
        left.sub_(1).masked_fill_((chosen == self._end) | (chosen < 0), 0)
        held.add_(1).masked_fill_(left == 0, 0)
        positions.add_(strides).clamp_(max=self._last)
        tokens.copy_(chosen.clamp(min=0))
        if not isinstance(rows, slice):
            self._lines[:, rows] = lines

    def _look(self, rows: int) -> list[tuple[int, NDArray[np.int64]]]:
        """Return the texts of the first rows that have ended, and leave their rows free."""
        if bool((self._written < 0).any()):
            raise ValueError(DAMAGED)
        self._seen[:, :rows] = self._lines[:, :rows].cpu().numpy()
        places = self._seen[_PLACE, :rows][self._seen[_LEFT, :rows] == 0]
        places = places[self._owners[places] >= 0]
        written = self._written[torch.from_numpy(places).to(self._device), : self._steps].cpu().numpy()
        ended = list(zip(self._owners[places].tolist(), written, strict=True))
        self._owners[places] = -1
        return ended

    def _draw_together(self, rows: int) -> int:
        """Let the last rows take the places of those that ended; return how many rows a step takes from now on."""
        left, held = self._seen[_LEFT, :rows], self._seen[_HELD, :rows]
        alive = np.flatnonzero(left)
        fewer = self._enough(len(alive))
        if not alive.size or fewer >= rows:
            return rows
        sources = alive[alive >= fewer]
        targets = np.flatnonzero(left[:fewer] == 0)[: len(sources)]
        old, new = (torch.from_numpy(numbers).to(self._device) for numbers in (sources, targets))
        self._memory.move(old, new, int(held.max()))
        self._lines[:, new] = self._lines[:, old]
        self._seen[:, targets] = self._seen[:, sources]
        return fewer

    def _enough(self, alive: int) -> int:
        """Return the least number of rows that a graph is recorded for and that holds so many."""
        return next((size for size in _sizes_below(self.rows) if size >= alive), self.rows)


def _sizes_below(rows: int) -> list[int]:
    """Return the numbers of rows, least first, that graphs are recorded for besides the largest."""
    powers = [2**power for power in range(rows.bit_length())]
    return sorted(size for size in {*powers, *(3 * power for power in powers if power >= 8)} if size < rows)


def _parts(prompts: Sequence[Prompt]) -> list[slice]:
    """Return runs of prompts that are read at once: as many as make few enough tokens when filled up."""
    parts, start, longest = [], 0, 0
    for row, prompt in enumerate(prompts):
        longest = max(longest, len(prompt.ids))
        if row > start and (row + 1 - start) * longest > _READ:
            parts.append(slice(start, row))
            start, longest = row, len(prompt.ids)
    return [*parts, slice(start, len(prompts))]


def _rounded(room: int) -> int:
    return -(-room // _ROUND) * _ROUND


def _inner(model: Any) -> PreTrainedModel:
    """Return the model of transformers that an adapter lies on, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
