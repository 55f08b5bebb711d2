"""The problems of an experiment, drawn once, by processes that start fast because nothing here needs torch."""

from dataclasses import dataclass
from itertools import count
from typing import Any

from aritmo.numbers.randomness import Split, seed_of, split_of
from aritmo.tasks import TASKS, TaskOptions
from aritmo.tasks.task import Task
from aritmo.trials.plans import Subject
from aritmo.workers import Workers

Job = tuple[str, str, int, Split, int, int]

_CHUNK = 2_048
"""Problems that a worker process draws at a time."""
_PATIENCE = 4
"""Chunks in a row without a new problem after which there is taken to be none."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem written down. ``lengths`` counts the digits of its numbers."""

    prompt: str
    completion: str
    lengths: tuple[int, ...]


def draw(subject: Subject, seed: int, split: Split, wanted: int, workers: Workers) -> list[Problem]:
    """Return ``wanted`` different problems of a split, in the order of their index, or all there are."""
    jobs = ((subject.task, subject.style, subject.digits, split, seed, start) for start in count(0, _CHUNK))
    found: dict[str, Problem] = {}
    idle = 0
    for chunk in workers.map(_draw_chunk, jobs):
        before = len(found)
        for problem in chunk:
            found.setdefault(problem.prompt, problem)
        idle = 0 if len(found) > before else idle + 1
        if len(found) >= wanted or idle >= _PATIENCE:
            break
    return list(found.values())[:wanted]


def _draw_chunk(job: Job) -> list[Problem]:
    task_name, style, digits, split, seed, start = job
    task = TASKS[task_name]
    problems = task.problems(split, seed, start, start + _CHUNK, TaskOptions(max_digits=digits))
    return [_written(task, problem, style) for problem in problems]


def every(subject: Subject, split: Split) -> list[Problem]:
    """Return all numbers of a split below 10^digits as problems of a task of one number, in no order of size."""
    task = TASKS[subject.task]
    numbers = [n for n in range(10**subject.digits) if split_of(task.name, task.family(n)) == split]
    numbers.sort(key=lambda number: seed_of("trial", "every", number))
    return [_written(task, number, subject.style) for number in numbers]


def _written(task: Task[Any], problem: Any, style: str) -> Problem:
    lengths = tuple(len(number) for number in task.key(problem).split("+"))
    return Problem(task.prompt(problem, style), task.completion(problem, style), lengths)
