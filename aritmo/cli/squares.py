"""``aritmo squares``: count, make, check, measure and draw prime magic squares."""

import typer

from aritmo.cli import squares_check, squares_draw, squares_make, squares_stats

app = typer.Typer(help="Count, make, check, measure or draw prime magic squares.", no_args_is_help=True)
for _verbs in (squares_make, squares_check, squares_stats, squares_draw):
    _verbs.register(app)


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="squares")
