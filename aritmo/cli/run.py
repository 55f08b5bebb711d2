"""``aritmo run``: the main job, from an empty folder to a report a person can read."""

from pathlib import Path
from typing import Annotated

import typer

from aritmo.cli.output import Json, print_json
from aritmo.screen import show


def register(root: typer.Typer) -> None:
    root.command(epilog="Example: aritmo run --task squares --from matrices.txt --budget 10")(run)


def run(
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; without it runs/001, runs/002, ...")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="One task only: squares, addition, decomposition, primality.")
    ] = None,
    style: Annotated[str | None, typer.Option(help="The task's style.")] = None,
    model: Annotated[
        str | None, typer.Option(help="tiny, gpt2 ... gpt2-xl, gpt-j-6b, a folder, or a Hub name.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="A file of your own matrices to learn from.")
    ] = None,
    keep_wrong: Annotated[bool | None, typer.Option("--keep-wrong", help="Keep its wrong matrices too.")] = None,
    budget: Annotated[
        float | None,
        typer.Option(min=0.1, help="Minutes that the run may take; 0 for no bound is --no-budget."),
    ] = None,
    no_budget: Annotated[
        bool, typer.Option("--no-budget", help="Train every step however long it takes.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of corpus, weights and samples.")] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file that configures one experiment.")] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, like training.steps=300; may be repeated.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    experiment: Annotated[
        str | None, typer.Option(help="Compare in place of a run: tokenizer, attempts or primality.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="The experiment's: small for a CPU, full for a GPU.")] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="The experiment's: a folder with GPT-2's vocab.json and merges.txt.")
    ] = None,
    json: Json = False,
) -> None:
    """Build corpora, train, let the model write, judge every line, and write the report."""
    from aritmo.files import check_free
    from aritmo.runs import DEFAULT_MINUTES, begin_run, do_run, free_folder, plan_run, recall_run
    from aritmo.trials.run import is_experiment

    def say(line: str) -> None:
        show(*line.split("\n"), err=json)

    if resume and out is None:
        raise ValueError("--resume needs --out: name the folder of the run to go on with")
    if experiment or (out and resume and is_experiment(out)):
        if any(given is not None for given in (task, style, model, source, keep_wrong, seed, config, override)):
            raise ValueError("an experiment has its own settings: leave out all but --size, --out and --budget")
        _compare(experiment, size, out or free_folder(), resume, vocabulary, budget, json)
        return
    if size or vocabulary:
        raise ValueError("--size and --vocabulary belong to an experiment: add --experiment tokenizer")
    if resume:
        assert out is not None
        parts, minutes = recall_run(out)
    else:
        given = {
            "corpus.task": task, "corpus.style": style, "corpus.source": source, "corpus.keep_wrong": keep_wrong,
            "corpus.seed": seed, "training.seed": seed, "sampling.seed": seed, "training.model": model,
        }  # fmt: skip
        parts = plan_run(config, override or [], given)
        minutes = None if no_budget else budget or DEFAULT_MINUTES
        out = out or free_folder()
        check_free(out)
        begin_run(parts, minutes, out)
    done = do_run(parts, minutes, out, say, resume)
    if done is None:
        raise _stopped(out)
    page, lines = done
    if json:
        print_json({"report": str(page), "verdict": lines})
        return
    say("\n" + "\n".join(lines))
    say(f"\nreport: {page}")


def _stopped(out: Path) -> typer.Exit:
    """Say how to go on with a run, and return how the command ends."""
    show(f"aritmo: stopped; to go on: aritmo run --resume --out {out}", err=True)
    return typer.Exit(130)


def _compare(
    name: str | None,
    size: str | None,
    out: Path,
    resume: bool,
    vocabulary: Path | None,
    minutes: float | None,
    json: bool,
) -> None:
    """Do an experiment that compares, or what is left of it, and print what it found."""
    from aritmo.files import check_free
    from aritmo.trials.run import run_experiment

    def say(line: str) -> None:
        show(*line.split("\n"), err=json)

    if not resume:
        check_free(out)
    try:
        done = run_experiment(name, size, out, say, vocabulary=vocabulary, minutes=minutes)
    except KeyboardInterrupt:
        done = None
    if done is None:
        raise _stopped(out)
    picture, table = done
    if json:
        print_json({"picture": str(picture), "table": table})
        return
    say(f"\n{table}\npicture: {picture}")
