"""What the squares model is trained on, document by document.

Searches of order 3 at train centres, prime or not; the same search over numbers that are seldom primes, which is
practice; questions about primes; what a text for any square begins with; and the nested orders
(``squares_nested_drills``). No number of the test and validation families is the centre of any of them, and the
only prime squares of order 3 in them are the first ones of train centres.
"""

from collections.abc import Iterator
from functools import cache
from itertools import takewhile

from aritmo.tasks.squares_documents import Document, Draws, odd_centres, train_centres
from aritmo.tasks.squares_nested_drills import draw_nested
from aritmo.tasks.squares_search import COUNTS, LIMIT, Search, is_prime, lower_primes, squares_of, steps

MOST = 3_600
"""Symbols from which on a document of order 3 is cut."""
_REACH = 3_380
"""Symbols of the longest search that a text for any square begins."""
_SQUARES = 75
"""At least so many squares as any centre has: the odds of a centre are its squares in this."""
_LIST = frozenset({"next", "none"})


def draw_document(draws: Draws, asked: float, nested: float) -> Document:
    """Return one document. Of all, the share ``asked`` only say which square «Any» may begin with, and the
    share ``nested`` is of the nested orders.
    """
    kind = draws.share()
    if kind < asked:
        return _any_square(draws)
    return draw_nested(draws) if kind < asked + nested else _order3(draws)


def _any_square(draws: Draws) -> Document:
    """Write which square is asked for; in one document of five a little of the search, too, but no square."""
    document = Document()
    document.put("Any")
    search = _put_any(document, draws)
    if draws.share() < 0.2:
        begun = takewhile(lambda step: step.kind != "found", steps(search))
        document.write(begun, len(document) + 30)
    else:
        document.put("Twice", "ask")
    return document


def _put_any(document: Document, draws: Draws) -> Search:
    """Write the request for one of the squares that «Any» may be, each equally likely."""
    while True:
        found = _in_reach(draws.pick(_centres()[0]))
        if draws.share() < len(found) / _SQUARES:
            break
    search = draws.pick(found)
    document.ask(search, "ask")
    return search


def _order3(draws: Draws) -> Document:
    document, kind = Document(), draws.share()
    if kind < 0.4:
        _practice(document, draws)
    elif kind < 0.55:
        _search(document, Search(draws.pick(_centres()[0])))
    elif kind < 0.83:
        _composite(document, draws)
    elif kind < 0.96:
        document.put("Any")
        _put_any(document, draws)
        document.put("Twice", "ask")
    else:
        _primes(document, draws)
    return document


def _practice(document: Document, draws: Draws) -> None:
    """Write a search in a list of numbers that are seldom primes."""
    c = draws.pick(train_centres())
    search = Search(c, 0, draws.pick((0, 0, 1, 3)))
    document.put("Practice")
    document.ask(search)
    lower = practice_list(draws, c)
    if document.write(steps(search, lower), draws.between(200, 1_499), _LIST):
        document.end()


def _composite(document: Document, draws: Draws) -> None:
    """Write a search at a composite centre, from anywhere in its list, perhaps past some squares."""
    c = draws.pick(_centres()[1])
    lower = [p for p in lower_primes(Search(c)) if 2 * c - p < LIMIT]
    start = draws.pick(lower) if lower and draws.share() < 0.5 else 0
    search = Search(c, start, draws.pick((0, 0, 0, 1, 2, 3, 5, 7)))
    if draws.share() < 0.5 and _searches(c):
        search = draws.pick(_searches(c))
    if draws.share() < 0.3:
        document.put("Any")
    _search(document, search)


def _search(document: Document, search: Search) -> None:
    document.ask(search)
    if document.write(steps(search), MOST):
        document.end()


def _primes(document: Document, draws: Draws) -> None:
    """Write thirty questions about primes and their answers."""
    for _ in range(30):
        n = draws.below(LIMIT) if draws.share() < 0.5 else draws.pick(_coprime())
        document.put("Prime")
        document.put(n)
        document.put("yes" if is_prime(n) else "no", "prime")
    document.end("unasked")


def practice_list(draws: Draws, c: int) -> Iterator[int]:
    """Return falling numbers below c, seldom primes. Many have a prime mirror, and some make a square.

    None is a prime where c is one: practice shows no square of primes.
    """
    step = draws.pick((1, 2, 6, 6, 12, 30))
    span = min(c - 1, draws.between(60, 5_999))
    pool = [n for n in range(c - step, max(0, c - span), -step) if 2 * c - n < LIMIT]
    if is_prime(c):
        pool = [n for n in pool if not is_prime(n)]
    good = [n for n in pool if is_prime(2 * c - n)]
    share = draws.share()
    chosen = {n for n in good if draws.share() < share}
    chosen.update(draws.sample(pool, min(len(pool), draws.between(5, 119))))
    gaps: list[int] = []
    if draws.share() < 0.5:
        gaps = [a for a in range(1, span // 2) if c + a < LIMIT and is_prime(c - a) and is_prime(c + a)]
    for _ in range(20):
        if gaps and good:
            p, a = draws.pick(good), draws.pick(gaps)
            entries = {p, p + a, p + 2 * a}
            barred = is_prime(c) and any(map(is_prime, entries))
            if is_prime(2 * c - p - a) and is_prime(2 * c - p - 2 * a) and p + 2 * a < c and not barred:
                chosen |= entries
    return iter(sorted(chosen, reverse=True))


@cache
def _centres() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the odd train centres that are primes, and those that are not."""
    odd = odd_centres()
    return tuple(c for c in odd if is_prime(c)), tuple(c for c in odd if not is_prime(c))


@cache
def _coprime() -> tuple[int, ...]:
    """Return the numbers that neither 2 nor 3 nor 5 divides."""
    return tuple(n for n in range(LIMIT) if n % 2 and n % 3 and n % 5)


@cache
def _searches(centre: int) -> tuple[Search, ...]:
    """Return for each square of a centre the search that begins as late as it may, where a model can ask it."""
    highest = [z for _, _, z in squares_of(centre)]
    skips = (sum(other <= z for other in highest[:at]) for at, z in enumerate(highest))
    return tuple(Search(centre, z, skip) for z, skip in zip(highest, skips, strict=True) if skip < COUNTS)


@cache
def _in_reach(centre: int) -> tuple[Search, ...]:
    """Return those of the searches of a centre that take at most ``_REACH`` symbols and find another square than
    its first, which training shows: so what a model writes when it may write any square is new, if it is right.
    """
    return tuple(search for search in _searches(centre)[1:] if _symbols(search) < _REACH)


def _symbols(search: Search) -> int:
    """Return the symbols of a search, its end included, counted only a little past ``_REACH``."""
    symbols = 1
    for step in steps(search):
        symbols += 1 + isinstance(step.item, int)
        if symbols >= _REACH:
            break
    return symbols
