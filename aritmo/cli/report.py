"""``aritmo report``: one page on a run, or on several side by side."""

from pathlib import Path
from typing import Annotated

import typer

from aritmo.cli.output import Json, print_json
from aritmo.screen import show


def register(root: typer.Typer) -> None:
    root.command(epilog="Example: aritmo report runs/001 runs/002 --out page.html")(report)


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of runs, of single experiments, or files that «aritmo judge --out» wrote: one after a "
            "folder joins it, others stand by themselves."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The page to write; without it report.html in the run.")] = None,
    json: Json = False,
) -> None:
    """Write one self-contained HTML page on what runs learned and copied, side by side where they are several."""
    from aritmo.report.given import report_on

    page, lines = report_on(runs, out)
    if json:
        print_json({"report": str(page), "verdict": lines})
    else:
        show(f"report: {page}")
