"""Two judges side by side: aritmo's and the naive one have to say the same of every case."""

from itertools import islice
from typing import Any, NamedTuple

from aritmo.tasks import TASKS, Verdict
from trust.cases import Case, draw_random, right_cases, wrong_cases
from trust.naive import numbers, search, squares

NAIVE: dict[tuple[str, str], tuple[Any, Any, Any]] = {
    **numbers.STYLES,
    ("squares", "listing"): squares.LISTING,
    ("squares", "tutorial"): search.TUTORIAL,
}
_A_GROUP = 100
"""Cases made of the same few right ones."""
_RIGHT = 3


class Job(NamedTuple):
    """Groups of cases of one task and style to compare."""

    task: str
    style: str
    seed: int
    start: int
    stop: int


class Tally(NamedTuple):
    """How many cases were compared, how many both call right, asked nothing, and what they differ in."""

    cases: int = 0
    right: int = 0
    unasked: int = 0
    differing: tuple[str, ...] = ()

    def __add__(self, other: Any) -> "Tally":
        return Tally(*(mine + its for mine, its in zip(self, other, strict=True)))


def compare(job: Job) -> Tally:
    """Compare groups of cases, each with right answers, which both judges have to accept, and changed ones."""
    task, style, seed, start, stop = job
    tally = Tally()
    for group in range(start, stop):
        random = draw_random("agreement", task, style, seed, group)
        right = right_cases(task, style, random, _RIGHT)
        cases = [*right, *islice(wrong_cases(right, task, style, random), _A_GROUP - len(right))]
        for place, case in enumerate(cases):
            tally += _compare(task, style, case, must_hold=place < len(right))
    return tally


def _compare(task: str, style: str, case: Case, must_hold: bool) -> Tally:
    ours, theirs = verdicts(task, style, case)
    if ours != theirs or (must_hold and not (ours and ours[0])):
        return Tally(1, 0, 0, (f"{task} {style}: {case!r:.300}: {ours!r:.200} against {theirs!r:.200}",))
    return Tally(1, int(ours is not None and ours[0]), int(ours is None))


def verdicts(task: str, style: str, case: Case) -> tuple[Any, Any]:
    """Return what each judge finds, in the same form; None where a prompt asks nothing."""
    read, _, judge = NAIVE[task, style]
    asked = read(case.prompt)
    theirs = None if asked is None else tuple(judge(asked, case.text))
    known = TASKS[task]
    try:
        problem = known.read_prompt(case.prompt, style)
    except ValueError:
        return None, theirs
    return _found(task, style, known.judge(problem, case.text, style)), theirs


def _found(task: str, style: str, verdict: Verdict) -> tuple[Any, ...]:
    """Return a verdict of aritmo's as the naive judge says it."""
    told = verdict.details
    if task != "squares":
        return verdict.valid, verdict.answer, told["answered"]
    wrong_steps = int(bool(told.get("first_wrong")))
    if verdict.answer is None:
        return False, None, None, wrong_steps
    nested = not any(reason.startswith("not nested") for reason in verdict.reasons)
    facts = (told["primes"], told["distinct"], told["sums_equal"], told.get("as_asked", True))
    amiss = wrong_steps if style == "tutorial" else told["wrong_claims"]
    return verdict.valid, verdict.answer, (*facts, nested), amiss
