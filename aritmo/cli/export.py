"""``aritmo export``: a trained model as a folder for others."""

from pathlib import Path
from typing import Annotated

import typer

from aritmo.cli.output import Json, print_json
from aritmo.screen import show


def register(root: typer.Typer) -> None:
    root.command(epilog="Example: aritmo export RUN/checkpoints/best --out MODEL")(export)


def export(
    source: Annotated[str, typer.Argument(help="A run (its newest checkpoint), a checkpoint, or a model folder.")],
    out: Annotated[Path, typer.Option(help="The folder to write, which must be new.")],
    json: Json = False,
) -> None:
    """Write a model that transformers loads, adapters merged, checked against its source, with a model card."""
    from aritmo.export import export as write

    made = write(source, out)
    if json:
        print_json(
            {
                "folder": str(made.folder),
                "source": str(made.source),
                "prompts": made.prompts,
                "difference": made.difference,
            }
        )
    else:
        show(f"{made.folder}: {made.source}, logits within {made.difference:g} on {made.prompts} prompts")
