"""Asking a model problems that people wrote: read, written on, judged exactly.

A shipped model answers in numpy, without torch and transformers; any other is opened with them.
"""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aritmo.files import read_bounded, size
from aritmo.numbers.randomness import Stream
from aritmo.positions import lay_out, longest_operand
from aritmo.progress import Progress
from aritmo.shipped import SHIPPED, Shipped, shipped_folder
from aritmo.tasks import Task, find_task
from aritmo.tasks.problems import ANY, READERS, of_order, written
from aritmo.tasks.squares import Square, Squares
from aritmo.workers import cores

if TYPE_CHECKING:
    from aritmo.llama import Guess

Record = dict[str, Any]

_WINDOW = 512
"""Problems that are written together, before the first of them is answered."""
_SPARE = 8
"""Tokens that a model may write more than the right text has: what is cut off there is wrong already."""
_ROOM = {3: 5_200, 5: 5_200, 7: 7_600}
"""Tokens that a model may write on a square of each order."""
_RECIPE = "squares"
"""The recipe whose models are read in numpy, in a folder as well."""
_REQUEST = 16
"""Tokens within which a text for any square says which one it searches for."""
_FILE = 64 << 20
"""Bytes that a file of problems may hold."""
_MOST = 4000
"""Digits of a number at most, whatever the model. Python itself reads no more than 4,300."""


class Line(NamedTuple):
    """A problem as it was written, and where it stood: empty, or a file and a number of a line."""

    where: str
    text: str


def read_lines(file: Path) -> list[Line]:
    """Return the lines of a file that hold something; ``-`` is standard input.

    Raises ValueError where it is no UTF-8 text or holds no line.
    """
    stdin = str(file) == "-"
    name = "standard input" if stdin else str(file)
    try:
        content = sys.stdin.buffer.read(_FILE + 1) if stdin else read_bounded(file, _FILE)
        if len(content) > _FILE:
            raise ValueError(f"{name} holds more than {size(_FILE)}: ask it in parts")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is no UTF-8 text (byte {error.start + 1:,}): give one problem a line") from None
    lines = [Line(f"{name}, line {n}", line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise ValueError(f"{name} holds no problem: write one a line")
    return lines


class Manner(NamedTuple):
    """How a model is to write: the likeliest token each time (temperature 0), or drawn by a seed.

    Without a temperature it is 0, but 1 where any square is asked for.
    """

    temperature: float | None = None
    seed: int = 0

    def of(self, problem: str) -> float:
        return self.temperature if self.temperature is not None else float(problem == ANY)


def ask(
    task_name: str,
    lines: Sequence[Line],
    model: str | None = None,
    style: str | None = None,
    manner: Manner = Manner(),  # noqa: B008
    order: int = 3,
) -> Iterator[Record]:
    """Read all lines, then yield what the model makes of each, in their order.

    A record has ``problem``; ``text``, what the model wrote; ``answer``, what that says, or None; and
    ``verdict``, with ``valid``, ``reasons`` and ``details``. Without ``model`` a shipped one is asked.
    ``order`` is that of squares: 3, or 5 or 7 for nested ones.
    Raises ValueError before the first record for a line that asks nothing or too much, naming where it stood,
    for a temperature that is none, and for a task, style or model that cannot be had.
    """
    task, _ = find_task(task_name)
    if manner.temperature is not None and not 0 <= manner.temperature < math.inf:
        raise ValueError(f"temperature: got {manner.temperature}, give a number from 0 upwards, such as 0.7")
    model, style = choose(task, model, style)
    kind = _Searcher if is_searcher(model) else _Lean if model in SHIPPED else _Full
    writer: _Writer = kind(model, style, task, manner)
    problems = [_read(task, style, writer.most, line, order) for line in lines]
    return _answers(task, style, problems, writer)


def choose(task: Task[Any], model: str | None, style: str | None) -> tuple[str, str]:
    """Return the model to ask and the style to ask it in. Raises ValueError where there is none."""
    if style is not None:
        find_task(task.name, style)
    if model is None:
        for name, shipped in SHIPPED.items():
            for written in shipped.styles(task.name):
                if style in (None, written):
                    return name, written
        which = f"task {task.name}" + (f" in the style {style}" if style else "")
        raise ValueError(f"no model for {which} is shipped yet: name one of yours with --model")
    if model in SHIPPED:
        known = SHIPPED[model]
        for written in known.styles(task.name):
            if style in (None, written):
                return model, written
        raise ValueError(f"model {model} writes {_listed(known)} and nothing else")
    if style is None:
        raise ValueError(f"nothing says how model {model} writes: give --style, {', '.join(task.styles)}")
    return model, style


def _listed(shipped: Shipped) -> str:
    return " and ".join(f"{task} in the style {style}" for task, style in shipped.writes)


def is_searcher(model: str) -> bool:
    """Return whether a model is the shipped one of squares, or a folder that its recipe wrote."""
    if model in SHIPPED:
        return model == _RECIPE
    try:
        told = json.loads((Path(model) / "recipe.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("recipe") == _RECIPE


def _read(task: Task[Any], style: str, most: int, line: Line, order: int) -> Any:
    try:
        problem = of_order(READERS[task.name](line.text, most), order)
        return task.read_prompt(task.prompt(problem, style), style)
    except ValueError as error:
        raise ValueError(f"{line.where}: {error}" if line.where else str(error)) from None


def _answers(task: Task[Any], style: str, problems: Sequence[Any], writer: "_Writer") -> Iterator[Record]:
    with Progress("answering", len(problems), "problems") as progress:
        for start in range(0, len(problems), _WINDOW):
            window = problems[start : start + _WINDOW]
            for problem, text in zip(window, writer.write(window, start, progress), strict=True):
                verdict = task.judge(problem, text, style)
                judged = {"valid": verdict.valid, "reasons": list(verdict.reasons), "details": verdict.details}
                yield {
                    "problem": written(task, problem),
                    "text": text,
                    "answer": verdict.answer,
                    "verdict": judged,
                }


class _Writer(Protocol):
    """Writes on problems with numbers of ``most`` digits; the first stands at ``start`` of all that are asked."""

    most: int

    def write(self, problems: Sequence[Any], start: int, progress: Progress) -> list[str]: ...


class _Lean:
    """A shipped GPT-2, in numpy."""

    def __init__(self, name: str, style: str, task: Task[Any], manner: Manner) -> None:
        from tokenizers import Tokenizer

        from aritmo.gpt2 import Gpt2

        if manner.temperature:
            raise ValueError(
                f"model {name} is asked for its likeliest text only: leave out --temperature {manner.temperature}"
            )
        folder = shipped_folder(name)
        self._model = Gpt2.open(folder)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._task, self._style = task, style
        most = SHIPPED[name].writes[task.name, style]
        self.most = most or longest_operand(self._model.table, self._model.ids_a_place)

    def write(self, problems: Sequence[Any], start: int, progress: Progress) -> list[str]:
        from aritmo.gpt2 import Text, write_greedily

        texts = []
        for problem in problems:
            prompt, right = self._task.prompt(problem, self._style), self._task.completion(problem, self._style)
            tokens, expected = (encoded.ids for encoded in self._tokenizer.encode_batch([prompt, right]))
            layout = lay_out(prompt, len(tokens), self._model.table, self._model.ids_a_place)
            texts.append(Text(tokens, layout, min(layout.room, len(expected) + _SPARE)))
        texts_written = write_greedily(self._model, texts, cores(), progress.advance)
        return [self._tokenizer.decode(tokens, skip_special_tokens=False) for tokens in texts_written]


class _Searcher:
    """The Llama of squares, in numpy. Its text is guessed to be the right one: that only saves time, see llama."""

    def __init__(self, name: str, style: str, task: Task[Any], manner: Manner) -> None:
        from tokenizers import Tokenizer

        from aritmo.llama import Llama

        folder = shipped_folder(name) if name in SHIPPED else Path(name)
        self._model = Llama.open(folder)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._task, self._style, self._manner = task, style, manner
        known = SHIPPED[_RECIPE]
        if (task.name, style) not in known.writes:
            raise ValueError(f"model {name} writes {_listed(known)} and nothing else")
        self._tokens = known.tokens[task.name, style]
        self.most = known.writes[task.name, style] or _MOST

    def write(self, problems: Sequence[Any], start: int, progress: Progress) -> list[str]:
        from aritmo.llama import Text, write_texts

        texts = []
        for index, problem in enumerate(problems, start):
            temperature = self._manner.of(written(self._task, problem))
            texts.append(
                Text(
                    self._tokenizer.encode(self._task.prompt(problem, self._style)).ids,
                    min(self._tokens, _room(problem)),
                    self._guess(problem),
                    Stream("ask", self._manner.seed, index) if temperature else None,
                    temperature,
                )
            )
        texts_written = write_texts(self._model, texts, cores(), progress.advance)
        return [self._tokenizer.decode(tokens, skip_special_tokens=False) for tokens in texts_written]

    def _guess(self, problem: Any) -> "Guess":
        """Return what guesses that the right text comes, once it is known which one that is."""
        known: list[int] = []

        def guess(tokens: Sequence[int]) -> Sequence[int]:
            if not known and len(tokens) < _REQUEST:
                text = self._tokenizer.decode(list(tokens), skip_special_tokens=False)
                right = _foreseen(self._task, self._style, problem, text)
                known.extend([*self._tokenizer.encode(right).ids, self._model.end] if right else [])
            return known[len(tokens) :]

        return guess


class _Full:
    """Any other model, opened with transformers."""

    most = _MOST

    def __init__(self, name: str, style: str, task: Task[Any], manner: Manner) -> None:
        from aritmo.experiment import newest_model
        from aritmo.models import open_model

        self._model, self._tokenizer = open_model(newest_model(name), context=2)
        self._task, self._style, self._manner = task, style, manner

    def write(self, problems: Sequence[Any], start: int, progress: Progress) -> list[str]:
        from aritmo.sampling import SamplingConfig, write
        from aritmo.tokens import encode_batch

        right = [_foreseen(self._task, self._style, problem) for problem in problems]
        known = encode_batch(self._tokenizer, [text for text in right if text is not None])
        most = max(map(len, known), default=0) + _SPARE if None not in right else max(map(_room, problems))
        texts = [""] * len(problems)
        told = [self._manner.of(written(self._task, problem)) for problem in problems]
        for temperature in sorted(set(told)):
            mine = [place for place, other in enumerate(told) if other == temperature]
            sampling = SamplingConfig(max_new_tokens=most, temperature=temperature, seed=self._manner.seed)
            prompts = [self._task.prompt(problems[place], self._style) for place in mine]
            answers = write(self._model, self._tokenizer, prompts, sampling, start=start, progress=False)
            for place, answer in zip(mine, answers, strict=True):
                texts[place] = answer.text
                progress.advance()
        return texts


def _room(problem: Any) -> int:
    """Return how many tokens a model may write on a problem where no one text is right."""
    wanted = problem.wanted if isinstance(problem, Square) else None
    return _ROOM.get(wanted.order or 3, _ROOM[3]) if wanted else _ROOM[3]


def _foreseen(task: Task[Any], style: str, problem: Any, text: str = "") -> str | None:
    """Return the one right completion that begins with ``text``, None where several would be right."""
    if isinstance(task, Squares):
        return task.foreseen(problem, style, text)
    return task.completion(problem, style)
