"""``aritmo train --recipe``: what trained a shipped model, from nothing."""

from pathlib import Path
from typing import Any

import typer

from aritmo.cli.output import print_json
from aritmo.screen import show


def train_recipe(
    name: str,
    out: Path,
    *,
    seed: int | None,
    steps: int | None,
    minutes: float | None,
    lr: float | None,
    others: dict[str, Any],
    json: bool,
) -> None:
    """Train a recipe's model and say how it ended. ``others`` are options that a recipe has no use for.

    Raises ValueError where one of those is given.
    """
    from aritmo.recipes.baking import bake, find_recipe
    from aritmo.workers import cores

    if given := [option for option, value in others.items() if value not in (None, False, [])]:
        raise ValueError(
            f"a recipe has its own {', '.join(given)}: beside --recipe only --out, --seed, --steps, --minutes and "
            "--lr can be given"
        )
    baked = bake(
        find_recipe(name),
        out,
        seed=seed or 0,
        steps=steps,
        minutes=minutes,
        learning_rate=lr,
        processes=cores() - 1,
    )
    if json:
        print_json({"model": str(baked.folder), **baked.plain()})
    else:
        show(f"{baked.reason} at step {baked.updates:,}, loss {baked.loss:.4g}: {baked.folder}")
    if baked.reason == "stopped":
        typer.echo("aritmo: stopped, and the model saved as it is", err=True)
        raise typer.Exit(130)
