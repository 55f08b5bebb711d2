"""Texts of a megabyte that repeat one piece: what takes time takes it by their length, not by its square."""

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from trust.fuzz import ends_well, targets

PIECES = (
    *(
        "9",
        " ",
        "\n",
        "1 2 3\n",
        "17 89 71\n",
        "RESULT 1+1=",
        "RESULT ",
        "* ! / ",
        "!",
        "07'16 ",
        "STEP 1\n",
        "#1 ",
    ),
    *(
        "ones->7\n",
        "[1,",
        "[",
        "(",
        "\0",
        ",",
        "+",
        "1,000,",
        "\u0663",
        "-1 ",
        "Rows: 1\n",
        "Centre 07'16 ",
        "\u00a0",
    ),
)
TIMES = 16
"""How much longer the longer text is."""
MOST_TIMES = 64
"""How much more time it may take: a quarter of what its square would; caches are left behind on the way."""
_WORTH = 0.02
"""Seconds under which nothing is told by how they grow."""


class Growth(NamedTuple):
    """What of a target and a piece took longest: how many times the time, the seconds, and for what."""

    times: float = 0.0
    seconds: float = 0.0
    of: str = ""


class Tally(NamedTuple):
    """Pairs of texts read, what failed, the worst growth, and what took the most seconds."""

    pairs: int
    failed: tuple[str, ...]
    worst: Growth
    slowest: Growth


def grow(size: int) -> Tally:
    """Let every target read each piece repeated to ``size`` bytes, and to so many TIMES that."""
    pairs, failed = 0, []
    worst = slowest = Growth()
    with tempfile.TemporaryDirectory() as folder:
        known = {(name, target) for name, turns in targets(Path(folder)).items() for target in turns}
        for name, target in sorted(known, key=lambda one: one[0]):
            for piece in PIECES:
                repeated = piece.encode() * (TIMES * size // len(piece.encode()))
                took = []
                for text in (repeated[:size], repeated):
                    began = time.thread_time()
                    if error := ends_well(target, text):
                        failed.append(f"{name}: {error} for {piece!r} again and again")
                    took.append(time.thread_time() - began)
                growth = Growth(took[1] / max(took[0], 1e-6), took[1], f"{name}, {piece!r}")
                pairs += 1
                slowest = max(slowest, growth, key=lambda one: one.seconds)
                if growth.seconds > _WORTH:
                    worst = max(worst, growth)
    return Tally(pairs, tuple(failed), worst, slowest)
