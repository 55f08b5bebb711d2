"""Saying whether a number is prime."""

import re

from aritmo.numbers.primes import is_prime
from aritmo.numbers.randomness import Split, Stream
from aritmo.tasks.squares_search import spell
from aritmo.tasks.task import TaskOptions, Verdict, draw_problems

MAX_DIGITS = 18
"""Numbers below 2**63 are judged exactly."""

_PROMPTS = {
    "plain": re.compile(r"\s*Is (?P<number>0|[1-9][0-9]*) prime\?\s*"),
    "halves": re.compile(r"\s*Ask: Prime (?P<low>[0-9]{2})'(?P<high>0|[1-9][0-9]*)\s*"),
}


class Primality:
    name = "primality"
    version = 1
    styles: tuple[str, ...] = ("plain", "halves")
    words: tuple[str, ...] = ("Is", "prime", "yes", "no")
    fields: tuple[str, ...] = ("min_digits", "max_digits")
    repeats = True

    def problems(self, split: Split, seed: int, start: int, stop: int, options: TaskOptions) -> list[int]:
        """Draw the number of digits, then «prime» or «not prime» by a fair coin, then such a number.

        Of all numbers most are composite; so drawn, «no» is right half of the time. A corpus, which drops repeats,
        runs out of short primes first: at least as many digits as it takes keep it near one half.
        """
        low, high = options.min_digits, options.max_digits
        if high > MAX_DIGITS:
            raise ValueError(
                f"max_digits: got {high}, but primality is exact to {MAX_DIGITS} digits; ask for fewer"
            )

        def draw(stream: Stream) -> int:
            digits, prime = stream.between(low, high), bool(stream.below(2))
            number = stream.number(digits)
            while is_prime(number) != prime:
                number = stream.number(digits)
            return number

        return draw_problems(self, draw, split, seed, start, stop)

    def family(self, problem: int) -> str:
        return str(problem)

    def key(self, problem: int) -> str:
        return str(problem)

    def prompt(self, problem: int, style: str) -> str:
        """Return the question; ``halves`` writes a number as its last two digits and the rest (squares_search)."""
        if style == "plain":
            return f"Is {problem} prime?\n"
        return spell("Ask") + spell("Prime") + spell(problem)

    def completion(self, problem: int, style: str) -> str:
        answer = "yes" if is_prime(problem) else "no"
        return answer if style == "plain" else spell(answer)

    def read_prompt(self, prompt: str, style: str) -> int:
        match = _PROMPTS[style].fullmatch(prompt)
        digits = "".join(reversed(match.groups())) if match else ""
        if not match or len(digits) > MAX_DIGITS:
            example = self.prompt(7919, style).strip()
            raise ValueError(f"no number of 1 to {MAX_DIGITS} digits in {prompt[:60]!r}: ask «{example}»")
        return int(digits)

    def judge(self, problem: int, completion: str, style: str) -> Verdict:
        answer = {"yes": True, "no": False}.get(completion.strip())
        prime = is_prime(problem)
        reasons = []
        if answer is None:
            reasons.append("no answer: the text is neither «yes» nor «no»")
        elif answer != prime:
            reasons.append(f"wrong answer: {problem} is {'prime' if prime else 'not prime'}")
        details = {"digits": len(str(problem)), "answered": answer == prime, "prime": prime}
        return Verdict(not reasons, answer, tuple(reasons), details)
