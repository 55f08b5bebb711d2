"""Pictures of squares as PNG, drawn by matplotlib without a screen."""

import warnings
from io import BytesIO

from aritmo.numbers.drawing import EDGE, PAPER, STYLES, Drawing

_LARGEST = 12_000
"""Pixels of the longer side; a wider picture is no longer legible in common viewers."""
_DPI = 144
_SCALE = 1.5
"""Pixels of the PNG for one of the layout, where it fits."""


def to_png(drawing: Drawing) -> bytes:
    """Return the picture as a PNG. Raises ValueError where it would pass 12,000 pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import PatchCollection
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    longer = max(drawing.width, drawing.height)
    if longer > _LARGEST:
        raise ValueError(
            f"a PNG of this square would have {longer:,} pixels a side, and {_LARGEST:,} are legible; "
            "give the name of an .svg"
        )
    dots = min(_SCALE, _LARGEST / longer)
    inch = _DPI / dots
    figure = Figure(figsize=(drawing.width / inch, drawing.height / inch), dpi=_DPI, facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, drawing.width), ylim=(drawing.height, 0))
    axes.axis("off")
    boxes = [Rectangle((box.x, box.y), box.width, box.height) for box in drawing.boxes]
    colours = [drawing.fills[box.kind] for box in drawing.boxes]
    point = 72 / inch
    axes.add_collection(PatchCollection(boxes, facecolor=colours, edgecolor=f"{EDGE}59", linewidth=point))
    edges = [Rectangle((box.x, box.y), box.width, box.height) for box in drawing.edges]
    axes.add_collection(PatchCollection(edges, facecolor="none", edgecolor=EDGE, linewidth=2 * point))
    for label in drawing.labels:
        style = STYLES[label.kind]
        axes.text(
            label.x,
            label.y,
            label.text,
            size=style.size * point,
            color=style.colour,
            weight="bold" if style.bold else "normal",
            family="DejaVu Sans Mono",
            ha="left" if style.begins else "center",
            va="center_baseline",
            parse_math=False,
        )
    file = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a file may be named in any script
        FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()
