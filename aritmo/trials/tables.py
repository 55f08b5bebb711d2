"""What an experiment found, as tables of Markdown in English and in Spanish."""

from collections.abc import Sequence
from statistics import median
from typing import Any, Literal

Record = dict[str, Any]
Language = Literal["en", "es"]

REACHED = 0.99
"""The share of unseen problems from which on a task counts as learned."""

_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "task": "task", "cut": "numbers are cut", "sizes": "different training examples",
        "needed": "examples needed for 99 %", "none": "more than {}", "bpe": "by GPT-2's BPE",
        "apart": "by BPE, digits set apart", "digits": "digit by digit", "seen": "seen", "unseen": "unseen",
    },
    "es": {
        "task": "tarea", "cut": "los números se cortan", "sizes": "ejemplos de entrenamiento distintos",
        "needed": "ejemplos necesarios para el 99 %", "none": "más de {}", "bpe": "con el BPE de GPT-2",
        "apart": "con BPE, cifras separadas", "digits": "cifra a cifra", "seen": "vistos", "unseen": "no vistos",
    },
}  # fmt: skip


def shares(results: Sequence[Record], subject: str, cut: str) -> dict[int, list[float]]:
    """Return the share of unseen problems right at the end, by size of the training set, one for each seed."""
    found: dict[int, list[float]] = {}
    for line in results:
        if (line["subject"], line["cut"]) == (subject, cut):
            found.setdefault(line["size"], []).append(line["right"] / line["of"])
    return dict(sorted(found.items()))


def needed(by_size: dict[int, list[float]]) -> int | None:
    """Return the smallest size from which on the median seed gets 99 % of the unseen problems right, or None."""
    reached = None
    for size, found in sorted(by_size.items(), reverse=True):
        if median(found) < REACHED:
            break
        reached = size
    return reached


def subjects(results: Sequence[Record]) -> dict[str, list[str]]:
    """Return the subjects that have results, each with its cuts, in the order in which they were done."""
    found: dict[str, list[str]] = {}
    for line in results:
        cuts = found.setdefault(line["subject"], [])
        if line["cut"] not in cuts:
            cuts.append(line["cut"])
    return found


def table(results: Sequence[Record], language: Language = "en") -> str:
    """Return for each subject a table of the unseen problems right: the median of the seeds and their range."""
    words = _WORDS[language]
    blocks = []
    for subject, cuts in subjects(results).items():
        rows = {cut: shares(results, subject, cut) for cut in cuts}
        sizes = sorted({size for row in rows.values() for size in row})
        head = [subject, *(_number(size, language) for size in sizes), words["needed"]]
        lines = [_line(head), _line(["---"] * len(head))]
        for cut, row in rows.items():
            least = needed(row)
            told = _number(least, language) if least else words["none"].format(_number(sizes[-1], language))
            lines.append(_line([words[cut], *(_cell(row.get(size, []), language) for size in sizes), told]))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def seen_table(results: Sequence[Record], language: Language = "en") -> str:
    """Return a table of what each subject gets right at its last look, of problems seen and unseen."""
    words = _WORDS[language]
    lines = [_line([words["task"], words["seen"], words["unseen"]]), _line(["---"] * 3)]
    for subject in subjects(results):
        own = [line["curve"][-1] for line in results if line["subject"] == subject]
        seen, unseen = [look[3] / look[4] for look in own], [look[1] / look[2] for look in own]
        lines.append(_line([subject, _cell(seen, language), _cell(unseen, language)]))
    return "\n".join(lines) + "\n"


def _cell(found: Sequence[float], language: Language) -> str:
    if not found:
        return ""
    low, middle, high = (_percent(value, language) for value in (min(found), median(found), max(found)))
    return f"{middle} %" if low == high else f"{middle} % ({low}–{high})"


def _percent(value: float, language: Language) -> str:
    # Rounded down, so that only a faultless result reads 100.
    text = f"{int(1000 * value) / 10:g}"
    return text.replace(".", ",") if language == "es" else text


def _number(value: int, language: Language) -> str:
    return f"{value:,}" if language == "en" else f"{value:,}".replace(",", ".")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
