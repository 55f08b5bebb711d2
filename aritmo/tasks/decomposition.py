"""Taking a number apart into its digits, with the digits joined or set apart by spaces."""

import re

from aritmo.numbers.columns import MAX_PLACES, PLACE_WORDS, place_name
from aritmo.numbers.randomness import Split, Stream
from aritmo.tasks.task import TaskOptions, Verdict, draw_problems

_PROMPT = {
    "joined": re.compile(r"\s*(?:###\s*)?(0|[1-9][0-9]*)\s*"),
    "spaced": re.compile(r"\s*(?:###\s*)?(0|[1-9](?: [0-9])*)\s*"),
}
_LINE = re.compile(r"([a-z]+(?: [a-z]+)?)->([0-9])")


class Decomposition:
    name = "decomposition"
    version = 1
    styles: tuple[str, ...] = ("joined", "spaced")
    words: tuple[str, ...] = ("###", *PLACE_WORDS)
    fields: tuple[str, ...] = ("min_digits", "max_digits")
    repeats = True

    def problems(self, split: Split, seed: int, start: int, stop: int, options: TaskOptions) -> list[int]:
        """Draw the number of digits uniformly, then the digits."""
        low, high = options.min_digits, options.max_digits

        def draw(stream: Stream) -> int:
            return stream.number(stream.between(low, high))

        return draw_problems(self, draw, split, seed, start, stop)

    def family(self, problem: int) -> str:
        return str(problem)

    def key(self, problem: int) -> str:
        return str(problem)

    def prompt(self, problem: int, style: str) -> str:
        return f"###\n{' '.join(str(problem)) if style == 'spaced' else problem}\n"

    def completion(self, problem: int, style: str) -> str:
        digits = reversed(str(problem))
        return "".join(f"{place_name(place)}->{digit}\n" for place, digit in enumerate(digits))

    def read_prompt(self, prompt: str, style: str) -> int:
        match = _PROMPT[style].fullmatch(prompt)
        digits = match[1].replace(" ", "") if match else ""
        if not 0 < len(digits) <= MAX_PLACES:
            raise ValueError(f"no number of 1 to {MAX_PLACES} digits in {prompt[:60]!r}: write one, like 57")
        return int(digits)

    def judge(self, problem: int, completion: str, style: str) -> Verdict:
        written = [" ".join(line.split()) for line in completion.split("\n") if line.strip()]
        expected = [line for line in self.completion(problem, style).split("\n") if line]
        answer = _number(written)
        reasons = []
        if answer is None:
            reasons.append("no number: the lines are not one digit for each place from the ones upwards")
        for place, (right, line) in enumerate(zip(expected, written, strict=False)):
            if right != line:
                reasons.append(f"wrong line: {line[:60]!r} in place of {right!r} for the {place_name(place)}")
        if len(written) != len(expected):
            reasons.append(f"wrong length: {len(written)} lines for a number of {len(expected)} digits")
        details = {"digits": len(str(problem)), "answered": answer == str(problem)}
        return Verdict(not reasons, answer, tuple(reasons), details)


def _number(lines: list[str]) -> str | None:
    """Return the number that the lines spell, or None where a place is missing, double or out of order."""
    digits = []
    for place, line in enumerate(lines):
        match = _LINE.fullmatch(line)
        if not match or place >= MAX_PLACES or match[1] != place_name(place):
            return None
        digits.append(match[2])
    return "".join(reversed(digits)) or None
