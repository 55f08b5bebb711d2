"""Runs side by side: their shares and how far these are apart, their curves on one axis, what settings differ."""

from collections.abc import Sequence
from dataclasses import dataclass

from aritmo.report import charts, sections
from aritmo.report.parts import Part, Record
from aritmo.statistics import difference

Share = Record

MEASURES = {
    "valid": "fully right",
    "valid_new": "valid and not copied",
    "cells_prime": "cells that are prime",
    "copied": "copied from training",
    "near_copy": "near copy",
}
"""The headline shares, in the order shown; all but the first are of squares only."""

_LEFT_OUT = ("command", "data", "seconds", "device", "versions", "trained")
"""What differs between any two runs and is no setting; the page says it further down."""


@dataclass(frozen=True, slots=True)
class Row:
    """The share of one run, and how far it is above the first run's, with its interval."""

    number: int
    run: str
    share: Share
    above: dict[str, float] | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One experiment that several runs did. ``settings`` holds what differs, a value for each of ``runs``."""

    name: str
    runs: list[tuple[int, str]]
    measures: list[tuple[str, list[Row]]]
    charts: list[charts.LineChart]
    settings: list[tuple[str, list[str]]]


def compare(runs: Sequence[tuple[str, Sequence[Part]]]) -> tuple[list[Comparison], list[str]]:
    """Return the experiments that more than one run did, and a sentence on each that only one did."""
    names = list(dict.fromkeys(part.name for _, parts in runs for part in parts))
    compared, alone = [], []
    for name in names:
        sharing = [(i, run, part) for i, (run, parts) in enumerate(runs) for part in parts if part.name == name]
        if len({run for _, run, _ in sharing}) > 1:
            compared.append(_comparison(name, sharing))
        else:
            alone.append(f"{name}: only in {sharing[0][1]}")
    return compared, alone


def _comparison(name: str, sharing: Sequence[tuple[int, str, Part]]) -> Comparison:
    measures = []
    for split, label in sections.GROUPS.items():
        for key, said in MEASURES.items():
            shares = [(i, run, _share(part, split, key)) for i, run, part in sharing]
            rows = _rows([(i, run, share) for i, run, share in shares if share])
            if rows:
                measures.append((f"{said}, {label}", rows))
    curves = {
        "loss on held-out problems": {run: sections.losses(part, True) for _, run, part in sharing},
        "loss in training": {run: sections.losses(part, False) for _, run, part in sharing},
        "exact answers": {run: sections.exact_answers(part) for _, run, part in sharing},
    }
    drawn = [
        charts.line_chart(title, lines, top=1.0 if title == "exact answers" else None)
        for title, lines in curves.items()
    ]
    return Comparison(
        name,
        [(i, run) for i, run, _ in sharing],
        measures,
        [chart for chart in drawn if chart],
        _settings([part for *_, part in sharing]),
    )


def _share(part: Part, split: str, key: str) -> Share | None:
    group = part.group(split)
    if group is None:
        return None
    share: Share | None = (group if key == "valid" else group.get("squares", {})).get(key)
    return share if share and share["of"] else None


def _rows(shares: Sequence[tuple[int, str, Share]]) -> list[Row]:
    """Return the rows of one measure; the first run is what the others are held against."""
    return [
        Row(number, run, share, difference(shares[0][2], share) if place else None)
        for place, (number, run, share) in enumerate(shares)
    ]


def _settings(parts: Sequence[Part]) -> list[tuple[str, list[str]]]:
    kept = [{name: value for name, value in part.config.items() if name not in _LEFT_OUT} for part in parts]
    made = [{name: part.manifest[name] for name in part.manifest if name != "sha256"} for part in parts]
    read = [
        dict(sections.flat(config) + sections.flat(manifest, "corpus built · "))
        for config, manifest in zip(kept, made, strict=True)
    ]
    return [(name, values) for name, values in sections.tabled(read) if len(set(values)) > 1]
