"""What a text scores outside aritmo: exactly what ``aritmo judge`` says of it.

A text is judged as it is, like a sample: what stands around an answer is wrong text. Only where a ``tag`` is
agreed on is the answer looked for, in the one pair of such tags at the text's end, and that is judged as strictly.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from aritmo.corpus import Corpus
from aritmo.judging import judge_samples, summarise
from aritmo.originals import Originals
from aritmo.tasks.squares import Squares
from aritmo.verdicts import training_squares

Record = dict[str, Any]
Text = str | Sequence[Any]
"""What a model was given or wrote: a string, or messages with ``role`` and ``content``."""

_ALL = ("valid", "parsed")
_SQUARES = ("all_prime", "sums_equal", "distinct", "claims_right")
_ORIGINS = ("copied", "near_copy", "invented", "valid_new")


def measures_of(task: str, compared: bool = False) -> tuple[str, ...]:
    """Return the names of what a text of a task scores; ``compared`` with a corpus' training squares or not."""
    if task != Squares.name:
        return (*_ALL, "answered")
    return (*_ALL, *_SQUARES, *(_ORIGINS if compared else ()))


def check_measure(task: str, measure: str) -> None:
    """Raise ValueError unless a task has such a measure."""
    if measure not in (allowed := measures_of(task)):
        raise ValueError(f"measure: got {measure!r}, task {task} has {', '.join(allowed)}")


def judged(task: str, style: str, prompt: str, text: str, train: Originals | None = None) -> Record:
    """Return the verdict record on one text, as ``aritmo judge`` writes it."""
    sample = {"index": 0, "split": "test", "task": task, "style": style, "prompt": prompt, "text": text}
    return next(judge_samples([sample | {"finished": True}], train))


def scores(record: Record, compared: bool = False) -> dict[str, float]:
    """Return 1 or 0 for each of ``measures_of``: their means are the shares that ``aritmo judge`` prints."""
    group = summarise([record])["groups"][record["split"]]
    shares = group | group.get("squares", {})
    return {name: float(shares[name]["count"]) for name in measures_of(record["task"], compared)}


def score(task: str, style: str, prompt: str, text: str | None, measure: str = "valid") -> float:
    """Return 1 where a text has what is measured, else 0; None, which is no text, has nothing."""
    if text is None:
        return 0.0
    return scores(judged(task, style, prompt, text))[measure]


@lru_cache(maxsize=4)
def originals(folder: Path) -> Originals | None:
    """Return the index of the training squares of the corpus in a folder, None for other tasks."""
    return training_squares(Corpus(folder))


def text_of(said: Text) -> str:
    """Return the text of a string, or of the last of messages (its text parts, where it has several)."""
    if isinstance(said, str):
        return said
    content = _field(said[-1], "content") if said else None
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else ()
    return "".join(str(_field(part, "text") or "") for part in parts)


def _field(value: Any, name: str) -> Any:
    """Return what a mapping or an object, as libraries have them by turns, holds under a name."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def answer_in(text: str, tag: str | None) -> str | None:
    """Return what is to be judged: the text, or what stands in its one pair of tags, which ends it; else None."""
    if tag is None:
        return text
    match = re.fullmatch(rf"(.*)<{re.escape(tag)}>(.*)</{re.escape(tag)}>\s*", text, re.DOTALL)
    if match is None or any(f"{mark}{tag}>" in part for part in match.groups() for mark in ("<", "</")):
        return None
    return match[2].removeprefix("\n")
