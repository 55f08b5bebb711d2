"""What an experiment found, as one picture, drawn by matplotlib without a screen."""

from collections.abc import Sequence
from io import BytesIO
from itertools import zip_longest
from statistics import median
from typing import Any

from aritmo.trials.tables import Record, shares, subjects

_COLOURS = {"bpe": "#c9182b", "apart": "#e39a26", "digits": "#3b6fb6"}
_NAMES = {"bpe": "BPE", "apart": "BPE, digits apart", "digits": "digit by digit"}
_SEEN, _UNSEEN = "#8a97a5", "#3b6fb6"
_STYLE = {
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titleweight": "bold",
    "svg.hashsalt": "aritmo",
}


def draw_trial(results: Sequence[Record]) -> bytes:
    """Return an SVG: for each subject unseen problems right by size of the training set, and by length.

    A line is the median seed, its band all seeds; lengths are those of the largest set, all seeds together.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    found = subjects(results)
    most = max(map(len, found.values()))
    with rc_context(_STYLE):
        figure = Figure(figsize=(4.4 + 2.6 * most, 3.2 * len(found)), facecolor="white", layout="constrained")
        panels = figure.subplots(len(found), 1 + most, squeeze=False, width_ratios=[1.6, *[1.0] * most])
        for row, (subject, cuts) in zip(panels, found.items(), strict=True):
            _by_size(row[0], results, subject, cuts)
            for axes, cut in zip_longest(row[1:], cuts):
                if cut is None:  # of an experiment that is not at its end
                    axes.remove()
                else:
                    _by_length(axes, results, subject, cut)
        return _svg(figure)


def draw_attempts(results: Sequence[Record]) -> bytes:
    """Return an SVG: for each subject problems seen in training and unseen ones right, as training goes on."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    found = subjects(results)
    with rc_context(_STYLE):
        figure = Figure(figsize=(5.2 * len(found), 3.6), facecolor="white", layout="constrained")
        for axes, subject in zip(figure.subplots(1, len(found), squeeze=False)[0], found, strict=True):
            curves = [line["curve"] for line in results if line["subject"] == subject]
            for name, at, colour in (("seen in training", 3, _SEEN), ("unseen", 1, _UNSEEN)):
                steps = [look[0] for look in curves[0]]
                rows = [[look[at] / look[at + 1] for look in curve] for curve in curves]
                _band(axes, steps, list(zip(*rows, strict=True)), colour, name)
            axes.set(title=subject, xlabel="updates", ylabel="% right", ylim=(-3, 103))
            axes.legend(frameon=False)
        return _svg(figure)


def _by_size(axes: Any, results: Sequence[Record], subject: str, cuts: Sequence[str]) -> None:
    for cut in cuts:
        by_size = shares(results, subject, cut)
        _band(axes, list(by_size), list(by_size.values()), _COLOURS[cut], _NAMES[cut])
    axes.set(title=subject, xlabel="different training examples", ylabel="% of unseen right", ylim=(-3, 103))
    axes.set_xscale("log")
    axes.legend(frameon=False, fontsize="small")


def _band(axes: Any, at: Sequence[int], rows: Sequence[Sequence[float]], colour: str, name: str) -> None:
    axes.plot(at, [100 * median(row) for row in rows], marker="o", markersize=3, color=colour, label=name)
    low, high = ([100 * extreme(row) for row in rows] for extreme in (min, max))
    axes.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)


def _by_length(axes: Any, results: Sequence[Record], subject: str, cut: str) -> None:
    """Draw the share right for each pair of lengths, or each length, at the largest training set."""
    own = [line for line in results if (line["subject"], line["cut"]) == (subject, cut)]
    largest = max(line["size"] for line in own)
    counts: dict[tuple[int, ...], list[int]] = {}
    for line in (line for line in own if line["size"] == largest):
        for *lengths, right, of in line["by_length"]:
            count = counts.setdefault((*lengths,), [0, 0])
            count[0], count[1] = count[0] + right, count[1] + of
    longest = max(max(lengths) for lengths in counts)
    axes.set_title(f"{_NAMES[cut]}, {largest:,}", fontsize="medium")
    if all(len(lengths) == 1 for lengths in counts):
        digits = sorted(counts)
        heights = [100 * counts[key][0] / counts[key][1] for key in digits]
        axes.bar([key[0] for key in digits], heights, color=_COLOURS[cut])
        axes.set(xlabel="digits", ylim=(0, 103), xticks=range(1, longest + 1))
        return
    grid = [[float("nan")] * longest for _ in range(longest)]
    for (first, second), (right, of) in counts.items():
        grid[first - 1][second - 1] = 100 * right / of
        shade = "white" if right / of < 0.6 else "black"
        axes.text(
            second, first, f"{100 * right / of:.0f}", ha="center", va="center", color=shade, fontsize="small"
        )
    extent = (0.5, longest + 0.5, longest + 0.5, 0.5)
    axes.imshow(grid, vmin=0, vmax=100, cmap="viridis", extent=extent)
    axes.set(xlabel="digits, second", ylabel="digits, first", xticks=range(1, longest + 1))
    axes.set_yticks(range(1, longest + 1))


def _svg(figure: Any) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
