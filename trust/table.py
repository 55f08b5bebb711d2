"""The table of rows: which there are, checked one after another and printed as each is done."""

import os
import platform
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from aritmo.files import write_whole
from aritmo.workers import cores
from trust import judge, large, play, repeatable, safe, survives
from trust.rows import Figure, Row, Size

ROWS: list[Row] = [*judge.ROWS, *repeatable.ROWS, *survives.ROWS, *safe.ROWS, *play.ROWS, *large.ROWS]

_HEAD = ("row", "figure", "aim", "holds", "seconds", "of processors")
_WIDTHS = (16, 44, 44, 5, 7, 13)


class Result(NamedTuple):
    """A row, what came out, and the seconds that it took: of the clock, and of processors in all its processes."""

    row: Row
    figure: Figure
    seconds: float
    processor_seconds: float

    @property
    def cells(self) -> tuple[str, ...]:
        holds = "yes" if self.figure.holds else "NO"
        seconds = (f"{self.seconds:,.1f}", f"{self.processor_seconds:,.1f}")
        return self.row.name, self.figure.shown, self.row.aim, holds, *seconds


def choose(names: Sequence[str]) -> list[Row]:
    """Return the rows that are named, by their name or their group; all where none is.

    Raises ValueError for a name that is neither.
    """
    known = {row.name for row in ROWS} | {row.group for row in ROWS}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no row or group {unknown[0]!r}: there are {', '.join(sorted(known))}")
    return [row for row in ROWS if not names or row.name in names or row.group in names]


def check(row: Row, size: Size) -> Result:
    """Check a row. A check that fails to run is a row that does not hold; Ctrl-C goes through."""
    began, worked = time.monotonic(), _processor_seconds()
    if row.needs and find_spec(row.needs) is None:
        return Result(row, Figure(f"{row.needs} is not there: pip install 'aritmo[trust]'", False), 0.0, 0.0)
    try:
        figure = row.check(size)
    except Exception as error:
        figure = Figure(f"failed: {type(error).__name__}", False, (f"{type(error).__name__}: {error}",))
    return Result(row, figure, time.monotonic() - began, _processor_seconds() - worked)


def _processor_seconds() -> float:
    """Return what this process and those that it started and that have ended have spent."""
    return sum(os.times()[:4])


def print_rows(rows: Iterable[Row], size: Size, say: Callable[[str], None] = print) -> list[Result]:
    """Check rows one after another; each is printed when it is done, with its details below."""
    say(_line(_HEAD))
    say(_line(["-" * width for width in _WIDTHS]))
    results: list[Result] = []
    for row in rows:
        if not results or results[-1].row.group != row.group:
            say(f"[{row.group}]")
        result = check(row, size)
        results.append(result)
        say(_line(result.cells))
        for detail in result.figure.details:
            say(f"    {detail}")
    return results


def _line(cells: Sequence[str]) -> str:
    """Return cells as a line of columns, or as several where one is too long for its column."""
    wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, _WIDTHS, strict=True)]
    lines = range(max(map(len, wrapped)))
    rows = [[part[at] if at < len(part) else "" for part in wrapped] for at in lines]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, _WIDTHS, strict=True)).rstrip() for row in rows
    )


def total_of(results: Sequence[Result]) -> str:
    """Return what all rows took, in words."""
    seconds = sum(result.seconds for result in results)
    return f"{seconds:,.0f} seconds, {sum(result.processor_seconds for result in results):,.0f} of processors"


def write_table(folder: Path, results: Sequence[Result], size: Size) -> Path:
    """Write the table into a folder as ``trust_[cores]_[date].md`` and return its path."""
    today = datetime.now(UTC).date().isoformat()
    path = folder / f"trust_{cores()}-cores_{today}.md"
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, _page(results, size, today))
    return path


def _page(results: Sequence[Result], size: Size, today: str) -> str:
    command = "make trust" if size.full else "python -m trust --small"
    machine = (
        f"{cores()} {platform.machine()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    lines = [
        "# Trust, in figures",
        "",
        f"{machine}, {today}, seed {size.seed}; `{command}`. Seconds are of the clock, then of processors.",
        "",
        f"| group | {' | '.join(_HEAD)} |",
        f"|---|{'---|' * len(_HEAD)}",
    ]
    lines += [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in (r.row.group, *r.cells)) + " |" for r in results
    ]
    for result in results:
        if result.figure.details:
            lines += ["", f"**{result.row.name}**", "", *(f"* {detail}" for detail in result.figure.details)]
    holding = sum(result.figure.holds for result in results)
    lines += ["", f"{holding} of {len(results)} rows hold; {total_of(results)}."]
    return "\n".join(lines) + "\n"
