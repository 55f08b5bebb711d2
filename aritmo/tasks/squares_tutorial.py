"""Squares in the style ``tutorial``: the search as text, read back and held against the true one step by step."""

import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from aritmo.tasks.squares_search import (
    LIMIT,
    Search,
    Step,
    found_by,
    is_prime,
    request,
    spell,
    starts,
    steps,
)

Item = int | str

_NUMBER = re.compile(r"([0-9]{2})'(0|[1-9][0-9]{0,5})")
_SKIP = re.compile(r"[1-9][0-9]{0,3}x")
_TOLD = {
    "twice": "twice the centre is {item}",
    "centre": "the list begins with the centre {item}",
    "mirror": "the mirror of {0} is {item}",
    "star": "{1} is prime, so {0} is a member",
    "earlier": "the next earlier member is {item}",
    "third": "twice {1} less {0} is {item}",
    "stop": "{0} has passed all earlier members",
    "plus": "{0} is a member",
    "difference": "{0} - {1} is {item}",
    "minus": "{0} - {1} is {item}",
    "sum": "{0} + {1} is {item}",
    "found": "{0} and {1} are prime and {0} is not {2}, so the square is found",
    "pass": "{0} and {1} are prime and {0} is not {2}, so a square is to be passed over",
    "left": "{item} is how many squares are left to pass over",
    "square": "cell {0} of the square is {item}",
    "none": "the list has ended without the square",
}


class Reading(NamedTuple):
    """What a completion says: its nine cells, None where it ends in no square, and its first wrong step."""

    cells: list[list[int]] | None
    first_wrong: str | None


def prompt(search: Search | None) -> str:
    """Return the request for a search, or for any square."""
    return "".join(map(spell, ["Ask", "Any"] if search is None else ["Ask", *request(search)]))


def completion(search: Search, named: bool) -> str:
    """Return the search; where the prompt does not name it (``named``), its request comes first."""
    return "".join(map(spell, [*([] if named else request(search)), *(step.item for step in steps(search))]))


def foreseen(search: Search | None, text: str) -> str | None:
    """Return the true completion, where any square may come None until the text says which search it is."""
    if search is not None:
        return completion(search, named=True)
    try:
        search, rest = _read_request(_items(text))
    except ValueError:
        return None
    return completion(search, named=False) if rest[:1] == ["Twice"] else None


def read_prompt(text: str) -> Search | None:
    """Return the search that is asked for, None where any is. Raises ValueError where there is no such square."""
    items = _items(text)
    if items == ["Ask:", "Any"]:
        return None
    search, rest = _read_request(items[1:])
    if items[0] != "Ask:" or rest:
        raise ValueError(f"no search in {text[:60]!r}: ask «{prompt(Search(1607))}» or «{prompt(None).strip()}»")
    if found_by(search) is None:
        raise ValueError(_no_square(search))
    return search


def read(search: Search | None, text: str) -> Reading:
    """Return what a completion says, held against the true search: the one asked for, or the one that it names."""
    items = _items(text)
    cells = _written_square(items)
    if search is None:
        try:
            search, items = _read_request(items)
        except ValueError as error:
            return Reading(cells, f"the request: {error}")
    return Reading(cells, _first_wrong(search, items))


def _no_square(search: Search) -> str:
    if search.start or search.skip:
        return f"the search {''.join(map(spell, request(search)))} finds no square: ask for the centre alone"
    return (
        f"no prime magic square of order 3 with centre {search.centre} has all its cells below {LIMIT:,}: "
        f"ask for another centre, like 59 or 1607"
    )


def _items(text: str) -> list[Item]:
    """Return the numbers and words of a text; what is neither stays as it was written."""
    return [
        int(match[2]) * 100 + int(match[1]) if (match := _NUMBER.fullmatch(word)) else word
        for word in text.split()
    ]


def _read_request(items: Sequence[Item]) -> tuple[Search, list[Item]]:
    """Return the search that the first items ask for, and the items after it.

    Raises ValueError for another form, for a centre that no square has, and a start that no list has.
    """
    match items:
        case ["Centre", int(centre), *rest]:
            _check_centre(centre)
        case _:
            raise ValueError("it does not begin with «Centre» and a number: name a centre, like 07'16 for 1607")
    start = skip = 0
    match rest:
        case ["from", int(start), *rest] if start in starts(centre) and is_prime(start):
            pass
        case ["from", *_]:
            raise ValueError(f"«from» names no prime 6, 12, 18 ... below the centre {centre}: begin at one")
    match rest:
        case ["skip", str(times), *rest] if _SKIP.fullmatch(times):
            skip = int(times[:-1])
        case ["skip", *_]:
            raise ValueError("«skip» names no count like 2x: give one")
    return Search(centre, start, skip), rest


def _check_centre(centre: int) -> None:
    if centre >= LIMIT:
        raise ValueError(f"centre {centre:,} is too large: the search is for cells below {LIMIT:,}, so give less")
    if centre % 2 == 0:
        raise ValueError(f"centre {centre} is even, and all cells are odd primes: give one like 1607")
    if not is_prime(centre):
        divisor = next((d for d in range(3, centre, 2) if centre % d == 0), 1)
        raise ValueError(
            f"centre {centre} is not prime ({divisor} x {centre // divisor}): give a prime, like 1607"
        )


def _written_square(items: Sequence[Item]) -> list[list[int]] | None:
    """Return the three rows at the end of a text, behind its «!», if they are there and nothing else is."""
    tail = list(items[items.index("!") + 1 :]) if "!" in items else []
    cells = [item for item in tail if isinstance(item, int)]
    if len(tail) != 11 or len(cells) != 9 or tail[3] != "/" or tail[7] != "/":
        return None
    return [cells[:3], cells[3:6], cells[6:]]


def _first_wrong(search: Search, items: Sequence[Item]) -> str | None:
    """Return a sentence on the first item that is not the true one, None where all are."""
    before = Step("request", search.centre)
    for step, written in zip_longest(steps(search), items):
        if step is None:
            return "text after the search"
        if step.item != written:
            return _named(step, before, written)
        before = step
    return None


def _named(step: Step, before: Step, written: Item | None) -> str:
    """Return what is wrong where ``written`` stands in place of a step, after the step before it."""
    told = _TOLD.get(step.kind, "").format(*step.about, item=step.item)
    entry = step.entry
    if isinstance(written, str) and (claim := _false_claim(before, written)):
        told, entry = claim, before.entry
    elif step.kind == "next":
        told = _passed_over(step, written)
    else:
        told = f"{told}; the text has {_shown(written)}"
    return f"entry {entry}: {told}" if entry else told


def _false_claim(before: Step, written: str) -> str | None:
    """Return why a sign that claims something may not follow a step, None where it claims nothing there."""
    if written == "*" and before.kind == "mirror":
        return f"{before.item} is not prime, so {before.about[0]} is no member"
    if written == "+" and before.kind == "third":
        return f"{before.item} is no member"
    if written in ("!", "~") and before.kind == "sum":
        c, a = before.about
        composite = [str(n) for n in (c - a, c + a) if not is_prime(n)]
        return f"{' and '.join(composite)} not prime, so no square" if composite else f"{c - a} is there already"
    return None


def _passed_over(step: Step, written: Item | None) -> str:
    if isinstance(written, int) and not is_prime(written):
        return f"{written} is not prime; the next is {step.item}"
    if isinstance(written, int) and isinstance(step.item, int) and written < step.item:
        return f"the prime {step.item} is passed over; the text has {written}"
    return f"the next prime of the list is {step.item}; the text has {_shown(written)}"


def _shown(written: Item | None) -> str:
    return "nothing" if written is None else str(written)[:30]
