"""``aritmo corpus leaks``: what held-out examples share with training."""

from pathlib import Path
from typing import Annotated

import typer

from aritmo.cli.output import Json, print_json, print_table
from aritmo.screen import show

_NAMES = {
    "family": "family, which a split keeps whole",
    "key": "key, what makes two problems the same",
    "prompt": "prompt, to the letter",
    "completion": "completion, to the letter",
    "K1": "K1: square, turned or reflected",
    "K2": "K2: nest, each ring turned by itself",
    "K3": "K3: set of primes",
    "K4_some": "K4: some pair c-d, c+d",
    "K4_every": "K4: every pair c-d, c+d",
    "K5": "K5: pattern of the core (u, a)",
}


def register(corpus: typer.Typer) -> None:
    corpus.command(epilog="Example: aritmo corpus leaks A --unseen B")(leaks)


def leaks(
    folder: Annotated[Path, typer.Argument(help="A corpus.")],
    unseen: Annotated[
        Path | None,
        typer.Option(
            help="Also write a corpus to this folder: the same training, and of validation and test only squares "
            "with a pattern (u, a) that training lacks. Give it to --corpus of sample and judge."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say what share of validation and test examples stands in training, by what they share."""
    from aritmo.corpus import Corpus
    from aritmo.leaks import find_leaks, write_unseen

    corpus = Corpus(folder)
    written = write_unseen(corpus, unseen) if unseen else None
    report = find_leaks(corpus)
    if json:
        print_json(report | ({"unseen": str(unseen)} if unseen else {}))
        return
    show(f"{folder}: {corpus.task.name}, style {corpus.style}, {report['train']:,} training examples")
    for split, found in report["splits"].items():
        show(f"{split}: {found['examples']:,} examples")
        print_table(
            ("shared with training", "count", "share"),
            [
                (_NAMES[name], share["count"], "-" if share["share"] is None else f"{100 * share['share']:.2f} %")
                for name, share in found["shared"].items()
            ],
        )
        if "unseen_pattern" in found:
            show(f"{found['unseen_pattern']:,} examples have a pattern that training lacks")
    if written:
        show(f"{unseen}: the same training, held-out squares of unseen patterns only")
        for line in written.lines():
            show(f"  {line}")
