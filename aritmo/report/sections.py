"""What the sections of the page show of each experiment: tables, bars, curves, reasons and settings."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aritmo.report import charts, examples, squares, steps, words
from aritmo.report.parts import Part, Record

GROUPS = {"test": "held out", "train": "seen in training"}
"""The groups of answers by split, and what people call them."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a section shows of one experiment: its groups, and its answers as squares, as steps or as samples."""

    part: Part
    title: str
    groups: list[tuple[str, Record]]
    gallery: squares.Gallery
    walks: steps.Walks
    samples: examples.Samples


def show(part: Part, shown: int) -> Shown:
    """Read an experiment's verdicts once and keep what is shown: at most so many squares of each kind."""
    groups = [(label, group) for name, label in GROUPS.items() if (group := part.group(name))]
    split = "train" if part.group("train") and not part.group("test") else "test"
    gallery = squares.gallery(part.verdicts() if part.task == "squares" else (), shown)
    walks = steps.walks(part.verdicts() if part.task == "addition" else (), split, max(2, shown // 4))
    others = part.verdicts() if part.task not in ("squares", "addition") else ()
    return Shown(part, part.title, groups, gallery, walks, examples.samples(others, split))


SQUARE_ROWS = (
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


def square_rows(group: Record) -> tuple[list[Record], list[tuple[str, float]]]:
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
        for key, name in SQUARE_ROWS
        if key in shares
    ]
    return rows, list(levels.items())


def by_digits(
    shown: Sequence[Shown], chance: Callable[[Sequence[Shown], str], dict[int, float]] | None = None
) -> Record:
    """Return the bars by number of digits, held out and trained, one series for each experiment."""
    drawn = []
    for name, label in GROUPS.items():
        series = {item.title: group["by_length"] for item in shown if (group := item.part.group(name))}
        drawn.append(charts.bars(label, series, chance(shown, name) if chance else {}))
    return {"shown": shown, "bars": [chart for chart in drawn if chart]}


def best_constant(shown: Sequence[Shown], split: str) -> dict[int, float]:
    """Return by digits the share that one answer alone, the more frequent right one, would get."""
    counts: dict[int, list[int]] = {}
    for verdict in (verdict for item in shown for verdict in item.part.verdicts()):
        details = verdict.get("details", {})
        if verdict.get("split") == split and "prime" in details:
            counts.setdefault(details["digits"], [0, 0])[bool(details["prime"])] += 1
    return {digits: max(pair) / sum(pair) for digits, pair in counts.items()}


def losses(part: Part, held_out: bool) -> list[charts.Point]:
    """Return the loss by step, in training or of held-out examples."""
    if not held_out:
        return [(line["step"], line["loss"]) for line in part.metrics if "loss" in line]
    return [
        (step, loss) for step, found in _evaluations(part) if (loss := found.get("validation_loss")) is not None
    ]


def exact_answers(part: Part) -> list[charts.Point]:
    """Return by step the share of held-out problems that were answered right while training."""
    return [(step, exact) for step, found in _evaluations(part) if (exact := found.get("exact")) is not None]


def _evaluations(part: Part) -> list[tuple[float, Record]]:
    return [(line["step"], line["evaluation"]) for line in part.metrics if "evaluation" in line]


def curves(part: Part) -> list[charts.LineChart]:
    """Return the charts of an experiment's training: loss, and exact answers where they were counted."""
    loss = {"training": losses(part, False), "held out": losses(part, True)}
    drawn = (
        charts.line_chart("loss", loss),
        charts.line_chart("exact answers", {"held out": exact_answers(part)}, top=1.0),
    )
    return [chart for chart in drawn if chart]


def reasons(part: Part) -> list[tuple[str, int, list[tuple[str, int]]]]:
    """Return by group its name, its number of answers and its reasons of failure, most frequent first."""
    groups = ((label, part.group(name)) for name, label in GROUPS.items())
    return [
        (label, group["samples"], [(kind, count) for kind, count in group.get("reasons", [])[:10]])
        for label, group in groups
        if group
    ]


def settings(parts: Sequence[Part]) -> tuple[list[tuple[str, str]], list[tuple[str, list[str]]]]:
    """Return the settings that all experiments share, and those that differ with the value of each."""
    read = [dict(flat(part.config)) | dict(flat({"corpus manifest": part.manifest})) for part in parts]
    rows = tabled(read)
    common = [(name, values[0]) for name, values in rows if len(set(values)) == 1]
    return common, [(name, values) for name, values in rows if len(set(values)) > 1]


def tabled(read: Sequence[dict[str, str]]) -> list[tuple[str, list[str]]]:
    """Return a row for each name that any of the columns has, with the value of each."""
    names = dict.fromkeys(name for values in read for name in values)
    return [(name, [values.get(name, "–") for values in read]) for name in names]


def flat(values: Record, above: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        path = f"{above}{name}"
        if isinstance(value, dict):
            rows += flat(value, f"{path} · ")
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
