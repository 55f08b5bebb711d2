"""What every verb prints with: JSON for machines, aligned tables for people."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from aritmo.screen import json_line, printable, show

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def print_json(value: Any) -> None:
    """Print one JSON value on one line."""
    print(json_line(value))


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a head, columns aligned; numbers to the right."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(head), *cells]) for i in range(len(head))]
    right = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(head))]
    for row in [list(head), *cells]:
        line = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        show("  ".join(line).rstrip())
