"""Train a small decoder to write the search of search_text.py, and measure it on centres that it never saw.

The model is transformers' LlamaForCausalLM (rotary positions, so that steps look the same wherever they stand),
trained on streams of whole documents that cannot see each other. Fresh documents come from worker processes for
as long as the training lasts. At the end: the accuracy of each kind of step on documents of validation centres
(the true text so far is given), and whole searches written greedily, judged by nothing but the square.

    python -m research.squares --out RUN --minutes 8
"""

import argparse
import inspect
import json
import multiprocessing as mp
import random
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from research import nested_text
from research import search_text as st

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:
    varlen_attn = None
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CAUSAL = (
    {"is_causal": True}
    if varlen_attn and "is_causal" in inspect.signature(varlen_attn).parameters
    else {"window_size": (-1, 0)}
)


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


def batch_of(item: tuple[np.ndarray, ...]) -> tuple[Tensor, ...]:
    """Return tokens, positions, labels, roles of the labels, and borders."""
    tokens, roles, ends = (torch.from_numpy(x).to(DEVICE, non_blocking=True) for x in item)
    tokens, roles = tokens.long(), roles.long()
    place = torch.arange(len(tokens), device=DEVICE)
    begin = ends[torch.searchsorted(ends, place.int(), right=True) - 1].long()
    role = functional.pad(roles[1:], (0, 1), value=st.UNASKED)
    labels = torch.where(role == st.UNASKED, -100, functional.pad(tokens[1:], (0, 1)))
    return tokens, place - begin, labels, role, ends


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


def angles(position: Tensor, size: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return cosine and sine (..., size) of the rotary positions."""
    rate = theta ** (-torch.arange(0, size, 2, device=position.device).float() / size)
    turn = (position[..., None].float() * rate).repeat((1,) * position.dim() + (2,))
    return turn.cos(), turn.sin()


def forward(model: LlamaForCausalLM, tokens: Tensor, position: Tensor, attend: Any) -> Tensor:
    """Return logits (..., symbols) by the model's own modules. `attend` gets layer, q, k, v (..., heads, size)."""
    core = model.model
    x = core.embed_tokens(tokens)
    heads = model.config.num_attention_heads
    cos, sin = angles(position, model.config.hidden_size // heads, model.config.rope_parameters["rope_theta"])
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
    for i, layer in enumerate(core.layers):
        y = layer.input_layernorm(x)
        at = layer.self_attn
        q, k, v = (p(y).unflatten(-1, (heads, -1)) for p in (at.q_proj, at.k_proj, at.v_proj))
        q, k = (rotate(p, cos, sin).to(v.dtype) for p in (q, k))
        x = x + at.o_proj(attend(i, q, k, v).flatten(-2))
        x = x + layer.mlp(layer.post_attention_layernorm(x))
    logits: Tensor = model.lm_head(core.norm(x))
    return logits


def forward_gpt2(model: GPT2LMHeadModel, tokens: Tensor, position: Tensor, attend: Any) -> Tensor:
    """The same for GPT-2, with learned positions."""
    core = model.transformer
    x = core.wte(tokens) + core.wpe(position)
    for i, block in enumerate(core.h):
        q, k, v = (
            p.unflatten(-1, (block.attn.num_heads, -1)) for p in block.attn.c_attn(block.ln_1(x)).chunk(3, -1)
        )
        x = x + block.attn.c_proj(attend(i, q, k, v).flatten(-2))
        x = x + block.mlp(block.ln_2(x))
    logits: Tensor = model.lm_head(core.ln_f(x))
    return logits


def attend_documents(ends: Tensor, most: int) -> Any:
    def attend(_: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if DEVICE.type == "cuda":
            out: Tensor = varlen_attn(q, k, v, ends, ends, most, most, **CAUSAL)
            return out
        place = torch.arange(len(q))
        begin = torch.searchsorted(ends, place.int(), right=True)
        mask = (begin[:, None] == begin) & (place[:, None] >= place)
        return functional.scaled_dot_product_attention(
            *(x.transpose(0, 1)[None] for x in (q, k, v)), attn_mask=mask
        )[0].transpose(0, 1)

    return attend


def loss_of(
    model: LlamaForCausalLM, tokens: Tensor, position: Tensor, labels: Tensor, ends: Tensor, most: int
) -> tuple[Tensor, Tensor]:
    run = forward_gpt2 if isinstance(model, GPT2LMHeadModel) else forward
    logits = run(model, tokens, position, attend_documents(ends, most)).float()
    return functional.cross_entropy(logits, labels), logits.argmax(-1) == labels


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


@torch.inference_mode()
def write(
    model: LlamaForCausalLM, prompts: list[list[int]], most: int, temperature: float = 0.0
) -> list[list[int]]:
    """Return each prompt continued to its end token. Prompts have one length. What has ended leaves the batch."""
    heads, size = model.config.num_attention_heads, model.config.hidden_size // model.config.num_attention_heads
    dtype = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
    rows, length = list(range(len(prompts))), len(prompts[0])
    shape = (2, model.config.num_hidden_layers, len(rows), most + 1, heads, size)
    cache, end, texts = torch.zeros(shape, dtype=dtype, device=DEVICE), 0, [list(p) for p in prompts]

    def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        cache[0, layer, :, end : end + k.shape[1]] = k
        cache[1, layer, :, end : end + k.shape[1]] = v
        seen = cache[:, layer, :, : end + k.shape[1]].transpose(2, 3)
        return functional.scaled_dot_product_attention(
            q.transpose(1, 2), *seen.to(q.dtype), is_causal=end == 0
        ).transpose(1, 2)

    tokens, waiting = torch.tensor(prompts, device=DEVICE), []
    while rows and length < most:
        position = torch.arange(end, end + tokens.shape[1], device=DEVICE).expand_as(tokens)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda"):
            logits = forward(model, tokens, position, attend)[:, -1].float()
        end, length = end + tokens.shape[1], length + 1
        tokens = (
            (logits / temperature).softmax(-1).multinomial(1) if temperature else logits.argmax(-1, keepdim=True)
        )
        waiting.append(tokens)
        if len(waiting) == 64 or length == most:
            for row, new in zip(rows, torch.cat(waiting, 1).tolist(), strict=True):
                texts[row] += new[: new.index(st.END) + 1] if st.END in new else new
            waiting = []
            alive = [i for i, row in enumerate(rows) if texts[row][-1] != st.END]
            rows, kept = [rows[i] for i in alive], torch.tensor(alive, dtype=torch.long, device=DEVICE)
            tokens = tokens[kept]
            cache = cache[:, :, kept] if len(alive) < cache.shape[2] else cache
    return texts


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
        st.any_header(text, rng)
        return text
    return nested_text.draw(rng) if kind < asked + nested else st.draw(rng)


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


if __name__ == "__main__":
    main()
