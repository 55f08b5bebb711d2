"""``aritmo squares draw``."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from aritmo.cli.output import Json, print_json

Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: aritmo squares draw squares.txt --which 3 --out square.svg")(draw)


def draw(
    file: Annotated[Path, typer.Argument(help="A file of matrices in any format; - is standard input.")],
    out: Annotated[Path, typer.Option(help="The picture to write: PNG where the name ends in .png, else SVG.")],
    which: Annotated[int, typer.Option(min=1, help="Which matrix of the file, counted from 1.")] = 1,
    force: Force = False,
    json: Json = False,
) -> None:
    """Draw one matrix as a picture: rings and core coloured, sums in the margin, what is wrong in red."""
    from aritmo.cli.squares_check import summary
    from aritmo.files import write_whole
    from aritmo.numbers.drawing import lay_out, to_svg
    from aritmo.numbers.matrixfiles import read_matrices
    from aritmo.numbers.squares import check_square
    from aritmo.screen import printable, show

    require_free(out, force)
    found = next(islice(read_matrices(file), which - 1, None), None)
    if found is None:
        raise ValueError(f"{printable(str(file))} has fewer than {which} matrices; give a smaller --which")
    place, cells = found
    drawing = lay_out(cells, f"{place}: {summary(check_square(cells))}")
    if out.suffix.lower() == ".png":
        from aritmo.drawing import to_png

        write_whole(out, to_png(drawing))
    else:
        write_whole(out, to_svg(drawing))
    name = printable(str(out))
    if json:
        print_json({"file": name, "place": place})
    else:
        show(f"{name}: {place}")


def require_free(out: Path, force: bool) -> None:
    """Refuse a file that cannot be written, or only over another, before any work is done."""
    from aritmo.numbers.matrixfiles import check_place
    from aritmo.screen import printable

    check_place(out)
    if out.exists() and not force:
        raise ValueError(f"{printable(str(out))} is there already; give another name, or --force to write over it")
