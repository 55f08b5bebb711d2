"""Train a GPT-2 to write the report's step-by-step tutorial for operands to 12 digits, and to take numbers apart.

Plain learned positions that begin anew with each text, digit-level tokens, fresh problems of the train families
from worker processes for as long as the training lasts. The saved folder opens with `aritmo sample`.

    python -m research.tutor --out RUN --minutes 6
"""

import os
import random
from functools import cache
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from aritmo.numbers.randomness import seed_of
from aritmo.tasks import TASKS
from aritmo.tasks.task import TaskOptions
from aritmo.tokens import digit_tokenizer
from research import squares

MOST = 800
"""Tokens of the longest text: two operands of 12 digits take 767."""


class Text:
    def __init__(self, tokens: list[int], asked: int) -> None:
        self.tokens = tokens
        self.roles = [99] * asked + [0] * (len(tokens) - asked)


@cache
def _encoder() -> tuple[Any, int]:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = digit_tokenizer([word for task in TASKS.values() for word in task.words])
    return tokenizer.backend_tokenizer, tokenizer.eos_token_id


@cache
def _problems(name: str, seed: int) -> Any:
    """Return an endless iterator of train problems; of one-digit numbers there are few, so repeats are let be."""
    options = TaskOptions(max_digits=12 if name == "addition" else 7)

    def endless() -> Any:
        start = 0
        while True:
            yield from TASKS[name].problems("train", seed, start, start + 256, options)
            start += 256

    return endless()


def draw(rng: random.Random) -> Text:
    if not hasattr(rng, "name"):
        rng.name = rng.randrange(2**60)  # type: ignore[attr-defined]
    kind = rng.random()
    name, style = "addition", "tutorial"
    if kind < 0.12:
        name, style = "decomposition", "joined" if kind < 0.06 else "spaced"
    task, (encoder, end) = TASKS[name], _encoder()
    problem = next(_problems(name, rng.name))  # type: ignore[attr-defined]
    prompt = encoder.encode(task.prompt(problem, style)).ids
    return Text([*prompt, *encoder.encode(task.completion(problem, style)).ids, end], len(prompt))


def main() -> None:
    args = squares.parse(layers=6, width=256, heads=8, most=MOST, decay=0.02)
    tokenizer = digit_tokenizer([word for task in TASKS.values() for word in task.words])
    torch.manual_seed(seed_of("research tutor", args.seed))
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=MOST, n_embd=args.width, n_layer=args.layers, n_head=args.heads,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).to(squares.DEVICE)
    print(sum(x.numel() for x in model.parameters()), "parameters", flush=True)
    with (args.out / "log.jsonl").open("w") as log:
        squares.train(args, model, draw, log)
    model.to(torch.bfloat16).save_pretrained(args.out / "model", max_shard_size="14MB")
    tokenizer.save_pretrained(args.out / "model")


if __name__ == "__main__":
    main()
