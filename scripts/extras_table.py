"""What came out of an extra that was tried alone: a line at the terminal, and a table in a dated file."""

import os
import platform
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from aritmo.files import write_whole
from aritmo.workers import cores


class Result(NamedTuple):
    """An extra, what it asks for, packages in all, the seconds, what was run, and what failed, if anything."""

    extra: str
    brings: list[str]
    packages: int
    installing: float
    running: float
    ran: list[str]
    failed: str


def line_of(result: Result) -> str:
    """Return a result as a line; below it what failed."""
    line = (
        f"{result.extra:<13}  {'NO' if result.failed else 'holds':<5}  {result.packages:>3} packages in "
        f"{result.installing:3.0f} s  {len(result.ran):>2} commands in {result.running:3.0f} s  "
        f"{', '.join(result.brings)}"
    )
    return f"{line}\n{textwrap.indent(result.failed, '    ')}" if result.failed else line


def write_table(folder: Path, results: Sequence[Result]) -> Path:
    """Write the table into a folder as ``extras_[cores]_[date].md`` and return its path."""
    today = datetime.now(UTC).date().isoformat()
    path = folder / f"extras_{cores()}-cores_{today}.md"
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, _page(results, today))
    return path


def _page(results: Sequence[Result], today: str) -> str:
    machine = (
        f"{cores()} {platform.machine()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    lines = [
        "# Every extra alone, in a fresh environment",
        "",
        f"{machine}, {today}; `make test-extras`. Each was installed alone into an environment of its own, which",
        "took the seconds of «installing»; packages are all that were then there, with aritmo, torch and pip. The",
        "commands, below the table, ran one after another, up to the first that did not do what it should.",
        "",
        "| extra | brings | packages | installing, s | commands | running, s | holds |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in results:
        cells = (one.extra, ", ".join(one.brings), one.packages, f"{one.installing:.0f}", len(one.ran))
        lines.append(f"| {' | '.join(map(str, cells))} | {one.running:.0f} | {'NO' if one.failed else 'yes'} |")
    for one in results:
        lines += ["", f"**{one.extra}**", "", "```", *one.ran, "```"]
        if one.failed:
            lines += ["", "What failed:", "", "```", one.failed, "```"]
    holding = sum(not one.failed for one in results)
    seconds = sum(one.installing + one.running for one in results)
    lines += ["", f"{holding} of {len(results)} hold; {seconds:,.0f} seconds."]
    return "\n".join(lines) + "\n"
