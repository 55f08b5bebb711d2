"""One picture of what squares are made of, drawn by matplotlib without a screen."""

from io import BytesIO
from typing import Any, Literal

from aritmo.numbers.anatomy import PAIR_TYPES

_BLUE, _GREEN, _ORANGE, _RED, _GREY = "#3b6fb6", "#3f9b6c", "#e39a26", "#c9182b", "#8a97a5"
_STYLE = {
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titleweight": "bold",
    "svg.hashsalt": "aritmo",
}


def draw(statistics: dict[str, Any], form: Literal["svg", "png"]) -> bytes:
    """Return four panels on what ``Anatomy.statistics`` told, as SVG or PNG; the same values, the same bytes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(12, 8), facecolor="white", layout="constrained")
        count = statistics["squares"]
        figure.suptitle(f"{count:,} {'square' if count == 1 else 'squares'}")
        panels = figure.subplots(2, 2)
        _centres(panels[0, 0], statistics["centres"])
        _digits(panels[0, 1], statistics["last_digits"])
        _pairs(panels[1, 0], statistics["pairs"])
        _numbers(panels[1, 1], statistics["numbers"])
        file = BytesIO()
        figure.savefig(file, format=form, dpi=120, metadata={"Date": None} if form == "svg" else None)
    return file.getvalue()


def _centres(axes: Any, centres: dict[str, int]) -> None:
    kinds = [kind for kind in ("6n+1", "6n-1", "other", "none") if centres[kind] or kind.startswith("6n")]
    bars = axes.bar(kinds, [centres[kind] for kind in kinds], color=[_BLUE, _GREEN, _ORANGE, _GREY][: len(kinds)])
    axes.bar_label(bars, fmt="{:,.0f}")
    axes.set(title=f"Squares by the type of their centre ({centres['distinct']:,} centres)", ylabel="squares")
    axes.margins(y=0.15)


def _digits(axes: Any, digits: dict[str, list[int]]) -> None:
    """Stack the shares of each last digit, so that places of different size compare."""
    present = [digit for digit in range(10) if any(row[digit] for row in digits.values())]
    places = [place for place, row in digits.items() if sum(row)]
    colours = [_BLUE, _GREEN, _ORANGE, _RED]
    width = 0.8 / len(places)
    for index, place in enumerate(places):
        total = sum(digits[place])
        at = [column + (index - (len(places) - 1) / 2) * width for column in range(len(present))]
        heights = [100 * digits[place][digit] / total for digit in present]
        axes.bar(at, heights, width, color=colours[index], label=f"{place} ({total:,})")
    axes.set_xticks(range(len(present)), [str(digit) for digit in present])
    axes.set(title="Last digits by place", xlabel="last digit", ylabel="% of the cells of a place")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=4, fontsize="small")


def _pairs(axes: Any, pairs: dict[str, Any]) -> None:
    left = [0.0, 0.0]
    names = ("any", "even")
    totals = [sum(pairs[name][kind] for kind in PAIR_TYPES) or 1 for name in names]
    for kind, colour in zip(PAIR_TYPES, (_GREEN, _ORANGE, _GREY), strict=True):
        shares = [100 * pairs[name][kind] / total for name, total in zip(names, totals, strict=True)]
        axes.barh([f"{name} d" for name in names], shares, left=left, color=colour, label=kind)
        for row, (name, share) in enumerate(zip(names, shares, strict=True)):
            if share > 12:
                axes.text(left[row] + share / 2, row, f"{pairs[name][kind]:,}", ha="center", va="center")
        left = [start + share for start, share in zip(left, shares, strict=True)]
    axes.set(title="Pairs c-d, c+d around the centres", xlabel="% of the pairs", xlim=(0, 100))
    axes.invert_yaxis()
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3)


def _numbers(axes: Any, numbers: dict[str, Any]) -> None:
    top = numbers["most_frequent"]
    bars = axes.barh([str(number) for number, _ in top], [times for _, times in top], color=_BLUE)
    axes.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.invert_yaxis()
    supers = numbers["super_primes"]
    told = f"; super-primes in {100 * supers / numbers['cells']:.1f} % of cells" if supers is not None else ""
    axes.set(title=f"Most frequent{told}", xlabel="times")
    axes.margins(x=0.12)
