"""The tasks. A new one is a file here, a test and a line in TASKS."""

from typing import Any

from aritmo.tasks.addition import Addition
from aritmo.tasks.decomposition import Decomposition
from aritmo.tasks.primality import Primality
from aritmo.tasks.squares import Squares
from aritmo.tasks.task import Example, Task, TaskOptions, Verdict, write_example

__all__ = ["TASKS", "Example", "Task", "TaskOptions", "Verdict", "find_task", "write_example"]

TASKS: dict[str, Task[Any]] = {task.name: task for task in (Squares(), Addition(), Decomposition(), Primality())}


def find_task(name: str, style: str | None = None) -> tuple[Task[Any], str]:
    """Return a task and the style to use: the one named, or the task's first.

    Raises ValueError for a name that is not there.
    """
    if name not in TASKS:
        raise ValueError(f"task: got {name!r}, allowed {', '.join(TASKS)}")
    task = TASKS[name]
    if style is not None and style not in task.styles:
        raise ValueError(f"style: got {style!r}, task {name} has {', '.join(task.styles)}")
    return task, style or task.styles[0]
