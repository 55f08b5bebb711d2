"""Tokens a second on the CPU: aritmo.sampling beside transformers' generate, same model, same prompts.

Run ``python benchmarks/sampling_cpu.py``. The model is a GPT-2 of 4 layers and width 128 with random weights.
Greedy, it never writes the end token; sampled, texts end by chance, one token in a hundred.
"""

import time
from collections.abc import Callable
from statistics import median

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, set_seed

from aritmo.choosing import SamplingConfig
from aritmo.sampling import write
from aritmo.tokens import digit_tokenizer, encode_batch

Decoder = Callable[[GPT2LMHeadModel, PreTrainedTokenizerFast, list[str], int, float], int]

NEW_TOKENS = 128
REPEATS = 3
MANY = 1024
BATCH = 256


def main() -> None:
    tokenizer = digit_tokenizer([])
    tokenizer.padding_side = "left"
    set_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer), n_positions=512, n_embd=128, n_layer=4, n_head=4,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        )
    ).eval()  # fmt: skip
    print(f"{NEW_TOKENS} new tokens a prompt, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'work':<42}  {'aritmo':>8}  {'generate':>8}  ratio   (tokens/s)")
    for batch in (1, 16, 64, 256):
        for unequal in (False, True):
            work = f"greedy, batch {batch}, prompts {'unequal' if unequal else 'equal'}"
            _compare(work, model, tokenizer, _prompts(batch, unequal), batch, temperature=0.0)
    work = f"sampled, {MANY} unequal prompts, batch {BATCH}"
    _compare(work, model, tokenizer, _prompts(MANY, True), BATCH, temperature=1.0)


def _prompts(count: int, unequal: bool) -> list[str]:
    return [f"{10 ** (3 + i * 7 % 13 * unequal) + i}+1=" for i in range(count)]


def _compare(
    work: str,
    model: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    batch: int,
    temperature: float,
) -> None:
    """Print one line. The runs take turns, so that what else the machine does falls on both alike."""
    decoders = (_write, _generate)
    rates: dict[Decoder, list[float]] = {decode: [] for decode in decoders}
    for turn in range(REPEATS + 1):
        for decode in decoders:
            began = time.perf_counter()
            tokens = decode(model, tokenizer, prompts, batch, temperature)
            if turn:
                rates[decode].append(tokens / (time.perf_counter() - began))
    ours, theirs = (median(rates[decode]) for decode in decoders)
    print(f"{work:<42}  {ours:8,.0f}  {theirs:8,.0f}  {ours / theirs:5.2f}")


def _write(
    model: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    batch: int,
    temperature: float,
) -> int:
    config = SamplingConfig(max_new_tokens=NEW_TOKENS, batch_size=batch, temperature=temperature)
    written = list(write(model, tokenizer, prompts, config, progress=False))
    return _count(tokenizer, [w.text for w in written])


def _generate(
    model: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    batch: int,
    temperature: float,
) -> int:
    how = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    texts: list[str] = []
    for i in range(0, len(prompts), batch):
        inputs = tokenizer(prompts[i : i + batch], padding=True, return_tensors="pt")
        written = model.generate(**inputs, **how, max_new_tokens=NEW_TOKENS, pad_token_id=tokenizer.pad_token_id)
        decoded = tokenizer.batch_decode(written[:, inputs.input_ids.shape[1] :])
        texts += [text.partition(tokenizer.eos_token)[0] for text in decoded]
    return _count(tokenizer, texts)


def _count(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> int:
    """Return how many tokens the texts hold, counted alike for both, up to the end token."""
    return sum(map(len, encode_batch(tokenizer, texts)))


if __name__ == "__main__":
    main()
