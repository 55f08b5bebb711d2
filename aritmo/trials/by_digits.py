"""What models say of numbers, by the number of digits: a table in English and in Spanish, and a picture."""

from collections.abc import Sequence
from io import BytesIO
from statistics import median_low
from typing import Any

from aritmo.statistics import wilson
from aritmo.trials.tables import Language

Record = dict[str, Any]

_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "model": "model", "digits": "digits", "right": "right", "same": "always the same answer",
        "rule": "by the last digit", "shipped": "shipped", "small": "small", "within": "", "beyond": ", beyond",
    },
    "es": {
        "model": "modelo", "digits": "cifras", "right": "aciertos", "same": "siempre la misma respuesta",
        "rule": "por la última cifra", "shipped": "incluido", "small": "pequeño", "within": "",
        "beyond": ", más allá",
    },
}  # fmt: skip
_COLOURS = {"shipped": "#3b6fb6", "small": "#c9182b"}


def median_seeds(records: Sequence[Record]) -> list[Record]:
    """Return for each model and number of digits the record of the median seed."""
    found: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        found.setdefault((record["model"], record["digits"]), []).append(record)
    return [
        next(one for one in some if one["right"] == median_low([one["right"] for one in some]))
        for some in found.values()
    ]


def table_by_digits(records: Sequence[Record], language: Language = "en") -> str:
    """Return a table: the median seed with its Wilson interval, beside what needs no idea of primes."""
    words = _WORDS[language]
    head = [words[name] for name in ("model", "digits", "right", "same", "rule")]
    lines = [head, ["---"] * len(head)]
    for record in median_seeds(records):
        digits = f"{record['digits']}{words['within' if record['within'] else 'beyond']}"
        shares = [_percent(record[name] / record["of"], language) for name in ("same", "rule")]
        lines.append([words[record["model"]], digits, _right(record, language), *shares])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _right(record: Record, language: Language) -> str:
    count, of = record["right"], record["of"]
    low, high = (_percent(share, language).removesuffix(" %") for share in wilson(count, of))
    between = "of" if language == "en" else "de"
    return f"{_percent(count / of, language)} ({low}–{high}; {count} {between} {of})"


def _percent(share: float, language: Language) -> str:
    text = f"{100 * share:.1f} %"
    return text.replace(".", ",") if language == "es" else text


def draw_by_digits(records: Sequence[Record]) -> bytes:
    """Return an SVG: a line a model with Wilson intervals, hollow beyond its range, and the two rules beside."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    chosen = median_seeds(records)
    models = list(dict.fromkeys(record["model"] for record in chosen))
    with rc_context({"font.family": "DejaVu Sans", "svg.hashsalt": "aritmo"}):
        figure = Figure(figsize=(5.2 * len(models), 3.6), facecolor="white", layout="constrained")
        for axes, model in zip(figure.subplots(1, len(models), squeeze=False)[0], models, strict=True):
            _draw_model(axes, model, [record for record in chosen if record["model"] == model])
        file = BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _draw_model(axes: Any, model: str, own: Sequence[Record]) -> None:
    words, digits = _WORDS["en"], [record["digits"] for record in own]
    for name, style in (("same", ":"), ("rule", "--")):
        shares = [100 * record[name] / record["of"] for record in own]
        axes.plot(digits, shares, style, color="#8a97a5", label=words[name])
    axes.plot(digits, [100 * one["right"] / one["of"] for one in own], color=_COLOURS[model], label=words[model])
    for record in own:
        share = record["right"] / record["of"]
        low, high = wilson(record["right"], record["of"])
        axes.errorbar(
            [record["digits"]], [100 * share], [[100 * (share - low)], [100 * (high - share)]], marker="o",
            color=_COLOURS[model], markerfacecolor=_COLOURS[model] if record["within"] else "white",
        )  # fmt: skip
    axes.set(title=f"{words[model]} model", xlabel="digits", ylabel="% right", ylim=(0, 103), xticks=digits)
    axes.legend(frameon=False, fontsize="small", loc="lower left")
