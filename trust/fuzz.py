"""Any bytes at all, thrown at everything that reads what others wrote: no exception, no hang, no long wait."""

import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO, TextIOWrapper
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from aritmo.numbers.matrixfiles import read_matrices
from aritmo.tasks import TASKS
from aritmo.tasks.problems import READERS
from aritmo.tasks.squares_nested import nested_square
from aritmo.tasks.squares_search import squares_of
from trust.cases import ALPHABET, STYLES, Case, draw_random, right_cases, wrong_cases

LONGEST = 4_096
"""Bytes of a text at most."""
MOST_SECONDS = 0.010
"""Processor time that one target may take for one text, where that is promised."""
_AGAIN = 3
"""How often a slow one is timed again, with nothing remembered: the machine may have been busy elsewhere."""
_A_GROUP = 64

Target = Callable[[bytes], object]


class Slowest(NamedTuple):
    """The longest that a target took, in seconds, and for what."""

    seconds: float = 0.0
    target: str = ""
    text: bytes = b""


class Tally(NamedTuple):
    """How many texts were read, how often by targets, what failed, and what took longest."""

    texts: int = 0
    calls: int = 0
    failed: tuple[str, ...] = ()
    slowest: Slowest = Slowest()

    def __add__(self, other: Any) -> "Tally":
        return Tally(
            self.texts + other.texts,
            self.calls + other.calls,
            self.failed + other.failed,
            max(self.slowest, other.slowest),
        )


class Job(NamedTuple):
    """Groups of texts to make and read, each by each target in so many seconds at most."""

    seed: int
    start: int
    stop: int
    most: float = MOST_SECONDS


def _judge(task: str, style: str, prompt: str) -> Target:
    known = TASKS[task]
    problem = known.read_prompt(prompt, style)
    return lambda data: known.judge(problem, as_text(data), style)


def _read_prompt(task: str, style: str) -> Target:
    return lambda data: TASKS[task].read_prompt(as_text(data), style)


def _read_line(task: str) -> Target:
    return lambda data: READERS[task](as_text(data), 4_000)


def as_text(data: bytes) -> str:
    """Return bytes as text; what is no UTF-8 becomes lone surrogates, which no text should have."""
    return data.decode("utf-8", "surrogateescape")


def _matrices(data: bytes) -> object:
    with mock.patch.object(sys, "stdin", TextIOWrapper(BytesIO(data))):
        return sum(1 for _ in read_matrices("-"))


_PROMPTS = {
    ("squares", "listing"): ["Matrix 7", "Matrix of order 5 with centre 1607", "Any matrix"],
    ("squares", "tutorial"): [
        "Ask: Any",
        "Ask: Centre 71'0",
        "Ask: Order5 Centre 07'16",
        "Ask: Order7 Centre 07'16",
    ],
    ("addition", "plain"): ["8292+29039="] * 7 + [f"{'9' * 400}+1="],
    ("addition", "tutorial"): ["9+71421"] * 7 + [f"{'9' * 65}+{'8' * 65}"],
    ("addition", "aligned"): ["$8292+29039="] * 7 + [f"${'9' * 4_000}+1="],
    ("decomposition", "joined"): ["###\n57\n"] * 3 + ["9" * 66],
    ("decomposition", "spaced"): ["###\n5 7\n", "0"],
    ("primality", "plain"): ["Is 7919 prime?"] * 3 + ["Is 999999999999999989 prime?"],
    ("primality", "halves"): ["Ask: Prime 19'79", "Ask: Prime 02'0"],
}
"""What is asked where texts are judged, in turn; what takes longest comes least often."""


def targets(folder: Path) -> dict[str, list[Target]]:
    """Return everything that reads, by name. ValueError is an answer, nothing else is.

    Where a name has several, they take turns with the texts.
    """
    json_file = folder / "matrices.json"

    def json_matrices(data: bytes) -> object:
        json_file.write_bytes(data)
        return sum(1 for _ in read_matrices(json_file))

    known: dict[str, list[Target]] = {"matrices": [_matrices, _matrices, _matrices, json_matrices]}
    for task, style in STYLES:
        known[f"read_prompt {task} {style}"] = [_read_prompt(task, style)]
        known[f"judge {task} {style}"] = [_judge(task, style, prompt) for prompt in _PROMPTS[task, style]]
    return known | {f"read a line for {task}": [_read_line(task)] for task in READERS}


@contextmanager
def watched(most: float = MOST_SECONDS) -> Iterator[Callable[[Iterable[bytes]], Tally]]:
    """Give what reads texts with every target and tells what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        known = targets(Path(folder))
        for turns in known.values():  # what is imported, compiled or sieved once in a process
            for target in turns:
                ends_well(target, b"17 89 71\n113 59 5\n47 29 101")
        gc.collect()
        gc.freeze()
        yield lambda texts: read_all(known, texts, most)
        gc.unfreeze()


def read_all(known: dict[str, list[Target]], texts: Iterable[bytes], most: float = MOST_SECONDS) -> Tally:
    """Read each text with each target, and tell what failed and what took longest."""
    count = calls = 0
    failed: list[str] = []
    slowest = Slowest()
    for text in texts:
        for name, turns in known.items():
            target = turns[count % len(turns)]
            began = time.thread_time()
            error = ends_well(target, text)
            seconds = time.thread_time() - began
            calls += 1
            if error:
                failed.append(f"{name}: {error} for {text!r:.200}")
            if seconds > slowest.seconds:
                if seconds > most:
                    seconds = min(seconds, *(_timed_anew(target, text) for _ in range(_AGAIN)))
                slowest = max(slowest, Slowest(seconds, name, text))
        count += 1
    if slowest.seconds > most:
        failed.append(f"{slowest.target}: {1e3 * slowest.seconds:.1f} ms for {slowest.text!r:.200}")
    return Tally(count, calls, tuple(failed), slowest)


def read_each(known: dict[str, list[Target]], text: bytes, turn: int) -> str | None:
    """Read one text with each target, not on the clock, and return what failed first."""
    for name, turns in known.items():
        if error := ends_well(turns[turn % len(turns)], text):
            return f"{name}: {error} for {text!r:.200}"
    return None


def ends_well(target: Target, text: bytes) -> str | None:
    """Return what went wrong where a target neither reads a text nor says in a sentence why not."""
    try:
        target(text)
    except ValueError as error:
        return None if str(error) and not isinstance(error, UnicodeError) else f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _timed_anew(target: Target, text: bytes) -> float:
    nested_square.cache_clear()
    squares_of.cache_clear()
    began = time.thread_time()
    ends_well(target, text)
    return time.thread_time() - began


def read_group(job: Job) -> Tally:
    """Make groups of random and structured texts and read them."""
    with watched(job.most) as read:
        return sum((read(texts_of(job.seed, group)) for group in range(job.start, job.stop)), Tally())


_OFTEN = (5, 5, 3, 1, 3, 1, 3, 1)
"""How often each maker of texts has its turn: long texts cost the most, and seldom reach anything new."""


def texts_of(seed: int, group: int, count: int = _A_GROUP) -> Iterator[bytes]:
    """Yield a group of texts: a quarter plain random bytes, the others like what is to be read."""
    random = draw_random("fuzz", seed, group)
    task, style = random.choice(STYLES)
    right = right_cases(task, style, random, 2)
    wrong = wrong_cases(right, task, style, random)
    makers: list[Callable[[Random], bytes]] = [
        lambda random: random.randbytes(random.randrange(random.choice((4, 32, 32, 300, 300, LONGEST)))),
        lambda random: encoded(next(wrong).text),
        lambda random: encoded(next(wrong).prompt),
        lambda random: _repeated(encoded(next(wrong).text), random),
        lambda random: _spliced(encoded(next(wrong).text), random),
        lambda random: _large_square(random),
        lambda random: _matrix_file(right[0], random),
        lambda random: _long_number(random),
    ]
    for _ in range(count):
        yield random.choices(makers, _OFTEN)[0](random)[:LONGEST]


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _repeated(data: bytes, random: Random) -> bytes:
    """Repeat a piece of a text many times: what a reader might go through again and again."""
    start = random.randrange(len(data) + 1)
    piece = data[start : start + random.choice((1, 2, 5, 20))] or b" "
    return data[:start] + piece * random.choice((3, 50, 4_000)) + data[start:]


def _spliced(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randrange(1, 6)):
        at = random.randrange(len(changed) + 1)
        way = random.randrange(4)
        if way == 0:
            changed[at:at] = random.randbytes(random.randrange(1, 4))
        elif way == 1:
            del changed[at : at + random.randrange(1, 30)]
        elif way == 2:
            other = random.randrange(len(changed) + 1)
            changed[at:at] = changed[other : other + random.randrange(1, 30)]
        else:
            changed[at : at + 1] = random.choice(
                (b"\x00", b"\xff", b"\xed\xa0\x80", b"\r", "\u0663".encode(), b"\xef\xbb\xbf", b"'", b"-")
            )
    return bytes(changed)


def _large_square(random: Random) -> bytes:
    """Rows of a square, its cells large primes or not, its size as much as fits or a little wrong."""
    digits = random.choice((1, 3, 6, 9, 12, 15, 18, 19))
    most = max(3, int((LONGEST / (digits + 1)) ** 0.5))
    n = random.randint(3, most)
    bound = 10**digits
    pool = [random.choice((_LARGE_PRIMES[digits], random.randrange(bound), random.randrange(bound) | 1))]
    if random.random() < 0.5:
        pool = [random.randrange(bound) | 1 for _ in range(n)]
    join = random.choice((" ", " ", ",", ", ", "\t", ";", "  "))
    rows = [
        join.join(str(random.choice(pool)) for _ in range(n)) for _ in range(n + random.choice((0, 0, 0, 1, -1)))
    ]
    tail = random.choice(("", "\nRows: 1\nColumns: 2\nDiagonals: 3", "\nRows:" + " 1" * n))
    return ("\n".join(rows) + tail).encode()


_LARGE_PRIMES = {
    1: 7, 3: 997, 6: 999_983, 9: 999_999_937, 12: 999_999_999_989, 15: 999_999_999_999_989,
    18: 999_999_999_999_999_989, 19: 9_223_372_036_854_775_783,
}  # fmt: skip


def _matrix_file(case: Case, random: Random) -> bytes:
    """A file of matrices in one of its forms, or nearly."""
    n = random.randint(1, 6)
    rows = [[random.randrange(random.choice((9, 2_000, 1 << 40, 1 << 63))) for _ in range(n)] for _ in range(n)]
    way = random.randrange(8)
    if way == 0:
        text = str([rows] * random.randint(1, 4))
    elif way == 1:
        text = str({"rows": rows}) if random.random() < 0.3 else str(rows)
    elif way == 2:
        depth = random.choice((4, 60, 1_000, 2_000))
        text = random.choice(
            ("[1," * depth, "[" * depth, "[[1, " + "[" * depth + "]" * depth + "]]", '{"a":' * depth)
        )
    elif way == 3:
        sink = BytesIO()
        kind = random.choice((np.int64, np.uint64, np.int8, np.float64, np.bool_, np.complex64))
        np.save(sink, np.array([rows], dtype=np.uint64).astype(kind)[: random.randint(0, 1)])
        return _spliced(sink.getvalue(), random) if random.random() < 0.8 else sink.getvalue()
    elif way == 4:
        text = "\n".join(" ".join(map(str, (cell for row in rows for cell in row))) for _ in range(n + 1))
    elif way == 5:
        text = (
            f"Matrix {n}:\n"
            + "\n".join(",".join(f'"{cell}"' for cell in row) for row in rows)
            + "\n\n"
            + case.text
        )
    elif way == 6:
        text = random.choice(
            ('["\\ud800"]', "[[1e999]]", "[[NaN]]", f"[[{'9' * 3_000}]]", "[[1.0, -0]]", "[[true]]")
        )
    else:
        return str(rows).encode(random.choice(("utf-16", "utf-32", "utf-8-sig")))
    return _spliced(encoded(text), random) if random.random() < 0.5 else encoded(text)


def _long_number(random: Random) -> bytes:
    """Digits without end, with signs and separators between them."""
    digits = random.choice(("9", "0", "1", "10", "٣", "9_", "1,000", "1 ", "+1", "1+")) * random.choice(
        (5, 600, 4_000)
    )
    before = random.choice(
        ("", "$", "Matrix ", "Is ", "RESULT\n", "Ask: Centre ", "Ask: Prime ", "###\n", " ", "centre")
    )
    after = random.choice(("", "=", "+1=", " prime?", "'9", "\n", random.choice(ALPHABET)))
    return encoded(before + digits + after)
