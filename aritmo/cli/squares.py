"""``aritmo squares``: count, make, check and draw prime magic squares."""

from __future__ import annotations

from html import escape
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aritmo.cli.output import Json, print_json

if TYPE_CHECKING:
    from aritmo.numbers.squares import Cells, SquareCheck

_SHOWN = 10
"""Defects of a matrix that are printed; --json has them all."""

app = typer.Typer(help="Count, make, check or draw prime magic squares.", no_args_is_help=True)

Order = Annotated[int, typer.Option(help="Rows of a square; only 3 so far.")]
Below = Annotated[int, typer.Option(min=0, help="Every cell is below this number.")]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="squares")


@app.command(epilog="Example: aritmo squares count --order 3 --below 10000")
def count(order: Order = 3, below: Below = 10_000, json: Json = False) -> None:
    """Count the prime magic squares of an order, up to rotation and reflection: an exhaustive search."""
    from aritmo.numbers.search import count_order3, order3_centres
    from aritmo.progress import Progress

    _require_order3(order)
    with Progress("searching", len(order3_centres(below)), "centres") as progress:
        squares = count_order3(below, progress.advance)
    if json:
        print_json({"order": order, "below": below, "squares": squares})
    else:
        print(squares)


@app.command(epilog="Example: aritmo squares make --order 3 --count 1000 --seed 1 --out squares.txt")
def make(
    out: Annotated[Path, typer.Option(help="The file to write: rows of numbers, an empty line between squares.")],
    order: Order = 3,
    count: Annotated[int, typer.Option(min=1, help="How many; no two are rotations or reflections.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed draws the same squares.")] = 1,
    below: Below = 10_000,
    force: Force = False,
    json: Json = False,
) -> None:
    """Make prime magic squares, drawn by a seed from all that there are."""
    from aritmo.numbers.matrixfiles import printable, write_matrices
    from aritmo.numbers.search import draw_order3, order3_centres
    from aritmo.progress import Progress

    _require_order3(order)
    _require_free(out, force)
    with Progress("searching", 2 * len(order3_centres(below)), "centres") as progress:
        squares = draw_order3(count, seed, below, progress.advance)
    write_matrices(out, squares.reshape(-1, order, order))
    name = printable(str(out))
    if json:
        print_json({"file": name, "order": order, "below": below, "seed": seed, "squares": count})
    else:
        print(f"{name}: {count:,} squares of order {order}, cells below {below:,}")


@app.command(epilog="Example: aritmo squares check squares.txt more.csv --nested")
def check(
    files: Annotated[list[Path], typer.Argument(help="Files of matrices in any format; - is standard input.")],
    nested: Annotated[bool, typer.Option("--nested", help="Ask for a magic square inside every border.")] = False,
    json: Json = False,
) -> None:
    """Check matrices of any order: prime, no cell twice, equal sums. Exit code 1 where one is invalid.

    With --json each matrix is one object on a line, and the last line has the totals.
    """
    from aritmo.numbers.matrixfiles import read_matrices
    from aritmo.numbers.squares import check_square

    matrices = valid = 0
    for file in files:
        for place, cells in read_matrices(file):
            result = check_square(cells, nested)
            matrices += 1
            valid += result.valid
            if json:
                print_json({"place": place, **_fields(result)})
            else:
                _print_check(place, result)
    if json:
        print_json({"matrices": matrices, "valid": valid})
    else:
        print(f"{valid:,} of {matrices:,} {'matrix is' if matrices == 1 else 'matrices are'} valid")
    if valid < matrices:
        raise typer.Exit(1)


@app.command(epilog="Example: aritmo squares draw squares.txt --which 3 --out square.svg")
def draw(
    file: Annotated[Path, typer.Argument(help="A file of matrices in any format; - is standard input.")],
    out: Annotated[Path, typer.Option(help="The SVG file to write.")],
    which: Annotated[int, typer.Option(min=1, help="Which matrix of the file, counted from 1.")] = 1,
    force: Force = False,
    json: Json = False,
) -> None:
    """Draw one matrix as a picture: rings coloured, composite numbers and wrong sums in red."""
    from aritmo.files import write_whole
    from aritmo.numbers.matrixfiles import printable, read_matrices

    _require_free(out, force)
    found = next(islice(read_matrices(file), which - 1, None), None)
    if found is None:
        raise ValueError(f"{printable(str(file))} has fewer than {which} matrices; give a smaller --which")
    place, cells = found
    write_whole(out, _svg(cells, place))
    name = printable(str(out))
    if json:
        print_json({"file": name, "place": place})
    else:
        print(f"{name}: {place}")


def _require_order3(order: int) -> None:
    if order != 3:
        raise ValueError(
            f"only squares of order 3 can be searched for so far, not of order {order}; give --order 3"
        )


def _require_free(out: Path, force: bool) -> None:
    """Refuse a file that cannot be written, or only over another, before any work is done."""
    from aritmo.numbers.matrixfiles import printable

    name = printable(str(out))
    if out.is_dir():
        raise ValueError(f"{name} is a folder; give the name of a file")
    if not out.parent.is_dir():
        raise ValueError(f"there is no folder {printable(str(out.parent))}; make it first")
    if out.exists() and not force:
        raise ValueError(f"{name} is there already; give another name, or --force to write over it")


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
    }


def _summary(result: SquareCheck) -> str:
    words = [f"order {result.order}", "valid" if result.valid else "invalid"]
    if result.centre is not None:
        words.append(f"centre {result.centre}")
    if result.pair_sum is not None:
        words.append(f"pair sum {result.pair_sum}")
    words.append("no magic sum" if result.magic_sum is None else f"magic sum {result.magic_sum}")
    if result.nested_down_to is not None:
        words.append(f"nested down to {result.nested_down_to}")
    return ", ".join(words)


def _print_check(place: str, result: SquareCheck) -> None:
    print(f"{place}: {_summary(result)}")
    for defect in result.defects[:_SHOWN]:
        print(f"  {defect}")
    if len(result.defects) > _SHOWN:
        print(f"  and {len(result.defects) - _SHOWN:,} more")


_STYLE = """\
text { font: 16px ui-monospace, monospace; text-anchor: middle; dominant-baseline: central; fill: #1b2733 }
rect { stroke: #8a99a8 }
.caption { font: 13px sans-serif; text-anchor: start; fill: #4a5866 }
.ring0 { fill: #f3f7fb } .ring1 { fill: #e3f0e6 } .ring2 { fill: #fbf3dd }
.composite { fill: #f4b6ae } .composite + text { font-weight: bold; fill: #8c1409 }
.sum { fill: #6b7986 } .wrong { font-weight: bold; fill: #c0200f }
"""
_HEIGHT = 36
_DIGIT = 10


def _svg(cells: Cells, place: str) -> str:
    """Return a picture: row sums at the right, column sums below, diagonal sums in the lower corners."""
    from aritmo.numbers.primes import are_prime
    from aritmo.numbers.squares import check_square, common_sum, line_sums

    n = len(cells)
    rows, columns, diagonals = (sums.tolist() for sums in line_sums(cells))
    reference = common_sum([*rows, *columns, *diagonals])
    across = _DIGIT * len(str(max(map(max, (rows, columns, diagonals))))) + 20
    caption = f"{place}: {_summary(check_square(cells))}"
    width, height = max((n + 2) * across, 7 * len(caption) + 2 * _DIGIT), (n + 2) * _HEIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">',
        f"<title>{escape(caption)}</title>",
        f"<style>\n{_STYLE}</style>",
        f'<text class="caption" x="{_DIGIT}" y="{_HEIGHT // 2}">{escape(caption)}</text>',
    ]

    def text(row: float, column: float, value: int, kind: str = "") -> str:
        x, y = int((column + 0.5) * across), int((row + 0.5) * _HEIGHT)
        return f'<text{kind} x="{x}" y="{y}">{value}</text>'

    for r, (values, primes) in enumerate(zip(cells.tolist(), are_prime(cells).tolist(), strict=True)):
        for c, (value, prime) in enumerate(zip(values, primes, strict=True)):
            kind = f"ring{min(r, c, n - 1 - r, n - 1 - c) % 3}" if prime else "composite"
            box = f'x="{(c + 1) * across}" y="{(r + 1) * _HEIGHT}" width="{across}" height="{_HEIGHT}"'
            lines.append(f'<rect class="{kind}" {box}/>{text(r + 1, c + 1, value)}')
    margin = [
        *((r + 1, n + 1, total) for r, total in enumerate(rows)),
        *((n + 1, c + 1, total) for c, total in enumerate(columns)),
        (n + 1, n + 1, diagonals[0]),
        (n + 1, 0, diagonals[1]),
    ]
    for row, column, total in margin:
        lines.append(text(row, column, total, f' class="{"sum" if total == reference else "wrong"}"'))
    return "\n".join([*lines, "</svg>"]) + "\n"
