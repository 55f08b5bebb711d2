"""``aritmo corpus export``: a corpus as other tools read it."""

from pathlib import Path
from typing import Annotated

import typer

from aritmo.cli.output import Json, print_json
from aritmo.screen import show


def register(corpus: typer.Typer) -> None:
    corpus.command(epilog="Example: aritmo corpus export A --format lm-eval --out HARNESS")(export)


def export(
    folder: Annotated[Path, typer.Argument(help="A corpus.")],
    format: Annotated[str, typer.Option(help="trl, llama-factory or lm-eval.")],
    out: Annotated[Path, typer.Option(help="The folder to write, which must be new.")],
    chat: Annotated[
        bool, typer.Option("--chat", help="Write messages of user and assistant (trl and llama-factory).")
    ] = False,
    json: Json = False,
) -> None:
    """Write a corpus for TRL, LLaMA-Factory or lm-evaluation-harness; each split stays by itself."""
    from aritmo.bridges.formats import export_corpus

    made = export_corpus(folder, format, out, chat)
    if json:
        print_json({"folder": str(made.folder), "format": made.format, "files": made.files, "corpus": made.corpus})
        return
    show(f"{made.folder}: {folder} for {made.format}, corpus {made.corpus[:16]}")
    for file in made.files:
        show(f"  {file}")
