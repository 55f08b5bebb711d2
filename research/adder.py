"""Train and measure a GPT-2 that adds: operands of at most 30 digits in training, 1,000 in the test.

The architecture is transformers' GPT2LMHeadModel; only its `position_ids` are chosen. In `<begin>A+B=`, the
answer lowest digit first and an end token, begin has place 0, `+` and `=` have s, the j-th digit from the right
of A, B and the answer s+j, and the end token one past the answer's top digit (position coupling, Cho et al.
2024, arXiv 2405.20671). s is random in training and at most 40 in the test. New: a place has three ids, one for
each role (first operand, second, answer), so that each digit is found by one exact look-up, and the table of
positions starts with neighbouring places linked.

New too is how training meets long contexts without long numbers: a row packs dozens of sums, each on ids of its
own, in shuffled order, unmasked. Later sums must find their few digits by id alone among thousands of tokens
over all the ids, as in a 1,000-digit sum; the first stands alone, so one row shape trains every context.

Train:    python adder.py --out RUNS --seeds 0,1,2,3,4 --minutes 4     (or a process a seed, at once)
Measure:  python adder.py --eval-only RUNS/seed-0 RUNS/seed-1 --lengths 30,1000 --count 200

--minutes counts one seed's training after its first step; --steps, if given, takes its place; --start goes on
from a saved model. n digits need n + 3 --ids. For the first --folded of the training, rows are --fold times
shorter and more: among few tokens attention sooner learns to find its digits. --probes counts short tests at
the greatest length on the way; --sharpen lists factors on the attention logits to measure with; --draw names a
set of fresh problems.
"""

import argparse
import json
import math
import random
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention as sdpa
from transformers import GPT2Config, GPT2LMHeadModel

PLUS, EQUALS, BEGIN, END = 10, 11, 12, 13
SYMBOLS = [*"0123456789+=", "<begin>", "<end>"]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
Problem = tuple[int, int]
stopping = threading.Event()  # set by SIGTERM: training ends after the step in hand, and saves


def seed_of(*words: str | int) -> int:
    """Return a seed in [0, 2**63) from sha256 over the words."""
    return int.from_bytes(sha256(":".join(map(str, words)).encode()).digest()[:8], "big") >> 1


def draw_operands(rows: int, slots: int, longest: int, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Return digits (rows, slots, longest), lowest first, and lengths (rows, slots, 1), of two operands.

    Lengths are independent and uniform from a floor to `longest`; the floor is 1 in half the rows, and one
    sum in ten has an operand of at most 3 digits. Uniform digits seldom carry far, so 55 % of the sums are
    nines' complements, zeros and nines, runs of nines, or sparse digits. Digits past the length are 0.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=rng, device=DEVICE)

    def digits() -> Tensor:
        return torch.randint(0, 10, (rows, slots, longest), generator=rng, device=DEVICE)

    place = torch.arange(longest, device=DEVICE)

    def end_at(number: Tensor, length: Tensor) -> Tensor:
        leading_zero = (place == length - 1) & (length > 1) & (number == 0)
        return torch.where(leading_zero, 1 + digits() % 9, number) * (place < length)

    floor = torch.where(uniform(rows, 1, 1) < 0.5, 1, 1 + (uniform(rows, 1, 1) * longest).long())
    spread = longest + 1 - floor
    length_a, length_b = floor + (uniform(2, rows, slots, 1) * spread).long().minimum(spread - 1)
    short = 1 + (uniform(rows, slots, 1) * min(3, longest)).long()
    length_b = torch.where(uniform(rows, slots, 1) < 0.1, short, length_b)
    a, b, kind, each = digits(), digits(), uniform(rows, slots, 1), uniform(rows, slots, longest)
    edges = (0.45, 0.65, 0.8, 0.9, 1.0)
    chain, extreme, nines, sparse = ((kind >= x) & (kind < y) for x, y in pairwise(edges))
    a, b = (torch.where(extreme & (each < 0.9), 9 * (x % 2), x) for x in (a, b))
    a = torch.where(nines & (each < 0.97), 9, torch.where(sparse & (each < 0.8), 0, a))
    b = torch.where(sparse & (uniform(rows, slots, longest) < 0.8), 0, b)
    a = end_at(a, length_a)
    b = end_at(torch.where(chain & (each < 0.95) & (place < length_a), 9 - a, b), length_b)
    swap = uniform(rows, slots, 1) < 0.5
    pairs = ((a, b), (b, a), (length_a, length_b), (length_b, length_a))
    return tuple(torch.where(swap, x, y) for x, y in pairs)


def add_digits(a: Tensor, b: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum's digits (..., longest + 1), lowest first, and its length (..., 1).

    A place carries out if the last place at or below it whose digits do not add to 9 adds to 10 or more.
    """
    total = functional.pad(a + b, (0, 1))
    place = torch.arange(total.shape[-1], device=DEVICE).expand_as(total)
    decides = torch.where(total != 9, place, -1).cummax(-1).values
    carry = (total > 9).gather(-1, decides.clamp(min=0)) & (decides >= 0)
    out = (total + functional.pad(carry[..., :-1].long(), (1, 0))) % 10
    return out, length + carry.gather(-1, length - 1).long()


def draw_rows(rows: int, width: int, ids: int, longest: int, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Return tokens, position ids and labels (-100 where nothing is asked), each (rows, width).

    A row takes sums until its tokens or its ids are spent. In one row in seven most sums lose `+`, `=`,
    end and loss: what is left is bare digits to be ignored, as most of a long sum is at any one place.
    """
    slots = 1 + math.ceil(1.15 * min(ids / (longest * 2 / 3 + 3), width / (longest * 5 / 3 + 3)))
    a, b, length_a, length_b = draw_operands(rows, slots, longest, rng)
    c, length_c = add_digits(a, b, torch.maximum(length_a, length_b))
    chance = torch.rand((2, rows, slots, 1), generator=rng, device=DEVICE)
    sounds = (chance[0, :, :1] > 1 / 7) | (chance[1] > 0.85)

    place = torch.arange(longest + 1, device=DEVICE).expand_as(c)
    down, one = place[..., :-1].flip(-1), torch.ones_like(length_a)
    symbols = torch.cat((a.flip(-1), PLUS * one, b.flip(-1), EQUALS * one, c, END * one), -1)
    written = torch.cat((down < length_a, sounds, down < length_b, sounds, place < length_c, sounds), -1)
    offset = torch.cat((down + 1, 0 * one, down + 1, 0 * one, place + 1, length_c + 1), -1)
    role = torch.cat((0 * down, 0 * one, 0 * down + 1, 2 * one, 0 * place + 2, 2 * one), -1)
    asked = torch.arange(symbols.shape[-1], device=DEVICE) >= 2 * longest + 2

    size, span = written.sum(-1), length_c.squeeze(-1) + 2
    fits = (size.cumsum(1) < width) & (span.cumsum(1) < ids)
    first = lay_out(span * fits, ids, rng)
    at = 1 + (size.cumsum(1) - size).unsqueeze(-1) + written.cumsum(-1) - 1
    at = torch.where(written & fits.unsqueeze(-1), at, width).flatten(1)

    def write(empty: int, values: Tensor) -> Tensor:
        row = torch.full((rows, width + 1), empty, device=DEVICE)
        return row.scatter_(1, at, values.flatten(1))[:, :width]

    tokens, position = write(END, symbols), write(0, 3 * (first.unsqueeze(-1) + offset) + role)
    tokens[:, 0] = BEGIN
    labels = write(-100, torch.where(asked & sounds, symbols, -100))
    return tokens, position, functional.pad(labels[:, 1:], (0, 1), value=-100)


def lay_out(span: Tensor, ids: int, rng: torch.Generator) -> Tensor:
    """Return the first id (rows, slots) of each span of ids: disjoint, in random order, with random gaps."""
    order = torch.rand(span.shape, generator=rng, device=DEVICE).argsort(1)
    ordered = span.gather(1, order)
    slack = ids - 1 - span.sum(1, keepdim=True)
    gap = (torch.rand(span.shape, generator=rng, device=DEVICE) * (slack + 1)).long().sort(1).values
    first = 1 + ordered.cumsum(1) - ordered + torch.minimum(gap, slack)
    return torch.empty_like(first).scatter_(1, order, first)


def create(args: argparse.Namespace, seed: int) -> GPT2LMHeadModel:
    """Return a fresh GPT-2 whose position embeddings start linked, and wider than its 0.02 for all else.

    A place starts as [its own half, the next place's half] plus a vector for the role, so that one linear map
    finds the next place for all ids. At 0.02 the loss stays on its first plateau more than twice as long.
    """
    torch.manual_seed(seed_of("adder", "weights", seed))
    shape = {"n_positions": 3 * args.ids, "n_embd": args.width, "n_layer": args.layers, "n_head": args.heads}
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    ends = {"bos_token_id": BEGIN, "eos_token_id": END, "pad_token_id": END}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(SYMBOLS), **shape, **no_dropout, **ends))
    own = torch.randn(args.ids + 1, args.width // 2)
    linked = torch.cat((own[:-1], own[1:]), 1).repeat_interleave(3, 0)
    roles = torch.randn(3, args.width).repeat(args.ids, 1)
    model.transformer.wpe.weight.data.copy_((linked + roles) * args.wpe_scale / math.sqrt(2))
    return model.to(DEVICE)


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


def loss_of(model: GPT2LMHeadModel, *batch: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean loss over the asked tokens, and the share of them that would be written wrong."""
    tokens, position, labels = batch
    logits = forward(model, tokens, position, lambda _, q, k, v: sdpa(q, k, v, is_causal=True)).float()
    wrong = ((logits.argmax(-1) != labels) & (labels >= 0)).sum() / (labels >= 0).sum()
    return functional.cross_entropy(logits.flatten(0, 1), labels.flatten()), wrong


def train(args: argparse.Namespace, seed: int, folder: Path) -> GPT2LMHeadModel:
    """Train one seed within `--minutes` or for `--steps`, write log.jsonl, and save what came out."""
    model = load(Path(args.start)) if args.start else create(args, seed)
    step_loss = torch.compile(loss_of, dynamic=False) if DEVICE.type == "cuda" else loss_of
    betas = (0.9, args.beta2)
    optimizer = torch.optim.AdamW(model.parameters(), betas=betas, weight_decay=args.decay, fused=True)
    rng = torch.Generator(DEVICE).manual_seed(seed_of("adder", "train", args.name, seed))
    probes = [(k + 1) / (args.probes + 1) for k in range(args.probes)]
    step = at = 0
    began = marked = time.monotonic()
    with (folder / "log.jsonl").open("w") as log:
        while not stopping.is_set():
            done = step / args.steps if args.steps else (time.monotonic() - began) / (60 * args.minutes)
            if done >= 1:
                break
            rate = args.lr * min(1.0, (step + 1) / args.warmup) * 0.5 * (1 + math.cos(math.pi * done))
            optimizer.param_groups[0]["lr"] = rate
            fold = args.fold if done < args.folded else 1
            batch = draw_rows(args.rows * fold, args.row // fold, args.ids, args.digits, rng)
            with torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda"):
                loss, wrong = step_loss(model, *batch)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            if step % args.log_every == 0 or step == 1:
                line = {"seed": seed, "step": step, "loss": loss.item(), "wrong": wrong.item()}
                tokens, now = args.rows * args.row, time.monotonic()
                line |= {"learning_rate": rate, "tokens": step * tokens, "seconds": round(now - began, 2)}
                report(log, line | {"tokens_per_second": round((step - at) * tokens / (now - marked))})
                marked, at = now, step
                began = now if step == 1 else began
                if not math.isfinite(line["loss"]):
                    raise ValueError(f"The loss is {line['loss']} at step {step}; lower --lr.")
            if probes and done >= probes[0]:
                found = score(model, "one of N", args.lengths[-1], 32, 1.0, args.batch, "probe")
                report(log, {"seed": seed, "step": step, "at": probes.pop(0), **found})
    save(model, folder, args)
    return model


def report(log: Any, line: dict[str, Any]) -> None:
    """Write one JSON line to the log and to the terminal."""
    for out in (log, sys.stdout):
        print(json.dumps(line), file=out, flush=True)


def save(model: GPT2LMHeadModel, folder: Path, args: argparse.Namespace) -> None:
    """Round the weights to what is stored, and save them as safetensors with config.json and adder.json."""
    model.to(torch.bfloat16 if args.save == "bf16" else torch.float32).save_pretrained(folder)
    model.to(torch.float32)
    told = {"symbols": SYMBOLS, "arguments": vars(args), "torch": torch.__version__}
    (folder / "adder.json").write_text(json.dumps(told, indent=1, default=str))


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


DEFAULTS: dict[str, Any] = {
    "out": Path("adder-runs"), "start": "", "name": "packed", "seeds": [0], "minutes": 4.0, "steps": 0,
    "layers": 2, "heads": 4, "width": 384, "ids": 1100, "wpe-scale": 0.1, "digits": 30,
    "row": 3072, "rows": 24, "fold": 8, "folded": 0.25, "lr": 1e-3, "warmup": 200, "beta2": 0.98,
    "decay": 0.0, "clip": 1.0, "log-every": 100, "probes": 0, "save": "fp32",
    "lengths": [30, 50, 100, 200, 500, 1000], "count": 100, "batch": 128, "sharpen": [1.0], "draw": "test",
}  # fmt: skip


def parse() -> argparse.Namespace:
    def numbers(text: str) -> list[float]:
        return [int(part) if part.isdigit() else float(part) for part in text.split(",")]

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--eval-only", type=Path, nargs="+", default=[])
    for name, default in DEFAULTS.items():
        kind = numbers if isinstance(default, list) else Path if isinstance(default, Path) else type(default)
        p.add_argument(f"--{name}", type=kind, default=default, help=f"{default}")
    return p.parse_args()


def main() -> None:
    args = parse()
    folders = args.eval_only or [args.out / f"seed-{seed}" for seed in args.seeds]
    if args.eval_only:
        for folder in folders:
            measure(load(folder), args, folder, folder.name)
    else:
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        for seed, folder in zip(args.seeds, folders, strict=True):
            folder.mkdir(parents=True, exist_ok=True)
            model = train(args, seed, folder)
            if stopping.is_set():
                raise SystemExit(f"Stopped; the weights of seed {seed} are in {folder}.")
            measure(model, args, folder, seed)
    table(folders)


if __name__ == "__main__":
    main()
