"""``aritmo ask``: one problem to one model, or a file of them."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from aritmo.cli.output import Json, print_json


def register(root: typer.Typer) -> None:
    root.command(epilog="Example: aritmo ask addition 8292+29039")(ask)


def ask(
    task: Annotated[str, typer.Argument(help="The task: addition or decomposition.")],
    problem: Annotated[str | None, typer.Argument(help="The problem, such as 8292+29039 or 57.")] = None,
    file: Annotated[Path | None, typer.Option(help="Problems, one a line; - is standard input.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A run, a folder or a name; without it a model that is shipped.")
    ] = None,
    style: Annotated[str | None, typer.Option(help="How the model writes; a shipped one says so itself.")] = None,
    json: Json = False,
) -> None:
    """Ask a model, greedily, and judge what it writes. One problem answered wrong is exit code 1.

    Thousands may be set apart in groups of three (1,234 or 1_234 or «1 234»); leading zeros are dropped.
    With --json each problem is one object on a line, in the order of the file. A file that was answered
    is exit code 0, however many answers are wrong: their count comes last.
    """
    # The products of one small model are too small to share out among threads; rows are shared out instead.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from aritmo.asking import Line, read_lines
    from aritmo.asking import ask as answers

    if (problem is None) == (file is None):
        raise ValueError("nothing or too much to ask: give one problem, or --file with one a line")
    lines = [Line("", problem)] if problem is not None else read_lines(file or Path("-"))
    right = asked = 0
    for record in answers(task, lines, model, style):
        asked += 1
        right += record["verdict"]["valid"]
        if json:
            print_json(record)
        elif file is None:
            _print_one(record)
        else:
            _print_line(record)
    if file is None:
        raise typer.Exit(0 if right else 1)
    if not json:
        print(f"{right:,} of {asked:,} right")


def _print_one(record: dict[str, Any]) -> None:
    """Print a problem, what the model wrote on it, what that says and whether it is right."""
    verdict = record["verdict"]
    print(f"problem  {record['problem']}")
    written = record["text"].split("\n")
    print(*(f"{'' if n else 'model':<7}  {line}".rstrip() for n, line in enumerate(written)), sep="\n")
    print(f"answer   {_answer(record)}")
    print(f"verdict  {'right' if verdict['valid'] else 'wrong: ' + '; '.join(verdict['reasons'])}")


def _print_line(record: dict[str, Any]) -> None:
    verdict = record["verdict"]
    wrong = "" if verdict["valid"] else f"  wrong: {'; '.join(verdict['reasons'])}"
    print(f"{record['problem']} = {_answer(record)}{wrong}")


def _answer(record: dict[str, Any]) -> str:
    return "none" if record["answer"] is None else str(record["answer"])
