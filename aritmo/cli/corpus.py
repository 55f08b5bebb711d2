"""``aritmo corpus``: build one, look at one, hand it on, find what its splits share."""

from pathlib import Path
from typing import Annotated

import typer

from aritmo import screen
from aritmo.cli import corpus_export, corpus_leaks
from aritmo.cli.output import Json, print_json

app = typer.Typer(help="Build a corpus of numbers as text, or look at one.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    corpus_export.register(app)
    corpus_leaks.register(app)
    root.add_typer(app, name="corpus")


@app.command(
    epilog="Example: aritmo corpus build --task addition --style tutorial --count 100000 --seed 1 --out A"
)
def build(
    out: Annotated[Path, typer.Option(help="The folder to write; it must not hold anything.")],
    task: Annotated[str | None, typer.Option(help="squares, addition, decomposition or primality.")] = None,
    style: Annotated[
        str | None, typer.Option(help="How problems are written; without it the task's first.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="Examples in all: 80 % train, 10 % validation, 10 % test.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same bytes.")] = None,
    min_digits: Annotated[int | None, typer.Option(help="Least digits of a number.")] = None,
    max_digits: Annotated[int | None, typer.Option(help="Most digits of a number.")] = None,
    order: Annotated[
        list[str] | None, typer.Option(help="Order of the squares; several, like 3,5,7, take turns.")
    ] = None,
    below: Annotated[
        int | None, typer.Option(help="Every cell of a square is below this number; without it one that suits.")
    ] = None,
    ask: Annotated[
        list[str] | None,
        typer.Option(help="What prompts for squares name: number, centre, sum or any; several take turns."),
    ] = None,
    distinct: Annotated[
        str | None, typer.Option(help="The key no two squares share, from K1 (the square) to K5 (its pattern).")
    ] = None,
    context: Annotated[
        int | None, typer.Option(help="Tokens, a digit each, that an example may have; 1,024 without it.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A file of your own matrices («-»: standard input) to build from."),
    ] = None,
    keep_wrong: Annotated[
        bool | None, typer.Option("--keep-wrong", help="Keep matrices that are no prime magic squares.")
    ] = None,
    text: Annotated[
        bool | None, typer.Option("--text", help="Also write train.csv and the others with one column, text.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes; 0 works in this one. Never changes a byte.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file with any of these keys.")] = None,
    json: Json = False,
) -> None:
    """Build a corpus: train, validation and test Parquet files and a manifest."""
    from aritmo.config import load_config, read_yaml
    from aritmo.corpus import CorpusConfig, build_corpus

    given = {
        "task": task, "style": style, "count": count, "seed": seed, "min_digits": min_digits,
        "max_digits": max_digits, "order": ",".join(order or ()) or None, "below": below,
        "ask": ",".join(ask or ()) or None, "distinct": distinct, "context": context, "source": source,
        "keep_wrong": keep_wrong, "text": text,
    }  # fmt: skip
    resolved = load_config(CorpusConfig, [read_yaml(config)] if config else [], (), given)
    corpus = build_corpus(resolved, out, workers)
    if json:
        print_json({"folder": str(out), **corpus.manifest})
        return
    screen.show(f"{out}: {corpus.task.name}, style {corpus.style}")
    for line in corpus.lines():
        screen.show(f"  {line}")


@app.command(epilog="Example: aritmo corpus show A --split test --count 2 --tokens gpt2")
def show(
    folder: Annotated[Path, typer.Argument(help="A corpus.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "train",
    count: Annotated[int, typer.Option(min=1, help="How many examples.")] = 3,
    tokens: Annotated[
        str, typer.Option(help="Whose tokens: digits, pairs, or a model's (a folder or a name).")
    ] = "digits",
    loss_on: Annotated[
        str, typer.Option(help="completion, or text: what training would learn from.")
    ] = "completion",
    json: Json = False,
) -> None:
    """Print examples with token borders and the loss mask: what is learned from is marked beneath."""
    from aritmo.showing import show_examples

    for shown in show_examples(folder, split, count, tokens, loss_on):
        if json:
            print_json(shown)
            continue
        meta = shown["meta"]
        screen.show(
            f"{meta['task']} {meta['style']}, family {meta['family']}, index {meta['index']}: "
            f"{len(shown['tokens'])} tokens"
        )
        screen.show(*_bordered(shown["tokens"]))


def _bordered(tokens: list[tuple[str, bool]]) -> list[str]:
    """Return lines of token pieces between bars, each above a line that marks those with loss."""
    lines, pieces, marks = [], "", ""
    for piece, learned in tokens:
        shown = piece.encode("unicode_escape").decode("ascii") + "|"
        pieces += shown
        marks += ("^" if learned else " ") * (len(shown) - 1) + " "
        if piece.endswith("\n") or len(pieces) > 90:
            lines += [f"  {pieces}", f"  {marks}".rstrip()]
            pieces = marks = ""
    return [*lines, f"  {pieces}", f"  {marks}".rstrip()]
