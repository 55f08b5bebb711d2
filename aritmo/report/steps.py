"""Sums as a model wrote them: each step beside the right one, and where the first mistake is."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, Literal

from aritmo.tasks import find_task

State = Literal["right", "first wrong", "wrong", "as it should be", "missing"]

_MOST_TEXT = 12_000
_MOST_LINES = 80
_HEADING = re.compile(r"\s*(STEP\s+[0-9]{1,9}|RESULT)\s*")


@dataclass(frozen=True, slots=True)
class Line:
    """A line, and whether it has no like on the other side."""

    text: str
    differs: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A step as written and as it should be; what follows the first wrong one can be right only by itself."""

    name: str
    state: State
    written: list[Line]
    right: list[Line]
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """One sum: its steps, and for a wrong result the digits of what was written and of what is right.

    ``digits`` are the lines of the sum as it is done on paper, each characters with whether they are wrong.
    """

    problem: str
    valid: bool
    reason: str
    steps: list[Step]
    digits: list[tuple[str, list[tuple[str, bool]]]]
    text: str

    @property
    def wrong_at(self) -> Step | None:
        return next((step for step in self.steps if step.state == "first wrong"), None)


@dataclass(slots=True)
class Walks:
    """Some right and wrong sums, and how often each step was the first wrong one, of all of them."""

    right: list[Walk] = field(default_factory=list)
    wrong: list[Walk] = field(default_factory=list)
    first_wrong: list[tuple[str, int]] = field(default_factory=list)
    mistakes: int = 0


def walks(verdicts: Iterable[dict[str, Any]], split: str, shown: int) -> Walks:
    """Return the sums to show of a split: two right ones, and wrong ones of as many kinds as there are.

    Of a kind that has been shown another is taken only where fewer than ``shown`` would be left.
    """
    found, kinds = Walks(), Counter[str]()
    spare: list[dict[str, Any]] = []
    for verdict in verdicts:
        if verdict.get("split") != split:
            continue
        if verdict["valid"]:
            if len(found.right) < min(2, shown):
                found.right.append(walk(verdict))
            continue
        kind = kind_of(verdict)
        if not kinds[kind] and len(found.wrong) < shown:
            found.wrong.append(walk(verdict))
        elif len(spare) < shown:
            spare.append(verdict)
        kinds[kind] += 1
    found.wrong += map(walk, spare[: shown - len(found.wrong)])
    found.first_wrong = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))[:8]
    found.mistakes = kinds.total()
    return found


def kind_of(verdict: dict[str, Any]) -> str:
    """Return what the first wrong step does, without its number: «copying the second number»."""
    reason = str((verdict.get("reasons") or [""])[0]).partition(":")[0]
    step = (verdict.get("details") or {}).get("first_wrong") or reason
    return re.sub(r"^STEP [0-9]+, ", "", str(step)) or "not said"


def walk(verdict: dict[str, Any]) -> Walk:
    """Return one sum as it is shown. Where its problem cannot be read again, it has neither steps nor digits."""
    prompt, text = str(verdict.get("prompt", "")), str(verdict.get("text", ""))[:_MOST_TEXT]
    reason = str((verdict.get("reasons") or [""])[0])
    shown = " ".join(prompt.split())
    try:
        task, style = find_task(verdict["task"], verdict["style"])
        problem = task.read_prompt(prompt, style)
    except (KeyError, ValueError):
        return Walk(shown, verdict["valid"], reason, [], [], text)
    right = task.completion(problem, style)
    answer = verdict.get("answer")
    steps = []
    if _HEADING.match(right):
        steps = steps_of(text, right)
    elif not verdict["valid"] and ("\n" in right or answer is None):
        steps = [_step(_lines(text), _lines(right), "first wrong", "the text")]
    digits = [] if verdict["valid"] and steps else on_paper(problem.a, problem.b, answer)
    return Walk(shown, verdict["valid"], reason, steps, digits, text)


def steps_of(written: str, right: str) -> list[Step]:
    """Return a tutorial's steps beside the right ones: each begins with its heading, «STEP 3» or «RESULT».

    White space and empty lines do not count. Up to the first wrong step both have the same steps; from there on
    they are held side by side by their headings.
    """
    mine, theirs = _blocks(written), _blocks(right)
    same = 0
    while same < min(len(mine), len(theirs)) and mine[same] == theirs[same]:
        same += 1
    steps = [_step(block, block, "right") for block in theirs[:same]]
    rest, later = mine[same:], theirs[same:]
    if later or rest:
        steps.append(_step(rest.pop(0) if rest else [], later.pop(0) if later else [], "first wrong"))
    named = {block[0]: block for block in rest}
    for block in later:
        other = named.pop(block[0], [])
        steps.append(_step(other, block, "as it should be" if other == block else "wrong" if other else "missing"))
    return steps + [_step(block, [], "wrong") for block in list(named.values())[:3]]


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.split("\n") if line.strip()]


def _blocks(text: str) -> list[list[str]]:
    """Return the lines of each step; what stands before the first heading is a step of its own."""
    blocks: list[list[str]] = []
    for line in _lines(text):
        if not blocks or _HEADING.fullmatch(line):
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def _step(written: Sequence[str], right: Sequence[str], state: State, name: str | None = None) -> Step:
    """Return a step, named by its heading, with the lines marked that have no like on the other side."""
    name = name or (right or written)[0]
    cut = max(len(written), len(right)) > _MOST_LINES
    mine, theirs = list(written[:_MOST_LINES]), list(right[:_MOST_LINES])
    if state in ("right", "as it should be"):
        return Step(name, state, [Line(line) for line in mine], [], cut)
    alike_mine: set[int] = set()
    alike_theirs: set[int] = set()
    for start, other, size in SequenceMatcher(None, mine, theirs, autojunk=False).get_matching_blocks():
        alike_mine |= set(range(start, start + size))
        alike_theirs |= set(range(other, other + size))
    return Step(
        name,
        state,
        [Line(line, i not in alike_mine) for i, line in enumerate(mine)],
        [Line(line, i not in alike_theirs) for i, line in enumerate(theirs)],
        cut,
    )


_MOST_DIGITS = 240


def on_paper(a: int, b: int, answer: Any) -> list[tuple[str, list[tuple[str, bool]]]]:
    """Return a sum as it is done on paper, with a wrong answer above the right one and its wrong digits marked.

    Rows are named and of one length. Nothing is returned where no answer was read, or where the sum is longer than
    can be looked at.
    """
    expected = str(a + b)
    if not isinstance(answer, str) or len(expected) > _MOST_DIGITS:
        return []
    answer = answer[-_MOST_DIGITS:]
    wide = max(len(answer), len(expected)) + 2
    pairs = zip_longest(reversed(answer), reversed(expected), fillvalue=" ")
    marked = [(mine, mine != right) for mine, right in pairs][::-1]
    plain = (("", str(a)), ("plus", f"+ {b}".rjust(wide)), ("right", expected))
    first, second, last = ((name, [(c, False) for c in text.rjust(wide)]) for name, text in plain)
    if answer == expected:
        return [first, second, last]
    return [first, second, ("written", [(" ", False)] * (wide - len(marked)) + marked), last]
