"""What a model of squares.py gets right: steps, centres, nested squares, and any square."""

import argparse
import json
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import LlamaForCausalLM

from research import nested_text
from research import search_text as st
from research.squares_model import DEVICE, batch_of, loss_of, write


def square_of(text: list[int]) -> list[int] | None:
    """Return the nine cells that a text ends with, None where it has none."""
    if st.FOUND not in text:
        return None
    tail = text[text.index(st.FOUND) + 1 :]
    cells = [t for t in tail if t != st.ROW and t != st.END]
    if (
        len(cells) != 18
        or text[-1] != st.END
        or any(t >= st.HI for t in cells[::2])
        or any(not st.HI <= t < st.WORD for t in cells[1::2])
    ):
        return None
    return [lo + 100 * (hi - st.HI) for lo, hi in zip(cells[::2], cells[1::2], strict=True)]


def is_valid(s: list[int] | None) -> bool:
    if s is None or len(set(s)) < 9 or not all(n in st.PRIMES for n in s):
        return False
    lines = [s[0:3], s[3:6], s[6:9], s[0::3], s[1::3], s[2::3], s[0::4], s[2:7:2]]
    return len({sum(line) for line in lines}) == 1


def centres_with_squares(split: str) -> list[int]:
    return [c for c in range(11, st.LIMIT) if c in st.PRIMES and st.split_of(c) == split and first_square(c)]


def measure_centres(model: LlamaForCausalLM, split: str, most: int) -> dict[str, Any]:
    """Return how many centres of a split get a valid square at one greedy attempt, and where the rest go wrong."""
    centres, prompts, truths = centres_with_squares(split), [], []
    for c in centres:
        text = st.Text()
        text.word(st.BEGIN, st.UNASKED)
        st.header(text, c, 0, 0, st.UNASKED)
        prompts.append(list(text.tokens))
        st.search(text, c, st.below(c), 0, 0, st.NEXT, 10**6)
        truths.append(text)
    valid, wrong, missed = 0, Counter(), []
    for c, truth, text in zip(centres, truths, write(model, prompts, most), strict=True):
        cells = square_of(text)
        good = is_valid(cells) and cells is not None and cells[4] == c
        valid += good
        if not good:
            at = next((i for i, (a, b) in enumerate(zip(text, truth.tokens, strict=False)) if a != b), -1)
            wrong[st.ROLES[truth.roles[at]] if at >= 0 else "length"] += 1
            missed.append((c, at, len(truth.tokens)))
    return {"split": split, "valid": valid, "of": len(centres), "first wrong": dict(wrong), "missed": missed[:12]}


def measure_nested(model: LlamaForCausalLM, split: str, order: int, most: int) -> dict[str, Any]:
    """Return for how many centres below 5,000 that a search succeeds for a nested square is written greedily."""
    centres, prompts, truths = [], [], []
    for c in (c for c in range(11, 5000) if c in st.PRIMES and st.split_of(c) == split):
        text = st.Text()
        text.word(st.BEGIN, st.UNASKED)
        nested_text.header(text, order, c, 0)
        prompt = list(text.tokens)
        with suppress(nested_text.CutError):
            if nested_text.nested(text, order, c, st.below(c), 0, st.NEXT, most - 200):
                centres.append(c)
                prompts.append(prompt)
                truths.append(text)
    valid, wrong, missed = 0, Counter[str](), []
    for c, truth, text in zip(centres, truths, write(model, prompts, most), strict=True):
        good = nested_text.is_valid(text, order, c)
        valid += good
        if not good:
            at = next((i for i, (a, b) in enumerate(zip(text, truth.tokens, strict=False)) if a != b), -1)
            wrong[st.ROLES[truth.roles[at]] if at >= 0 else "length"] += 1
            missed.append((c, at, len(truth.tokens)))
    counts = {"valid": valid, "of": len(centres), "first wrong": dict(wrong), "missed": missed[:12]}
    return {"split": split, "order": order} | counts


def measure_any(model: LlamaForCausalLM, count: int, most: int) -> dict[str, Any]:
    texts = write(model, [[st.BEGIN, st.ANY]] * count, most, 1.0)
    cells = [square_of(text) for text in texts]
    valid = [tuple(s) for s in cells if s is not None and is_valid(s)]
    first = {tuple(s) for c in st.PRIME_CENTRES if (s := first_square(c))}
    return {
        "any": len(valid),
        "of": count,
        "different": len(set(valid)),
        "in training": sum(square in first for square in valid),
        "centres": len({square[4] for square in valid}),
        "unended": sum(text[-1] != st.END for text in texts),
        "no square": sum(square is None for square in cells),
    }


def first_square(c: int) -> tuple[int, ...] | None:
    text = st.Text()
    found = st.search(text, c, st.below(c), 0, 0, st.NEXT, 10**6)
    return tuple(square_of(text.tokens) or ()) if found else None


@torch.inference_mode()
def measure_steps(model: LlamaForCausalLM, args: argparse.Namespace) -> dict[str, float]:
    """Return the accuracy of each kind of step on searches at validation centres, the true text so far given."""
    right, of = Counter[int](), Counter[int]()
    for c in [c for c in range(11, st.LIMIT - 12) if c % 2 and c % 3 and st.split_of(c) == "validation"][::4]:
        text = st.Text()
        text.word(st.BEGIN, st.UNASKED)
        st.header(text, c, 0, 0, st.UNASKED)
        st.search(text, c, st.below(c), 0, 0, st.NEXT, 3600)
        item = (
            np.array(text.tokens, np.int16),
            np.array(text.roles, np.uint8),
            np.array([0, len(text.tokens)], np.int32),
        )
        tokens, position, labels, role, ends = batch_of(item)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda"):
            good = loss_of(model, tokens, position, labels, ends, len(text.tokens))[1]
        for i in range(len(st.ROLES)):
            right[i] += int(good[role == i].sum())
            of[i] += int((role == i).sum())
    return {st.ROLES[i]: f"{of[i] - right[i]} wrong of {of[i]}" for i in of if of[i]}  # type: ignore[misc]


def measure(model: LlamaForCausalLM, args: argparse.Namespace) -> None:
    """Print every measurement, one JSON object a line."""
    results = [partial(measure_steps, model, args)]
    results += [partial(measure_centres, model, split, args.room) for split in ("validation", "test")]
    if args.nested:
        results += [
            partial(measure_nested, model, split, order, room)
            for order, room in ((5, 5200), (7, 7600))
            for split in ("validation", "test")
        ]
    results += [partial(measure_any, model, args.any, args.room)] if args.any else []
    for result in results:
        began = time.monotonic()
        line = json.dumps(result() | {"seconds": round(time.monotonic() - began, 1)})
        with (args.out / "measured.jsonl").open("a") as file:
            print(line, flush=True)
            print(line, file=file, flush=True)
