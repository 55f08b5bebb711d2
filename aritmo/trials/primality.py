"""Is n prime, asked within the range that a model was trained on and beyond it, by the number of digits.

Two models are asked. The shipped one of squares knows the primes below 10,000 by heart; a number is two symbols to
it, and from 20,000 on there is no symbol to write one with. A small GPT-2, made on the spot, learns from numbers
of the train families up to some number of digits, written digit by digit, and is asked numbers of the test
families, longer ones too. Positions are counted from the end of the question: a last digit stands where it stood.

Half of the numbers of each length are primes, where there are so many: whoever says always the same is right half
of the time. Beside that stands the rule of the last digit: above 5, a prime ends in 1, 3, 7 or 9.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import GPT2LMHeadModel

from aritmo.files import write_json, write_whole
from aritmo.llama import Llama, Text, write_texts
from aritmo.numbers.primes import is_prime
from aritmo.numbers.randomness import Stream, seed_of, split_of
from aritmo.progress import Progress
from aritmo.recipes.siblings import NOT_ASKED, Batch, Course, Siblings, gpt2_config
from aritmo.records import read_jsonl, write_samples
from aritmo.shipped import shipped_folder
from aritmo.tasks.primality import Primality
from aritmo.tasks.squares_search import LIMIT, spell
from aritmo.tasks.task import TaskOptions
from aritmo.tokens import task_tokenizer
from aritmo.trials.by_digits import draw_by_digits, table_by_digits
from aritmo.workers import cores

NAME, PLAN, RESULTS, TABLES, PICTURE = "primality", "primality.json", "results.jsonl", "tables.md", "picture.svg"
_PATIENCE = 200
"""Draws for each number wanted, after which a length is taken to have no more of them."""
_TOGETHER = 256
"""Numbers a model that are asked together."""

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """What the small model is and learns: numbers of up to ``digits`` digits; it is asked up to ``asked``.

    ``tested`` numbers of each length are asked; an update takes ``batch`` of ``examples`` numbers.
    """

    digits: int
    asked: int
    examples: int
    batch: int
    updates: int
    tested: int
    seeds: int
    layers: int
    width: int
    heads: int
    rate: float


SIZES = {
    "small": Size(5, 8, 8_000, 64, 1_200, 400, 3, 2, 128, 4, 2e-3),
    "full": Size(6, 10, 120_000, 512, 10_000, 2_000, 3, 4, 256, 4, 1e-3),
}


def run_primality(size: str, out: Path, say: Callable[[str], None]) -> tuple[Path, str]:
    """Do the experiment in ``out``, or only its tables where it is done, and return its picture and its table.

    Raises ValueError for a size that is not there, and where ``out`` holds another size.
    """
    if size not in SIZES:
        raise ValueError(f"size: got {size!r}, allowed {', '.join(SIZES)}")
    out.mkdir(parents=True, exist_ok=True)
    if (out / PLAN).exists() and begun_size(out) != size:
        raise ValueError(f"{out} holds this experiment at size {begun_size(out)}: choose another folder")
    write_json(out / PLAN, {"experiment": NAME, "size": size})
    if not (out / RESULTS).exists():
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        records = [*ask_shipped(SIZES[size].tested), *train_and_ask(SIZES[size], device)]
        write_samples(out / RESULTS, records)
    records = list(read_jsonl(out / RESULTS))
    say(f"{len(records)} results: {out / RESULTS}")
    write_whole(out / TABLES, "\n".join(table_by_digits(records, language) for language in ("en", "es")))
    write_whole(out / PICTURE, draw_by_digits(records))
    return out / PICTURE, table_by_digits(records)


def begun_size(out: Path) -> str | None:
    """Return the size of the experiment that a folder holds, None where it holds none.

    Raises ValueError where what it holds is damaged.
    """
    if not (out / PLAN).is_file():
        return None
    try:
        return str(json.loads((out / PLAN).read_text(encoding="utf-8"))["size"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{out / PLAN} is damaged: begin another run") from None


def numbers_between(low: int, high: int, count: int, unseen: bool) -> list[int]:
    """Return up to so many different numbers from ``low`` to below ``high``, prime or not by a fair coin.

    With ``unseen`` they are of the test families.
    """
    stream = Stream("trial", NAME, low, high, int(unseen))
    found: dict[int, None] = {}
    for _ in range(_PATIENCE * count):
        if len(found) == count:
            break
        prime, number = bool(stream.below(2)), stream.between(low, high - 1)
        while is_prime(number) != prime:
            number = stream.between(low, high - 1)
        if not unseen or split_of(NAME, str(number)) == "test":
            found[number] = None
    return list(found)


def ends_like_a_prime(number: int) -> bool:
    """Return whether a number may be a prime by its last digit."""
    return number in (2, 5) or (number != 1 and number % 10 in (1, 3, 7, 9))


def _record(model: str, seed: int, digits: int, within: bool, numbers: Sequence[int], right: int) -> Record:
    primes = sum(map(is_prime, numbers))
    rule = sum(ends_like_a_prime(n) == is_prime(n) for n in numbers)
    return {
        "model": model, "seed": seed, "digits": digits, "within": within, "right": right, "of": len(numbers),
        "same": max(primes, len(numbers) - primes), "rule": rule,
    }  # fmt: skip


def ask_shipped(count: int) -> list[Record]:
    """Return what the shipped model of squares says of numbers by length, five digits up to what it can write."""
    folder, task = shipped_folder("squares"), Primality()
    model, tokenizer = Llama.open(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    records = []
    for digits in range(1, 6):
        low, high = 10 ** (digits - 1) if digits > 1 else 0, min(10**digits, 2 * LIMIT)
        numbers = numbers_between(low, high, min(count, high - low), unseen=False)
        prompts = [Text(tokenizer.encode(task.prompt(number, "halves")).ids, 1) for number in numbers]
        said = [tokenizer.decode(tokens).strip() for tokens in write_texts(model, prompts, cores())]
        right = sum(
            answer == spell("yes" if is_prime(number) else "no").strip()
            for answer, number in zip(said, numbers, strict=True)
        )
        records.append(_record("shipped", 0, digits, digits < 5, numbers, right))
    return records


def train_and_ask(size: Size, device: torch.device) -> list[Record]:
    """Return what small models say of numbers by length, one for each seed, trained side by side."""
    texts = _Texts(size.asked)
    drawn = [texts.write(_train_numbers(size, seed)) for seed in range(size.seeds)]
    learners = Siblings(
        [_model(size, texts, seed) for seed in range(size.seeds)],
        Course(size.rate, max(1, size.updates // 20)),
        device,
    )
    streams = [Stream("trial", NAME, "order", seed) for seed in range(size.seeds)]
    with Progress(f"{NAME}, {size.seeds} models", size.updates, "updates") as progress:
        for update in range(size.updates):
            rows = [
                tokens[[stream.below(len(tokens)) for _ in range(size.batch)]]
                for tokens, stream in zip(drawn, streams, strict=True)
            ]
            learners.update(texts.batch(torch.stack(rows), device), update / size.updates)
            progress.advance()
    records = []
    for digits in range(1, size.asked + 1):
        low = 10 ** (digits - 1) if digits > 1 else 0
        numbers = numbers_between(low, 10**digits, size.tested, unseen=True)
        if numbers:
            right = _right(learners, texts, numbers, device)
            within = digits <= size.digits
            records += [_record("small", seed, digits, within, numbers, r) for seed, r in enumerate(right)]
    return records


def _train_numbers(size: Size, seed: int) -> list[int]:
    """Return different numbers of the train families, each length equally likely, prime or not by a fair coin."""
    found: dict[int, None] = {}
    start = 0
    while len(found) < size.examples:
        options = TaskOptions(max_digits=size.digits)
        found.update(dict.fromkeys(Primality().problems("train", seed, start, start + size.examples, options)))
        start += size.examples
    return list(found)[: size.examples]


def _model(size: Size, texts: "_Texts", seed: int) -> GPT2LMHeadModel:
    config = gpt2_config(
        texts.known, texts.width, size.layers, size.width, size.heads, bos_token_id=0, eos_token_id=0
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("trial", NAME, "weights", seed))
        return GPT2LMHeadModel(config)


def _right(learners: Siblings, texts: "_Texts", numbers: Sequence[int], device: torch.device) -> list[int]:
    """Return how many of the numbers each model answers right."""
    right = torch.zeros(len(learners), dtype=torch.long)
    for start in range(0, len(numbers), _TOGETHER):
        rows = texts.write(numbers[start : start + _TOGETHER]).expand(len(learners), -1, -1)
        batch = texts.batch(rows, device)
        right += (learners.read(batch)[1] & (batch.labels != NOT_ASKED)).sum(1).cpu()
    return [int(count) for count in right]


class _Texts:
    """Questions with their answers as rows of one width, filled up in front, where nothing is asked."""

    def __init__(self, digits: int) -> None:
        self._encoder = task_tokenizer().backend_tokenizer
        self._task = Primality()
        self.known = self._encoder.get_vocab_size()
        self.width = len(self._ids(10**digits - 1))

    def _ids(self, number: int) -> list[int]:
        text = self._task.prompt(number, "plain") + self._task.completion(number, "plain")
        return list(self._encoder.encode(text).ids)

    def write(self, numbers: Sequence[int]) -> Tensor:
        """Return the tokens (numbers, width), the last of each being the answer."""
        rows = [self._ids(number) for number in numbers]
        return torch.tensor([[0] * (self.width - len(row)) + row for row in rows])

    def batch(self, rows: Tensor, device: torch.device) -> Batch:
        """Return rows (models, rows, width) as a batch; what fills a text up stands before it."""
        models, many, width = rows.shape
        rows = rows.to(device)
        labels = torch.full_like(rows, NOT_ASKED)
        labels[..., -2] = rows[..., -1]
        positions = torch.arange(width, device=device).expand_as(rows)
        ends = torch.arange(0, rows.numel() + 1, width, device=device, dtype=torch.int32)
        tokens, places, asked = (part.reshape(models, many * width) for part in (rows, positions, labels))
        return Batch(tokens, places, asked, ends, width)
