"""Adding two numbers: the two ways in which the report trained its model, and one for coupled positions."""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import zip_longest
from typing import NamedTuple

from aritmo.numbers.columns import MAX_PLACES, PLACE_WORDS, Column, add_columns, place_name
from aritmo.numbers.randomness import Split, Stream
from aritmo.tasks.task import TaskOptions, Verdict, draw_problems

_MAX_DIGITS = {"plain": 4000, "tutorial": MAX_PLACES - 1, "aligned": 4000}
"""Digits of an operand. The sum may have one more, and in a tutorial each of its places needs a name."""
_NUMBER = r"(0|[1-9][0-9]*)"
_PROMPT = {
    "plain": re.compile(rf"\s*{_NUMBER}\+{_NUMBER}=\s*"),
    "tutorial": re.compile(rf"\s*{_NUMBER}\+{_NUMBER}\s*"),
    "aligned": re.compile(rf"\s*\${_NUMBER}\+{_NUMBER}=\s*"),
}
_ENDING = {"plain": "=", "tutorial": "\n\n", "aligned": "="}
_ANSWER = {
    "plain": re.compile(r"\A\s*([0-9]+)(?!\S)"),
    "tutorial": re.compile(r"RESULT\s+[0-9]+\+[0-9]+=([0-9]+)(?!\S)"),
    "aligned": re.compile(r"\A\s*([0-9]+)\s*\Z"),
}
"""Where the answer stands. It is a whole word: 37331.5 is not 37331."""


class Sum(NamedTuple):
    """What is asked: two numbers from 0 upwards, in the order in which they are written."""

    a: int
    b: int


class Addition:
    name = "addition"
    version = 1
    styles: tuple[str, ...] = ("plain", "tutorial", "aligned")
    words: tuple[str, ...] = (
        "STEP",
        "Number",
        "RESULT",
        *PLACE_WORDS,
        *["Adding", "and", "means", "counting", "on", "from", "by", "gives"],
    )
    fields: tuple[str, ...] = ("min_digits", "max_digits")
    repeats = True

    def problems(self, split: Split, seed: int, start: int, stop: int, options: TaskOptions) -> list[Sum]:
        """Draw the length of each operand alone and uniformly, then its digits."""
        lengths = range(options.min_digits, options.max_digits + 1)
        spans = [(10 ** (digits - 1) if digits > 1 else 0, 10**digits) for digits in lengths]

        def draw(stream: Stream) -> Sum:
            first, second = divmod(stream.below(len(spans) ** 2), len(spans))
            (least_a, end_a), (least_b, end_b) = spans[first], spans[second]
            width = end_b - least_b
            # One draw for both operands: opening a stream's next number is what costs.
            a, b = divmod(stream.below((end_a - least_a) * width), width)
            return Sum(least_a + a, least_b + b)

        return draw_problems(self, draw, split, seed, start, stop)

    def family(self, problem: Sum) -> str:
        a, b = problem
        return f"{a}+{b}" if a <= b else f"{b}+{a}"

    def key(self, problem: Sum) -> str:
        return f"{problem.a}+{problem.b}"

    def prompt(self, problem: Sum, style: str) -> str:
        begin = "$" if style == "aligned" else ""
        return f"{begin}{problem.a}+{problem.b}{_ENDING[style]}"

    def completion(self, problem: Sum, style: str) -> str:
        if style == "plain":
            a, b = problem
            return f"{a + b}\nAdding {a} and {b} means counting on from {a} by {b} and gives {a + b}."
        if style == "aligned":
            return str(problem.a + problem.b)[::-1]
        return "\n".join(_tutorial(problem))

    def read_prompt(self, prompt: str, style: str) -> Sum:
        match = _PROMPT[style].fullmatch(prompt)
        if not match:
            raise ValueError(f"no sum in {prompt[:60]!r}: write two numbers and a plus sign, like 8292+29039")
        longest = max(map(len, match.groups()))
        if longest > _MAX_DIGITS[style]:
            raise ValueError(
                f"an operand of {longest} digits is too long for style {style}: at most {_MAX_DIGITS[style]}"
            )
        return Sum(int(match[1]), int(match[2]))

    def judge(self, problem: Sum, completion: str, style: str) -> Verdict:
        expected = str(problem.a + problem.b)
        match = _ANSWER[style].search(completion)
        answer = match[1] if match and len(match[1]) <= _MAX_DIGITS[style] + 1 else None
        if answer and style == "aligned":
            answer = answer[::-1]
        wrong = _FIRST_WRONG[style](problem, completion)
        reasons = []
        if answer is None:
            reasons.append("no result: the text names no sum")
        elif answer != expected:
            reasons.append(f"wrong result: {answer} in place of {expected}")
        if wrong and not (reasons and wrong == "the result"):
            reasons.append(f"first wrong step: {wrong}")
        digits = [len(str(problem.a)), len(str(problem.b))]
        details = {"digits": digits, "answered": answer == expected, "first_wrong": wrong}
        return Verdict(not reasons, answer, tuple(reasons), details)


@lru_cache(maxsize=MAX_PLACES)
def _form(digits: int) -> str:
    """Return the lines that take a number of so many digits apart, with ``%s`` for each digit."""
    return "\n".join(f"{place_name(place)}->%s" for place in range(digits))


def _places(number: int) -> str:
    """Return the lines that take a number apart: ``ones->2``, ``tens->9``, ..."""
    digits = str(number)
    return _form(len(digits)) % tuple(reversed(digits))


@lru_cache(maxsize=240 * MAX_PLACES)
def _step(place: int, digits: tuple[str, str], carry: int) -> tuple[str, int]:
    """Return the text of one column's step and the carry out of it; a digit that is not there is "".

    A place has few different columns, so that a corpus looks them up.
    """
    column = Column(place, tuple(map(int, filter(None, digits))), carry)
    terms = "+".join(map(str, (*column.digits, carry) if carry else column.digits))
    head = (f"STEP {place + 2}", f"{place_name(place)}->{terms}={column.total}", f"Number: {column.total}")
    return "\n".join((*head, _places(column.total))), column.total // 10


def _steps(a: int, b: int) -> Iterator[str]:
    """Yield the text of the step of each column of ``add_columns(a, b)``."""
    place = carry = 0
    for place, digits in enumerate(zip_longest(reversed(str(a)), reversed(str(b)), fillvalue="")):
        text, carry = _step(place, digits, carry)
        yield text
    if carry:
        yield _step(place + 1, ("", ""), carry)[0]


def _tutorial(problem: Sum) -> Iterator[str]:
    """Yield the report's tutorial («Prueba 1», «Prueba 2») in blocks of lines."""
    a, b = problem
    yield "STEP 1"
    for number in problem:
        yield f"Number: {number}"
        yield _places(number)
    steps = list(_steps(a, b))
    yield from steps
    yield f"STEP {len(steps) + 2}"
    yield _places(a + b)
    yield f"Number: {a + b}"
    yield f"RESULT\n{a}+{b}={a + b}"


def _step_names(problem: Sum) -> Iterator[str]:
    """Yield what each line of the tutorial does, line for line."""
    a, b = problem
    yield "STEP 1, its heading"
    for which, number in (("first", a), ("second", b)):
        yield f"STEP 1, copying the {which} number"
        yield from (f"STEP 1, {place_name(i)} of the {which} number" for i in range(len(str(number))))
    last = 1
    for column in add_columns(a, b):
        last, name = column.place + 2, place_name(column.place)
        yield from (f"STEP {last}, {what}" for what in ("its heading", f"the sum of the {name}"))
        yield f"STEP {last}, copying the sum of the {name}"
        yield from (f"STEP {last}, {what}" for what in ("the digit", "the carry")[: len(str(column.total))])
    yield f"STEP {last + 1}, its heading"
    yield from (f"STEP {last + 1}, collecting the {place_name(i)}" for i in range(len(str(a + b))))
    yield f"STEP {last + 1}, putting the number together"
    yield from ("the heading RESULT", "the result")


def _lines(text: str) -> list[str]:
    """Return the lines that hold something, white space aside, but for the one space after a colon or STEP."""
    return [" ".join(line.split()) for line in text.split("\n") if line.strip()]


def _first_wrong(problem: Sum, completion: str) -> str | None:
    """Return the name of the first step of a tutorial that is not right, or None."""
    expected = "\n".join(_tutorial(problem)).split("\n")
    names = list(_step_names(problem))
    assert len(names) == len(expected)
    for name, right, written in zip_longest(names, expected, _lines(completion)):
        if right != written:
            return name or "text after the result"
    return None


def _first_wrong_plain(problem: Sum, completion: str) -> str | None:
    expected = f"{problem.a + problem.b}", *_lines(Addition().completion(problem, "plain"))[1:]
    for name, right, written in zip_longest(("the result", "the explanation"), expected, _lines(completion)):
        if right != written:
            return name or "text after the explanation"
    return None


def _first_wrong_aligned(problem: Sum, completion: str) -> str | None:
    expected = str(problem.a + problem.b)[::-1]
    for place, (right, written) in enumerate(zip_longest(expected, completion.strip()), 1):
        if right != written:
            return f"digit {place} from the right" if right else "text after the result"
    return None


_FIRST_WRONG = {"plain": _first_wrong_plain, "tutorial": _first_wrong, "aligned": _first_wrong_aligned}
