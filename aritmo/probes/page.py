"""One self-contained HTML page that sets what several models answered side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aritmo.files import write_whole
from aritmo.probes.prompts import PROBES, Probe, report_share
from aritmo.probes.run import ANSWERS, PAGE, model_folders, rewrite
from aritmo.probes.summary import WAYS, by_probe
from aritmo.progress import duration
from aritmo.records import read_jsonl
from aritmo.report import charts, examples, squares
from aritmo.report.page import environment
from aritmo.statistics import share

Record = dict[str, Any]

_ABOUT = {
    "joined": (
        "Taking numbers apart, digits joined",
        "Nine numbers are taken apart, then one is left open. The examples of two digits are the report's own, "
        "and 43 is the first number asked, as there; longer numbers are shown nine of their own length. An answer "
        "is right when it is all there, every digit at its place and nothing more.",
    ),
    "spaced": (
        "Taking numbers apart, digits set apart",
        "The same numbers, their digits set apart by spaces, so that no token holds two of them. The report's "
        "GPT-J failed on numbers joined and succeeded on numbers spaced.",
    ),
    "addition": (
        "Addition",
        "Four sums of the report are shown with their right results, then a sum is asked. A darker field is a "
        "larger share of right results, greedily.",
    ),
    "primality": (
        "Primes",
        "Six numbers are called prime or not, then one is asked. Half of the numbers asked are prime, so the same "
        "answer to all is right half of the time: the upright stroke.",
    ),
    "squares": (
        "Going on with a list of prime magic squares",
        "Three listed squares of order 3, then the next number. The answer is judged as «aritmo judge» does, with "
        "the three squares of the prompt in the place of training: right is what is valid and no copy of them.",
    ),
}
_MEASURES = {
    "parsed": "a square could be read",
    "cells_prime": "cells that are prime",
    "all_prime": "every cell prime",
    "sums_equal": "rows, columns and diagonals with one sum",
    "distinct": "all cells different",
    "claims_right": "no false sum claimed",
    "copied": "copied from the prompt",
    "near_copy": "near copy of a square of the prompt",
    "invented": "invented",
    "valid": "valid",
    "valid_new": "right: valid and not copied",
}
_GROUPED = 5
"""Squares drawn of each model."""
_HIDDEN = ("label", "name", "version")


@dataclass(frozen=True, slots=True)
class _Model:
    """A model on the page: its colour, what it came to, and its answers by probe and way."""

    number: int
    label: str
    summary: Record
    answers: dict[tuple[str, str], list[Record]]

    def group(self, probe: str, way: str) -> Record | None:
        group: Record | None = self.summary["probes"].get(probe, {}).get(way)
        return group

    def first_group(self, probe: str) -> Record | None:
        """Return what the likeliest texts came to, where there are none what was drawn did."""
        return next((group for way in WAYS if (group := self.group(probe, way))), None)

    def first_answers(self, probe: str) -> list[Record]:
        return next((some for way in WAYS if (some := self.answers.get((probe, way)))), [])


def write_page(out: Path) -> tuple[Path, list[Record]]:
    """Write the page on all models asked below ``out``; return its path and their summaries.

    Raises ValueError where none has answered yet.
    """
    found = zip(model_folders(out), rewrite(out), strict=True)
    answered = [(folder, summary) for folder, summary in found if summary["answers"]]
    if not answered:
        raise ValueError(f"{out} holds no answers yet: name a model to ask, or another --out")
    models = [
        _Model(number, summary["settings"]["label"], summary, by_probe(read_jsonl(folder / ANSWERS)))
        for number, (folder, summary) in enumerate(answered)
    ]
    html = environment().get_template("probe.html.j2").render(_context(out, models))
    write_whole(out / PAGE, html)
    return out / PAGE, [summary for _, summary in answered]


def _context(out: Path, models: Sequence[_Model]) -> Record:
    asked = [probe for probe in PROBES.values() if any(probe.name in model.summary["probes"] for model in models)]
    return {
        "name": out.resolve().name,
        "lede": _lede(models),
        "models": models,
        "overview": [(probe, [_greedy(model, probe.name) for model in models]) for probe in asked],
        "sections": [_section(probe, models) for probe in asked],
        "cuts": _cuts(models),
        "settings": _settings(models),
    }


def _lede(models: Sequence[_Model]) -> str:
    answers = sum(model.summary["answers"] for model in models)
    seconds = sum(model.summary["seconds"] for model in models)
    several = len(models) != 1
    return (
        f"Nothing was trained. {len(models)} model{'s' * several} as {'they are' if several else 'it is'} went on "
        f"from a few worked examples: {answers:,} answers, each judged exactly, in {duration(seconds)}."
    )


def _greedy(model: _Model, probe: str) -> Record | None:
    group = model.first_group(probe)
    return group["right"] if group else None


def _section(probe: Probe, models: Sequence[_Model]) -> Record:
    title, about = _ABOUT[probe.name]
    mine = [model for model in models if probe.name in model.summary["probes"]]
    return {
        "name": probe.name,
        "title": title,
        "about": about,
        "prompt": _prompt(probe, mine),
        "rows": _rows(probe, mine),
        "chance": probe.name == "primality",
        "bars": _bars(probe, models),
        "maps": _maps(probe, mine),
        "by_cut": _by_cut(probe, mine),
        "samples": [] if probe.name == "squares" else [(model, _samples(model, probe.name)) for model in mine],
        "squares": _square_table(mine) if probe.name == "squares" else None,
        "drawn": [(model, _drawn(model)) for model in mine] if probe.name == "squares" else [],
    }


def _prompt(probe: Probe, models: Sequence[_Model]) -> str:
    way = next(way for way in WAYS if (probe.name, way) in models[0].answers)
    first: str = models[0].answers[probe.name, way][0]["prompt"]
    return first


def _rows(probe: Probe, models: Sequence[_Model]) -> list[Record]:
    """Return a row for each model and way, and one for what the report says where it says something."""
    rows = [
        {"model": model, "way": way, "right": group["right"]}
        for model in models
        for way in WAYS
        if (group := model.group(probe.name, way))
    ]
    if probe.task == "decomposition":
        rows.append({"model": None, "way": "", "right": share(*report_share(probe.style))})
    return rows


def _bars(probe: Probe, models: Sequence[_Model]) -> list[charts.Bars]:
    if len(probe.groups[0]) != 1 or probe.name == "squares":
        return []
    chance = {group[0]: 0.5 for group in probe.groups} if probe.name == "primality" else {}
    drawn = []
    for way in WAYS:
        # Models that were not asked keep their colour.
        series = {model.label: (model.group(probe.name, way) or {}).get("by_length", []) for model in models}
        drawn.append(charts.bars(way, series, chance))
    return [chart for chart in drawn if chart]


def _maps(probe: Probe, models: Sequence[_Model]) -> list[tuple[_Model, charts.HeatMap]]:
    if len(probe.groups[0]) != 2:
        return []
    found = [(model, model.first_group(probe.name)) for model in models]
    return [(model, map_) for model, group in found if group and (map_ := charts.heat_map(group["by_length"]))]


def _by_cut(probe: Probe, models: Sequence[_Model]) -> list[tuple[str, list[tuple[_Model, Record]]]]:
    """Return greedy shares by the way of cutting: for each way, the models whose tokenizer cuts so."""
    found: dict[str, dict[int, list[int]]] = {}
    for model in models:
        for length, cut, right, of in (model.first_group(probe.name) or {}).get("by_cut", []):
            name = f"{length[0]} digits: {cut}" if len(length) == 1 else cut
            counts = found.setdefault(name, {}).setdefault(model.number, [0, 0])
            counts[0] += right
            counts[1] += of
    by_number = {model.number: model for model in models}
    return [
        (name, [(by_number[number], share(*counts)) for number, counts in sorted(some.items())])
        for name, some in sorted(found.items())
    ]


def _samples(model: _Model, probe: str) -> examples.Samples:
    return examples.samples(map(_as_verdict, model.first_answers(probe)), shown=2)


def _as_verdict(answer: Record) -> Record:
    return {
        "split": "test", "task": answer["task"], "style": answer["style"], "prompt": answer["asked"],
        "text": answer["text"], "valid": answer["right"], "reasons": answer["reasons"],
    }  # fmt: skip


def _square_table(models: Sequence[_Model]) -> Record:
    """Return the columns, a model and a way each, and for each measure its shares."""
    columns = [
        (model, way, group["squares"])
        for model in models
        for way in WAYS
        if (group := model.group("squares", way))
    ]
    rows = [(name, [found[key] for *_, found in columns]) for key, name in _MEASURES.items()]
    return {"columns": [(model, way) for model, way, _ in columns], "rows": rows}


def _drawn(model: _Model) -> list[tuple[str, squares.Grid, squares.Grid | None]]:
    """Return some squares that a model wrote, right ones first, each beside the one that it repeats."""
    found = [
        answer
        for way in WAYS
        for answer in model.answers.get(("squares", way), [])
        if answer["answer"] is not None and len(answer["answer"]) == 3
    ]
    order = ["valid", "near copy", "invented", "copied"]
    kinds = [("valid" if answer["right"] else answer["origin"], answer) for answer in found]
    some = sorted(kinds, key=lambda pair: order.index(pair[0]))
    picked = [pair for kind in order for pair in [one for one in some if one[0] == kind][:2]][:_GROUPED]
    return [(f"{kind}, {answer['way']}", *_grids(answer)) for kind, answer in picked]


def _grids(answer: Record) -> tuple[squares.Grid, squares.Grid | None]:
    nearest = answer["nearest"]
    if not nearest or not nearest["changed"]:
        return squares.grid(answer["answer"]), None
    return squares.grid(answer["answer"], beside=nearest["cells"]), squares.grid(nearest["cells"])


def _cuts(models: Sequence[_Model]) -> list[tuple[_Model, list[tuple[str, list[Record]]]]]:
    """Return how each model's tokenizer cuts some of the numbers asked, joined and spaced."""
    found = []
    for model in models:
        rows = []
        for probe in ("joined", "spaced", "primality"):
            cut = [one for one in model.first_answers(probe) if one.get("cut") and one["index"] < 3]
            if cut:
                rows.append((probe, cut))
        found.append((model, rows))
    return [(model, rows) for model, rows in found if rows]


def _settings(models: Sequence[_Model]) -> list[tuple[str, list[str]]]:
    names = dict.fromkeys(name for model in models for name in model.summary["settings"] if name not in _HIDDEN)
    rows = [
        (name.replace("_", " "), [_value(model.summary["settings"].get(name)) for model in models])
        for name in names
    ]
    rows.append(("answers", [f"{model.summary['answers']:,}" for model in models]))
    rows.append(("time", [duration(model.summary["seconds"]) for model in models]))
    return [(name, values) for name, values in rows if any(value != "–" for value in values)]


def _value(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
