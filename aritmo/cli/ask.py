"""``aritmo ask``: one problem to one model, or a file of them."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from aritmo.cli.output import Json, print_json
from aritmo.screen import show


def register(root: typer.Typer) -> None:
    root.command(epilog="Example: aritmo ask addition 8292+29039")(ask)


def ask(
    task: Annotated[str, typer.Argument(help="The task: squares, addition, decomposition or primality.")],
    problem: Annotated[
        str | None, typer.Argument(help="The problem, such as 8292+29039, 57 or the centre of a square.")
    ] = None,
    centre: Annotated[
        str | None, typer.Option(help="The centre of the square that is asked for; without it any square.")
    ] = None,
    order: Annotated[
        int, typer.Option(help="Of squares: 3, or 5 or 7 for nested ones, which are asked for by their centre.")
    ] = 3,
    file: Annotated[Path | None, typer.Option(help="Problems, one a line; - is standard input.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A run, a folder or a name; without it a model that is shipped.")
    ] = None,
    style: Annotated[str | None, typer.Option(help="How the model writes; a shipped one says so itself.")] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="0 takes the likeliest text; without it 1 for any square, else 0."),
    ] = None,
    seed: Annotated[int, typer.Option(help="What is drawn at a temperature above 0.")] = 0,
    json: Json = False,
) -> None:
    """Ask a model and judge what it writes. One problem answered wrong is exit code 1.

    Thousands may be set apart in groups of three (1,234 or 1_234 or «1 234»); leading zeros are dropped.
    With --json each problem is one object on a line, in the order of the file. A file that was answered
    is exit code 0, however many answers are wrong: their count comes last. For squares, a line is a centre or
    «any», and without a problem any square is asked for.
    """
    # The products of one small model are too small to share out among threads; rows are shared out instead.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from aritmo.asking import Line, Manner, read_lines
    from aritmo.asking import ask as answers

    if centre is not None and task != "squares":
        raise ValueError(f"--centre {centre} is for squares, and the task is {task}: leave it out")
    given = [text for text in (problem, centre) if text is not None]
    if not given and file is None and task == "squares":
        given = ["any"]
    if len(given) + (file is not None) != 1:
        raise ValueError("nothing or too much to ask: give one problem, or --file with one a line")
    lines = read_lines(file) if file else [Line("", given[0])]
    right = asked = 0
    for record in answers(task, lines, model, style, Manner(temperature, seed), order):
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
        show(f"{right:,} of {asked:,} right")


def _print_one(record: dict[str, Any]) -> None:
    """Print a problem, what the model wrote on it, what that says and whether it is right."""
    verdict = record["verdict"]
    show(f"problem  {record['problem']}")
    _print_lines("model", record["text"].strip("\n").split("\n"))
    _print_lines("answer", _answer(record))
    show(f"verdict  {'right' if verdict['valid'] else 'wrong: ' + '; '.join(verdict['reasons'])}")


def _print_lines(name: str, lines: list[str]) -> None:
    show(*(f"{'' if n else name:<7}  {line}".rstrip() for n, line in enumerate(lines)))


def _print_line(record: dict[str, Any]) -> None:
    verdict = record["verdict"]
    wrong = "" if verdict["valid"] else f"  wrong: {'; '.join(verdict['reasons'])}"
    show(f"{record['problem']} = {' / '.join(_answer(record))}{wrong}")


def _answer(record: dict[str, Any]) -> list[str]:
    """Return the lines of an answer: the rows of a square, or one line."""
    answer = record["answer"]
    if isinstance(answer, list):
        width = max(len(str(cell)) for row in answer for cell in row)
        return [" ".join(f"{cell:>{width}}" for cell in row) for row in answer]
    return [{None: "none", True: "yes", False: "no"}.get(answer, str(answer))]
