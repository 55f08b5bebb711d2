"""A few right and wrong answers of an experiment, with the first wrong line marked."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aritmo.tasks import find_task

_MOST_TEXT = 4_000
_BEFORE = 3
_AFTER = 2


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a completion. ``right`` is what should stand in place of the first wrong one, or empty."""

    text: str
    right: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer: the problem in short, the lines worth showing at once, and the whole text."""

    problem: str
    valid: bool
    reason: str
    before: int
    lines: list[Line]
    after: int
    text: str


@dataclass(slots=True)
class Samples:
    right: list[Sample] = field(default_factory=list)
    wrong: list[Sample] = field(default_factory=list)


def samples(verdicts: Iterable[dict[str, Any]], split: str = "test", shown: int = 3) -> Samples:
    """Return the first right and the first wrong answers to problems of a split.

    Of the wrong ones, those come first whose kind of reason has not been shown yet.
    """
    found, kinds = Samples(), set()
    spare: list[Sample] = []
    for verdict in verdicts:
        if verdict.get("split") != split:
            continue
        if verdict["valid"]:
            if len(found.right) < shown:
                found.right.append(_sample(verdict))
            continue
        kind = str((verdict.get("reasons") or [""])[0]).partition(":")[0]
        if kind not in kinds and len(found.wrong) < shown:
            found.wrong.append(_sample(verdict))
        elif len(spare) < shown:
            spare.append(_sample(verdict))
        kinds.add(kind)
    found.wrong += spare[: shown - len(found.wrong)]
    return found


def _sample(verdict: dict[str, Any]) -> Sample:
    prompt, text = str(verdict.get("prompt", "")), str(verdict.get("text", ""))[:_MOST_TEXT]
    problem = " ".join(prompt.replace("###", " ").split())
    reason = str((verdict.get("reasons") or [""])[0])
    lines = [Line(line) for line in text.removesuffix("\n").split("\n")]
    mark = None if verdict["valid"] else first_wrong(verdict)
    if mark is None:
        return Sample(problem, verdict["valid"], reason, 0, lines[:6], max(0, len(lines) - 6), text)
    at, right = mark
    lines[at:] = [Line(lines[at].text if at < len(lines) else "", right), *lines[at + 1 :]]
    start, stop = max(0, at - _BEFORE), at + 1 + _AFTER
    return Sample(problem, False, reason, start, lines[start:stop], max(0, len(lines) - stop), text)


def first_wrong(verdict: dict[str, Any]) -> tuple[int, str] | None:
    """Return which line of the text is the first wrong one, from 0, and what should stand there.

    White space and empty lines do not count. None where the problem cannot be read again or no line differs.
    """
    try:
        task, style = find_task(verdict["task"], verdict["style"])
        problem = task.read_prompt(verdict["prompt"], style)
    except (KeyError, ValueError):
        return None
    text = str(verdict["text"])[:_MOST_TEXT]
    written = [(i, line) for i, line in enumerate(text.split("\n")) if line.strip()]
    expected = [line for line in task.completion(problem, style).split("\n") if line.strip()]
    for (i, line), right in zip(written, expected, strict=False):
        if line.split() != right.split():
            return i, right
    if len(written) < len(expected):
        return (written[-1][0] + 1 if written else 0), expected[len(written)]
    return (written[len(expected)][0], "") if len(written) > len(expected) else None
