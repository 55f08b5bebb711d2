"""Tokens a second of writing on a GPU: aritmo beside transformers' generate, plain and with a static cache.

    python benchmarks/sampling_gpu.py --model gpt2-xl --mode ours generate generate-static

Each mode runs in a process of its own and prints one line of JSON. Weights are random, so nothing is downloaded;
prompts are random words of a token each, of unequal length; no text ends before its last token. A first run is not
timed (its seconds are ``first_seconds``); the timed one holds everything: prompts cut into tokens, read, written
on, and cut back into text. ``--temperature`` and ``--top-p`` draw the tokens instead of taking the likeliest.

With ``--check`` it prints instead whether ours is right in fp32: the kernel of attention against plain operations,
and greedy texts against aritmo's plain path and generate, of matrices drawn wide, so that texts differ; also the
least lead of a chosen token over the next best, which says what rounding could change. ``--profile`` prints where
the time of 20 steps goes. Needs torch, transformers, pydantic and, for speed, triton. Where aritmo is not
installed, run it with PYTHONPATH=. from the root.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from aritmo.choosing import SamplingConfig
from aritmo.memory import attend_plainly
from aritmo.models import known_config
from aritmo.sampling import write

GIB = 2**30
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MODES = ("ours", "generate", "generate-static")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gpt2-xl", help="toy, or a short name of aritmo's, such as gpt-j-6b")
    parser.add_argument("--mode", nargs="+", choices=MODES, default=["ours"])
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--batch", type=int, default=256, help="rows at once")
    parser.add_argument("--new", type=int, default=300, help="tokens written on each prompt")
    parser.add_argument("--shortest", type=int, default=32, help="tokens of the shortest prompt")
    parser.add_argument("--longest", type=int, default=64, help="tokens of the longest prompt")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--check", action="store_true", help="in fp32: is it right?")
    parser.add_argument("--profile", action="store_true", help="of ours: where does the time go?")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.check:
        print(json.dumps(check_kernel()), flush=True)
        print(json.dumps(check_texts(args)), flush=True)
    elif args.profile:
        profile(args)
    elif args.alone:
        print(json.dumps(measure(args, args.mode[0])), flush=True)
    else:
        codes = []
        for mode in args.mode:
            # A process of its own, so that no mode inherits another's memory or compiled code.
            given = [part for part in sys.argv[1:] if part not in ("--mode", *MODES)]
            command = [sys.executable, __file__, *given, "--mode", mode, "--alone"]
            codes.append(subprocess.run(command, check=False).returncode)
        sys.exit(max(codes))


def measure(args: argparse.Namespace, mode: str) -> dict[str, Any]:
    """Return speed and memory of a mode."""
    model, tokenizer = make(args, torch.bfloat16 if DEVICE.type == "cuda" else torch.float32)
    prompts = prompts_of(args, tokenizer, args.prompts)
    run: Callable[[], int] = {
        "ours": lambda: ours(args, model, tokenizer, prompts),
        "generate": lambda: generate(args, model, tokenizer, prompts, {}),
        "generate-static": lambda: generate(args, model, tokenizer, prompts, {"cache_implementation": "static"}),
    }[mode]
    seconds = []
    for _ in range(2):
        began = now()
        tokens = run()
        seconds.append(now() - began)
    steps = tokens / min(args.batch, args.prompts)
    return {
        "mode": mode, "model": args.model, "device": device_name(), "torch": torch.__version__,
        "dtype": str(model.dtype), "prompts": args.prompts, "batch": args.batch, "new": args.new,
        "prompt_tokens": [args.shortest, args.longest], "temperature": args.temperature, "top_p": args.top_p,
        "tokens": tokens, "tokens_per_second": round(tokens / seconds[1]),
        "ms_per_step": round(1000 * seconds[1] / steps, 3), "seconds": round(seconds[1], 3),
        "first_seconds": round(seconds[0], 3), "gpu_peak_gib": gib(torch.cuda.max_memory_allocated),
        "gpu_reserved_gib": gib(torch.cuda.max_memory_reserved),
    }  # fmt: skip


def ours(
    args: argparse.Namespace, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: list[str]
) -> int:
    return sum(len(text.split()) for text in texts_of(args, model, tokenizer, prompts))


def texts_of(
    args: argparse.Namespace, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: list[str]
) -> list[str]:
    """Return what aritmo writes."""
    config = SamplingConfig(
        max_new_tokens=args.new, batch_size=args.batch, temperature=args.temperature, top_p=args.top_p
    )
    return [written.text for written in write(model, tokenizer, prompts, config, progress=False)]


def generate(
    args: argparse.Namespace,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    how: dict[str, Any],
) -> int:
    return sum(len(text.split()) for text in generated(args, model, tokenizer, prompts, how))


def generated(
    args: argparse.Namespace,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    how: dict[str, Any],
) -> list[str]:
    """Return what transformers writes."""
    texts = []
    drawn = {"do_sample": True, "temperature": args.temperature, "top_p": args.top_p, "top_k": 0}
    for start in range(0, len(prompts), args.batch):
        inputs = tokenizer(prompts[start : start + args.batch], padding=True, return_tensors="pt").to(DEVICE)
        written = model.generate(
            **inputs, max_new_tokens=args.new, **(drawn if args.temperature else {"do_sample": False}), **how
        )
        texts += tokenizer.batch_decode(written[:, inputs.input_ids.shape[1] :])
    return texts


def profile(args: argparse.Namespace) -> None:
    """Print where the time of 20 steps goes, in their graph."""
    from torch.profiler import ProfilerActivity

    from aritmo import decoding

    model, tokenizer = make(args, torch.bfloat16 if DEVICE.type == "cuda" else torch.float32)
    prompts = prompts_of(args, tokenizer, args.prompts)
    steps: list[Any] = []
    run = decoding.Decoder._run

    def watched(self: decoding.Decoder, rows: int) -> None:
        steps.append(rows)
        if len(steps) == 250:
            watch.start()
        run(self, rows)
        if len(steps) == 270:
            torch.cuda.synchronize()
            watch.stop()

    watch = torch.profiler.profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU])
    with patch.object(decoding.Decoder, "_run", watched):
        texts_of(args, model, tokenizer, prompts)
    print(watch.key_averages().table(sort_by="self_cuda_time_total", row_limit=30, max_name_column_width=90))


def check_kernel() -> dict[str, Any]:
    """Return how far the kernel of attention is from plain operations, over shapes of known models."""
    if DEVICE.type != "cuda":
        return {"check": "kernel", "left_out": "no GPU"}
    from aritmo.kernels import attend_one

    worst, kept = 0.0, True
    shapes = ((25, 25, 64, None), (16, 16, 256, None), (32, 8, 128, 100), (6, 2, 80, 7))
    for heads, key_heads, size, window in shapes:
        torch.manual_seed(heads)
        rows, room = 19, 512
        held = torch.randint(0, room, (rows,), device=DEVICE)
        held[:2] = torch.tensor([0, room - 1])
        cells = torch.randn(2, rows, key_heads, room, size, device=DEVICE)
        given = [torch.randn(rows, count, size, device=DEVICE) for count in (heads, key_heads, key_heads)]
        others = cells.clone()
        seen = attend_one(given[0], given[1], given[2], cells, held, size**-0.5, window)
        plain = attend_plainly(given[0], given[1], given[2], others, held, size**-0.5, window)
        worst = max(worst, float((seen - plain).abs().max()))
        kept &= torch.equal(cells, others)
    return {"check": "kernel", "dtype": "float32", "largest_difference": worst, "same_memory": kept}


def check_texts(args: argparse.Namespace) -> dict[str, Any]:
    """Return how many greedy texts of ours are those of the plain path and of generate, in fp32."""
    args.new, args.temperature, args.batch = 64, 0.0, 8
    model, tokenizer = make(args, torch.float32)
    torch.manual_seed(2)
    with torch.no_grad():
        for weights in model.base_model.parameters():
            if weights.dim() > 1:
                weights.normal_(0, 0.05)
        model.get_output_embeddings().weight[tokenizer.eos_token_id] = 0
    prompts = prompts_of(args, tokenizer, 8)
    fast = texts_of(args, model, tokenizer, prompts)
    with patch("aritmo.sampling.decodes", return_value=False):
        plain = texts_of(args, model, tokenizer, prompts)
    theirs = generated(args, model, tokenizer, prompts, {})
    with torch.inference_mode():
        ids = torch.tensor([tokenizer(prompts[0] + " " + plain[0]).input_ids], device=DEVICE)
        best = model(ids).logits[0, -args.new - 1 : -1].topk(2).values
    return {
        "check": "texts", "model": args.model, "device": device_name(), "dtype": "float32", "texts": len(fast),
        "tokens": args.new, "different_tokens": len({token for text in fast for token in text.split()}),
        "same_as_plain": sum(map(str.__eq__, fast, plain)), "same_as_generate": sum(map(str.__eq__, fast, theirs)),
        "least_lead_of_a_token": float((best[:, 0] - best[:, 1]).min()),
    }  # fmt: skip


def make(args: argparse.Namespace, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Return a model of random weights that never writes the end token, and a tokenizer of words."""
    config: PretrainedConfig = (
        GPT2Config(n_embd=64, n_layer=2, n_head=2, vocab_size=300, bos_token_id=299, eos_token_id=299)
        if args.model == "toy"
        else known_config(args.model)
    )
    end = config.vocab_size - 1
    config.bos_token_id = config.eos_token_id = config.pad_token_id = end
    torch.manual_seed(1)
    with DEVICE:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    with torch.no_grad():
        # A logit of 0 is below the largest of the others.
        model.get_output_embeddings().weight[end] = 0
    words = Tokenizer(WordLevel({f"w{i}": i for i in range(config.vocab_size)}, unk_token="w0"))
    words.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token=f"w{end}", pad_token=f"w{end}", padding_side="left"
    )
    model.generation_config.pad_token_id = model.generation_config.eos_token_id = end
    return model.eval(), tokenizer


def prompts_of(args: argparse.Namespace, tokenizer: PreTrainedTokenizerFast, count: int) -> list[str]:
    rng, last = random.Random(3), len(tokenizer) - 2
    lengths = [rng.randint(args.shortest, args.longest) for _ in range(count)]
    return [" ".join(f"w{rng.randint(0, last)}" for _ in range(length)) for length in lengths]


def now() -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.monotonic()


def device_name() -> str:
    return torch.cuda.get_device_name(DEVICE) if DEVICE.type == "cuda" else "CPU"


def gib(measured: Any) -> float | None:
    return round(measured() / GIB, 2) if DEVICE.type == "cuda" else None


if __name__ == "__main__":
    main()
