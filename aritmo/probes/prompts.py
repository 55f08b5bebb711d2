"""The few-shot prompts and the problems that follow them: the report's own, and many more drawn by a seed.

Every probe shows worked examples and then leaves the next one open. What is shown is the same for all problems of
a group, and a group is a number of digits, or a pair of them for a sum; a list of squares is another each time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from aritmo.numbers.primes import is_prime
from aritmo.numbers.randomness import Stream
from aritmo.tasks import Verdict, find_task
from aritmo.tasks.addition import Sum
from aritmo.tasks.squares import Square
from aritmo.tasks.task import TaskOptions

VERSION = 1
"""Raised whenever the same seed gives other problems or another prompt."""

REPORT_NUMBERS = (57, 50, 28, 52, 36, 26, 89, 98, 71)
"""The nine numbers that the report took apart for GPT-J before it asked for 43."""
REPORT_ASKED = 43
REPORT_SUMS = (Sum(12, 79), Sum(8292, 29039), Sum(67677, 92471), Sum(9, 71421))
"""The report's sums, shown with their right results."""
REPORT_GPTJ = {
    "joined": (
        *((43, "43"), (33, "33"), (64, "46"), (28, "82"), (87, "77"), (58, "77"), (60, "84"), (60, "44")),
        *((73, "96"), (55, "75"), (55, "55"), (34, "44"), (27, "42"), (61, "75"), (23, "63"), (49, "44")),
        (65, "55"),
    ),
    "spaced": (
        *((43, "34"), (47, "74"), (49, "94"), (60, "06"), (80, "08"), (82, "28"), (41, "14"), (65, "56")),
        *((35, "53"), (25, "52"), (62, "26"), (53, "35"), (78, "87"), (79, "97"), (61, "16"), (50, "05")),
    ),
}
"""What GPT-J wrote in the report, ones before tens, on 43 and on the numbers that it then went on to ask itself.

The last one of each is left out where the print ends before it does (46, 84).
"""

SQUARES_SHOWN = 3
_PRIMES_SHOWN = (57, 89, 263, 5001, 91, 7919)
_BELOW = 1000
_PATIENCE = 1000
"""Draws in a row that were drawn before, after which a group is taken to hold no more problems."""


@dataclass(frozen=True, slots=True)
class Item:
    """One problem: the whole prompt, what goes on from it, and how it is judged.

    ``written`` is the problem as its task writes it, ``begun`` what of the answer stands in the prompt already.
    ``numbers`` are the places of its numbers in the prompt, first and end; ``right`` is a right continuation, for
    a square any of the right length.
    """

    probe: str
    group: tuple[int, ...]
    index: int
    problem: Any
    prompt: str
    written: str
    right: str
    begun: str = ""
    numbers: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """A kind of question: its task and style, its groups, and what ends an answer.

    An answer ends at any of ``stops``. ``share`` is how many problems there are for one that is asked for, so that
    a long answer is asked for less often.
    """

    name: str
    task: str
    style: str
    groups: tuple[tuple[int, ...], ...]
    stops: tuple[str, ...]
    draw: Callable[[int, tuple[int, ...]], Iterator[Item]] = field(repr=False)
    share: float = 1.0

    def items(self, seed: int, group: tuple[int, ...], count: int) -> list[Item]:
        """Return the first ``count`` problems of a group, or all there are where that is fewer."""
        return list(islice(self.draw(seed, group), count))

    def counts(self, items: int) -> dict[tuple[int, ...], int]:
        """Return how many problems each group gets of so many in all, as evenly as can be, and at least one."""
        whole = max(len(self.groups), round(items * self.share))
        few, more = divmod(whole, len(self.groups))
        return {group: few + (at < more) for at, group in enumerate(self.groups)}

    def judge(self, problem: Any, text: str) -> Verdict:
        task, style = find_task(self.task, self.style)
        return task.judge(problem, text, style)


def _decomposition(style: str) -> Callable[[int, tuple[int, ...]], Iterator[Item]]:
    task, _ = find_task("decomposition", style)

    def draw(seed: int, group: tuple[int, ...]) -> Iterator[Item]:
        (digits,) = group
        shown = REPORT_NUMBERS if digits == 2 else _examples(digits)
        before = "".join(task.prompt(number, style) + task.completion(number, style) for number in shown)
        begun = "ones->"
        for index, number in enumerate(_numbers(seed, digits, shown)):
            asked = task.prompt(number, style)
            text = task.completion(number, style)
            start = len(before) + len("###\n")
            yield Item(
                style, group, index, number, before + asked + begun, asked, text.removeprefix(begun), begun,
                ((start, start + len(asked.strip().removeprefix("###\n"))),),
            )  # fmt: skip

    return draw


def _examples(digits: int) -> tuple[int, ...]:
    """Return nine numbers of so many digits to show, the same for every seed: the report's are of two."""
    return tuple(islice(_different(lambda k: Stream("probe", "shown", digits, k).number(digits)), 9))


def _numbers(seed: int, digits: int, shown: Sequence[int]) -> Iterator[int]:
    """Yield numbers of so many digits that are not shown, none twice: of two digits the report's 43 first."""

    def draw(k: int) -> int:
        return Stream("probe", VERSION, seed, "decomposition", digits, k).number(digits)

    first = (REPORT_ASKED,) if digits == 2 else ()
    yield from first
    yield from _different(draw, {*shown, *first})


def _different(draw: Callable[[int], Any], taken: Sequence[Any] | set[Any] = ()) -> Iterator[Any]:
    """Yield what is drawn at 0, 1, 2, ... without what was taken or drawn before, until nothing new comes."""
    known, at, since = set(taken), 0, 0
    while since < _PATIENCE:
        found = draw(at)
        at, since = at + 1, since + 1
        if found not in known:
            known.add(found)
            since = 0
            yield found


def _addition(seed: int, group: tuple[int, ...]) -> Iterator[Item]:
    task, style = find_task("addition", "plain")
    before = "".join(f"{one.a}+{one.b}={one.a + one.b}\n" for one in REPORT_SUMS)

    def draw(k: int) -> Sum:
        stream = Stream("probe", VERSION, seed, "addition", *group, k)
        return Sum(*(stream.number(digits) for digits in group))

    for index, one in enumerate(_different(draw, REPORT_SUMS)):
        asked = task.prompt(one, style)
        start, middle = len(before), len(before) + len(f"{one.a}+")
        places = (start, middle - 1), (middle, middle + len(str(one.b)))
        yield Item("addition", group, index, one, before + asked, asked, f"{one.a + one.b}\n", numbers=places)


def _primality(seed: int, group: tuple[int, ...]) -> Iterator[Item]:
    """Yield numbers that are prime and not prime by turns, so that half of what is asked is prime."""
    task, style = find_task("primality", "plain")
    (digits,) = group
    before = "".join(f"{task.prompt(n, style)}{task.completion(n, style)}\n" for n in _PRIMES_SHOWN)

    def drawn(prime: bool) -> Iterator[int]:
        def draw(k: int) -> int:
            stream = Stream("probe", VERSION, seed, "primality", digits, int(prime), k)
            number = stream.number(digits)
            while is_prime(number) != prime:
                number = stream.number(digits)
            return number

        yield from _different(draw, set(_PRIMES_SHOWN))

    both = zip(drawn(True), drawn(False), strict=False)
    for index, number in enumerate(number for pair in both for number in pair):
        asked, start = task.prompt(number, style), len(before) + len("Is ")
        right = f"{task.completion(number, style)}\n"
        place = start, start + len(str(number))
        yield Item("primality", group, index, number, before + asked, asked, right, numbers=(place,))


def _squares(seed: int, group: tuple[int, ...]) -> Iterator[Item]:
    """Yield lists of squares with cells below 1,000, numbered from 1, the next one left open."""
    task, style = find_task("squares", "listing")
    options, index = TaskOptions(order=(3,), below=_BELOW), 0
    asked = task.prompt(Square(SQUARES_SHOWN + 1), style)
    while True:
        first = index * SQUARES_SHOWN
        shown = task.problems("train", seed, first, first + SQUARES_SHOWN, options)
        if len(shown) < SQUARES_SHOWN:
            return
        shown = [Square(number, square.cells) for number, square in enumerate(shown, 1)]
        texts = [f"{task.prompt(square, style)}{task.completion(square, style)}\n\n" for square in shown]
        # A square of three digits a cell is the longest there is here.
        right = f"{task.completion(Square(0, (997,) * 9), style)}\n"
        yield Item("squares", group, index, tuple(shown), "".join(texts) + asked, asked, right)
        index += 1


_LENGTHS = tuple((digits,) for digits in range(2, 6))
_PAIRS = tuple((a, b) for a in range(1, 6) for b in range(1, 6))

PROBES = {
    probe.name: probe
    for probe in (
        *(
            Probe(style, "decomposition", style, _LENGTHS, ("###",), _decomposition(style))
            for style in ("joined", "spaced")
        ),
        Probe("addition", "addition", "plain", _PAIRS, ("\n",), _addition),
        Probe("primality", "primality", "plain", (*_LENGTHS, (6,)), ("\n",), _primality),
        Probe("squares", "squares", "listing", ((3,),), ("\n\n", "Matrix"), _squares, share=0.2),
    )
}
"""The probes by name, in the order in which they are run and shown. A group of squares is their order."""


def find_probe(name: str) -> Probe:
    """Return the probe of that name. Raises ValueError where there is none."""
    if name not in PROBES:
        raise ValueError(f"there is no probe {name!r}: choose of {', '.join(PROBES)}")
    return PROBES[name]


def report_share(style: str) -> tuple[int, int]:
    """Return how many numbers the report's GPT-J took apart right, and of how many."""
    answers = REPORT_GPTJ[style]
    return sum(str(number) == spelt[::-1] for number, spelt in answers), len(answers)
