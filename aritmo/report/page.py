"""Putting the page together: one run or several side by side, and the one file written."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from aritmo.files import write_whole
from aritmo.progress import duration
from aritmo.report import charts, compare, pieces, sections, words
from aritmo.report.parts import Part, Record, read_part
from aritmo.report.sections import GROUPS
from aritmo.report.words import clean, figure, interval, percent, points

MAX_BYTES = 5 * 1024 * 1024
MAX_RUNS = 8
_SHOWN = (36, 24, 12, 6, 2, 0)
"""Squares drawn of each group: fewer where the page would pass MAX_BYTES."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the page shows it: its name and its experiments, in the order shown."""

    name: str
    parts: Sequence[Part]


def write_report(run: Path, parts: Sequence[Path], out: Path) -> Path:
    """Write the report of a run to one self-contained HTML file and return its path.

    ``parts`` are the folders of the experiments, in the order shown. What a folder lacks is said on the page.
    The file is at most 5 MiB and either whole or not there. Raises ValueError where there is no experiment,
    OSError where ``out`` cannot be written.
    """
    return write_page([Run(run.name, [read_part(folder) for folder in parts])], out)


def write_page(runs: Sequence[Run], out: Path) -> Path:
    """Write the page on one run, or on several side by side, as ``write_report`` does.

    Raises ValueError where a run has no experiment, or where there are more runs than can be told apart.
    """
    for run in runs:
        if not run.parts:
            raise ValueError(f"{run.name} has no experiments to report: name at least one folder of an experiment")
    if len(runs) > MAX_RUNS:
        raise ValueError(f"{len(runs)} runs do not fit side by side: give at most {MAX_RUNS}")
    runs = named(runs)
    examples = [(part.title, pieces.token_example(part)) for run in runs for part in run.parts]
    template = environment().get_template("report.html.j2")
    for shown in _SHOWN:
        html = template.render(
            _context(runs, shown), tokens=[(title, found) for title, found in examples if found]
        )
        if len(html.encode()) <= MAX_BYTES:
            break
    write_whole(out, html)
    return out


def named(runs: Sequence[Run]) -> list[Run]:
    """Return runs whose experiments bear their run's name, where there are several."""
    return [
        Run(run.name, [replace(part, run=run.name if len(runs) > 1 else "") for part in run.parts]) for run in runs
    ]


def environment() -> Environment:
    """Return the templates' environment: what is shown is escaped, and no control character let through."""
    environment = Environment(
        loader=PackageLoader("aritmo", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    environment.filters |= {
        "percent": percent, "interval": interval, "figure": figure, "points": points, "cut": clean,
    }  # fmt: skip
    return environment


_TASKS = ("squares", "addition", "decomposition", "primality")


def _context(runs: Sequence[Run], shown: int) -> Record:
    parts = [part for run in runs for part in run.parts]
    of_task = {task: [sections.show(part, shown) for part in parts if part.task == task] for task in _TASKS}
    common, differing = sections.settings(parts)
    compared, alone = compare.compare([(run.name, run.parts) for run in runs]) if len(runs) > 1 else ([], [])
    beside = {item.name for item in compared}
    return {
        "run": " · ".join(run.name for run in runs),
        "several": len(runs) > 1,
        "lede": lede(parts),
        "compared": compared,
        "runs": [run.name for run in runs],
        "overview": [(name, [_headline_of(run, name) for run in runs]) for name in _names(parts)],
        "alone": alone,
        "verdicts": [(part.title, words.sentence(part), headline(part)) for part in parts],
        "squares": [
            (item, [(*group, *sections.square_rows(group[1])) for group in item.groups])
            for item in of_task["squares"]
        ],
        "addition": [
            (item, [(*group, charts.heat_map(group[1]["by_length"])) for group in item.groups])
            for item in of_task["addition"]
        ],
        "decomposition": sections.by_digits(of_task["decomposition"]),
        "primality": sections.by_digits(of_task["primality"], sections.best_constant),
        # The curves of what is compared stand side by side already.
        "training": [
            (part.title, sections.curves(part)) for part in parts if part.name not in beside and part.is_run
        ],
        "reasons": [(part.title, sections.reasons(part)) for part in parts],
        "common": common,
        "differing": differing,
        "titles": [part.title for part in parts],
        "missing": [note for part in parts for note in dict.fromkeys(part.missing)],
    }


_NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def lede(parts: Sequence[Part]) -> str:
    """Return in a few sentences what was done: which experiments, on how much, which model, how long."""
    names = _names(parts)
    runs = len({part.run for part in parts})
    said = [f"{_spelled(runs)} runs."] if runs > 1 else []
    said += [f"{_spelled(len(names))} experiment{'s' * (len(names) != 1)}: {_listed(names)}."]
    trained = sum(part.manifest.get("splits", {}).get("train", {}).get("count", 0) for part in parts)
    models = list(dict.fromkeys(filter(None, map(_model, parts))))
    steps = [max((line["step"] for line in part.metrics), default=0) for part in parts]
    if trained:
        said.append(f"Their corpora hold {trained:,} training examples.")
    if models:
        said.append(
            f"Model: {_listed(models)}{f', trained for {sum(steps):,} steps in all' if sum(steps) else ''}."
        )
    asked = sum(group["samples"] for part in parts for name in GROUPS if (group := part.group(name)))
    said.append(f"{'Then ' if trained or models else ''}{asked:,} completions were written and judged exactly.")
    seconds = sum(map(_seconds, parts))
    if seconds:
        said.append(f"It took {duration(seconds)}.")
    return " ".join(said)


def _spelled(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else f"{count}"


def _model(part: Part) -> str:
    model = part.config.get("model", "")
    if not isinstance(model, dict):
        return str(model)
    name, parameters = str(model.get("name", "")), model.get("parameters")
    return f"{name} ({parameters:,} parameters)" if isinstance(parameters, int) else name


def _seconds(part: Part) -> float:
    spent = part.config.get("seconds", {})
    times = spent.values() if isinstance(spent, dict) else [spent]
    return sum(time for time in times if isinstance(time, int | float))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _names(parts: Sequence[Part]) -> list[str]:
    return list(dict.fromkeys(part.name for part in parts))


def _headline_of(run: Run, name: str) -> Record | None:
    """Return the headline of a run's experiment of that name, None where it has none."""
    return next((headline(part) for part in run.parts if part.name == name), None)


def headline(part: Part) -> Record | None:
    """Return the share that an experiment is judged by: valid answers to held-out problems, else to any."""
    group = part.group("test") or part.group("train")
    return group["valid"] if group else None
