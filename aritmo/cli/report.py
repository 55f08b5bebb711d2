"""``aritmo report``: one page on a run."""

from pathlib import Path
from typing import Annotated

import typer

from aritmo.cli.output import Json, print_json
from aritmo.screen import show


def register(root: typer.Typer) -> None:
    root.command(epilog="Example: aritmo report runs/001")(report)


def report(
    run: Annotated[Path, typer.Argument(help="The folder of a run, or of one experiment of it.")],
    out: Annotated[Path | None, typer.Option(help="The page to write; without it report.html in the run.")] = None,
    json: Json = False,
) -> None:
    """Write one self-contained HTML page on what a run learned and what it copied."""
    from aritmo.report import verdict_lines, write_report
    from aritmo.runs import parts_of

    parts = parts_of(run)
    page = write_report(run, parts, out or run / "report.html")
    if json:
        print_json({"report": str(page), "verdict": verdict_lines(parts)})
    else:
        show(f"report: {page}")
