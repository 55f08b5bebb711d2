"""Draw how the kinds of steps of the squares model were learned: docs/pictures/squares-learning.svg.

    python scripts/draw_squares_learning.py

Reads the logs of `aritmo train --recipe squares`, one a seed, in research/logs. A line is the median seed, a mean
over five lines of the log, its band all seeds.
"""

import json
from pathlib import Path
from statistics import fmean, median

from matplotlib import rc_context
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
LOGS = sorted((ROOT / "research/logs").glob("squares-recipe-seed-*.jsonl"))
PICTURE = ROOT / "docs/pictures/squares-learning.svg"
KINDS = {
    "mirror": ("2c - p, and is it prime?", "#3b6fb6"),
    "next": ("the next prime below", "#5aa469"),
    "sum": ("c + d", "#e39a26"),
    "third": ("the third of a line, in the list?", "#8a5fb0"),
    "rest": ("what is left of a line's sum", "#c9182b"),
    "rows": ("the nested square, written out", "#444444"),
}
LEAST = 1e-5
SMOOTH = 5


def main() -> None:
    logs = [[json.loads(line) for line in path.read_text().splitlines()] for path in LOGS]
    style = {
        "font.family": "DejaVu Sans",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.hashsalt": "x",
    }
    with rc_context(style):
        figure = Figure(figsize=(8, 4.2), facecolor="white", layout="constrained")
        axes = figure.subplots()
        for kind, (told, colour) in KINDS.items():
            curves = [curve(log, kind) for log in logs]
            steps = [line["step"] for line in logs[0][: min(map(len, curves))]]
            rows = list(zip(*curves, strict=False))
            axes.plot(steps, [median(row) for row in rows], color=colour, label=told, linewidth=1.8)
            axes.fill_between(
                steps, list(map(min, rows)), list(map(max, rows)), color=colour, alpha=0.15, linewidth=0
            )
        axes.set(xscale="log", yscale="log", xlabel="updates of 65,536 tokens", ylim=(LEAST, 1.2))
        axes.set_ylabel("symbols written wrong, of those asked")
        axes.legend(frameon=False, fontsize=9, loc="lower left")
        axes.set_title(
            f"One kind of step after another ({len(LOGS)} seeds)", loc="left", fontweight="bold", fontsize=11
        )
        figure.savefig(PICTURE, format="svg", metadata={"Date": None})


def curve(log: list[dict[str, object]], kind: str) -> list[float]:
    """Return the share written wrong at each line of a log, smoothed, never below what can be drawn."""
    shares = [line["kinds"].get(kind, [0, None])[1] for line in log]  # type: ignore[attr-defined]
    filled = [0.0 if share is None else share for share in shares]
    return [max(LEAST, fmean(filled[max(0, at - SMOOTH + 1) : at + 1])) for at in range(len(filled))]


if __name__ == "__main__":
    main()
