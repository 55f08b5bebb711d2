"""The geometry of the charts. The template draws them; lengths are units of the SVG's view box."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from math import ceil, floor, log10

from aritmo.statistics import wilson

Point = tuple[float, float]

_WIDTH, _HEIGHT = 420.0, 210.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 12.0, 10.0, 30.0
_MOST_POINTS = 240
_LOG_FROM = 30.0
"""Values that differ by more than this factor are drawn on a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its place among those asked for, its name, its path and its dots (drawn where there are few)."""

    number: int
    name: str
    path: str
    dots: list[Point]
    last: float


@dataclass(frozen=True, slots=True)
class LineChart:
    title: str
    width: float
    height: float
    left: float
    right: float
    bottom: float
    log: bool
    xs: list[tuple[float, str]]
    ys: list[tuple[float, str]]
    series: list[Series]


def line_chart(title: str, lines: dict[str, list[Point]], top: float | None = None) -> LineChart | None:
    """Return a chart of lines by name, each a list of (step, value); None where there is no point.

    ``top`` fixes the axis to 0 .. top, in per cent. Else it runs from 0, or is logarithmic where values
    differ widely.
    """
    numbers = {name: number for number, name in enumerate(lines)}
    lines = {name: thinned(points) for name, points in lines.items() if points}
    if not lines:
        return None
    values = [value for points in lines.values() for _, value in points]
    steps = [step for points in lines.values() for step, _ in points]
    log = top is None and min(values) > 0 and max(values) / min(values) > _LOG_FROM
    low, high = (log10(min(values)), log10(max(values))) if log else (0.0, top or max(values) * 1.05 or 1.0)
    first, last = (min(steps), max(steps)) if min(steps) < max(steps) else (0.0, max(steps) or 1.0)

    def x(step: float) -> float:
        return round(_LEFT + (step - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        at = (log10(value) if log else value) - low
        return round(_HEIGHT - _BOTTOM - at / (high - low) * (_HEIGHT - _BOTTOM - _TOP), 1)

    series = []
    for name, points in lines.items():
        spots = [(x(step), y(value)) for step, value in points]
        path = "M" + "L".join(f"{at:g} {up:g}" for at, up in spots)
        series.append(Series(numbers[name], name, path, spots if len(spots) <= 25 else [], points[-1][1]))
    ys = [(y(value), _mark(value, top)) for value in (_decades(low, high) if log else ticks(low, high, 4))]
    xs = [(x(step), f"{step:,.0f}") for step in ticks(first, last, 4) if step == int(step)]
    return LineChart(title, _WIDTH, _HEIGHT, _LEFT, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM, log, xs, ys, series)


def thinned(points: Sequence[Point]) -> list[Point]:
    """Return at most some hundred points: each the mean of as many neighbours as it takes."""
    size = ceil(len(points) / _MOST_POINTS) or 1
    bins = [points[i : i + size] for i in range(0, len(points), size)]
    return [(bin_[-1][0], sum(value for _, value in bin_) / len(bin_)) for bin_ in bins]


def ticks(low: float, high: float, about: int) -> list[float]:
    """Return round values from ``low`` to ``high``, 1, 2 or 5 times a power of ten apart, about so many."""
    rough = (high - low) / about
    power = 10.0 ** floor(log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    return [round(i * step, 12) for i in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def _mark(value: float, top: float | None) -> str:
    return f"{value:g}" if top is None else f"{100 * value:g} %"


def _decades(low: float, high: float) -> list[float]:
    marks = (1, 3) if high - low < 2.5 else (1,)
    values = [m * 10.0**e for e in range(floor(low), ceil(high) + 1) for m in marks]
    return [value for value in values if low - 1e-9 <= log10(value) <= high + 1e-9]


@dataclass(frozen=True, slots=True)
class Cell:
    """A field of a heat map: where it is drawn, how many of how many were right, its bin of lengths each way."""

    x: float
    y: float
    count: int
    of: int
    row: int
    column: int
    label: str

    @property
    def share(self) -> float:
        return self.count / self.of


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Fields of side ``side``, one for each pair of bins of ``width`` lengths; ``labels`` says whether text fits.

    ``bins`` names each bin, ``marks`` holds where an axis is marked and with how many digits.
    """

    size: float
    side: float
    origin: float
    width: int
    bins: list[str]
    marks: list[tuple[float, int]]
    cells: list[Cell]
    labels: bool

    @property
    def table(self) -> list[tuple[str, list[Cell | None]]]:
        """The same as rows: the bin of the first number, and a field or None for each bin of the second."""
        found = {(cell.row, cell.column): cell for cell in self.cells}
        places = range(len(self.bins))
        return [
            (name, [found.get((row, column)) for column in places])
            for row, name in enumerate(self.bins)
            if any((row, column) in found for column in places)
        ]


_MOST_BINS = 20


def heat_map(by_length: Sequence[Sequence[int]]) -> HeatMap | None:
    """Return the heat map of ``[[digits_a, digits_b, right, of], ...]``; None where it is empty.

    Digits of the first operand rise downwards and those of the second to the right. Where there are more than
    20 lengths they are put together: two by two, by fives, by tens and so on. Short ones that were not asked are
    left out.
    """
    rows = [row for row in by_length if row[3]]
    if not rows:
        return None
    least, places = min(min(row[:2]) for row in rows), max(max(row[:2]) for row in rows)
    widths = (m * 10**e for e in count() for m in (1, 2, 5))
    width = next(w for w in widths if (places - 1) // w - (least - 1) // w < _MOST_BINS)
    skipped = (least - 1) // width
    counts: dict[tuple[int, int], list[int]] = {}
    for a, b, right, of in rows:
        pair = counts.setdefault(((a - 1) // width - skipped, (b - 1) // width - skipped), [0, 0])
        pair[0] += right
        pair[1] += of
    size, origin, number = 400.0, 34.0, ceil(places / width) - skipped
    side = (size - origin) / number
    ends = [(skipped + i + 1) * width for i in range(number)]
    bins = [f"{end - width + 1} to {end}" if width > 1 else str(end) for end in ends]
    cells = [
        Cell(
            round(origin + b * side, 2),
            round(origin + a * side, 2),
            right,
            of,
            a,
            b,
            f"{bins[a]} and {bins[b]} digits: {right:,} of {of:,} right",
        )
        for (a, b), (right, of) in sorted(counts.items())
    ]
    every = ceil(number / (15 if width == 1 else 10))
    # The mark of a bin of several lengths is its last, so it stands where the bin ends.
    at = 1.0 if width > 1 else 0.5
    marks = [(round(origin + (i + at) * side, 2), end) for i, end in enumerate(ends) if (i + 1) % every == 0]
    return HeatMap(size, side, origin, width, bins, marks, cells, side >= 40)


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a share in per cent of the width, with its interval in the same unit."""

    name: str
    series: int
    count: int
    of: int
    share: float
    low: float
    high: float
    chance: float | None = None


@dataclass(frozen=True, slots=True)
class Bars:
    """Groups of bars, one group for each number of digits, one bar for each series."""

    title: str
    series: list[str]
    groups: list[tuple[int, list[Bar]]] = field(default_factory=list)

    @property
    def chance(self) -> bool:
        return any(bar.chance is not None for _, bars in self.groups for bar in bars)


def bars(
    title: str,
    series: dict[str, Sequence[Sequence[int]]],
    chance: dict[int, float],
) -> Bars | None:
    """Return bars of ``{name: [[digits, right, of], ...]}``; None where there is nothing to draw."""
    chart = Bars(title, list(series))
    for digits in sorted({row[0] for rows in series.values() for row in rows if row[2]}):
        drawn = []
        for number, (name, rows) in enumerate(series.items()):
            for _, right, of in (row for row in rows if row[0] == digits and row[2]):
                low, high = wilson(right, of)
                drawn.append(Bar(name, number, right, of, right / of, low, high, chance.get(digits)))
        chart.groups.append((digits, drawn))
    return chart if chart.groups else None
