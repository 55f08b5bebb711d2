"""What the page asks, answered as it comes: models opened once, problems read, texts followed, squares judged.

Every answer is a stream of whole views, of which each replaces the one before. A stream that is closed ends the
writing; one that nobody listens to ends by itself, and so does one whose time is up.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

from aritmo.asking import Asked, Line, Manner, Writer, is_searcher, open_asked
from aritmo.numbers.matrixfiles import parse_matrices
from aritmo.numbers.primes import is_prime, least_factor
from aritmo.numbers.squares import Cells, SquareCheck, check_square
from aritmo.play import views
from aritmo.play.tokenizers import cuts
from aritmo.play.views import Moment, Words, show
from aritmo.play.words import WORDS, said
from aritmo.report.parts import read_part
from aritmo.shipped import SHIPPED
from aritmo.tasks import find_task
from aritmo.tasks.following import follow_columns, follow_digits, follow_lines, follow_search
from aritmo.tasks.problems import ANY
from aritmo.tasks.squares_tutorial import read_prompt

MOST = {"sum": 2_100, "number": 40, "centre": 12, "cut": 200, "paste": 16_000}
"""Characters of each field."""
SECONDS = 90.0
"""How long a model may write on one problem."""
_PACE = 0.08
"""Seconds between two views of one text."""
_FIRST = {"addition": "1+2", "squares": "1607", "primality": "7919"}
"""The tasks that the page shows, each with a problem."""
_TRIED = 10**12
"""Below this a number's least factor is looked for."""
ORDERS = {"centre_3": 3, "any_3": 3, "centre_5": 5, "centre_7": 7}

Wanted = Callable[[], bool]
"""Says whether anybody still listens."""


class Desk:
    """The models of a playground. ``named`` is the model that was given, empty where only shipped ones answer.

    Raises ValueError for a model that cannot be had, or writes nothing that the page shows.
    """

    def __init__(self, model: str | None = None, task: str | None = None, style: str | None = None) -> None:
        opened: dict[str, Writer] = {}
        self.named = model or ""
        self.adders = {
            "steps": open_asked("addition", style="tutorial", opened=opened),
            "long": open_asked("addition", style="aligned", opened=opened),
        }
        self.squares = open_asked("squares", opened=opened)
        self.prime = open_asked("primality", opened=opened)
        for asked in _given(model, task, style, opened) if model else ():
            if asked.task.name == "addition":
                self.adders = {"model": asked, **self.adders}
            elif asked.task.name == "squares":
                self.squares = asked
            else:
                self.prime = asked

        cuts(self.named)
        # The first text that a model writes takes longer than any other.
        for asked in (self.squares, self.prime, *self.adders.values()):
            next(asked.stream(asked.read(Line("", _FIRST[asked.task.name]))), None)

    def add(self, language: str, text: str, how: str, wanted: Wanted) -> Iterator[str]:
        """Yield the views of a sum that is asked for and written."""
        w, asked = WORDS[language], self.adders[how]
        problem = _read(w, asked, text, MOST["sum"])
        if isinstance(problem, str):
            yield problem
            return
        a, b = problem
        right = asked.task.completion(problem, asked.style)
        for moment in watch(asked.stream(problem), wanted):
            record = asked.record(problem, moment.text) if moment.finished else None
            if asked.style == "aligned":
                yield views.sum_at_once(w, a, b, moment, follow_digits(a + b, moment.text), record)
                continue
            marks = follow_lines(right, moment.text, moment.finished)
            if asked.style == "tutorial":
                yield views.sum_by_steps(w, a, b, moment, marks, follow_columns(moment.text), record)
            else:
                yield views.plain_text(w, moment, marks, record)

    def search(self, language: str, kind: str, centre: str, seed: int, wanted: Wanted) -> Iterator[str]:
        """Yield the views of a search for a square, of which any one is drawn by the seed."""
        w, asked, order = WORDS[language], self.squares, ORDERS[kind]
        problem = _read(w, asked, ANY if kind == "any_3" else centre, MOST["centre"], order)
        if isinstance(problem, str):
            yield problem
            return
        wrote_steps = asked.style == "tutorial"
        looked_for = read_prompt(asked.task.prompt(problem, asked.style)) if wrote_steps else None
        for moment in watch(asked.stream(problem, Manner(seed=seed)), wanted):
            record = asked.record(problem, moment.text) if moment.finished else None
            if wrote_steps:
                yield views.search(
                    w, moment, follow_search(looked_for, moment.text, moment.finished), record, order
                )
            else:
                yield views.listed(w, moment, record)

    def ask_prime(self, language: str, text: str, wanted: Wanted) -> Iterator[str]:
        """Yield what the model says of a number, beside what is true."""
        w, asked = WORDS[language], self.prime
        n = _read(w, asked, text, MOST["number"])
        if isinstance(n, str):
            yield n
            return
        for moment in watch(asked.stream(n), wanted):
            if moment.finished:
                record = asked.record(n, moment.text)
                answer = {True: w["yes"], False: w["no"], None: w["no_answer"]}[record["answer"]]
                state = "good" if record["verdict"]["valid"] else "bad"
                top = views.head(w, moment, record, "")
                yield show("prime", top, w["asked"].format(n=n), answer, state, _truth(w, n))

    def cut(self, language: str, text: str) -> str:
        """Return how each tokenizer cuts a text, and the next two numbers where it is one."""
        w = WORDS[language]
        if refusal := _unfit(w, text, MOST["cut"]):
            return refusal
        text = text.strip()
        beside = [str(int(text) + step) for step in (1, 2)] if text.isascii() and text.isdigit() else []
        tables = []
        for name, cut in cuts(self.named):
            rows = [(pieces, _counted(w, len(pieces))) for pieces in map(cut, [text, *beside])] if cut else []
            tables.append((w.get(name, name), w["no_gpt2"] if cut is None else "", rows))
        return show("cuts", w, tables)

    def judge(self, language: str, text: str, nested: bool) -> str:
        """Return the verdict on squares as someone wrote them."""
        w = WORDS[language]
        if refusal := _unfit(w, text, MOST["paste"]):
            return refusal
        found: list[tuple[Cells, SquareCheck]] = []
        why = []
        try:
            for _, cells in parse_matrices(text.encode(errors="replace"), "pasted"):
                found.append((cells, check_square(cells, nested)))
        except ValueError as error:
            why.append(str(error))
        return views.judged(w, found, why)


def watch(pieces: Iterator[str], wanted: Wanted, seconds: float = SECONDS) -> Iterator[Moment]:
    """Yield a text as it grows, at a pace that a page can follow, and last the whole of it.

    The pieces are closed at the end, and when this is closed, when nobody listens and when the time is up.
    """
    begun, shown, first, text = monotonic(), 0.0, 0.0, ""
    try:
        for piece in pieces:
            now = monotonic()
            first = first or now - begun
            text += piece
            if now - shown < _PACE:
                continue
            if not wanted():
                return
            if now - begun > seconds:
                yield Moment(text, False, True, first)
                return
            yield Moment(text, False, False, first)
            shown = now
        yield Moment(text, True, False, first or monotonic() - begun)
    finally:
        if close := getattr(pieces, "close", None):
            close()


def writes_of(model: str) -> list[tuple[str, str]]:
    """Return the tasks and styles that a model writes: a shipped one, a run, or a folder that a recipe wrote.

    Raises ValueError where there is no such folder and no such name, and where nothing there says it.
    """
    if model in SHIPPED or is_searcher(model):
        return list(SHIPPED[model if model in SHIPPED else "squares"].writes)
    if not Path(model).is_dir():
        raise ValueError(f"there is no model {model}: give a run, a folder or one of {', '.join(SHIPPED)}")
    part = read_part(Path(model))
    try:
        return [(part.task, find_task(part.task, part.style)[1])]
    except ValueError:
        raise ValueError(f"nothing says what model {model} writes: give --task and --style") from None


def _given(model: str, task: str | None, style: str | None, opened: dict[str, Writer]) -> Iterator[Asked]:
    """Yield a model of one's own in each task and style that it writes and the page shows."""
    known = [(task, find_task(task, style)[1])] if task else writes_of(model)
    shown = [(name, kind) for name, kind in known if name in _FIRST]
    if not shown:
        raise ValueError(
            f"model {model} writes {known[0][0]}, which the page does not show: ask it with «aritmo ask»"
        )
    for name, kind in shown:
        yield open_asked(name, model, kind, opened)


def _read(w: Words, asked: Asked, text: str, most: int, order: int = 3) -> Any:
    """Return the problem that someone wrote, or what the page says where it is none."""
    if refusal := _unfit(w, text, most):
        return refusal
    try:
        return asked.read(Line("", text), order)
    except ValueError as error:
        return views.refused(said(str(error), w["code"]))


def _unfit(w: Words, text: str, most: int) -> str:
    """Return what the page says to a text that is empty or too long."""
    if len(text) > most:
        return views.refused(w["too_long"].format(n=f"{len(text):,}", most=f"{most:,}"))
    return "" if text.strip() else views.refused(w["empty"])


def _truth(w: Words, n: int) -> str:
    if n < 2:
        return w["is_neither"].format(n=n)
    if is_prime(n):
        return w["is_prime"].format(n=n)
    if n >= _TRIED:
        return w["is_composite"].format(n=n)
    factor = least_factor(n)
    return w["is_product"].format(n=n, a=factor, b=n // factor)


def _counted(w: Words, count: int) -> str:
    return w["token"] if count == 1 else w["tokens"].format(n=count)
