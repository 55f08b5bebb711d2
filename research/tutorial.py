"""Train a GPT-2 from nothing on the report's step-by-step tutorial, operands to 12 digits, and judge it.

A research script: it joins aritmo's own rooms, at a size that wants a GPU. Run it as
    python -m research.tutorial OUT --minutes 5
Prints the shares of fully right texts, held out and known, and the first wrong steps.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from aritmo.choosing import SamplingConfig
from aritmo.corpus import CorpusConfig, build_corpus
from aritmo.experiment import PartConfig, judge_run, sample_run, train_on
from aritmo.numbers.randomness import seed_of
from aritmo.records import read_jsonl
from aritmo.tokens import task_tokenizer
from aritmo.training import TrainingConfig


def make_model(folder: Path, layers: int, width: int, context: int, seed: int) -> None:
    """Save a GPT-2 with random weights and the tasks' digit-level tokenizer beside it."""
    tokenizer = task_tokenizer("digits")
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=context, n_layer=layers, n_embd=width, n_head=width // 64,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(seed_of("research tutorial", seed))
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--digits", type=int, default=12)
    parser.add_argument("--count", type=int, default=80_000)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    make_model(args.out / "start", args.layers, args.width, args.context, args.seed)
    corpus = build_corpus(
        CorpusConfig(task="addition", style="tutorial", max_digits=args.digits, count=args.count, seed=args.seed),
        args.out / "corpus",
    )
    config = PartConfig(
        training=TrainingConfig(
            model=str(args.out / "start"), steps=args.steps, minutes=args.minutes, context=args.context,
            batch_size=args.batch, learning_rate=args.rate, warmup=200, precision=args.precision,
            seed=args.seed, save_every=10**6, evaluate_every=10**6,
        ),
        sampling=SamplingConfig(max_new_tokens=args.context - 40, batch_size=512),
        samples=args.samples, look=0,
    )  # fmt: skip
    result = train_on(corpus, config, args.out, print)
    print(result)
    samples = args.out / "samples.jsonl"
    sample_run(corpus, config, result.checkpoint, samples)
    summary = judge_run(samples, corpus, args.out / "verdicts.jsonl")
    for split, group in summary["groups"].items():
        print(split, json.dumps({name: group[name] for name in ("finished", "answered", "valid")}))
        print(json.dumps(group["by_length"]))
    steps = Counter(record["details"].get("first_wrong") for record in read_jsonl(args.out / "verdicts.jsonl"))
    print(json.dumps(steps.most_common(25)))


if __name__ == "__main__":
    main()
