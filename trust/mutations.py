"""Each single change to a right answer, each character and each cell in turn: none may pass unless it is right."""

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

from aritmo.tasks import TASKS
from aritmo.tasks.squares_search import Search, cells_of, spell, squares_of
from trust.agreement import verdicts
from trust.cases import ALPHABET, STYLES, Case, case_of_search, draw_random, listing_of, right_cases
from trust.naive.text import words

_EACH = list(dict.fromkeys(ALPHABET))
SHORT = (71, 659, 757, 1433, 127, 263, 937, 461)
"""Centres whose searches are short, so that every change can be tried."""


class Job(NamedTuple):
    """One right answer to change: ``way`` is «characters», «cells», or a number of characters drawn."""

    task: str
    style: str
    case: Case
    way: str | int
    seed: int


class Tally(NamedTuple):
    """Changes tried, those that pass because only white space is other, and those that should not pass."""

    tried: int = 0
    passed: int = 0
    wrong: tuple[str, ...] = ()

    def __add__(self, other: Any) -> "Tally":
        return Tally(*(mine + its for mine, its in zip(self, other, strict=True)))


def jobs(seed: int, answers: int, cells: int, drawn: int) -> Iterator[Job]:
    """Yield so many answers a style to change in full, and squares to change by cell.

    Searches are changed in full around the short centres alone; of longer ones and of orders 5 and 7 so many
    changes are drawn.
    """
    random = draw_random("mutations", seed)
    for task, style in STYLES:
        if (task, style) == ("squares", "tutorial"):
            for centre in SHORT[:answers]:
                yield Job(task, style, case_of_search(Search(centre)), "characters", seed)
            for search in (Search(1607), Search(1607, order=5), Search(1607, order=7)):
                yield Job(task, style, case_of_search(search), drawn, seed)
            for centre in SHORT[:cells]:
                yield Job(task, style, case_of_search(Search(centre)), "cells", seed)
            continue
        cases = _short(right_cases(task, style, random, 40 * answers), answers)
        yield from (Job(task, style, case, "characters", seed) for case in cases)
        if task == "squares":
            yield from (Job(task, style, _square_of(centre), "cells", seed) for centre in SHORT[:cells])


def _short(cases: list[Case], count: int) -> list[Case]:
    """Return different cases, the longest of at most 600 characters."""
    short = {case.text: case for case in cases if len(case.text) <= 600}
    return list(short.values())[:count]


def _square_of(centre: int) -> Case:
    p, y, _ = squares_of(centre)[0]
    cells = cells_of(centre, p, y)
    return Case("Matrix 7\n", listing_of([cells[:3], cells[3:6], cells[6:]]))


def change(job: Job) -> Tally:
    """Try the changes of a job on aritmo's judge; what passes is shown to the naive one, too."""
    known = TASKS[job.task]
    problem = known.read_prompt(job.case.prompt, job.style)
    assert known.judge(problem, job.case.text, job.style).valid
    tried = passed = 0
    wrong: list[str] = []
    for text in _changed(job):
        tried += 1
        if not known.judge(problem, text, job.style).valid:
            continue
        _, theirs = verdicts(job.task, job.style, Case(job.case.prompt, text))
        if job.way != "cells" and theirs and theirs[0] and "".join(words(text)) == "".join(words(job.case.text)):
            passed += 1
        else:
            wrong.append(f"{job.task} {job.style}: {text!r:.300} passed for {job.case.prompt!r:.40}")
    return Tally(tried, passed, tuple(wrong[:5]))


def _changed(job: Job) -> Iterator[str]:
    text = job.case.text
    if job.way == "cells":
        return _other_cells(job)
    if job.way == "characters":
        return _other_characters(text)
    return _some_characters(text, draw_random("some", job.seed, len(text)), int(job.way))


def _other_characters(text: str) -> Iterator[str]:
    """Yield the text with each character left out, made another, and each put in at each place."""
    for at in range(len(text) + 1):
        before, after = text[:at], text[at:]
        yield from (before + other + after for other in _EACH)
        if after:
            yield before + after[1:]
            yield from (before + other + after[1:] for other in _EACH if other != after[0])


def _some_characters(text: str, random: Random, count: int) -> Iterator[str]:
    for _ in range(count):
        at, other = random.randrange(len(text)), random.choice(ALPHABET)
        changed = text[:at] + random.choice(("", other, other + text[at])) + text[at + 1 :]
        if changed != text:
            yield changed


def _other_cells(job: Job) -> Iterator[str]:
    """Yield the square with each cell made each other number below 10,000: in its place, and listed anew."""
    if job.style == "tutorial":
        begin = job.case.text.rindex("!")
        before, cells = job.case.text[:begin], job.case.text[begin:].split()
        for at in (1, 2, 3, 5, 6, 7, 9, 10, 11):
            for number in range(10_000):
                other = spell(number).strip()
                if other != cells[at]:
                    yield before + " ".join([*cells[:at], other, *cells[at + 1 :]])
        return
    lines = job.case.text.split("\n")
    rows = [[int(cell) for cell in line.split()] for line in lines[:3]]
    for i in range(3):
        for j in range(3):
            kept = rows[i][j]
            for number in range(10_000):
                if number == kept:
                    continue
                rows[i][j] = number
                yield listing_of(rows)
                yield "\n".join([*(" ".join(map(str, row)) for row in rows), *lines[3:]])
            rows[i][j] = kept
