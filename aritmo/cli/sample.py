"""``aritmo sample``: let a model write."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from aritmo.cli.output import Json, print_json
from aritmo.screen import show


def register(root: typer.Typer) -> None:
    root.command(
        epilog="Example: aritmo sample RUN --task squares --split test --count 1000 --seed 1 --out samples.jsonl"
    )(sample)


def sample(
    model: Annotated[str, typer.Argument(help="A run, a folder with a model, or a model's name.")],
    out: Annotated[Path, typer.Option(help="The file to write, one JSON object a line.")],
    task: Annotated[str | None, typer.Option(help="The task; with --corpus it is the corpus' own.")] = None,
    style: Annotated[str | None, typer.Option(help="The task's style.")] = None,
    split: Annotated[str, typer.Option(help="Whose problems: train, validation or test.")] = "test",
    corpus: Annotated[
        Path | None, typer.Option(help="Take prompts of this corpus; without it fresh problems of the split.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many problems.")] = 1000,
    min_digits: Annotated[int, typer.Option(min=1, help="Least digits of a fresh problem's numbers.")] = 1,
    max_digits: Annotated[int, typer.Option(min=1, help="Most digits of a fresh problem's numbers.")] = 5,
    centres: Annotated[
        int | None,
        typer.Option(help="Ask for each centre of the split, once, that has a square of this order: 3, 5 or 7."),
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens that a text may have; 512 without it, 7,600 for searches of squares."),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 is greedy; without it 1 for squares, else 0.")
    ] = None,
    top_p: Annotated[float, typer.Option(help="Keep the likeliest tokens of this much probability.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Keep so many of the likeliest tokens; 0 keeps all.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts written at once.")] = 256,
    seed: Annotated[int, typer.Option(help="Seed of the problems and of the writing.")] = 0,
    precision: Annotated[
        Literal["auto", "no", "bf16"], typer.Option(help="no is float32; auto is bf16 on a GPU that has it.")
    ] = "auto",
    guided: Annotated[
        bool,
        typer.Option(
            "--guided",
            help="Leave out tokens that lead to no valid square any more (squares of order 3, style listing), and "
            "write OUT-bare without that beside it.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Let a model write on the problems of a split, each text from its own random stream."""
    from aritmo.asking import ROOM
    from aritmo.choosing import SamplingConfig
    from aritmo.config import build
    from aritmo.corpus import Corpus
    from aritmo.distributed import place
    from aritmo.experiment import sample_problems
    from aritmo.tasks import TaskOptions

    known = Corpus(corpus) if corpus else None
    asked, way = (known.task.name, known.style) if known else (task, style)
    if temperature is None:
        temperature = 1.0 if asked == "squares" else 0.0
    if max_new_tokens is None:
        max_new_tokens = max(ROOM.values()) if (asked, way) == ("squares", "tutorial") else 512
    sampling = build(
        SamplingConfig,
        {
            "max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "top_k": top_k,
            "batch_size": batch_size, "seed": seed,
        },
    )  # fmt: skip
    options = TaskOptions(min_digits=min_digits, max_digits=max_digits, centres=centres)
    account = sample_problems(model, corpus, task, style, split, count, options, sampling, out, guided, precision)
    if not place().is_main_process:
        return
    if json:
        print_json(account)
        return
    for way, part in (("guided, ", account), ("bare, ", account["bare"])) if guided else (("", account),):
        valid = f", {part['valid']['count']:,} valid ({100 * part['valid']['share']:.2f} %)" if guided else ""
        speed = f"{part['tokens_per_second']:,.0f} tokens/s"
        show(f"{way}{part['samples']:,} samples{valid}, {speed}: {part['file']}")
