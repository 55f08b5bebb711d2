"""Putting the page together: what each section shows, and the one file written."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from aritmo.files import write_whole
from aritmo.progress import duration
from aritmo.report import charts, examples, squares, words
from aritmo.report.parts import Part, Record, read_part
from aritmo.report.words import clean, figure, interval, percent

MAX_BYTES = 5 * 1024 * 1024
_SHOWN = (24, 12, 6, 2, 0)
"""Squares drawn of each group: fewer where the page would pass MAX_BYTES."""

_GROUPS = {"test": "held out", "train": "seen in training"}


def write_report(run: Path, parts: Sequence[Path], out: Path) -> Path:
    """Write the report of a run to one self-contained HTML file and return its path.

    ``parts`` are the folders of the experiments, in the order shown. What a folder lacks is said on the page.
    The file is at most 5 MiB and either whole or not there. Raises ValueError where there is no experiment,
    OSError where ``out`` cannot be written.
    """
    if not parts:
        raise ValueError(f"{run} has no experiments to report: name at least one folder of an experiment")
    read = [read_part(folder) for folder in parts]
    for shown in _SHOWN:
        html = _environment().get_template("report.html.j2").render(_context(run, read, shown))
        if len(html.encode()) <= MAX_BYTES:
            break
    write_whole(out, html)
    return out


def _environment() -> Environment:
    """Return the templates' environment: what is shown is escaped, and no control character let through."""
    environment = Environment(
        loader=PackageLoader("aritmo", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    environment.filters |= {"percent": percent, "interval": interval, "figure": figure, "cut": clean}
    return environment


def _context(run: Path, parts: Sequence[Part], shown: int) -> Record:
    of_task = {task: [_show(part, shown) for part in parts if part.task == task] for task in _TASKS}
    common, differing = _settings(parts)
    return {
        "run": run.name,
        "lede": lede(parts),
        "verdicts": [(part.title, words.sentence(part), headline(part)) for part in parts],
        "squares": [
            (item, [(*group, *_square_rows(group[1])) for group in item.groups]) for item in of_task["squares"]
        ],
        "addition": [
            (item, [(*group, charts.heat_map(group[1]["by_length"])) for group in item.groups])
            for item in of_task["addition"]
        ],
        "decomposition": _by_digits(of_task["decomposition"]),
        "primality": _by_digits(of_task["primality"], _best_constant),
        "training": [(part.title, curves(part)) for part in parts],
        "reasons": [(part.title, reasons(part)) for part in parts],
        "common": common,
        "differing": differing,
        "titles": [part.title for part in parts],
        "missing": [note for part in parts for note in dict.fromkeys(part.missing)],
    }


_TASKS = ("squares", "addition", "decomposition", "primality")
_NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def lede(parts: Sequence[Part]) -> str:
    """Return in a few sentences what was done: which experiments, on how much, which model, how long."""
    count = _NUMBERS[len(parts)] if len(parts) < len(_NUMBERS) else f"{len(parts)}"
    said = [f"{count} experiment{'s' * (len(parts) != 1)}: {_listed([part.title for part in parts])}."]
    trained = sum(part.manifest.get("splits", {}).get("train", {}).get("count", 0) for part in parts)
    models = list(dict.fromkeys(filter(None, map(_model, parts))))
    steps = [max((line["step"] for line in part.metrics), default=0) for part in parts]
    if trained:
        said.append(f"Their corpora hold {trained:,} training examples.")
    if models:
        said.append(
            f"Model: {_listed(models)}{f', trained for {sum(steps):,} steps in all' if sum(steps) else ''}."
        )
    asked = sum(group["samples"] for part in parts for name in _GROUPS if (group := part.group(name)))
    said.append(f"Then {asked:,} completions were written and judged exactly.")
    seconds = sum(map(_seconds, parts))
    if seconds:
        said.append(f"It took {duration(seconds)}.")
    return " ".join(said)


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


def headline(part: Part) -> Record | None:
    """Return the share that an experiment is judged by: valid answers to held-out problems, else to any."""
    group = part.group("test") or part.group("train")
    return group["valid"] if group else None


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a section shows of one experiment: its groups, and its answers as squares or as samples."""

    part: Part
    title: str
    groups: list[tuple[str, Record]]
    gallery: squares.Gallery
    samples: examples.Samples


def _show(part: Part, shown: int) -> _Shown:
    """Read an experiment's verdicts once and keep what is shown: at most so many squares of each kind."""
    groups = [(label, group) for name, label in _GROUPS.items() if (group := part.group(name))]
    split = "train" if part.group("train") and not part.group("test") else "test"
    of_squares = part.task == "squares"
    gallery = squares.gallery(part.verdicts() if of_squares else (), shown)
    samples = examples.samples(() if of_squares else part.verdicts(), split)
    return _Shown(part, part.title, groups, gallery, samples)


_SQUARE_ROWS = (
    ("cells_prime", "cells that are prime"),
    ("all_prime", "squares with every cell prime"),
    ("sums_equal", "rows, columns and diagonals with one sum"),
    ("distinct", "all cells different"),
    ("claims_right", "no false sum claimed"),
    ("valid", "valid: all of these"),
    ("valid_new", "valid and not copied"),
    ("valid_new_nest", "valid, its nest not in training"),
    ("valid_unseen_family", "valid, its centre or pair sum not in training"),
    ("valid_unseen_pattern", "valid, its pattern (u, a) not in training"),
    ("copied", "copied from training"),
    ("near_copy", "near copy"),
    ("invented", "invented"),
)
_SOURCE = {
    "cells_prime": "80.55 % (29 of 36)",
    "sums_equal": "none of 4",
    "valid": "none",
    "valid_new": "none",
    "valid_new_nest": "none",
    "valid_unseen_family": "none",
    "valid_unseen_pattern": "none",
}
_CHANCE = {
    "cells_prime": re.compile(r"odd number of \d+ digits? prime"),
    "all_prime": re.compile(r"square of order 3 all prime: odd cells$"),
}
"""The chance level set beside a row; of those by digits the last, for most numbers have the most digits."""


def _square_rows(group: Record) -> tuple[list[Record], list[tuple[str, float]]]:
    """Return the rows of the joint table, and all chance levels by name."""
    shares = group["squares"] | {"valid": group["valid"]}
    levels = shares.get("chance") or {}
    chance = {key: level for key, named in _CHANCE.items() for name, level in levels.items() if named.match(name)}
    rows = [
        {
            "name": name,
            "share": shares[key],
            "chance": chance.get(key),
            "source": _SOURCE.get(key, ""),
            "source_share": words.SOURCE_PRIMES["share"] if key == "cells_prime" else None,
        }
        for key, name in _SQUARE_ROWS
        if key in shares
    ]
    return rows, list(levels.items())


def _by_digits(
    shown: Sequence[_Shown], chance: Callable[[Sequence[_Shown], str], dict[int, float]] | None = None
) -> Record:
    """Return the bars by number of digits, held out and trained, one series for each experiment."""
    drawn = []
    for name, label in _GROUPS.items():
        series = {item.title: group["by_length"] for item in shown if (group := item.part.group(name))}
        drawn.append(charts.bars(label, series, chance(shown, name) if chance else {}))
    return {"shown": shown, "bars": [chart for chart in drawn if chart]}


def _best_constant(shown: Sequence[_Shown], split: str) -> dict[int, float]:
    """Return by digits the share that one answer alone, the more frequent right one, would get."""
    counts: dict[int, list[int]] = {}
    for verdict in (verdict for item in shown for verdict in item.part.verdicts()):
        details = verdict.get("details", {})
        if verdict.get("split") == split and "prime" in details:
            counts.setdefault(details["digits"], [0, 0])[bool(details["prime"])] += 1
    return {digits: max(pair) / sum(pair) for digits, pair in counts.items()}


def curves(part: Part) -> list[charts.LineChart]:
    """Return the charts of an experiment's training: loss, and exact answers where they were counted."""
    evaluated = [(line["step"], line["evaluation"]) for line in part.metrics if "evaluation" in line]
    loss = {
        "training": [(line["step"], line["loss"]) for line in part.metrics if "loss" in line],
        "held out": [
            (step, found["validation_loss"])
            for step, found in evaluated
            if found.get("validation_loss") is not None
        ],
    }
    exact = {"held out": [(step, found["exact"]) for step, found in evaluated if found.get("exact") is not None]}
    drawn = (charts.line_chart("loss", loss), charts.line_chart("exact answers", exact, top=1.0))
    return [chart for chart in drawn if chart]


def reasons(part: Part) -> list[tuple[str, int, list[tuple[str, int]]]]:
    """Return by group its name, its number of answers and its reasons of failure, most frequent first."""
    groups = ((label, part.group(name)) for name, label in _GROUPS.items())
    return [
        (label, group["samples"], [(kind, count) for kind, count in group.get("reasons", [])[:10]])
        for label, group in groups
        if group
    ]


def _settings(parts: Sequence[Part]) -> tuple[list[tuple[str, str]], list[tuple[str, list[str]]]]:
    """Return the settings that all experiments share, and those that differ with the value of each."""
    flat = [dict(_flat(part.config)) | dict(_flat({"corpus manifest": part.manifest})) for part in parts]
    names = list(dict.fromkeys(name for values in flat for name in values))
    rows = [(name, [values.get(name, "–") for values in flat]) for name in names]
    common = [(name, values[0]) for name, values in rows if len(set(values)) == 1]
    return common, [(name, values) for name, values in rows if len(set(values)) > 1]


def _flat(values: Record, above: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        path = f"{above}{name}"
        if isinstance(value, dict):
            rows += _flat(value, f"{path} · ")
        else:
            rows.append((path, _value(value)))
    return rows


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e5 else f"{value:,.0f}"
    if isinstance(value, list):
        return ", ".join(map(_value, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value)
