"""Pictures of squares: each ring in its tint, the core in its own, sums in the margin, defects in red."""

from colorsys import hls_to_rgb
from dataclasses import dataclass
from html import escape

import numpy as np

from aritmo.numbers.primes import are_prime
from aritmo.numbers.squares import Cells, check_square, common_sum, core_order, line_sums

PAPER, INK, EDGE = "#ffffff", "#17212b", "#5c6b7a"
_CORE, _CENTRE, _WRONG = "#ffd591", "#ffb53d", "#c9182b"
_OUTER_HUE, _INNER_HUE = 0.61, 0.25
_ROW = 46
_GAP = 14


@dataclass(frozen=True, slots=True)
class Style:
    """How the text of a kind looks: size in pixels, colour, weight, and whether it begins or is centred at x."""

    size: int
    colour: str
    bold: bool = False
    begins: bool = False


STYLES = {
    "cell": Style(16, INK),
    "defect": Style(16, "#ffffff", bold=True),
    "sum": Style(14, EDGE),
    "wrong": Style(14, _WRONG, bold=True),
    "caption": Style(14, INK, begins=True),
}


@dataclass(frozen=True, slots=True)
class Box:
    """A cell of the picture in pixels, y downwards; its kind is a key of ``Drawing.fills``."""

    x: int
    y: int
    width: int
    height: int
    kind: str


@dataclass(frozen=True, slots=True)
class Label:
    """A text in the picture, in the middle of its height; its kind is a key of ``STYLES``."""

    x: int
    y: int
    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A laid out picture, in pixels. ``edges`` are the outlines of the whole and of what is inside each ring."""

    width: int
    height: int
    caption: str
    fills: dict[str, str]
    boxes: list[Box]
    labels: list[Label]
    edges: list[Box]


def lay_out(cells: Cells, caption: str) -> Drawing:
    """Lay out an (n, n) square under a caption; row sums at the right, column and diagonal sums below.

    The core is what is left inside the rings that hold: of a plain magic square it is the whole, of a square
    without common sum the middle 3 x 3 or 4 x 4. Composite and repeated cells and sums other than that of most
    lines are kinds of their own. Raises ValueError for what ``as_square`` refuses.
    """
    order, check = len(cells), check_square(cells)
    core = check.nested_down_to or core_order(order)
    sums = [total for lines in line_sums(cells) for total in lines.tolist()]
    across = max(_ROW, 10 * max(len(str(number)) for number in (*sums, int(cells.max()))) + _GAP)
    rings = (order - core) // 2
    left, top = across, _ROW
    kinds = _kinds(cells, core)
    boxes, labels = [], [Label(_GAP, top // 2, caption, "caption")]
    for row, values in enumerate(cells.tolist()):
        for column, value in enumerate(values):
            kind = kinds[row][column]
            x, y = left + column * across, top + row * _ROW
            boxes.append(Box(x, y, across, _ROW, kind))
            shown = "defect" if kind in ("composite", "repeated") else "cell"
            labels.append(Label(x + across // 2, y + _ROW // 2, str(value), shown))
    labels += _margin(sums, order, across)
    return Drawing(
        width=max((order + 2) * across, 9 * len(caption) + 2 * _GAP),
        height=(order + 2) * _ROW,
        caption=caption,
        fills=_fills(rings),
        boxes=boxes,
        labels=labels,
        edges=[
            Box(left + b * across, top + b * _ROW, (order - 2 * b) * across, (order - 2 * b) * _ROW, "edge")
            for b in range(rings + 1)
        ],
    )


def _kinds(cells: Cells, core: int) -> list[list[str]]:
    order = len(cells)
    rings = (order - core) // 2
    prime = are_prime(cells).tolist()
    values = cells.tolist()
    distinct, counts = np.unique(cells, return_counts=True)
    repeated = set(distinct[counts > 1].tolist())

    def kind(row: int, column: int) -> str:
        if not prime[row][column]:
            return "composite"
        if values[row][column] in repeated:
            return "repeated"
        ring = min(row, column, order - 1 - row, order - 1 - column)
        if ring < rings:
            return f"ring{ring}"
        return "centre" if order % 2 and row == column == order // 2 else "core"

    return [[kind(row, column) for column in range(order)] for row in range(order)]


def _margin(sums: list[int], order: int, across: int) -> list[Label]:
    """Return the labels of the rows' sums, the columns', the main diagonal's and the other's."""
    reference = common_sum(sums)
    at = [
        *((row, order) for row in range(order)),
        *((order, column) for column in range(order)),
        (order, order),
        (order, -1),
    ]
    return [
        Label(
            (column + 1) * across + across // 2,
            (row + 1) * _ROW + _ROW // 2,
            str(total),
            "sum" if total == reference else "wrong",
        )
        for (row, column), total in zip(at, sums, strict=True)
    ]


def _fills(rings: int) -> dict[str, str]:
    """Return the colour of each kind of box: from blue outside to green inside, every second ring darker."""
    fills = {}
    for ring in range(rings):
        hue = _OUTER_HUE + (_INNER_HUE - _OUTER_HUE) * ring / max(rings - 1, 1)
        red, green, blue = (round(255 * part) for part in hls_to_rgb(hue, 0.83 if ring % 2 else 0.91, 0.6))
        fills[f"ring{ring}"] = f"#{red:02x}{green:02x}{blue:02x}"
    return {**fills, "core": _CORE, "centre": _CENTRE, "composite": _WRONG, "repeated": _WRONG}


def to_svg(drawing: Drawing) -> str:
    """Return the picture as one SVG document, on white paper, so that it reads on a dark page too."""
    rules = [f".{kind} {{ fill: {colour} }}" for kind, colour in drawing.fills.items()]
    for kind, style in STYLES.items():
        weight = "; font-weight: bold" if style.bold else ""
        anchor = "start; white-space: pre" if style.begins else "middle"
        rules.append(
            f"text.{kind} {{ font-size: {style.size}px; fill: {style.colour}; text-anchor: {anchor}{weight} }}"
        )
    size = f'width="{drawing.width}" height="{drawing.height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {drawing.width} {drawing.height}">',
        f"<title>{escape(drawing.caption)}</title>",
        "<style>",
        "text { font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace }",
        f".box {{ stroke: {EDGE}; stroke-opacity: 0.35 }}",
        f".edge {{ fill: none; stroke: {EDGE}; stroke-width: 2 }}",
        *rules,
        "</style>",
        f'<path fill="{PAPER}" d="M0 0h{drawing.width}v{drawing.height}H0z"/>',
        *(
            f'<rect class="box {b.kind}" x="{b.x}" y="{b.y}" width="{b.width}" height="{b.height}"/>'
            for b in drawing.boxes
        ),
        *(f'<path class="edge" d="M{b.x} {b.y}h{b.width}v{b.height}h-{b.width}z"/>' for b in drawing.edges),
        *(
            f'<text class="{label.kind}" x="{label.x}" y="{label.y}" dy=".35em">{escape(label.text)}</text>'
            for label in drawing.labels
        ),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
