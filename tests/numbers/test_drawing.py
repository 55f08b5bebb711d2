"""Pictures: every cell and sum is there, inside, and of the kind it deserves."""

from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from aritmo.numbers.drawing import STYLES, lay_out, to_svg
from aritmo.numbers.rings import draw_odd

MAGIC_5 = [[17, 24, 1, 8, 15], [23, 5, 7, 14, 16], [4, 6, 13, 20, 22], [10, 12, 19, 21, 3], [11, 18, 25, 2, 9]]
SVG = "{http://www.w3.org/2000/svg}"


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb, as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_each_ring_has_its_kind_and_the_core_its_own() -> None:
    [cells] = draw_odd(2411, 9, 1, 1)
    kinds = np.array([box.kind for box in lay_out(cells, "").boxes]).reshape(9, 9)
    for row in range(9):
        for column in range(9):
            ring = min(row, column, 8 - row, 8 - column)
            inner = "centre" if ring == 4 else "core"
            assert kinds[row, column] == (f"ring{ring}" if ring < 3 else inner)


def test_a_plain_magic_square_has_no_rings() -> None:
    primes = np.array(MAGIC_5)
    drawing = lay_out(primes, "")
    assert len(drawing.edges) == 1
    assert {box.kind for box in drawing.boxes} == {"composite", "core", "centre"}


@pytest.mark.parametrize("order", [3, 9, 51])
def test_text_is_legible_on_every_tint_and_rings_differ(order: int) -> None:
    [cells] = draw_odd({3: 59, 9: 2411, 51: 600_011}[order], order, 1, 1)
    fills = lay_out(cells, "").fills
    for kind, colour in fills.items():
        text = STYLES["defect" if kind in ("composite", "repeated") else "cell"]
        assert contrast(colour, text.colour) > 4.5
    rings = [colour for kind, colour in fills.items() if kind.startswith("ring")]
    assert len(rings) == (order - 3) // 2
    assert all(one != other for one, other in pairwise([*rings, fills["core"], fills["centre"]]))


def test_everything_is_inside_and_no_text_is_wider_than_its_cell() -> None:
    [cells] = draw_odd(600_011, 51, 1, 1)
    drawing = lay_out(cells, "a caption")
    across = drawing.boxes[0].width
    assert len(drawing.labels) == 51 * 51 + 2 * 51 + 3
    for label in drawing.labels:
        assert 0 < label.x < drawing.width
        assert 0 < label.y < drawing.height
        assert len(label.text) * 0.6 * STYLES[label.kind].size < across or label.kind == "caption"


def test_repeated_and_wrong_are_marked() -> None:
    cells = np.array([[17, 89, 71], [113, 59, 5], [47, 17, 102]])
    drawing = lay_out(cells, "")
    kinds = [box.kind for box in drawing.boxes]
    assert kinds == ["repeated", "core", "core", "core", "centre", "core", "core", "repeated", "composite"]
    sums = [label.text for label in drawing.labels if label.kind == "wrong"]
    assert sums == ["166", "165", "178", "178"]


def test_a_caption_cannot_leave_its_element() -> None:
    root = ElementTree.fromstring(to_svg(lay_out(np.array([[7]]), "</text><script>&")))
    assert next(text.text for text in root.iter(f"{SVG}text")) == "</text><script>&"
