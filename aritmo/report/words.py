"""Figures and sentences as people read them, and text made safe to show."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aritmo.report.parts import Part, read_part

SOURCE_PRIMES = {"count": 29, "of": 36, "share": 29 / 36, "text": "80.55 %"}
"""The source report's share of prime cells in its four sampled squares, printed there as 80,55 %."""

_LONGEST = 20_000
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def clean(text: str, longest: int = _LONGEST) -> str:
    """Return text with a � for every control and invisible character, cut to ``longest`` characters.

    Terminal escapes, direction marks and halves of surrogate pairs cannot act from a page so shown.
    """
    rest = len(text) - longest
    shown = text[:longest]
    if not (shown.isascii() and shown.isprintable()):
        shown = "".join("\ufffd" if _is_hidden(character) else character for character in shown)
    return shown if rest <= 0 else f"{shown}… ({rest:,} more characters)"


def _is_hidden(character: str) -> bool:
    return character not in "\n\t" and unicodedata.category(character) in _HIDDEN


def figure(value: float) -> str:
    """Return a share in per cent without its sign: ``71.2``, ``100``, and two figures below 0.1."""
    percent = 100 * value
    if 0 < percent < 0.1:
        return f"{percent:.10f}"[: 2 + max(2, 1 - _exponent(percent))].rstrip("0")
    return f"{percent:.1f}".removesuffix(".0")


def _exponent(value: float) -> int:
    return int(f"{value:e}".split("e")[1])


def percent(share: float | None) -> str:
    """Return a share as ``71.2 %``, and a dash where there is none."""
    return "–" if share is None else f"{figure(share)} %"


def points(difference: dict[str, float] | None) -> str:
    """Return a difference of shares as ``+12.3 points (5.1 to 19.4)``, and nothing where there is none."""
    if difference is None:
        return ""
    above, low, high = (f"{100 * difference[name]:+.1f}" for name in ("share", "low", "high"))
    return f"{above} points ({low} to {high})".replace("-", "−")


def interval(share: dict[str, Any]) -> str:
    """Return the 95 % interval of a share as ``0.5 to 4.3``, without the sign of per cent."""
    if share.get("low") is None or share.get("high") is None:
        return "–"
    return f"{figure(share['low'])} to {figure(share['high'])}"


def verdict_lines(parts: Sequence[Path]) -> list[str]:
    """Return one plain sentence for each experiment's folder, in the order given.

    An experiment without a summary says so; nothing is raised for it.
    """
    return [verdict_line(read_part(folder)) for folder in parts]


def verdict_line(part: Part) -> str:
    """Return what one experiment came to, in one sentence that begins with its name."""
    return clean(f"{part.title}: {sentence(part)}", 400)


def sentence(part: Part) -> str:
    """Return what one experiment came to, without its name."""
    return _squares_line(part) if part.task == "squares" else _problems_line(part)


def _spelled(share: dict[str, Any]) -> str:
    if share["share"] is None:
        return "no share"
    return f"{figure(share['share'])} %, 95 % interval {interval(share)}"


def _squares_line(part: Part) -> str:
    group = part.group("test") or part.group("train")
    if group is None:
        return "nothing was judged."
    squares, valid = group["squares"], group["valid"]
    return (
        f"{group['samples']:,} written, {valid['count']:,} valid ({_spelled(valid)}), "
        f"{_origins(squares)}; {percent(squares['cells_prime']['share'])} of the cells are prime, "
        f"beside {SOURCE_PRIMES['text']} in the source report."
    )


def _origins(squares: dict[str, Any]) -> str:
    copied, near, invented = (squares[name] for name in ("copied", "near_copy", "invented"))
    if not copied["of"]:
        return "none compared with training"
    nearly = f"{near['count']:,} near {'copy' if near['count'] == 1 else 'copies'}"
    return f"{copied['count']:,} copied, {nearly}, {invented['count']:,} invented"


_ASKED = {"addition": "sums", "decomposition": "numbers", "primality": "numbers"}


def _problems_line(part: Part) -> str:
    asked = _ASKED.get(part.task, "problems")
    test, train = part.group("test"), part.group("train")
    said = []
    if test:
        valid = test["valid"]
        said.append(f"{valid['count']:,} of {valid['of']:,} held-out {asked} right ({_spelled(valid)})")
    if train:
        valid = train["valid"]
        said.append(f"{valid['count']:,} of {valid['of']:,} {asked} seen in training ({percent(valid['share'])})")
    return f"{'; '.join(said)}." if said else "nothing was judged."
