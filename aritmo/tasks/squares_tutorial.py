"""Squares in the style ``tutorial``: the search as text, read back and held against the true one step by step."""

import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from aritmo.tasks.squares_nested import BELOW, ENOUGH, all_steps, nested_square
from aritmo.tasks.squares_search import LIMIT, Search, Step, found_by, is_prime, request, spell, starts

Item = int | str

_ORDERS = {f"Order{order}": order for order in ENOUGH}
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
    "count": "the number of the new member is {item}",
    "free": "the list of members goes on with {item}",
    "ring": "the ring goes on with {item}",
    "total": "{0} + {1} is {item}",
    "less": "the line goes on with {item}",
    "index": "the next number in the list is {item}",
    "pair": "the next cell in the list is {item}",
    "rest": "{0} - {1} leaves {item}",
    "decide": "the search goes on with {item}",
    "match": "the number in the list of what is left is {item}",
    "rows": "the square goes on with {item}",
}


class Reading(NamedTuple):
    """What a completion says: its rows of cells, None where it ends in no square, and its first wrong step."""

    cells: list[list[int]] | None
    first_wrong: str | None


def prompt(search: Search | None) -> str:
    """Return the request for a search, or for any square."""
    return "".join(map(spell, ["Ask", "Any"] if search is None else ["Ask", *request(search)]))


def completion(search: Search, named: bool) -> str:
    """Return the search; where the prompt does not name it (``named``), its request comes first."""
    return "".join(map(spell, [*([] if named else request(search)), *(step.item for step in all_steps(search))]))


def foreseen(search: Search | None, text: str) -> str | None:
    """Return the true completion, where any square may come None until the text says which search it is."""
    if search is not None:
        return completion(search, named=True)
    try:
        search, rest = read_request(_items(text))
    except ValueError:
        return None
    return completion(search, named=False) if rest[:1] == ["Twice"] else None


def read_prompt(text: str) -> Search | None:
    """Return the search that is asked for, None where any is. Raises ValueError where there is no such square."""
    items = _items(text)
    if items == ["Ask:", "Any"]:
        return None
    search, rest = read_request(items[1:])
    if items[0] != "Ask:" or rest:
        raise ValueError(f"no search in {text[:60]!r}: ask «{prompt(Search(1607))}» or «{prompt(None).strip()}»")
    if (found_by(search) if search.order == 3 else nested_square(search)) is None:
        raise ValueError(_no_square(search))
    return search


def read(search: Search | None, text: str) -> Reading:
    """Return what a completion says, held against the true search: the one asked for, or the one that it names."""
    items = _items(text)
    cells = _written_square(items)
    if search is None:
        try:
            search, items = read_request(items)
            if search.order != 3:
                raise ValueError(f"order {search.order} is asked for by its centre alone: name a centre")
        except ValueError as error:
            return Reading(cells, f"the request: {error}")
    return Reading(cells, _first_wrong(search, items))


def written_square(text: str) -> list[list[int]] | None:
    """Return the rows of the square at the end of a text, whatever its steps, None where there is none."""
    return _written_square(_items(text[text.rfind("!") :]))


def _no_square(search: Search) -> str:
    if search.order != 3:
        return (
            f"the search for a nested square of order {search.order} with centre {search.centre} finds none: "
            f"ask for another centre, like 1607"
        )
    if search.start or search.skip:
        return f"the search {''.join(map(spell, request(search)))} finds no square: ask for the centre alone"
    return (
        f"no prime magic square of order 3 with centre {search.centre} has all its cells below {LIMIT:,}: "
        f"ask for another centre, like 59 or 1607"
    )


def _items(text: str) -> list[Item]:
    """Return the numbers and words of a text; what is neither stays as it was written."""
    return [read_item(word) for word in text.split()]


def read_item(word: str) -> Item:
    """Return the number that a word spells; one that spells none stays as it was written."""
    return int(match[2]) * 100 + int(match[1]) if (match := _NUMBER.fullmatch(word)) else word


def read_request(items: Sequence[Item]) -> tuple[Search, list[Item]]:
    """Return the search that the first items ask for, and the items after it.

    Raises ValueError for another form, for a centre that no square has, and a start that no list has.
    """
    order = 3
    match items:
        case [str(word), *rest] if word in _ORDERS:
            order, items = _ORDERS[word], rest
    match items:
        case ["Centre", int(centre), *rest]:
            _check_centre(centre, order)
        case _:
            raise ValueError("it does not begin with «Centre» and a number: name a centre, like 07'16 for 1607")
    start = skip = 0
    match rest:
        case ["from", int(start), *rest] if start in starts(centre) and is_prime(start):
            pass
        case ["from", *_]:
            raise ValueError(f"«from» names no prime 6, 12, 18 ... below the centre {centre}: begin at one")
    match rest:
        case ["skip", str(times), *rest] if order == 3 and _SKIP.fullmatch(times):
            skip = int(times[:-1])
        case ["skip", *_]:
            raise ValueError("«skip» names no count like 2x of squares of order 3: give one, or leave it out")
    return Search(centre, start, skip, order), rest


def _check_centre(centre: int, order: int) -> None:
    if order != 3 and centre >= BELOW:
        raise ValueError(f"centre {centre:,} is too large: order {order} is searched for centres below {BELOW:,}")
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
    """Return the rows behind the last «!» of a text, if they make a square and nothing else is there."""
    rows: list[list[int]] = [[]]
    for item in items[_last(items, "!") + 1 :] if "!" in items else []:
        if isinstance(item, int):
            rows[-1].append(item)
        elif item == "/":
            rows.append([])
        else:
            return None
    square = len(rows) in (3, *ENOUGH) and all(len(row) == len(rows) for row in rows)
    return rows if square else None


def _last(items: Sequence[Item], sign: str) -> int:
    return len(items) - 1 - list(reversed(items)).index(sign)


def _first_wrong(search: Search, items: Sequence[Item]) -> str | None:
    """Return a sentence on the first item that is not the true one, None where all are."""
    before = Step("request", search.centre)
    for step, written in zip_longest(all_steps(search), items):
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
    """Return what stands in the text; what a screen cannot show, or would obey, as escapes."""
    shown = "nothing" if written is None else str(written)[:30]
    return shown if shown.isprintable() else repr(shown)
