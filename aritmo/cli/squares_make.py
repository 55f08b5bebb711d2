"""``aritmo squares make`` and ``count``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aritmo.cli.output import Json, print_json

if TYPE_CHECKING:
    from aritmo.numbers.making import Making

_HOW = {
    "done": "",
    "exhausted": "; the search met no more, so there seem to be no more than these",
    "timeout": "; the time was over, go on with --resume",
    "stopped": "; stopped, go on with --resume",
}


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: aritmo squares count --order 3 --below 10000")(count)
    app.command(epilog="Example: aritmo squares make --order 7 --count 1000 --seed 1 --out squares.txt")(make)


def count(
    order: Annotated[int, typer.Option(help="Rows of a square: 3, or 5 for nested ones.")] = 3,
    below: Annotated[int | None, typer.Option(min=0, help="Of order 3: every cell is below this, 10000.")] = None,
    centre: Annotated[int | None, typer.Option(help="Of order 5: the cell in the centre.")] = None,
    json: Json = False,
) -> None:
    """Count prime magic squares by an exhaustive search: order 3 below a bound, nested order 5 at a centre.

    Of order 3, rotations and reflections count once. Of order 5 classes are counted: squares with the same core
    whose ring holds the same primes at its corners and sides, 288 squares in each class.
    """
    if order not in (3, 5):
        raise ValueError(f"squares of order 3 and 5 are counted, not of order {order}; give one of these")
    if order == 3:
        _count3(10_000 if below is None else below, centre, json)
    else:
        _count5(centre, below, json)


def _count3(below: int, centre: int | None, json: bool) -> None:
    from aritmo.numbers.search import count_order3, order3_centres
    from aritmo.progress import Progress

    if centre is not None:
        raise ValueError("squares of order 3 are counted below a bound, not at a centre; give --below")
    with Progress("searching", len(order3_centres(below)), "centres") as progress:
        squares = count_order3(below, progress.advance)
    if json:
        print_json({"order": 3, "below": below, "squares": squares})
    else:
        print(squares)


def _count5(centre: int | None, below: int | None, json: bool) -> None:
    from aritmo.numbers.classes import list_order5
    from aritmo.numbers.requests import Request

    if centre is None or below is not None:
        raise ValueError("squares of order 5 are counted at a centre, not below a bound; give --centre 251, say")
    Request(5, centre=centre).check()
    squares = list_order5(centre)
    cores: dict[tuple[int, ...], int] = {}
    for core in squares[:, 1:4, 1:4]:
        offsets = tuple(sorted({abs(cell - centre) for cell in core.ravel().tolist()} - {0}))
        cores[offsets] = cores.get(offsets, 0) + 1
    if json:
        told = [{"offsets": offsets, "classes": classes} for offsets, classes in cores.items()]
        total = {"classes": len(squares), "squares": 288 * len(squares)}
        print_json({"order": 5, "centre": centre, **total, "cores": told})
        return
    print(len(squares))
    for offsets, classes in cores.items():
        print(f"  {classes:,} around the core with the offsets {', '.join(map(str, offsets))}")


def make(
    out: Annotated[Path, typer.Option(help="The file to write: rows of numbers, an empty line between squares.")],
    order: Annotated[int, typer.Option(help="Rows of a square, from 3 on.")] = 3,
    count: Annotated[int, typer.Option(help="How many; no two are rotations or reflections.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same squares.")] = 1,
    below: Annotated[int | None, typer.Option(help="Every cell is below this number.")] = None,
    centre: Annotated[int | None, typer.Option(help="The cell in the centre, of odd orders.")] = None,
    magic_sum: Annotated[int | None, typer.Option("--sum", help="What each line adds to.")] = None,
    pair_sum: Annotated[int | None, typer.Option(help="What opposite cells of a ring add to (even).")] = None,
    nested: Annotated[bool, typer.Option("--nested/--plain", help="Magic inside every border?")] = True,
    with_3: Annotated[bool, typer.Option("--with-3/--without-3", help="Whether 3 may be a cell.")] = True,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 is all cores where that is worth it.")] = 0,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds to end after, with what there is.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished file.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    json: Json = False,
) -> None:
    """Make prime magic squares of any order, nested or plain, drawn by a seed. No two are the same.

    The file has whole squares only, whenever and however the command ends. Exit code 1 where there are fewer
    squares than asked for, because the time was over or no more exist.
    """
    from aritmo.numbers.making import Making
    from aritmo.numbers.requests import Request
    from aritmo.progress import Progress

    request = Request(order, nested, centre, magic_sum, pair_sum, below, with_3)
    making = Making(request, count, seed, out, resume, force)
    end: str = "stopped"
    try:
        with Progress("making", count, "squares") as progress:
            progress.start_at(making.made)
            end = making.run(workers, timeout, progress.advance)
    except (KeyboardInterrupt, SystemExit):
        _tell(making, count, "stopped", json)
        raise
    _tell(making, count, end, json)
    if end != "done":
        raise typer.Exit(1)


def _tell(making: Making, asked: int, end: str, json: bool) -> None:
    """Say what was made, of what kind, and how to go on where it is less than was asked for."""
    from aritmo.screen import printable

    request, name = making.request, printable(str(making.out))
    if json:
        kind = {"order": request.order, "nested": request.nested, "centre": request.centre, "below": request.below}
        sums = {"magic_sum": request.magic_sum, "pair_sum": request.pair_sum, "allow3": request.allow3}
        told = {"seed": making.seed, "asked": asked, "squares": making.made, "ended": end}
        print_json({"file": name, **kind, **sums, **told})
        return
    words = [f"order {request.order}", "nested" if request.nested and request.order > 4 else "plain"]
    for what, value in (("centre", request.centre), ("sum", request.magic_sum), ("pair sum", request.pair_sum)):
        words += [f"{what} {value}"] if value is not None else []
    words += [f"cells below {request.below:,}"] if request.below else []
    if not making.made:
        when = {"timeout": " in the time given", "stopped": " before it was stopped"}.get(end, "")
        print(f"{name}: nothing is written, for no square of {', '.join(words)} was found{when}")
        return
    some = (
        f"{making.made:,} {'square' if making.made == 1 else 'squares'}"
        if end == "done"
        else f"{making.made:,} of {asked:,} squares"
    )
    print(f"{name}: {some}, {', '.join(words)}{_HOW[end]}")
