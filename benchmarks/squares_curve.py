"""Copying beside computing: a model that sees squares written down, and the shipped recipe, as they learn.

    python -m benchmarks.squares_curve train listing --out LISTING --minutes 8.7
    python -m benchmarks.squares_curve ask LISTING --style listing --wait
    python -m benchmarks.squares_curve draw LISTING/curve.jsonl TUTORIAL/curve.jsonl

``train`` keeps a copy of the model at each of the updates ``--at`` and at the end. ``tutorial`` is the recipe
squares as it is. ``listing`` is the same Llama, optimizer, course and sharpening on other texts: every square of
order 3 with cells below 10,000 around a centre of the train families, in any of its 8 orientations, asked for by
«any» and by its centre in turn. As in the recipe, the loss is on what follows the prompt.

``ask`` puts three questions to each copy: a square for every test centre that has one, for as many train centres
(both greedy), and any square (temperature 1). It adds a line for each copy to OUT/curve.jsonl; the same command
goes on behind the last. Copied is a square that a text of training may show, in any of its 8 orientations.
"""

import argparse
import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from itertools import chain, count, cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from aritmo.choosing import SamplingConfig
from aritmo.files import check_free, new_folder, write_json
from aritmo.filling import records_of, written
from aritmo.judging import judge_samples
from aritmo.models import open_model
from aritmo.numbers.randomness import seed_of, split_of
from aritmo.numbers.search import count_order3, list_order3
from aritmo.originals import Originals
from aritmo.progress import Progress, rate
from aritmo.recipes.baking import save_model
from aritmo.recipes.siblings import NOT_ASKED, Batch
from aritmo.recipes.squares import FULL, TOY, SquaresRecipe
from aritmo.recipes.squares_learner import LlamaLearner
from aritmo.records import read_jsonl, write_samples
from aritmo.statistics import share
from aritmo.stopping import signals
from aritmo.tasks import TaskOptions
from aritmo.tasks.squares import Square, Squares, Wanted
from aritmo.tasks.squares_centres import centres_of
from aritmo.tasks.squares_pool import NAME
from aritmo.tasks.squares_search import LIMIT
from aritmo.tasks.task import Ask
from aritmo.tokens import encode_batch, task_tokenizer
from aritmo.workers import Workers, cores
from benchmarks.squares_novelty import is_good, trained

AT = (100, 250, 500, 1_000, 2_000, 4_000, 8_000, 12_000, 17_000)
END, TOLD, LOG, CURVE = "at-end", "told.json", "log.jsonl", "curve.jsonl"
LONGEST = {"tutorial": 4_096, "listing": 200}
"""New tokens that a text may have; the longest right ones have fewer than 3,600 and than 150."""
ASKS: tuple[Ask, ...] = ("any", "centre")
TOGETHER, PATIENCE = 32, 1_800
"""Texts that are judged at once, and seconds to wait for a copy."""
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
LINES = {
    ("train", "valid"): ("Asked for a centre of training: valid", "#b8c2cc"),
    ("test", "new"): ("Asked for a centre never seen: valid and new", "#3b6fb6"),
    ("any", "copied"): ("Asked for any square: copied from training", "#c9182b"),
    ("any", "new"): ("Asked for any square: valid and new", "#5aa469"),
    ("test", "primes"): ("Cells that are prime, at centres never seen", "#e39a26"),
}
"""The lines of the picture: question and figure, and how each is called and drawn."""

Record = dict[str, Any]
Ints = NDArray[np.integer[Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    does = parser.add_subparsers(dest="does", required=True)
    one = does.add_parser("train", help="train, and keep copies on the way")
    one.add_argument("style", choices=LONGEST)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--minutes", type=float, help="training ends by the clock, too")
    one.add_argument("--steps", type=int, help="updates, the recipe's own without it")
    one.add_argument("--at", type=int, nargs="*", default=AT, help="updates after which a copy is kept")
    one.add_argument("--toy", action="store_true", help="small enough for a CPU")
    one = does.add_parser("ask", help="ask each copy, and write down what came out")
    one.add_argument("out", type=Path)
    one.add_argument("--style", choices=LONGEST, required=True)
    one.add_argument("--drawn", type=int, default=512, help="texts for any square")
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--wait", action="store_true", help="until the last copy has come, for each half an hour")
    one.add_argument("--judges", type=int, default=4, help="processes that judge, 0: this one")
    one.add_argument("--centres", type=int, help=argparse.SUPPRESS)
    one = does.add_parser("draw", help="draw the curves")
    one.add_argument("listing", type=Path)
    one.add_argument("tutorial", type=Path)
    one.add_argument("--out", type=Path, default=Path("docs/pictures/squares-copying.svg"))
    args = parser.parse_args()
    {"train": train, "ask": ask, "draw": draw}[args.does](args)


class Texts(NamedTuple):
    """All squares asked for in one way, then in the next: ids end to end, and of each text where it begins, how
    many ids it has, and how many of these are its prompt.
    """

    ids: Ints
    starts: Ints
    lengths: Ints
    asking: Ints


@dataclass(frozen=True, slots=True)
class Listing(SquaresRecipe):
    """The recipe with squares that are written down, cells ``below``, in place of searches."""

    below: int = LIMIT

    def model(self, seed: int) -> LlamaForCausalLM:
        """Return a fresh model."""
        config, tokenizer = SquaresRecipe.model(self, seed).config, task_tokenizer()
        config.vocab_size = len(tokenizer)
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            setattr(config, name, getattr(tokenizer, name))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of("squares curve", "weights", seed))
            return LlamaForCausalLM(config)

    def batches(
        self, seed: int, device: torch.device, processes: int, done: Callable[[], float]
    ) -> Generator[Batch, None, None]:
        """Make all texts, and return streams of them, the last of each cut; no process is wanted."""
        texts = write_listings(self.below)
        rng = np.random.default_rng(seed_of("squares curve", "texts", seed))
        streams = (draw_stream(texts, self.stream, rng) for _ in count())
        return (_batch(stream, int(texts.lengths.max()), device) for stream in streams)

    def finish(self, model: LlamaForCausalLM) -> PreTrainedTokenizerBase:
        """Sharpen the last layer, and return the tokenizer."""
        SquaresRecipe.finish(self, model)
        return task_tokenizer()


TOY_LISTING = Listing(2_048, layers=1, width=32, inner=48, heads=2, steps=12, course=TOY.course, below=400)


def _batch(stream: list[Ints], longest: int, device: torch.device) -> Batch:
    tokens, places, labels, ends = (torch.from_numpy(part).to(device, non_blocking=True) for part in stream)
    return Batch(tokens.long()[None], places.long()[None], labels.long()[None], ends, longest)


def write_listings(below: int) -> Texts:
    """Return every square of the train families in each of its 8 orientations, asked for in each way."""
    task, tokenizer, many = Squares(), task_tokenizer(), 8 * count_order3(below)
    ways = [task.problems("train", 0, 0, many, TaskOptions(below=below, ask=(way,))) for way in ASKS]
    told = encode_batch(tokenizer, [task.completion(problem, "listing") for problem in ways[0]])
    prompts = encode_batch(tokenizer, [task.prompt(problem, "listing") for way in ways for problem in way])
    whole = [(*asks, *then, tokenizer.eos_token_id) for asks, then in zip(prompts, cycle(told), strict=False)]
    lengths, asking = (np.array(list(map(len, part))) for part in (whole, prompts))
    ids = np.fromiter(chain.from_iterable(whole), np.int16, lengths.sum())
    return Texts(ids, lengths.cumsum() - lengths, lengths, asking)


def draw_stream(texts: Texts, stream: int, rng: np.random.Generator) -> list[Ints]:
    """Return the ids of a stream, their places, their labels, and the borders of its texts, filled up."""
    many = -(-stream // int(texts.lengths.min()))
    squares = len(texts.starts) // len(ASKS)
    chosen = rng.integers(squares, size=many) + squares * (np.arange(many) % len(ASKS))
    stops = texts.lengths[chosen].cumsum()
    of = np.searchsorted(stops, np.arange(stream), side="right")
    places = np.arange(stream) - (stops - texts.lengths[chosen])[of]
    ids = texts.ids[texts.starts[chosen][of] + places]
    labels = np.where(places < texts.asking[chosen][of], NOT_ASKED, ids)
    labels = np.append(labels[1:], NOT_ASKED)
    ends = np.minimum(np.append(0, stops), stream)
    return [ids, places.astype(np.int16), labels.astype(np.int16), ends.astype(np.int32)]


def train(args: argparse.Namespace) -> None:
    """Train as ``aritmo.recipes.baking`` does, and keep copies."""
    check_free(args.out)
    args.out.mkdir(parents=True, exist_ok=True)
    full, toy = (FULL, TOY) if args.style == "tutorial" else (Listing(), TOY_LISTING)
    recipe = toy if args.toy else full
    learner, steps = LlamaLearner(recipe.model(args.seed), recipe.course, DEVICE), args.steps or recipe.steps
    batches = recipe.batches(args.seed, DEVICE, cores() - 1, lambda: done())
    began, tokens = time.monotonic(), 0

    def done() -> float:
        by_clock = (time.monotonic() - began) / 60 / args.minutes if args.minutes else 0.0
        return max(learner.updates / steps, by_clock)

    with closing(batches), signals() as caught, Progress(args.style, steps, "updates") as progress:
        for batch in batches:
            loss = learner.update(batch, min(1.0, done()))
            tokens += batch.tokens.numel()
            over, at = bool(caught) or done() >= 1, learner.updates
            kept = over or at in args.at
            if kept or at % max(1, steps // 100) == 0:
                lost, seconds = loss.item(), time.monotonic() - began
                told = {"updates": at, "tokens": tokens, "seconds": round(seconds, 1), "loss": lost}
                write_samples(args.out / LOG, [told])
                progress.advance(0, f"loss {lost:.4f}, {rate(tokens / seconds)} tokens/s")
            if kept:
                told |= {"style": args.style, "seed": args.seed, "steps": steps, "minutes": args.minutes}
                keep(recipe, learner, args.out / (END if over else f"at-{at:06d}"), told)
            progress.advance()
            if over:
                break


def keep(recipe: SquaresRecipe, learner: LlamaLearner, folder: Path, told: Record) -> None:
    """Write a copy of the model, which is there whole or not at all."""
    where = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU"
    with new_folder(folder) as beside:
        save_model(recipe, learner, beside)
        write_json(beside / TOLD, told | {"device": where, "torch": torch.__version__})


def ask(args: argparse.Namespace) -> None:
    """Ask each copy that was not asked, in order, and print what came out in short."""
    curve, seen = args.out / CURVE, time.monotonic()
    with Workers(args.judges) as workers:
        while True:
            asked = {line["copy"] for line in read_jsonl(curve)} if curve.exists() else set()
            folders = [folder for folder in sorted(args.out.glob("at-*")) if folder.name not in asked]
            for folder in folders[:1]:
                line = ask_copy(args, folder, workers)
                write_samples(curve, [line])
                print(folder.name, *(f"{of} {name} {line[of][name]['count']}" for of, name in LINES), flush=True)
                torch.cuda.empty_cache()  # training may go on beside this
                seen = time.monotonic()
            if not folders:
                if END in asked or not args.wait or time.monotonic() - seen > PATIENCE:
                    return
                time.sleep(1)


def ask_copy(args: argparse.Namespace, folder: Path, workers: Workers) -> Record:
    """Return what a copy writes, by question, with how far its training had come."""
    began = time.monotonic()
    model, tokenizer = open_model(str(folder), device=DEVICE)
    test = centres_of(3, "test")[: args.centres]
    # In a drawn order, so that the first are a sample.
    train = centres_of(3, "train")[: len(test)]
    greedy = [Square(0, wanted=Wanted(centre=centre)) for centre in (*test, *train)]
    samples = [
        *_written(args, model, tokenizer, greedy, 0.0),
        *_written(args, model, tokenizer, [Square(0, wanted=Wanted(3))] * args.drawn, 1.0),
    ]
    writing = time.monotonic() - began
    blocks = ((args.style, samples[at : at + TOGETHER]) for at in range(0, len(samples), TOGETHER))
    lines = [line for block in workers.map(judged, blocks) for line in block]
    known = json.loads((folder / TOLD).read_text())
    return {
        "copy": folder.name, **known, "asking_seconds": round(time.monotonic() - began, 1),
        "writing_seconds": round(writing, 1), "asked_seed": args.seed, "test": counted(lines[: len(test)]),
        "train": counted(lines[len(test) : len(greedy)]), "any": counted(lines[len(greedy) :]),
    }  # fmt: skip


def _written(
    args: argparse.Namespace, model: Any, tokenizer: Any, problems: Sequence[Square], temperature: float
) -> Iterator[Record]:
    """Return the problems as samples, with what is written on them."""
    prompts = [Squares().prompt(problem, args.style) for problem in problems]
    most = LONGEST[args.style]
    config = SamplingConfig(max_new_tokens=most, temperature=temperature, batch_size=1_024, seed=args.seed)
    return written(model, tokenizer, records_of(NAME, args.style, "test", prompts), config)


def judged(job: tuple[str, Sequence[Record]]) -> list[Record]:
    """Return a line on each text, given the style and the texts."""
    return list(map(_line, judge_samples(job[1], originals(job[0]))))


@cache
def originals(style: str) -> Originals:
    """Return every square of order 3 that may stand in a text of training."""
    if style == "tutorial":
        return trained()
    squares = list_order3(LIMIT).reshape(-1, 3, 3)
    shown = [square for square in squares if split_of(NAME, str(square[1, 1])) == "train"]
    return Originals.from_squares(range(len(shown)), shown)


def _line(verdict: Record) -> Record:
    details, valid = verdict["details"], is_good(verdict)
    return {
        "finished": verdict["finished"], "valid": valid, "everything_right": verdict["valid"],
        "copied": verdict["origin"] == "copied", "near_copy": verdict["origin"] == "near copy",
        "new": valid and verdict["unseen"]["K1"], "sums_equal": details.get("sums_equal", False),
        "unreadable": verdict["answer"] is None, "tokens": verdict["tokens"],
        "primes": details.get("primes", 0), "cells": details.get("cells", 0), "key": details.get("key"),
    }  # fmt: skip


def counted(lines: Sequence[Record]) -> Record:
    """Return the figures of a question, each a share of its texts but for ``primes``, a share of cells read."""
    names = ("finished", "valid", "everything_right", "copied", "near_copy", "new", "sums_equal", "unreadable")
    figures: Record = {name: share(sum(line[name] for line in lines), len(lines)) for name in names}
    primes, cells, tokens = (sum(line[name] for line in lines) for name in ("primes", "cells", "tokens"))
    different = len({line["key"] for line in lines if line["valid"]})
    return figures | {"primes": share(primes, cells), "different_valid": different, "tokens": tokens}


def draw(args: argparse.Namespace) -> None:
    """Draw both curves, with Wilson intervals of 95 %."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {"font.family": "DejaVu Sans", "axes.spines.top": False, "axes.spines.right": False}
    titles = ("Learning from squares written down", "Learning from searches written down")
    with rc_context({**style, "svg.hashsalt": "x"}):
        figure = Figure(figsize=(10, 4.8), facecolor="white", layout="constrained")
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, file, title in zip(panels, (args.listing, args.tutorial), titles, strict=True):
            lines = sorted(read_jsonl(file), key=lambda line: line["tokens"])
            for (asked, name), (label, colour) in LINES.items():
                points = [(line["tokens"], line[asked][name]) for line in lines if line[asked][name]["of"]]
                at = [tokens for tokens, _ in points]
                mid, low, high = ([100 * found[key] for _, found in points] for key in ("share", "low", "high"))
                # What lies below another line is wide enough to be seen.
                width = 5 if asked == "train" else 1.8
                axes.plot(at, mid, marker="o", markersize=3, linewidth=width, color=colour, label=label)
                axes.fill_between(at, low, high, color=colour, alpha=0.13, linewidth=0)
            axes.set(xscale="log", xlabel="million tokens of training", ylim=(-3, 103))
            axes.xaxis.set_major_formatter(lambda tokens, _: f"{tokens / 1e6:,g}")
            axes.set_title(title, loc="left", fontweight="bold", fontsize=11)
        panels[0].set_ylabel("% of texts, or of cells")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
        figure.savefig(args.out, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
