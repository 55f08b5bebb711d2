"""``aritmo squares check``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aritmo.cli.output import Json, print_json
from aritmo.screen import show

if TYPE_CHECKING:
    from aritmo.numbers.checking import Answer, Collection
    from aritmo.numbers.squares import SquareCheck

_SHOWN = 10
"""Defects of a matrix that are printed; --json has them all."""
_MANY = 10
"""From so many files on the answer is a table."""
_PAGE = 500
"""Rows of a table that are held back to find the widths of its columns."""

Files = Annotated[
    list[Path],
    typer.Argument(help="Files of matrices in any format, or folders of them; - is standard input."),
]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: aritmo squares check squares.txt folder --nested")(check)


def check(
    files: Files,
    nested: Annotated[bool, typer.Option("--nested", help="Ask for a magic square inside every border.")] = False,
    json: Json = False,
) -> None:
    """Check matrices of any order: prime, no cell twice, equal sums. Exit code 1 where one is invalid.

    A folder, or ten files and more, gives a table. With --json each matrix is one object on a line, and the
    last line has the totals. What cannot be read is told in one sentence, and the exit code is 2.
    """
    from aritmo.numbers.checking import collect

    found = collect(files)
    table = _Table(("matrix", "order", "centre or pair sum", "magic sum", "nested to", "valid", "first defect"))
    many = len(found.files) >= _MANY or any(map(Path.is_dir, files))
    matrices = valid = unreadable = 0
    for answer in _answers(found, nested, many):
        result = answer.check
        if result is None:
            unreadable += 1
            _clear_line()
            show(f"aritmo: {answer.unreadable}", err=True)
            if json:
                print_json({"place": answer.place, "error": answer.unreadable})
            continue
        matrices += 1
        valid += result.valid
        if json:
            print_json({"place": answer.place, **_fields(result)})
        elif many:
            table.add(_row(answer.place, result), _below(result.defects[1:], _SHOWN - 1))
        else:
            show(f"{answer.place}: {summary(result)}", *_below(result.defects, _SHOWN))
    table.flush()
    if json:
        skipped = dict(sorted(found.skipped.items()))
        print_json({"matrices": matrices, "valid": valid, "unreadable": unreadable, "skipped": skipped})
    else:
        _print_totals(matrices, valid, unreadable, found)
    if unreadable or valid < matrices:
        raise typer.Exit(2 if unreadable else 1)


def _answers(found: Collection, nested: bool, many: bool) -> Iterator[Answer]:
    from aritmo.numbers.checking import check_files
    from aritmo.progress import Progress

    yield from found.unreadable
    with Progress("checking", len(found.files), "files") if many else nullcontext() as progress:
        yield from check_files(found.files, nested, progress.advance if progress else lambda count: None)


def _print_totals(matrices: int, valid: int, unreadable: int, found: Collection) -> None:
    if matrices:
        print(f"{valid:,} of {matrices:,} {'matrix is' if matrices == 1 else 'matrices are'} valid")
    if matrices and unreadable:
        print(f"not read to the end: {unreadable:,}")
    if found.skipped:
        reasons = ", ".join(f"{count:,} {why}" for why, count in sorted(found.skipped.items()))
        print(f"skipped in folders: {reasons}")


def _fields(result: SquareCheck) -> dict[str, object]:
    return {
        "order": result.order,
        "valid": result.valid,
        "centre": result.centre,
        "pair_sum": result.pair_sum,
        "magic_sum": result.magic_sum,
        "nested_down_to": result.nested_down_to,
        "primes": result.primes,
        "defects": result.defects,
        "not_nested": result.not_nested,
    }


def summary(result: SquareCheck) -> str:
    """Return what holds of a square in one line."""
    words = [f"order {result.order}", "valid" if result.valid else "invalid"]
    if result.centre is not None:
        words.append(f"centre {result.centre}")
    if result.pair_sum is not None:
        words.append(f"pair sum {result.pair_sum}")
    words.append("no magic sum" if result.magic_sum is None else f"magic sum {result.magic_sum}")
    if result.nested_down_to is not None:
        words.append(f"nested down to {result.nested_down_to}")
    return ", ".join(words)


def _row(place: str, result: SquareCheck) -> tuple[str, ...]:
    middle = result.centre if result.centre is not None else result.pair_sum
    numbers = (result.order, middle, result.magic_sum, result.nested_down_to)
    defects = len(result.defects)
    return (
        place.removesuffix(", line 1"),
        *("-" if number is None else str(number) for number in numbers),
        "yes" if result.valid else f"{defects:,} {'defect' if defects == 1 else 'defects'}",
        result.defects[0] if defects else "",
    )


def _below(defects: tuple[str, ...], shown: int) -> list[str]:
    lines = [f"  {defect}" for defect in defects[:shown]]
    return [*lines, f"  and {len(defects) - shown:,} more"] if len(defects) > shown else lines


class _Table:
    """A table printed page by page, so that memory stays bounded; columns may grow, never shrink."""

    def __init__(self, head: tuple[str, ...]) -> None:
        self._head = head
        self._widths = list(map(len, head))
        self._rows: list[tuple[tuple[str, ...], list[str]]] = []

    def add(self, cells: tuple[str, ...], below: list[str]) -> None:
        """Add a row and the lines to print under it."""
        if self._head and not self._rows:
            self._rows.append((self._head, []))
            self._head = ()
        self._rows.append((cells, below))
        if len(self._rows) >= _PAGE:
            self.flush()

    def flush(self) -> None:
        """Print the rows that are held back."""
        if not self._rows:
            return
        columns = zip(*(cells for cells, _ in self._rows), strict=True)
        self._widths = [max(width, *map(len, column)) for width, column in zip(self._widths, columns, strict=True)]
        _clear_line()
        for cells, below in self._rows:
            name, *numbers, valid, defect = (
                cell.rjust(width) if 0 < index < 5 else cell.ljust(width)
                for index, (cell, width) in enumerate(zip(cells, self._widths, strict=True))
            )
            show("  ".join([name, *numbers, valid, defect]).rstrip(), *below)
        self._rows.clear()


def _clear_line() -> None:
    """Take a live line of progress away, so that what comes next starts at the left."""
    if sys.stderr.isatty():
        print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
