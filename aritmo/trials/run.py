"""An experiment as a run: done or gone on with in a folder, ending in tables and a picture."""

from collections.abc import Callable
from pathlib import Path

from aritmo.files import write_whole
from aritmo.tokens import gpt2_tokenizer
from aritmo.trials.picture import draw_attempts, draw_trial
from aritmo.trials.plans import PLANS, plan_of
from aritmo.trials.primality import NAME, begun_size, run_primality
from aritmo.trials.tables import seen_table, table
from aritmo.trials.trial import PLAN, begin, do, recall, results_of
from aritmo.workers import cores

TABLES, PICTURE = "tables.md", "picture.svg"
_MANY = 10_000
"""Examples from which on it pays to start processes that draw them."""


def is_experiment(out: Path) -> bool:
    """Return whether a folder holds an experiment of ``run_experiment``, done or not."""
    return (out / PLAN).is_file() or begun_size(out) is not None


def run_experiment(
    name: str | None,
    size: str | None,
    out: Path,
    say: Callable[[str], None],
    *,
    vocabulary: Path | None = None,
    minutes: float | None = None,
) -> tuple[Path, str] | None:
    """Do an experiment in ``out``, or without ``name`` the one begun there, and return its picture and its table.

    Returns None where the time was too short for all of it: the same call goes on with what is left.
    Raises ValueError for a name or size that is not there, and for a folder that holds something else.
    """
    begun = None if name else begun_size(out)
    if name == NAME or begun:
        if minutes or vocabulary:
            raise ValueError(f"experiment {NAME} has neither budget nor vocabulary: leave them out")
        return run_primality(size or begun or "small", out, say)
    if name and name not in PLANS:
        raise ValueError(f"experiment: got {name!r}, allowed {', '.join([*PLANS, NAME])}")
    plan = plan_of(name, size or "small") if name else recall(out)
    if set(plan.cuts) != {"digits"}:
        gpt2_tokenizer(vocabulary)  # so that nothing is begun where it is missing
    begin(plan, out)
    many = max(size for subject in plan.subjects for size in subject.sizes) > _MANY
    processes = cores() if many else 0
    if not do(plan, out, say, vocabulary=vocabulary, minutes=minutes, processes=processes):
        return None
    results = results_of(out)
    attempts = plan.experiment == "attempts"
    tables = [seen_table(results, language) if attempts else table(results, language) for language in ("en", "es")]
    write_whole(out / TABLES, "\n".join(tables))
    write_whole(out / PICTURE, draw_attempts(results) if attempts else draw_trial(results))
    return out / PICTURE, tables[0]
