"""``aritmo improve``: a model learns from what it writes on harder problems, as far as that holds."""

from pathlib import Path
from typing import Annotated, Any

import typer

from aritmo.cli.output import Json, print_json, print_table
from aritmo.screen import show


def register(root: typer.Typer) -> None:
    root.command(epilog="Example: aritmo improve RUN --corpus A --rounds 3 --harder 1 --out IMPROVED --seed 1")(
        improve
    )


def improve(
    run: Annotated[str, typer.Argument(help="The model to improve: a run, a folder or a name.")],
    corpus: Annotated[Path, typer.Option(help="What it was trained on; it is trained on in every round, too.")],
    out: Annotated[Path, typer.Option(help="The folder for all rounds.")],
    rounds: Annotated[int | None, typer.Option(help="Rounds; without it 3.")] = None,
    harder: Annotated[
        int | None, typer.Option(help="Digits more in each round (squares: times the bound); without it 1.")
    ] = None,
    count: Annotated[int | None, typer.Option(help="Harder problems a round; without it 2,000.")] = None,
    tests: Annotated[int | None, typer.Option(help="Held-out problems a level; without it 200.")] = None,
    evidence: Annotated[
        str | None, typer.Option(help="exact: kept where every step is right; vote: where most texts agree.")
    ] = None,
    votes: Annotated[int | None, typer.Option(help="Of a vote: texts a problem; without it 5.")] = None,
    agree: Annotated[float | None, typer.Option(help="Of a vote: the share of one text; without it 0.8.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of a vote: without it 0.7.")] = None,
    share: Annotated[
        float | None, typer.Option(help="Share of its own texts in what it learns; without it 0.5.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Updates a round; without it as many as RUN had.")] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate; without it RUN's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of problems, texts and training.")] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file with any of the settings.")] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, like training.warmup=50; may be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Let a model write on problems harder than those it learned, and train it on what holds, round by round.

    Problems are of train families only. Each round is judged on held-out problems of every level, before and
    after. Stopped at any moment, the same command goes on. A round in which nothing holds is exit code 1.
    """
    from aritmo.config import load_config, read_yaml
    from aritmo.improving import ImproveConfig, settings_of
    from aritmo.improving import improve as improve_model

    given = {
        "rounds": rounds, "harder": harder, "count": count, "tests": tests, "evidence": evidence, "votes": votes,
        "agree": agree, "temperature": temperature, "share": share, "seed": seed, "training.steps": steps,
        "training.learning_rate": lr,
    }  # fmt: skip
    layers = [{"training": settings_of(Path(run))}, *([read_yaml(config)] if config else [])]
    settings = load_config(ImproveConfig, layers, override or [], given)
    done = improve_model(run, corpus, settings, out, lambda line: show(line, err=json))
    if done is None:
        typer.echo("aritmo: stopped and saved; the same command goes on", err=True)
        raise typer.Exit(130)
    if json:
        print_json({"rounds": done, "out": str(out)})
    else:
        _show(done)
    last = done[-1]
    if "after" not in last:
        show(f"aritmo: nothing that it wrote on {last['level']} holds, so there is nothing to learn", err=True)
        raise typer.Exit(1)


def _show(rounds: list[dict[str, Any]]) -> None:
    """Print a row a round: what was kept, and the share of right answers at each level."""
    levels = list(rounds[0]["after"])
    rows = []
    for one in rounds:
        kept = f"{one['kept']['count']:,} of {one['kept']['of']:,}" if "kept" in one else "-"
        right = [f"{100 * one['after'][level]['share']:.1f} %" if "after" in one else "-" for level in levels]
        rows.append((str(one["round"]), kept, *right))
    print_table(("round", "kept", *levels), rows)
