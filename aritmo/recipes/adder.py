"""The adder: a GPT-2 that adds 1,000 digits, trained on operands of at most 30.

In ``$A+B=``, the answer lowest digit first, and an end token, positions are coupled by digit place, with an id
each for first operand, second operand and answer (``aritmo.positions``; position coupling, Cho et al. 2024, arXiv
2405.20671). Each digit is so found by one exact look-up, and the table of positions starts with neighbouring
places linked. The first place of a sum is random in training.

Training meets long contexts without long numbers: a row packs dozens of sums, each on ids of its own, in shuffled
order, unmasked. Later sums must find their few digits by id alone among thousands of tokens over all the ids, as
in a 1,000-digit sum; the first stands alone, so one row shape trains every context. For the first quarter of the
training rows are shorter and more: among few tokens attention sooner learns to find its digits.
"""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import pairwise

import torch
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from torch import Tensor
from torch.nn import functional
from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from aritmo.numbers.randomness import seed_of
from aritmo.recipes.siblings import NOT_ASKED, Batch, Course, gpt2_config

PLUS, EQUALS, BEGIN, END = 10, 11, 12, 13
SYMBOLS = [*"0123456789+=$", "<end>"]
ROLES = 3
"""Position ids of a place: in the first operand, the second, and the answer."""
_FOLDED = 0.25
_COURSE = Course(1e-3, 200)
_ODDS = (0.45, 0.65, 0.8, 0.9, 1.0)
"""Kinds of sums, cumulated: uniform digits, nines' complements, zeros and nines, runs of nines, sparse digits."""


@dataclass(frozen=True, slots=True)
class Adder:
    """``digits`` of an operand in training; ``ids`` places; an update takes ``rows`` rows of ``row`` tokens.

    Rows are ``fold`` times shorter at first. The attention logits of the trained model are multiplied by
    ``sharpen``, which makes up for a thousand digits where training had a hundred tokens to tell apart.
    """

    digits: int = 30
    ids: int = 1_100
    rows: int = 24
    row: int = 3_072
    fold: int = 8
    layers: int = 2
    width: int = 384
    heads: int = 4
    sharpen: float = 1.4
    name: str = "adder"
    steps: int = 5_600
    course: Course = _COURSE

    def model(self, seed: int) -> GPT2LMHeadModel:
        """Return a fresh GPT-2 whose position embeddings start linked, and wider than its 0.02 for all else.

        A place starts as [its own half, the next place's half] plus a vector for the role, so that one linear map
        finds the next place for all ids. At 0.02 the loss stays on its first plateau more than twice as long.
        """
        config = gpt2_config(
            len(SYMBOLS), ROLES * self.ids, self.layers, self.width, self.heads,
            bos_token_id=BEGIN, eos_token_id=END, pad_token_id=END, ids_a_place=ROLES,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of("adder", "weights", seed))
            model = GPT2LMHeadModel(config)
            own = torch.randn(self.ids + 1, self.width // 2)
            linked = torch.cat((own[:-1], own[1:]), 1).repeat_interleave(ROLES, 0)
            roles = torch.randn(ROLES, self.width).repeat(self.ids, 1)
            model.transformer.wpe.weight.data.copy_((linked + roles) * 0.1 / math.sqrt(2))
        return model

    def batches(
        self, seed: int, device: torch.device, processes: int, done: Callable[[], float]
    ) -> Generator[Batch, None, None]:
        """Yield rows of packed sums; they are drawn on the device, so no process is wanted."""
        rng = torch.Generator(device).manual_seed(seed_of("adder", "sums", seed) >> 1)
        while True:
            fold = self.fold if done() < _FOLDED else 1
            width = self.row // fold
            parts = draw_rows(self.rows * fold, width, self.ids, self.digits, rng)
            tokens, positions, labels = (part.reshape(1, -1) for part in parts)
            ends = torch.arange(0, tokens.numel() + 1, width, device=device, dtype=torch.int32)
            yield Batch(tokens, positions, labels, ends, width)

    def finish(self, model: GPT2LMHeadModel) -> PreTrainedTokenizerBase:
        """Sharpen the attention, by the queries, and return the tokenizer."""
        with torch.no_grad():
            for block in model.transformer.h:
                for part in (block.attn.c_attn.weight, block.attn.c_attn.bias):
                    part[..., : self.width] *= self.sharpen
        return symbol_tokenizer()


FULL = Adder()
TOY = Adder(
    digits=3, ids=16, rows=4, row=96, fold=2, layers=1, width=32, heads=2, steps=20, course=Course(3e-3, 5)
)


def symbol_tokenizer() -> PreTrainedTokenizerBase:
    """Return the tokenizer of the adder's symbols, one token a character."""
    backend = Tokenizer(WordLevel({symbol: id for id, symbol in enumerate(SYMBOLS)}, unk_token=SYMBOLS[END]))
    backend.pre_tokenizer = Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=SYMBOLS[BEGIN], eos_token=SYMBOLS[END], pad_token=SYMBOLS[END],
        unk_token=SYMBOLS[END], clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def draw_operands(rows: int, slots: int, longest: int, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Return digits (rows, slots, longest), lowest first, and lengths (rows, slots, 1), of two operands.

    Lengths are independent and uniform from a floor to ``longest``; the floor is 1 in half the rows, and one
    sum in ten has an operand of at most 3 digits. Uniform digits seldom carry far, so 55 % of the sums are of
    the other kinds of ``_ODDS``. Digits past the length are 0.
    """
    device = rng.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=rng, device=device)

    def digits() -> Tensor:
        return torch.randint(0, 10, (rows, slots, longest), generator=rng, device=device)

    place = torch.arange(longest, device=device)

    def end_at(number: Tensor, length: Tensor) -> Tensor:
        leading_zero = (place == length - 1) & (length > 1) & (number == 0)
        return torch.where(leading_zero, 1 + digits() % 9, number) * (place < length)

    floor = torch.where(uniform(rows, 1, 1) < 0.5, 1, 1 + (uniform(rows, 1, 1) * longest).long())
    spread = longest + 1 - floor
    length_a, length_b = floor + (uniform(2, rows, slots, 1) * spread).long().minimum(spread - 1)
    short = 1 + (uniform(rows, slots, 1) * min(3, longest)).long()
    length_b = torch.where(uniform(rows, slots, 1) < 0.1, short, length_b)
    a, b, kind, each = digits(), digits(), uniform(rows, slots, 1), uniform(rows, slots, longest)
    chain, extreme, nines, sparse = ((kind >= low) & (kind < high) for low, high in pairwise(_ODDS))
    a, b = (torch.where(extreme & (each < 0.9), 9 * (x % 2), x) for x in (a, b))
    a = torch.where(nines & (each < 0.97), 9, torch.where(sparse & (each < 0.8), 0, a))
    b = torch.where(sparse & (uniform(rows, slots, longest) < 0.8), 0, b)
    a = end_at(a, length_a)
    b = end_at(torch.where(chain & (each < 0.95) & (place < length_a), 9 - a, b), length_b)
    swap = uniform(rows, slots, 1) < 0.5
    pairs = ((a, b), (b, a), (length_a, length_b), (length_b, length_a))
    return tuple(torch.where(swap, x, y) for x, y in pairs)


def add_digits(a: Tensor, b: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum's digits (..., longest + 1), lowest first, and its length (..., 1).

    A place carries out if the last place at or below it whose digits do not add to 9 adds to 10 or more.
    """
    total = functional.pad(a + b, (0, 1))
    place = torch.arange(total.shape[-1], device=total.device).expand_as(total)
    decides = torch.where(total != 9, place, -1).cummax(-1).values
    carry = (total > 9).gather(-1, decides.clamp(min=0)) & (decides >= 0)
    out = (total + functional.pad(carry[..., :-1].long(), (1, 0))) % 10
    return out, length + carry.gather(-1, length - 1).long()


def draw_rows(
    rows: int, width: int, ids: int, longest: int, rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return tokens, position ids and labels (``NOT_ASKED`` where nothing is asked), each (rows, width).

    A row takes sums until its tokens or its ids are spent. In one row in seven most sums lose ``+``, ``=``,
    end and loss: what is left is bare digits to be ignored, as most of a long sum is at any one place.
    """
    device = rng.device
    slots = 1 + math.ceil(1.15 * min(ids / (longest * 2 / 3 + 3), width / (longest * 5 / 3 + 3)))
    a, b, length_a, length_b = draw_operands(rows, slots, longest, rng)
    c, length_c = add_digits(a, b, torch.maximum(length_a, length_b))
    chance = torch.rand((2, rows, slots, 1), generator=rng, device=device)
    sounds = (chance[0, :, :1] > 1 / 7) | (chance[1] > 0.85)

    place = torch.arange(longest + 1, device=device).expand_as(c)
    down, one = place[..., :-1].flip(-1), torch.ones_like(length_a)
    symbols = torch.cat((a.flip(-1), PLUS * one, b.flip(-1), EQUALS * one, c, END * one), -1)
    written = torch.cat((down < length_a, sounds, down < length_b, sounds, place < length_c, sounds), -1)
    offset = torch.cat((down + 1, 0 * one, down + 1, 0 * one, place + 1, length_c + 1), -1)
    role = torch.cat((0 * down, 0 * one, 0 * down + 1, 2 * one, 0 * place + 2, 2 * one), -1)
    asked = torch.arange(symbols.shape[-1], device=device) >= 2 * longest + 2

    size, span = written.sum(-1), length_c.squeeze(-1) + 2
    fits = (size.cumsum(1) < width) & (span.cumsum(1) < ids)
    first = lay_out(span * fits, ids, rng)
    at = 1 + (size.cumsum(1) - size).unsqueeze(-1) + written.cumsum(-1) - 1
    at = torch.where(written & fits.unsqueeze(-1), at, width).flatten(1)

    def write(empty: int, values: Tensor) -> Tensor:
        row = torch.full((rows, width + 1), empty, device=device)
        return row.scatter_(1, at, values.flatten(1))[:, :width]

    tokens, position = write(END, symbols), write(0, ROLES * (first.unsqueeze(-1) + offset) + role)
    tokens[:, 0] = BEGIN
    labels = write(NOT_ASKED, torch.where(asked & sounds, symbols, NOT_ASKED))
    return tokens, position, functional.pad(labels[:, 1:], (0, 1), value=NOT_ASKED)


def lay_out(span: Tensor, ids: int, rng: torch.Generator) -> Tensor:
    """Return the first id (rows, slots) of each span of ids: disjoint, in random order, with random gaps."""
    order = torch.rand(span.shape, generator=rng, device=rng.device).argsort(1)
    ordered = span.gather(1, order)
    slack = ids - 1 - span.sum(1, keepdim=True)
    gap = (torch.rand(span.shape, generator=rng, device=rng.device) * (slack + 1)).long().sort(1).values
    first = 1 + ordered.cumsum(1) - ordered + torch.minimum(gap, slack)
    return torch.empty_like(first).scatter_(1, order, first)
