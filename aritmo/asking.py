"""Asking a model problems that people wrote: read, written on, judged exactly.

A shipped model answers in numpy, without torch and transformers; any other is opened with them.
"""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
    from aritmo.choosing import SamplingConfig
    from aritmo.llama import Guess

Record = dict[str, Any]

_WINDOW = 512
"""Problems that are written together, before the first of them is answered."""
_SPARE = 8
"""Tokens that a model may write more than the right text has: what is cut off there is wrong already."""
ROOM = {3: 5_200, 5: 5_200, 7: 7_600}
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
    if manner.temperature is not None and not 0 <= manner.temperature < math.inf:
        raise ValueError(f"temperature: got {manner.temperature}, give a number from 0 upwards, such as 0.7")
    asked = open_asked(task_name, model, style)
    asked.writer.check(manner)
    return _answers(asked, [asked.read(line, order) for line in lines], manner)


@dataclass(frozen=True, slots=True)
class Asked:
    """A model that was opened, and the task and style in which it is asked, any number of times."""

    task: Task[Any]
    style: str
    writer: "Writer"

    def read(self, line: Line, order: int = 3) -> Any:
        """Return the problem that a line asks. Raises ValueError where it asks none or too much."""
        try:
            problem = of_order(READERS[self.task.name](line.text, self.writer.most(self.task, self.style)), order)
            return self.task.read_prompt(self.task.prompt(problem, self.style), self.style)
        except ValueError as error:
            raise ValueError(f"{line.where}: {error}" if line.where else str(error)) from None

    def stream(self, problem: Any, manner: Manner = Manner()) -> Iterator[str]:  # noqa: B008
        """Yield what the model writes on a problem, piece by piece as it comes; closing it ends the writing."""
        return self.writer.stream(self.task, self.style, problem, manner)

    def record(self, problem: Any, text: str) -> Record:
        """Return the record (see ``ask``) of a text that was written on a problem."""
        verdict = self.task.judge(problem, text, self.style)
        judged = {"valid": verdict.valid, "reasons": list(verdict.reasons), "details": verdict.details}
        return {
            "problem": written(self.task, problem),
            "text": text,
            "answer": verdict.answer,
            "verdict": judged,
        }


def open_asked(
    task_name: str,
    model: str | None = None,
    style: str | None = None,
    opened: "dict[str, Writer] | None" = None,
) -> Asked:
    """Open a model to be asked, without ``model`` a shipped one. ``opened`` keeps writers by the names of models.

    Raises ValueError for a task, style or model that cannot be had.
    """
    task, _ = find_task(task_name)
    model, style = choose(task, model, style)
    opened = {} if opened is None else opened
    if model not in opened:
        opened[model] = (_Searcher if is_searcher(model) else _Lean if model in SHIPPED else _Full)(model)
    asked = Asked(task, style, opened[model])
    asked.writer.most(task, style)
    return asked


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


def _answers(asked: Asked, problems: Sequence[Any], manner: Manner) -> Iterator[Record]:
    with Progress("answering", len(problems), "problems") as progress:
        for start in range(0, len(problems), _WINDOW):
            window = problems[start : start + _WINDOW]
            texts = asked.writer.write(window, asked.task, asked.style, manner, start, progress)
            for problem, text in zip(window, texts, strict=True):
                yield asked.record(problem, text)


class Writer(Protocol):
    """A model that was opened, with its tokenizer."""

    def most(self, task: Task[Any], style: str) -> int:
        """Return the most digits of a number. Raises ValueError for what the model does not write."""
        ...

    def check(self, manner: Manner) -> None:
        """Raise ValueError for a manner in which the model does not write."""
        ...

    def write(
        self, problems: Sequence[Any], task: Task[Any], style: str, manner: Manner, start: int, progress: Progress
    ) -> list[str]:
        """Return the texts on some problems, the first of which stands at ``start`` of all that are asked."""
        ...

    def stream(self, task: Task[Any], style: str, problem: Any, manner: Manner) -> Iterator[str]:
        """Yield the text that ``write`` returns for a problem that stands at 0, in pieces as they come."""
        ...


class _Lean:
    """A shipped GPT-2, in numpy."""

    def __init__(self, name: str) -> None:
        from tokenizers import Tokenizer

        from aritmo.gpt2 import Gpt2

        folder = shipped_folder(name)
        self._name, self._model = name, Gpt2.open(folder)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def most(self, task: Task[Any], style: str) -> int:
        most = SHIPPED[self._name].writes[task.name, style]
        return most or longest_operand(self._model.table, self._model.ids_a_place)

    def check(self, manner: Manner) -> None:
        if manner.temperature:
            raise ValueError(
                f"model {self._name} is asked for its likeliest text only: "
                f"leave out --temperature {manner.temperature}"
            )

    def write(
        self, problems: Sequence[Any], task: Task[Any], style: str, manner: Manner, start: int, progress: Progress
    ) -> list[str]:
        from aritmo.gpt2 import write_greedily

        texts = [self._text(task, style, problem) for problem in problems]
        texts_written = write_greedily(self._model, texts, cores(), progress.advance)
        return [self._tokenizer.decode(tokens, skip_special_tokens=False) for tokens in texts_written]

    def stream(self, task: Task[Any], style: str, problem: Any, manner: Manner) -> Iterator[str]:
        from aritmo.gpt2 import write_on

        for token in write_on(self._model, self._text(task, style, problem)):
            yield self._tokenizer.decode([token], skip_special_tokens=False)

    def _text(self, task: Task[Any], style: str, problem: Any) -> Any:
        from aritmo.gpt2 import Text

        prompt, right = task.prompt(problem, style), task.completion(problem, style)
        tokens, expected = (encoded.ids for encoded in self._tokenizer.encode_batch([prompt, right]))
        layout = lay_out(prompt, len(tokens), self._model.table, self._model.ids_a_place)
        return Text(tokens, layout, min(layout.room, len(expected) + _SPARE))


class _Searcher:
    """The Llama of squares, in numpy. Its text is guessed to be the right one: that only saves time, see llama."""

    def __init__(self, name: str) -> None:
        from tokenizers import Tokenizer

        from aritmo.llama import Llama

        folder = shipped_folder(name) if name in SHIPPED else Path(name)
        self._name, self._model = name, Llama.open(folder)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def most(self, task: Task[Any], style: str) -> int:
        known = SHIPPED[_RECIPE]
        if (task.name, style) not in known.writes:
            raise ValueError(f"model {self._name} writes {_listed(known)} and nothing else")
        return known.writes[task.name, style] or _MOST

    def check(self, manner: Manner) -> None:
        pass

    def write(
        self, problems: Sequence[Any], task: Task[Any], style: str, manner: Manner, start: int, progress: Progress
    ) -> list[str]:
        from aritmo.llama import write_texts

        texts = [self._text(task, style, problem, manner, index) for index, problem in enumerate(problems, start)]
        texts_written = write_texts(self._model, texts, cores(), progress.advance)
        return [self._tokenizer.decode(tokens, skip_special_tokens=False) for tokens in texts_written]

    def stream(self, task: Task[Any], style: str, problem: Any, manner: Manner) -> Iterator[str]:
        from aritmo.llama import write_on

        for token in write_on(self._model, self._text(task, style, problem, manner, 0)):
            yield self._tokenizer.decode([token], skip_special_tokens=False)

    def _text(self, task: Task[Any], style: str, problem: Any, manner: Manner, index: int) -> Any:
        from aritmo.llama import Text

        temperature = manner.of(written(task, problem))
        return Text(
            self._tokenizer.encode(task.prompt(problem, style)).ids,
            min(SHIPPED[_RECIPE].tokens[task.name, style], _room(problem)),
            self._guess(task, style, problem),
            Stream("ask", manner.seed, index) if temperature else None,
            temperature,
        )

    def _guess(self, task: Task[Any], style: str, problem: Any) -> "Guess":
        """Return what guesses that the right text comes, once it is known which one that is."""
        known: list[int] = []

        def guess(tokens: Sequence[int]) -> Sequence[int]:
            if not known and len(tokens) < _REQUEST:
                text = self._tokenizer.decode(list(tokens), skip_special_tokens=False)
                right = _foreseen(task, style, problem, text)
                known.extend([*self._tokenizer.encode(right).ids, self._model.end] if right else [])
            return known[len(tokens) :]

        return guess


class _Full:
    """Any other model, opened with transformers."""

    def __init__(self, name: str) -> None:
        from aritmo.experiment import newest_model
        from aritmo.models import open_model

        self._model, self._tokenizer = open_model(newest_model(name), context=2)

    def most(self, task: Task[Any], style: str) -> int:
        return _MOST

    def check(self, manner: Manner) -> None:
        pass

    def write(
        self, problems: Sequence[Any], task: Task[Any], style: str, manner: Manner, start: int, progress: Progress
    ) -> list[str]:
        from aritmo.sampling import write

        most = self._steps(task, style, problems)
        texts = [""] * len(problems)
        told = [manner.of(written(task, problem)) for problem in problems]
        for temperature in sorted(set(told)):
            mine = [place for place, other in enumerate(told) if other == temperature]
            prompts = [task.prompt(problems[place], style) for place in mine]
            sampling = _sampling(most, temperature, manner)
            answers = write(self._model, self._tokenizer, prompts, sampling, start=start, progress=False)
            for place, answer in zip(mine, answers, strict=True):
                texts[place] = answer.text
                progress.advance()
        return texts

    def stream(self, task: Task[Any], style: str, problem: Any, manner: Manner) -> Iterator[str]:
        from aritmo.sampling import write_on

        sampling = _sampling(self._steps(task, style, [problem]), manner.of(written(task, problem)), manner)
        return write_on(self._model, self._tokenizer, task.prompt(problem, style), sampling)

    def _steps(self, task: Task[Any], style: str, problems: Sequence[Any]) -> int:
        """Return how many tokens a text may have: those of the right one, or some room where several are."""
        from aritmo.tokens import encode_batch

        right = [_foreseen(task, style, problem) for problem in problems]
        known = encode_batch(self._tokenizer, [text for text in right if text is not None])
        return max(map(len, known), default=0) + _SPARE if None not in right else max(map(_room, problems))


def _sampling(most: int, temperature: float, manner: Manner) -> "SamplingConfig":
    from aritmo.choosing import SamplingConfig

    return SamplingConfig(max_new_tokens=most, temperature=temperature, seed=manner.seed)


def _room(problem: Any) -> int:
    """Return how many tokens a model may write on a problem where no one text is right."""
    wanted = problem.wanted if isinstance(problem, Square) else None
    return ROOM.get(wanted.order or 3, ROOM[3]) if wanted else ROOM[3]


def _foreseen(task: Task[Any], style: str, problem: Any, text: str = "") -> str | None:
    """Return the one right completion that begins with ``text``, None where several would be right."""
    if isinstance(task, Squares):
        return task.foreseen(problem, style, text)
    return task.completion(problem, style)
