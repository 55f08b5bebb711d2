"""Cases for the judges: right answers, and what becomes of them by one change or many; all drawn by a seed."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from random import Random
from typing import NamedTuple

from aritmo.numbers.randomness import seed_of
from aritmo.tasks import TASKS, TaskOptions
from aritmo.tasks.squares import Square, Squares, Wanted
from aritmo.tasks.squares_nested import BELOW, nested_square
from aritmo.tasks.squares_search import LIMIT, Search, cells_of, is_prime, request, search_for, spell, squares_of

STYLES = [(task.name, style) for task in TASKS.values() for style in task.styles]

ODD = "٣３²𝟗\u00a0\u200b\u2028\x00\r\t\x1c\x85\u0661−＋､_,.'\ud800"
"""Characters that a reader may take for a digit, a sign, white space or nothing."""
ALPHABET = [chr(code) for code in range(32, 127)] + ["\n", *ODD]


class Case(NamedTuple):
    """A prompt and what is written after it."""

    prompt: str
    text: str


def draw_random(*parts: str | int) -> Random:
    """Return a source of draws that its words name."""
    return Random(seed_of("trust", *parts))


def right_cases(task: str, style: str, random: Random, count: int) -> list[Case]:
    """Return so many problems with a right answer each, of many sizes."""
    if (task, style) == ("squares", "tutorial"):
        return [_search_case(random) for _ in range(count)]
    if task == "squares":
        return [_listing_case(random) for _ in range(count)]
    known = TASKS[task]
    longest = {"plain": 60, "tutorial": 65, "aligned": 60, "joined": 66, "spaced": 66}
    most = 18 if task == "primality" else longest[style]
    cases: list[Case] = []
    while len(cases) < count:
        options = TaskOptions(1, random.choice((1, 2, 3, 5, 8, 12, most)) if task != "primality" else most)
        start = random.randrange(1 << 40)
        for problem in known.problems("train", 0, start, start + 8, options):
            if style == "halves":
                problem %= 10 ** random.randint(1, 18)
            cases.append(Case(known.prompt(problem, style), known.completion(problem, style)))
    return cases[:count]


@lru_cache(maxsize=1)
def _squares() -> list[tuple[int, ...]]:
    """Return squares of many orders, with small cells and large."""
    found = []
    for order, below, many in ((3, 1_000, 400), (3, 30_000, 400), (4, 400, 60), (5, 3_000, 200), (7, 20_000, 60)):
        options = TaskOptions(order=(order,), below=below)
        found += [square.cells for square in Squares().problems("train", 0, 0, many, options)]
    return found


def _listing_case(random: Random) -> Case:
    task, cells = Squares(), random.choice(_squares())
    square = Square(random.randint(1, 9_999), cells)
    n = square.order
    named = random.choice((None, n))
    ways: list[Wanted | None] = [None, Wanted(n), Wanted(named, None, sum(cells[:n]))]
    ways += [Wanted(named, cells[len(cells) // 2])] if n % 2 else []
    square = square._replace(wanted=random.choice(ways))
    return Case(task.prompt(square, "listing"), task.completion(square, "listing"))


@lru_cache(maxsize=1)
def _centres() -> dict[int, list[int]]:
    """Return the prime centres that each order may have."""
    primes = [c for c in range(59, LIMIT) if is_prime(c)]
    return {3: [c for c in primes if squares_of(c)], 5: [c for c in primes if 600 < c < BELOW]}


def _search_case(random: Random) -> Case:
    """Draw a search: eight of ten of order 3, from its beginning or not, asked for or chosen by the text."""
    task = Squares()
    order = random.choice((3, 3, 3, 3, 3, 3, 3, 3, 5, 7))
    if order > 3:
        while True:
            search = Search(random.choice(_centres()[5]), order=order)
            if nested_square(search):
                break
    else:
        centre = random.choice(_centres()[3])
        p, y, _ = random.choice(squares_of(centre))
        search = Search(centre) if random.random() < 0.5 else search_for(cells_of(centre, p, y))
    if order == 3 and random.random() < 0.2:
        named = "".join(map(spell, request(search)))
        return Case(task.prompt(Square(0, wanted=Wanted()), "tutorial"), named + case_of_search(search).text)
    return case_of_search(search)


def case_of_search(search: Search) -> Case:
    """Return the prompt of a search and the right text."""
    wanted = Wanted(search.order, search.centre, start=search.start, skip=search.skip)
    asked = Square(0, wanted=wanted)
    return Case(Squares().prompt(asked, "tutorial"), Squares().completion(asked, "tutorial"))


def wrong_cases(cases: Sequence[Case], task: str, style: str, random: Random) -> Iterator[Case]:
    """Yield without end what may be made of right cases, some of it still right."""
    changes: list[Callable[[Case, Random], Case]] = [
        lambda case, _: case,
        _characters, _characters, _characters, _words, _words, _words, _lines, _cut, _spaced, _other_space,
        _numbers, _more, _garbage, _prompt,
        lambda case, random: Case(case.prompt, random.choice(cases).text),
    ]  # fmt: skip
    if (task, style) == ("squares", "listing"):
        changes += [_cells, _cells, _turned]
    while True:
        case = random.choice(cases)
        for _ in range(random.choice((1, 1, 1, 1, 2, 3))):
            case = random.choice(changes)(case, random)
        yield case


def _at(text: str, random: Random) -> int:
    """Return a place in a text, as often near its end as anywhere."""
    place = random.randrange(len(text) + 1)
    return place if random.random() < 0.6 else max(0, len(text) - 1 - random.randrange(12))


def _characters(case: Case, random: Random) -> Case:
    text, at = case.text, _at(case.text, random)
    way = random.randrange(4)
    if way == 0:
        text = text[:at] + random.choice(ALPHABET) + text[at + 1 :]
    elif way == 1:
        text = text[:at] + text[at + 1 :]
    elif way == 2:
        text = text[:at] + random.choice(ALPHABET) + text[at:]
    else:
        text = text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]
    return Case(case.prompt, text)


def _words(case: Case, random: Random) -> Case:
    words = case.text.split(" ")
    at = random.randrange(len(words))
    way = random.randrange(4)
    if way == 0:
        words[at] = random.choice(words)
    elif way == 1:
        del words[at]
    elif way == 2:
        words.insert(at, random.choice(words))
    else:
        other = random.randrange(len(words))
        words[at], words[other] = words[other], words[at]
    return Case(case.prompt, " ".join(words))


def _lines(case: Case, random: Random) -> Case:
    lines = case.text.split("\n")
    at, other = random.randrange(len(lines)), random.randrange(len(lines))
    way = random.randrange(4)
    if way == 0:
        lines[at], lines[other] = lines[other], lines[at]
    elif way == 1:
        del lines[at]
    elif way == 2:
        lines.insert(at, lines[other])
    else:
        lines[at] = lines[other]
    return Case(case.prompt, "\n".join(lines))


def _cut(case: Case, random: Random) -> Case:
    at = _at(case.text, random)
    return Case(case.prompt, case.text[:at] if random.random() < 0.8 else case.text[at:])


def _spaced(case: Case, random: Random) -> Case:
    """Double white space, here or everywhere: the text stays right."""
    space = random.choice((" ", "\n"))
    if random.random() < 0.5:
        return Case(case.prompt, case.text.replace(space, space + random.choice((" ", "\t", space)), 1))
    return Case(case.prompt, random.choice(("", " ", "\n\n")) + case.text.replace(space, 2 * space) + "\n")


def _other_space(case: Case, random: Random) -> Case:
    before, after = random.choice(
        (("\n", "\r\n"), (" ", "\u00a0"), (" ", "\t"), ("\n", " "), (" ", "\n"), (" ", ""))
    )
    return Case(case.prompt, case.text.replace(before, after, random.choice((1, -1))))


def _numbers(case: Case, random: Random) -> Case:
    """Change one run of digits: to a number nearby, with a 0 in front, in another script, very long."""
    runs, begin = [], None
    for at, character in enumerate(case.text + " "):
        if character in "0123456789":
            begin = at if begin is None else begin
        elif begin is not None:
            runs.append((begin, at))
            begin = None
    if not runs:
        return case
    start, end = random.choice(runs)
    number = int(case.text[start:end][:4000])
    changed = random.choice(
        (
            str(number + random.choice((-10, -2, -1, 1, 2, 10))),
            f"0{number}",
            f"{number}".translate({48 + digit: 0x660 + digit for digit in range(10)}),
            str(number) * random.choice((2, 5, 400)),
            f"{number:,}",
            f"{number:_}",
            f"+{number}",
            "0",
        )
    )
    return Case(case.prompt, case.text[:start] + changed + case.text[end:])


def _more(case: Case, random: Random) -> Case:
    text = case.text
    ways = (
        f"{text}{text}", f"{text}\n{text}", f"{text}\n{case.prompt}{text}", f"{case.prompt}{text}", f"{text} .",
        f"{text}\nMatrix 7\n", f"Sure: {text}", f"{text}\n\n", f"{text}<end>",
    )  # fmt: skip
    return Case(case.prompt, random.choice(ways))


def _garbage(case: Case, random: Random) -> Case:
    pool = (
        case.text.split() + ALPHABET + ["RESULT", "STEP", "ones->1", "Rows:", "!", "/", "yes", "no", "###", "17"]
    )
    return Case(case.prompt, random.choice(("", " ", "\n")).join(random.choices(pool, k=random.randrange(40))))


def _prompt(case: Case, random: Random) -> Case:
    changed = _characters(Case("", case.prompt), random)
    return Case(changed.text, case.text)


def _read(case: Case) -> list[list[int]] | None:
    rows = [line.split() for line in case.text.split("\n")]
    n = next((at for at, row in enumerate(rows) if not all(map(str.isdecimal, row))), 0)
    if n < 3 or any(len(row) != n for row in rows[:n]):
        return None
    return [[int(cell) for cell in row] for row in rows[:n]]


def listing_of(rows: Sequence[Sequence[int]]) -> str:
    """Return the listing of any rows, its sums as they are."""
    return Squares().completion(Square(0, tuple(cell for row in rows for cell in row)), "listing")


def _cells(case: Case, random: Random) -> Case:
    """Change a square and list it again with its sums as they then are: primes without magic, or the reverse."""
    rows = _read(case)
    if rows is None:
        return case
    n, way = len(rows), random.randrange(4)
    i, j, k, m = (random.randrange(n) for _ in range(4))
    if way == 0:
        rows[i][j] = random.choice((2, 3, 9, 17, 25, 101, 1_009, 999_999_999_999_989, rows[k][m]))
    elif way == 1:
        rows[i][j], rows[k][m] = rows[k][m], rows[i][j]
    elif way == 2:
        more = random.choice((2, 6, 30, 210, 2_310))
        rows = [[cell + more for cell in row] for row in rows]
    else:
        rows[i], rows[k] = rows[k], rows[i]
    return Case(case.prompt, listing_of(rows))


def _turned(case: Case, random: Random) -> Case:
    """Turn or reflect a square: it stays right."""
    rows = _read(case)
    if rows is None:
        return case
    for _ in range(random.randrange(4)):
        rows = [list(row) for row in zip(*rows[::-1], strict=True)]
    return Case(case.prompt, listing_of(rows[::-1] if random.random() < 0.5 else rows))
