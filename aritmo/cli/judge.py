"""``aritmo judge``: every text right or wrong, and why; copied or invented."""

from pathlib import Path
from typing import Annotated, Any

import typer

from aritmo.cli.output import Json, print_json, print_table
from aritmo.screen import show


def register(root: typer.Typer) -> None:
    root.command(epilog="Example: aritmo judge samples.jsonl --corpus A --out verdicts.jsonl")(judge)


def judge(
    samples: Annotated[Path, typer.Argument(help="The file that «aritmo sample» wrote.")],
    corpus: Annotated[
        Path | None,
        typer.Option(help="What the model was trained on, to tell copied squares from invented ones."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write each verdict, one JSON object a line.")] = None,
    json: Json = False,
) -> None:
    """Judge samples exactly and print the shares with 95 % intervals."""
    from aritmo.corpus import Corpus
    from aritmo.verdicts import judge_run

    summary = judge_run(samples, Corpus(corpus) if corpus else None, out)
    if json:
        print_json(summary)
        return
    for split, group in summary["groups"].items():
        show(f"{summary['task']} {summary['style']}, {split}: {group['samples']:,} samples")
        rows = {**group, **group.get("squares", {})}
        print_table(
            ("", "count", "of", "share", "95 % interval"),
            [
                (name.replace("_", " "), value["count"], value["of"], *_percents(value))
                for name, value in rows.items()
                if isinstance(value, dict) and "low" in value
            ],
        )
        for line in _told(group.get("squares", {})):
            show(f"  {line}")
        for reason, count in group["reasons"][:8]:
            show(f"  {count:>6,}  {reason}")


def _told(squares: dict[str, Any]) -> list[str]:
    """Return what is counted of squares and has no interval."""
    lines = [f"{squares['different']:,} different valid squares"] if squares else []
    if verbatim := squares.get("verbatim"):
        lines.append(
            f"{verbatim['count']:,} of {verbatim['of']:,} words ({100 * verbatim['share']:.2f} %) stand in "
            f"training in runs of {verbatim['run']} or more, at most {verbatim['longest']:,} in a row"
        )
    return lines


def _percents(share: dict[str, float | None]) -> tuple[str, str]:
    if share["share"] is None or share["low"] is None or share["high"] is None:
        return "-", "-"
    return f"{100 * share['share']:.2f} %", f"{100 * share['low']:.2f} to {100 * share['high']:.2f}"
