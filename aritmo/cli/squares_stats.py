"""``aritmo squares stats``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from aritmo.cli.output import Json, print_json, print_table
from aritmo.cli.squares_check import Files
from aritmo.cli.squares_draw import Force, require_free
from aritmo.screen import show

_SHOWN = 10


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: aritmo squares stats folder --picture squares.svg")(stats)


def stats(
    files: Files,
    picture: Annotated[Path | None, typer.Option(help="Also draw it: PNG if the name ends so, else SVG.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Tell what squares are made of: centres, differences, last digits, primes, pairs around the centre.

    A centre is half the sum of opposite cells. A pair around it is c-d and c+d for any d, c-d at least 2.
    Super-primes are primes whose place among the primes is prime: 3, 5, 11, 17, ...
    """
    from aritmo.numbers.anatomy import Anatomy
    from aritmo.numbers.checking import collect
    from aritmo.numbers.matrixfiles import read_matrices
    from aritmo.progress import Progress

    if picture is not None:
        require_free(picture, force)
    found, anatomy = collect(files), Anatomy()
    unreadable = [answer.unreadable for answer in found.unreadable]
    with Progress("reading", len(found.files), "files") as progress:
        for path, _ in found.files:
            try:
                for place, cells in read_matrices(path):
                    anatomy.add(cells, place)
            except ValueError as error:
                unreadable.append(str(error))
            progress.advance()
    for sentence in unreadable:
        show(f"aritmo: {sentence}", err=True)
    if anatomy.squares:
        _tell(anatomy.statistics(), picture, json)
    if unreadable:
        raise typer.Exit(2)


def _tell(statistics: dict[str, Any], picture: Path | None, json: bool) -> None:
    if json:
        print_json(statistics)
    else:
        _print(statistics)
    if picture is not None:
        from aritmo.anatomy_picture import draw
        from aritmo.files import write_whole

        write_whole(picture, draw(statistics, "png" if picture.suffix.lower() == ".png" else "svg"))


def _print(statistics: dict[str, Any]) -> None:
    orders = ", ".join(f"{count:,} of order {order}" for order, count in statistics["orders"].items())
    print(f"{statistics['squares']:,} squares: {orders}\n")
    print_table(("centre", "squares"), list(statistics["centres"].items()))
    for name in ("smallest", "largest"):
        if difference := statistics[f"{name}_difference"]:
            show(f"{name} difference |d| {difference['d']:g}: cell {difference['cell']} in {difference['place']}")
    print()
    digits = statistics["last_digits"]
    present = [digit for digit in range(10) if any(row[digit] for row in digits.values())]
    print_table(("last digit", *digits), [(digit, *(row[digit] for row in digits.values())) for digit in present])
    print()
    pairs = statistics["pairs"]
    print_table(
        ("pairs around the centre", "any d", "even d"),
        [(kind, pairs["any"][kind], pairs["even"][kind]) for kind in pairs["any"]],
    )
    if pairs["centres_left_out"]:
        print(f"pairs of {pairs['centres']:,} centres; {pairs['centres_left_out']:,} larger ones are left out")
    print()
    _print_numbers(statistics["numbers"])


def _print_numbers(numbers: dict[str, Any]) -> None:
    print_table(("number", "times"), numbers["most_frequent"][:_SHOWN])
    print(
        f"{numbers['cells']:,} cells, {numbers['distinct']:,} distinct numbers, {numbers['once']:,} of them once"
    )
    if numbers["super_primes"] is not None:
        share = 100 * numbers["super_primes"] / numbers["cells"]
        distinct = f"{numbers['distinct_super_primes']:,} distinct"
        print(f"super-primes: {numbers['super_primes']:,} cells ({share:.1f} %), {distinct}")
