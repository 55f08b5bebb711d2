"""Train a small decoder to write the search of search_text.py, and measure it on centres that it never saw.

The model is transformers' LlamaForCausalLM (rotary positions, so that steps look the same wherever they stand),
trained on streams of whole documents that cannot see each other. Fresh documents come from worker processes for
as long as the training lasts. At the end: the accuracy of each kind of step on documents of validation centres
(the true text so far is given), and whole searches written greedily, judged by nothing but the square.

    python -m research.squares --out RUN --minutes 8
"""

import argparse
import json
import multiprocessing as mp
import random
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from research import nested_text
from research import search_text as st
from research.squares_measured import measure
from research.squares_model import DEVICE, batch_of, loss_of


def produce(queue: Any, seed: int, size: int, docs: int, draw: Any) -> None:
    """Put streams of whole documents for ever: tokens, roles and where documents end; the last is cut."""
    rng = random.Random(seed)
    while True:
        tokens: list[int] = []
        roles: list[int] = []
        ends = [0]
        while len(tokens) < size:
            text = draw(rng)
            if len(ends) == docs and len(tokens) + len(text.tokens) < size:
                continue  # room for one document only: it has to be a long one
            tokens += text.tokens
            roles += [st.UNASKED, *text.roles[1:]]
            ends.append(min(len(tokens), size))
        ends += [size] * (docs + 1 - len(ends))
        queue.put((np.array(tokens[:size], np.int16), np.array(roles[:size], np.uint8), np.array(ends, np.int32)))


def create(args: argparse.Namespace) -> LlamaForCausalLM:
    torch.manual_seed(args.seed)
    config = LlamaConfig(
        vocab_size=len(st.SYMBOLS), hidden_size=args.width, intermediate_size=args.inner,
        num_hidden_layers=args.layers, num_attention_heads=args.heads, num_key_value_heads=args.heads,
        max_position_embeddings=8192,
        bos_token_id=st.BEGIN, eos_token_id=st.END, pad_token_id=st.END, tie_word_embeddings=False,
    )  # fmt: skip
    return LlamaForCausalLM(config).to(DEVICE)


class Muon:
    """Momentum made orthogonal (Jordan 2024), in steps as large as AdamW's (Liu 2025, arXiv 2502.16982)."""

    def __init__(self, matrices: list[Tensor], decay: float) -> None:
        shapes = sorted({p.shape for p in matrices})
        self.groups = [[p for p in matrices if p.shape == shape] for shape in shapes]
        self.kept = [torch.zeros(len(group), *group[0].shape, device=group[0].device) for group in self.groups]
        self.decay = decay

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for group, kept in zip(self.groups, self.kept, strict=True):
            gradient = torch.stack([p.grad for p in group if p.grad is not None])
            kept.lerp_(gradient, 0.05)
            change = orthogonal(gradient.lerp(kept, 0.95)) * (0.2 * rate * max(group[0].shape) ** 0.5)
            for p, one in zip(group, change.to(group[0].dtype), strict=True):
                p.mul_(1 - rate * self.decay).sub_(one)


def orthogonal(x: Tensor) -> Tensor:
    """Return nearly orthogonal matrices (count, rows, columns) by five Newton-Schulz steps."""
    flip = x.shape[1] > x.shape[2]
    x = (x.transpose(1, 2) if flip else x).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.transpose(1, 2)
        x = 3.4445 * x + (2.0315 * square @ square - 4.7750 * square) @ x
    return x.transpose(1, 2) if flip else x


def train(args: argparse.Namespace, model: LlamaForCausalLM, draw: Any, log: Any) -> bool:
    """Train, and return whether it went on to the end: with Muon it stops where AdamW is known to be better."""
    context = mp.get_context("fork")
    queue = context.Queue(32)
    makers = [
        context.Process(
            target=produce, args=(queue, 1000 * args.seed + i, args.tokens, args.docs, draw), daemon=True
        )
        for i in range(args.workers)
    ]
    for maker in makers:
        maker.start()
    step_loss = torch.compile(loss_of, dynamic=False) if DEVICE.type == "cuda" else loss_of
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    if args.muon:
        inner = [p for layer in model.model.layers for p in layer.parameters() if p.dim() == 2]
        muon = Muon(inner, args.decay)
        matrices = [p for p in matrices if all(p is not q for q in inner)]
    groups = [{"params": matrices, "weight_decay": args.decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), fused=True)
    step, began, early, done = 0, time.monotonic(), [], 0.0
    while (done := (time.monotonic() - began) / (60 * args.minutes)) < 1:
        rate = args.lr * min(1.0, (step + 1) / args.warmup) * min(1.0, (1 - done) / args.cooldown)
        for group in optimizer.param_groups:
            group["lr"] = rate
        tokens, position, labels, role, ends = batch_of(queue.get())
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda"):
            loss, right = step_loss(model, tokens, position, labels, ends, args.most)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if args.muon:
            muon.step(args.muon * rate)
        model.zero_grad(set_to_none=True)
        step += 1
        if step == 1:
            began = time.monotonic()
        early.append(loss.detach())
        if step == 1200 and args.muon and float(torch.stack(early[-200:]).mean()) > args.worst:
            break
        if step % args.log_every == 0:
            seconds = round(time.monotonic() - began, 1)
            line = {"step": step, "loss": round(loss.item(), 6), "rate": rate, "seconds": seconds}
            print(json.dumps(line | by_role(right, role)), file=log, flush=True)
            if step % (10 * args.log_every) == 0:
                print(json.dumps(line | by_role(right, role)), flush=True)
    for maker in makers:
        maker.terminate()
    return done >= 1


def by_role(right: Tensor, role: Tensor) -> dict[str, float]:
    """Return the share of right tokens of each kind of step."""
    names = getattr(st, "ROLES", [])
    return {
        name: round(right[role == i].float().mean().item(), 4) for i, name in enumerate(names) if (role == i).any()
    }


def parse(**more: Any) -> argparse.Namespace:
    p = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (DEFAULTS | more).items():
        p.add_argument(f"--{name}", type=type(default), default=default)
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    return args


DEFAULTS = {
    "out": Path("squares-run"), "minutes": 8.0, "seed": 0, "width": 384, "inner": 1024, "layers": 6, "heads": 6,
    "lr": 1e-3, "decay": 0.05, "warmup": 300, "cooldown": 0.6, "tokens": 65536, "docs": 768, "most": 6400,
    "workers": 10, "log-every": 50, "any": 0, "room": 5200, "measure": "", "nested": 0.17, "asked": 0.5,
    "later": 0, "muon": 0.0, "worst": 0.15,
}  # fmt: skip


def main() -> None:
    args = parse()
    if args.measure:
        measure(LlamaForCausalLM.from_pretrained(args.measure, dtype=torch.float32).to(DEVICE).eval(), args)
        return
    args.began, model = time.monotonic(), create(args)
    print(sum(x.numel() for x in model.parameters()), "parameters", flush=True)
    with (args.out / "log.jsonl").open("w") as log:
        whole, began = (
            train(args, model, partial(draw, nested=args.nested, asked=args.asked), log),
            time.monotonic(),
        )
        if not whole:
            print(f"Muon's loss was above {args.worst}: AdamW from the beginning", flush=True)
            args.muon, args.minutes, model = 0.0, args.minutes - (began - args.began) / 60, create(args)
            train(args, model, partial(draw, nested=args.nested, asked=args.asked), log)
    model.to(torch.bfloat16).save_pretrained(args.out / "model", max_shard_size="14MB")
    if not args.later:
        measure(model.float(), args)


def draw(rng: random.Random, nested: float, asked: float) -> st.Text:
    """Return a training document: shares for nested squares, and for what `Any` may begin with."""
    kind = rng.random()
    if kind < asked:
        text = st.Text()
        text.word(st.BEGIN, st.UNASKED)
        text.word(st.ANY, st.UNASKED)
        c, start, skip = st.any_header(text, rng)
        if rng.random() < 0.2:  # What comes after the words just asked for, too.
            del text.tokens[-1], text.roles[-1]
            lower = (p for p in st.below(c) if p <= start)
            st.search(text, c, lower, start, skip, st.NEXT, len(text.tokens) + 30)
        return text
    return nested_text.draw(rng) if kind < asked + nested else st.draw(rng)


if __name__ == "__main__":
    main()
