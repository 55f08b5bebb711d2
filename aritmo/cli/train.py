"""``aritmo train``: one model on one corpus."""

from pathlib import Path
from typing import Annotated

import typer

from aritmo.cli.output import Json, print_json
from aritmo.screen import show


def register(root: typer.Typer) -> None:
    root.command(
        epilog="Example: aritmo train --model tiny --corpus A --steps 300 --save-every 20 --seed 5 --out RUN"
    )(train)


def train(
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    corpus: Annotated[Path | None, typer.Option(help="The corpus to learn.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Train a shipped model again, without a corpus: adder, tutor or squares.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="tiny, gpt2 ... gpt2-xl, gpt-j-6b, a folder, or a Hub name.")
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="pretrained, or scratch: weights drawn from the seed, no download.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Another model's tokenizer; with --init scratch also digits or pairs.")
    ] = None,
    adapter: Annotated[
        str | None, typer.Option(help="none, or lora: train small matrices beside a model.")
    ] = None,
    rank: Annotated[int | None, typer.Option(help="Rank of the adapter's matrices.")] = None,
    base_bits: Annotated[
        int | None, typer.Option(help="Bits of an adapted model's weights: 8 or 4 (QLoRA), on a GPU.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the weights.")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens in a sequence.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Sequences in a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    schedule: Annotated[
        str | None, typer.Option(help="How the learning rate falls: cosine, linear or constant.")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Decay of matrices.")] = None,
    clip: Annotated[float | None, typer.Option(help="Longest that the gradient may be.")] = None,
    patience: Annotated[
        int | None, typer.Option(help="End after so many evaluations without a better one.")
    ] = None,
    track: Annotated[
        list[str] | None, typer.Option(help="Metrics also to tensorboard, trackio or wandb; may be repeated.")
    ] = None,
    loss_on: Annotated[str | None, typer.Option(help="completion, or text, as the report did.")] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between checkpoints.")] = None,
    evaluate_every: Annotated[int | None, typer.Option(help="Steps between looks at held-out problems.")] = None,
    minutes: Annotated[float | None, typer.Option(help="End after so long, if the steps take longer.")] = None,
    numbers: Annotated[
        str | None, typer.Option(help="How tiny's tokenizer cuts numbers: digits or pairs.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the weights and of the order of the data.")] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file with any of the settings.")] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, like training.warmup=50; may be repeated.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest whole checkpoint.")] = False,
    json: Json = False,
) -> None:
    """Train a model on a corpus, with checkpoints, held-out scores and metrics in a file."""
    from aritmo.config import load_config, read_yaml
    from aritmo.corpus import Corpus
    from aritmo.distributed import place
    from aritmo.experiment import PartConfig, train_alone

    if recipe:
        from aritmo.cli.train_recipe import train_recipe

        others = {
            "--corpus": corpus, "--model": model, "--init": init, "--tokenizer": tokenizer, "--adapter": adapter,
            "--rank": rank, "--base-bits": base_bits, "--context": context, "--batch-size": batch_size,
            "--schedule": schedule, "--weight-decay": weight_decay, "--clip": clip, "--patience": patience,
            "--track": track, "--loss-on": loss_on, "--save-every": save_every,
            "--evaluate-every": evaluate_every, "--numbers": numbers, "--config": config, "--set": override,
            "--resume": resume,
        }  # fmt: skip
        train_recipe(recipe, out, seed=seed, steps=steps, minutes=minutes, lr=lr, others=others, json=json)
        return
    if corpus is None:
        raise ValueError("nothing says what to learn: give --corpus with a folder, or --recipe")
    given = {
        "numbers": numbers, "training.model": model, "training.steps": steps, "training.context": context,
        "training.batch_size": batch_size, "training.learning_rate": lr, "training.loss_on": loss_on,
        "training.save_every": save_every, "training.evaluate_every": evaluate_every,
        "training.minutes": minutes, "training.seed": seed, "training.init": init,
        "training.tokenizer": tokenizer, "training.adapter": adapter, "training.rank": rank,
        "training.base_bits": base_bits, "training.schedule": schedule, "training.weight_decay": weight_decay,
        "training.clip": clip, "training.patience": patience, "training.trackers": track or None,
    }  # fmt: skip
    settings = load_config(PartConfig, [read_yaml(config)] if config else [], override or [], given)
    result = train_alone(Corpus(corpus), settings, out, lambda line: show(line, err=json), resume)
    if not place().is_main_process:
        return
    if json:
        print_json(
            {
                "checkpoint": str(result.checkpoint),
                "step": result.step,
                "ended": result.reason,
                "loss": result.loss,
                "best": result.best,
            }
        )
    else:
        show(f"{result.reason} at step {result.step:,}, loss {result.loss:.4f}: {result.checkpoint}")
    if result.reason == "stopped":
        typer.echo("aritmo: stopped and saved; the same command with --resume goes on", err=True)
        raise typer.Exit(130)
