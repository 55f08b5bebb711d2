"""``aritmo plan``: will it fit, and how long."""

from pathlib import Path
from typing import Annotated

import typer

from aritmo.cli.output import Json, print_json, print_table
from aritmo.screen import show


def register(root: typer.Typer) -> None:
    root.command(epilog="Example: aritmo plan --model gpt2-xl --steps 2000 --context 1024 --gpu H100")(plan)


def plan(
    model: Annotated[
        str | None, typer.Option(help="tiny, gpt2 ... gpt2-xl, gpt-j-6b, a folder, or a Hub name.")
    ] = None,
    corpus: Annotated[Path | None, typer.Option(help="The corpus to learn.")] = None,
    examples: Annotated[int | None, typer.Option(min=1, help="Without a corpus: how many examples.")] = None,
    tokens_per_example: Annotated[float | None, typer.Option(min=1, help="How many tokens each has.")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the weights.")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens in a sequence.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Sequences in a step.")] = None,
    gpu: Annotated[
        str, typer.Option(help="A card like H100, none for the CPU, or auto for what is here.")
    ] = "auto",
    memory: Annotated[float | None, typer.Option(min=0.1, help="GiB of memory, in place of the card's.")] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file with any of the settings.")] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, like training.rank=8; may be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Say whether a training fits, in every way there is, and how long it takes; nothing is downloaded."""
    from aritmo.config import load_config, read_yaml
    from aritmo.experiment import PartConfig
    from aritmo.forecast import forecast
    from aritmo.planning import GIB
    from aritmo.progress import duration, rate

    given = {
        "training.model": model, "training.steps": steps, "training.context": context,
        "training.batch_size": batch_size,
    }  # fmt: skip
    settings = load_config(PartConfig, [read_yaml(config)] if config else [], override or [], given)
    found = forecast(settings, corpus, examples, tokens_per_example, gpu, memory)
    fits = any(fit.fits for fit in found.fits)
    if json:
        print_json(found.as_record())
        raise typer.Exit(0 if fits else 1)
    work, shape = found.work, found.shape
    data = f"{work.steps:,} updates of {work.batch:,} x {work.context:,} tokens: {work.tokens:,} tokens"
    if work.epochs is not None:
        data += f", {work.sequences:,} sequences {rate(work.epochs)} times over"
    show(f"model {found.model}: {shape.parameters:,} parameters, {shape.layers} layers, width {shape.width:,}")
    show(f"work: {data}, {rate(work.tokens * shape.flops(work.context) / 1e15)} PFLOP")
    show(f"device: {found.device.name}, {found.device.memory / GIB:.1f} GiB", "")
    head = ["way", "fits", *found.fits[0].parts, "all", "host", "at once", "tokens/s", "time"]
    rows = [
        [
            fit.mode.name,
            "yes" if fit.fits else "no",
            *(f"{size / GIB:.2f}" for size in fit.parts.values()),
            f"{fit.needed / GIB:.1f}",
            f"{sum(fit.host.values()) / GIB:.1f}",
            f"{fit.micro} x {fit.accumulation}",
            "?" if fit.tokens_per_second is None else rate(fit.tokens_per_second),
            "?" if fit.seconds is None else duration(fit.seconds),
        ]
        for fit in found.fits
    ]
    print_table(head, rows)
    show("", "(GiB; «all» with what CUDA and spare room take; «at once» sequences x times an update)")
    for note in found.notes:
        show(f"note: {note}")
    show(found.sentence)
    raise typer.Exit(0 if fits else 1)
