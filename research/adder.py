"""Measure GPT-2s that add: exact match by length and kind of problem, greedy, every digit right.

    aritmo train --recipe adder --seed 3 --out RUNS/seed-3
    python -m research.adder RUNS/seed-3 RUNS/seed-4 --lengths 30,1000 --count 200

--sharpen lists factors on the attention logits to measure with, beside what is in the weights already; --draw
names a set of fresh problems.
"""

import argparse
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as sdpa
from transformers import GPT2LMHeadModel

from aritmo.numbers.randomness import seed_of
from aritmo.recipes.adder import BEGIN, END, EQUALS, PLUS

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
Problem = tuple[int, int]


def forward(model: GPT2LMHeadModel, tokens: Tensor, position: Tensor, attend: Attend) -> Tensor:
    """Return logits (batch, length, symbols): GPT-2's own modules, with attention left to `attend`.

    `attend` gets the layer's number and query, key and value (batch, heads, length, size). It stands in
    for the model's own because transformers, without a cache or mask, reads jumping ids as borders of texts.
    """
    gpt = model.transformer
    x = gpt.wte(tokens) + gpt.wpe(position)
    for layer, block in enumerate(gpt.h):
        parts = block.attn.c_attn(block.ln_1(x)).chunk(3, -1)
        q, k, v = [part.unflatten(-1, (block.attn.num_heads, -1)).transpose(1, 2) for part in parts]
        x = x + block.attn.c_proj(attend(layer, q, k, v).transpose(1, 2).flatten(2))
        x = x + block.mlp(block.ln_2(x))
    logits: Tensor = model.lm_head(gpt.ln_f(x))
    return logits


def report(log: Any, line: dict[str, Any]) -> None:
    """Write one JSON line to the log and to the terminal."""
    for out in (log, sys.stdout):
        print(json.dumps(line), file=out, flush=True)


def load(folder: Path) -> GPT2LMHeadModel:
    return GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).to(DEVICE).eval()


def draw_problem(kind: str, n: int, rng: random.Random) -> Problem:
    """Return two operands of which at least one has n digits.

    "one of N": both lengths independent and uniform in 1..n, then one of the two set to n.
    "equal": n and n. "lopsided": 1 and n. "adversarial": 99...9 + 1, a + (10^n - 1 - a), that plus one,
    that with one digit changed, runs of nines and zeros. Which operand comes first is random.
    """

    def number(digits: int) -> int:
        return rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)

    def runs(digits: int) -> int:
        text = "9"
        while len(text) < digits:
            text += rng.choice(("9", "9", "0")) * rng.randint(1, digits) + str(rng.randint(0, 9))
        return int(text[:digits])

    a, b, change = number(n), number(rng.randint(1, n)), rng.choice((-1, 1)) * 10 ** rng.randrange(n)
    complement = 10**n - 1 - a
    hard = [(10**n - 1, 1), (a, complement), (a, complement + 1), (a, max(0, complement + change))]
    hard += [(runs(n), runs(len(str(b)))), (runs(n), b)]
    easy = {"one of N": (a, b), "equal": (a, number(n)), "lopsided": (a, number(1))}
    a, b = easy[kind] if kind in easy else rng.choice(hard)
    return (a, b) if rng.random() < 0.5 else (b, a)


@torch.inference_mode()
def answers(model: GPT2LMHeadModel, problems: list[Problem], sharpen: float) -> list[list[int]]:
    """Return the symbols written greedily after `A+B=` for each problem, end token and what follows included.

    Prompts stand at the left of one cache and new tokens behind the longest prompt, so every step is the
    same for the whole batch and nothing waits for the device. `sharpen` multiplies the attention logits.
    """
    texts = [(str(a), str(b)) for a, b in problems]
    sizes = [len(a) + len(b) + 3 for a, b in texts]
    steps, longest = max(max(map(len, pair)) for pair in texts) + 2, max(sizes)
    if steps + 1 > (ids := model.config.n_positions // 3):
        raise ValueError(f"{steps - 2} digits were given; the model has ids for {ids - 3}.")
    s = max(1, min(40, ids - steps - 2))
    prompts, places = [], []
    for a, b in texts:
        pad = [0] * (longest - len(a) - len(b) - 3)
        prompts.append([BEGIN, *map(int, a), PLUS, *map(int, b), EQUALS, *pad])
        of_a = [3 * (s + j) for j in range(len(a), -1, -1)]
        of_b = [3 * (s + j) + 1 for j in range(len(b), 0, -1)]
        places.append([0, *of_a, *of_b, 3 * s + 2, *pad])
    size = model.config.n_embd // model.config.n_head
    shape = (2, model.config.n_layer, len(problems), model.config.n_head, longest + steps, size)
    cache, end, scale = torch.zeros(shape, device=DEVICE), 0, sharpen / math.sqrt(size)
    slot, last = torch.arange(longest + steps, device=DEVICE), torch.tensor(sizes, device=DEVICE)[:, None]
    mask = torch.where((slot >= last) & (slot < longest), -math.inf, 0.0)[:, None, None]

    def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        cache[0, layer, :, :, end : end + k.shape[2]] = k
        cache[1, layer, :, :, end : end + k.shape[2]] = v
        if end == 0:
            return sdpa(q, k, v, is_causal=True, scale=scale)
        seen = cache[:, layer, :, :, : end + 1]
        return ((q @ seen[0].mT) * scale + mask[..., : end + 1]).softmax(-1) @ seen[1]

    written = torch.empty((len(problems), steps), dtype=torch.long, device=DEVICE)
    tokens, position = torch.tensor(prompts, device=DEVICE), torch.tensor(places, device=DEVICE)
    logits = forward(model, tokens, position, attend)
    written[:, 0] = logits[torch.arange(len(problems), device=DEVICE), last[:, 0] - 1].argmax(-1)
    for step in range(1, steps):
        end = longest + step - 1
        position = torch.full((len(problems), 1), 3 * (s + step) + 2, device=DEVICE)
        written[:, step] = forward(model, written[:, step - 1 : step], position, attend)[:, 0].argmax(-1)
    rows: list[list[int]] = written.tolist()
    return rows


def score(
    model: GPT2LMHeadModel, kind: str, n: int, count: int, by: float, batch: int, draw: str
) -> dict[str, Any]:
    """Return how many of `count` fresh problems come out right to the last digit, and where the rest fail.

    `first wrong` lists the place of the first wrong symbol of up to 20 failures, 0 the lowest digit.
    """
    began = time.monotonic()
    rng = random.Random(seed_of("adder", draw, kind, n))
    problems = sorted((draw_problem(kind, n, rng) for _ in range(count)), key=lambda p: len(str(min(p))))
    wrong = []
    for start in range(0, count, batch):
        some = problems[start : start + batch]
        for (a, b), row in zip(some, answers(model, some, by), strict=True):
            right = [*map(int, reversed(str(a + b))), END]
            wrong += [place for place, symbol in enumerate(right) if row[place] != symbol][:1]
    found = {"set": kind, "digits": n, "sharpen": by, "count": count - len(wrong), "of": count}
    return {**found, "first wrong": sorted(wrong)[:20], "seconds": round(time.monotonic() - began, 1)}


def measure(model: GPT2LMHeadModel, args: argparse.Namespace, folder: Path, seed: int | str) -> None:
    """Measure every kind at every length with every factor on the attention logits, write result.jsonl."""
    kinds = ("one of N", "equal", "lopsided", "adversarial")
    runs = [(n, kind, by) for n in args.lengths for by in args.sharpen for kind in kinds]
    with (folder / "result.jsonl").open("w") as log:
        for n, kind, by in runs:
            report(log, {"seed": seed, **score(model, kind, n, args.count, by, args.batch, args.draw)})


def table(folders: list[Path]) -> None:
    """Print one row for each test set, one column for each seed, and the median, in percent."""
    shares: dict[tuple[int, str, float], list[float]] = {}
    for folder in folders:
        for text in (folder / "result.jsonl").read_text().splitlines():
            line = json.loads(text)
            key = (line["digits"], line["set"], line["sharpen"])
            shares.setdefault(key, []).append(100 * line["count"] / line["of"])
    names = " ".join(f"{name[-7:]:>7}" for name in [*(folder.name for folder in folders), "median"])
    print(f"{'digits':>6}  {'problems':<12} {'sharpen':>7}  {names}")
    for (digits, kind, sharpen), row in shares.items():
        cells = " ".join(f"{share:7.2f}" for share in [*row, statistics.median(row)])
        print(f"{digits:>6}  {kind:<12} {sharpen:>7}  {cells}", flush=True)


def parse() -> argparse.Namespace:
    def numbers(text: str) -> list[float]:
        return [int(part) if part.isdigit() else float(part) for part in text.split(",")]

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folders", type=Path, nargs="+")
    p.add_argument("--lengths", type=numbers, default=[30, 50, 100, 200, 500, 1000])
    p.add_argument("--sharpen", type=numbers, default=[1.0])
    p.add_argument("--count", type=int, default=100)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--draw", default="test")
    return p.parse_args()


def main() -> None:
    args = parse()
    for folder in args.folders:
        measure(load(folder), args, folder, folder.name)
    table(args.folders)


if __name__ == "__main__":
    main()
