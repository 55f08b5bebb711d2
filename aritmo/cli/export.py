"""``aritmo export``: a trained model as a folder or a GGUF file for others."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from aritmo.cli.output import Json, print_json
from aritmo.screen import show


def register(root: typer.Typer) -> None:
    root.command(epilog="Example: aritmo export RUN/checkpoints/best --out MODEL")(export)


def export(
    source: Annotated[str, typer.Argument(help="A run (its newest checkpoint), a checkpoint, or a model folder.")],
    out: Annotated[Path, typer.Option(help="The folder, or GGUF file, to write, which must be new.")],
    format: Annotated[
        Literal["folder", "gguf"],
        typer.Option(help="folder is for transformers; gguf is one file for llama.cpp (GPT-2 only)."),
    ] = "folder",
    json: Json = False,
) -> None:
    """Write a model that transformers or llama.cpp loads, adapters merged, checked against its source."""
    if format == "gguf":
        from aritmo.bridges.gguf import export_gguf as write
    else:
        from aritmo.export import export as write

    made = write(source, out)
    if json:
        print_json(
            {
                "file" if format == "gguf" else "folder": str(made.folder),
                "source": str(made.source),
                "prompts": made.prompts,
                "difference": made.difference,
            }
        )
    else:
        show(f"{made.folder}: {made.source}, logits within {made.difference:g} on {made.prompts} prompts")
