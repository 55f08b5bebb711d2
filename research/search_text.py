"""The search for a prime magic square of order 3, written out in small steps, as tokens.

A number n is two tokens, its last two digits and then the rest: 1607 is `07' 16`. So sums and differences are
carried in the order in which they are written, and each half is a fact of two small numbers. With centre c:

    Centre c Twice 2c                              the request, and what pairs add to
    c c                                            the list begins at the centre (or after `from p`)
    p q                                            the next lower prime in steps of 6, and q = 2c - p
    p q * y z y z ... .                            q is prime too, so p is a member. For each earlier member y,
                                                   from the nearest on, z = 2y - p, until z passes c
      + a t t' !                                   where z is a member: a = y - p, t = c - a, t' = c + a;
                                                   `!` if t and t' are prime and t is not z. That is a square:
    y z' t' / p' c p / t z y'                      p, y, z are in steps of a, primes mirror them around c

`Any` before it all asks for any square. `skip s` passes over s squares, each with `~` and how many are left.
The practice documents are the same search over numbers that are no primes, so that no list can be known.
"""

import random
from collections.abc import Iterator
from functools import cache
from hashlib import sha256

LIMIT = 10_000
"""Every cell is below this."""
WORDS = [
    *"*.+~!/",
    "<begin>",
    "<end>",
    "Any",
    "Centre",
    "from",
    "skip",
    "Twice",
    "none",
    "Practice",
    "Prime",
    "yes",
    "no",
]
WORDS_OF_COUNT = [f"s{n}" for n in range(16)]
WORDS += WORDS_OF_COUNT
WORDS += ["Order5", "Order7", "Free", "Ring", "Top", "Left", "-", "Again"]
WORDS += [*(f"#{n}" for n in range(64)), "All", "used"]
HI, WORD = 100, 300
(
    STAR,
    STOP,
    PLUS,
    PASS,
    FOUND,
    ROW,
    BEGIN,
    END,
    ANY,
    CENTRE,
    FROM,
    SKIP,
    TWICE,
    NONE,
    PRACTICE,
    PRIME,
    YES,
    NO,
    COUNT,
) = range(WORD, WORD + 19)
ORDER5, ORDER7, FREE, RING, TOP, LEFT_LINE, MINUS, AGAIN, NUMBERED = range(COUNT + 16, COUNT + 25)
ALL, USED = NUMBERED + 64, NUMBERED + 65
SYMBOLS = [*(f"{n:02}'" for n in range(100)), *map(str, range(200)), *WORDS]
PRIMES = {n for n in range(2, 20_000) if all(n % d for d in range(2, int(n**0.5) + 1))}
ROLES = [
    "ask",
    "twice",
    "first",
    "next p",
    "q",
    "star?",
    "y",
    "z",
    "after z",
    "a",
    "t",
    "t'",
    "found?",
    "left",
    "square",
    "prime?",
    "end",
    "count",
    "free",
    "corner",
    "sum",
    "index",
    "pair",
    "rest",
    "member?",
    "match",
    "rows",
]
(ASK, IS_TWICE, FIRST, NEXT, Q, STARRED, Y, Z, AFTER, A, T, MIRROR, JUDGE, LEFT, SQUARE, IS_PRIME, LAST) = range(
    17
)
(COUNTED, FREED, CORNER, SUM, INDEX, PAIR, REST, IS_MEMBER, MATCH, ROWS) = range(17, 27)
UNASKED = 99


def split_of(centre: int) -> str:
    at = int.from_bytes(sha256(f"squares:{centre}".encode()).digest()[:8], "big") / 2**64
    return "test" if at < 0.1 else "validation" if at < 0.2 else "train"


class Text:
    """Tokens with the role of each: what kind of step wrote it (UNASKED where none can be known)."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.roles: list[int] = []

    def word(self, token: int, role: int) -> None:
        self.tokens.append(token)
        self.roles.append(role)

    def number(self, n: int, role: int) -> None:
        self.tokens += (n % 100, HI + n // 100)
        self.roles += (role, role)


def below(c: int) -> Iterator[int]:
    """Yield the primes above 3 below c in steps of 6."""
    return (p for p in range(c - 6, 3, -6) if p in PRIMES)


def header(text: Text, c: int, start: int, skip: int, asked: int) -> None:
    text.word(CENTRE, asked)
    text.number(c, asked)
    if start:
        text.word(FROM, asked)
        text.number(start, asked)
    if skip:
        text.word(SKIP, asked)
        text.word(COUNT + skip, asked)


def search(
    text: Text,
    c: int,
    lower: Iterator[int],
    start: int,
    skip: int,
    list_role: int,
    most: int,
    counted: list[int] | None = None,
) -> tuple[int, ...] | None:
    """Write the search, and return its square's (p, y, z), or None where the list or the room ended first.

    For a nested square the members are ``counted``: numbered in the text, put into that list; the text goes on.
    """
    text.word(TWICE, IS_TWICE)
    text.number(2 * c, IS_TWICE)
    if not start:
        text.number(c, FIRST)
        text.number(c, FIRST)
    members = [] if counted is None else counted
    known: set[int] = set()
    role = FIRST if start else list_role
    for p in lower:
        text.number(p, role)
        role = list_role
        q = 2 * c - p
        text.number(q, Q)
        if q >= LIMIT:
            break
        if q in PRIMES:
            text.word(STAR, STARRED)
            if counted is not None:
                text.word(NUMBERED + len(members) + 1, COUNTED)
            for y in reversed(members):
                z = 2 * y - p
                text.number(y, Y)
                text.number(z, Z)
                if z > c:
                    break
                if z in known and z < c:
                    a = y - p
                    text.word(PLUS, AFTER)
                    text.number(a, A)
                    text.number(c - a, T)
                    text.number(c + a, MIRROR)
                    if c - a in PRIMES and c + a in PRIMES and c - a != z:
                        if skip == 0:
                            text.word(FOUND, JUDGE)
                            members.append(p)
                            write_square(text, c, p, y, z)
                            if counted is None:
                                text.word(END, LAST)
                            return p, y, z
                        skip -= 1
                        text.word(PASS, JUDGE)
                        text.word(COUNT + skip, LEFT)
            text.word(STOP, AFTER)
            members.append(p)
            known.add(p)
        if len(text.tokens) > most:
            return None
    text.word(NONE, NEXT if list_role == NEXT else UNASKED)
    text.word(END, LAST)
    return None


def write_square(text: Text, c: int, p: int, y: int, z: int) -> None:
    t = c - y + p
    for cell in (y, 2 * c - z, 2 * c - t, 0, 2 * c - p, c, p, 0, t, z, 2 * c - y):
        if cell:
            text.number(cell, SQUARE)
        else:
            text.word(ROW, SQUARE)


def practice_list(rng: random.Random, c: int) -> Iterator[int]:
    """Return falling numbers below c, seldom primes. Many have a prime mirror, and some make a square."""
    step = rng.choice((1, 2, 6, 6, 12, 30))
    span = min(c - 1, rng.randrange(60, 6000))
    pool = [n for n in range(c - step, max(0, c - span), -step) if 2 * c - n < LIMIT]
    good = [n for n in pool if 2 * c - n in PRIMES]
    share = rng.random()
    chosen = {n for n in good if rng.random() < share} | set(
        rng.sample(pool, min(len(pool), rng.randrange(5, 120)))
    )
    gaps = (
        [a for a in range(1, span // 2) if c - a in PRIMES and c + a in PRIMES and c + a < LIMIT]
        if rng.random() < 0.5
        else []
    )
    for _ in range(20):
        if gaps and good:
            p, a = rng.choice(good), rng.choice(gaps)
            if 2 * c - p - a in PRIMES and 2 * c - p - 2 * a in PRIMES and p + 2 * a < c:
                chosen |= {p, p + a, p + 2 * a}
    return iter(sorted(chosen, reverse=True))


def primality(text: Text, rng: random.Random) -> None:
    for _ in range(30):
        n = rng.randrange(LIMIT) if rng.random() < 0.5 else rng.choice(RESIDUES)
        text.word(PRIME, UNASKED)
        text.number(n, UNASKED)
        text.word(YES if n in PRIMES else NO, IS_PRIME)
    text.word(END, UNASKED)


RESIDUES = [n for n in range(LIMIT) if n % 2 and n % 3 and n % 5]
TRAIN = [c for c in range(11, LIMIT - 12) if split_of(c) == "train"]
ODD = [c for c in TRAIN if c % 2 and c % 3]
COMPOSITE = [c for c in ODD if c not in PRIMES]
PRIME_CENTRES = [c for c in ODD if c in PRIMES]


@cache
def squares_of(centre: int) -> list[tuple[int, int]]:
    """Return each square of a centre as (start, skip): the search that starts at its highest member finds it
    after ``skip`` others. Squares that come after more than 15 others from there are left out.
    """
    members = [p for p in below(centre) if 2 * centre - p < LIMIT and 2 * centre - p in PRIMES]
    known, found = set(members), []
    for i, p in enumerate(members):
        for y in reversed(members[:i]):
            z, a = 2 * y - p, y - p
            if z in known and centre + a in PRIMES and centre - a in PRIMES and centre - a != z:
                found.append(z)
    skips = [sum(other <= z for other in found[:i]) for i, z in enumerate(found)]
    return [(z, skip) for z, skip in zip(found, skips, strict=True) if skip < len(WORDS_OF_COUNT)]


@cache
def within_reach(centre: int, most: int = 3400) -> list[tuple[int, int]]:
    """Return those of ``squares_of`` a centre whose search takes at most so many tokens."""

    def tokens(start: int, skip: int) -> int:
        text = Text()
        search(text, centre, (p for p in below(centre) if p <= start), start, skip, NEXT, most)
        return len(text.tokens)

    return [(start, skip) for start, skip in squares_of(centre) if tokens(start, skip) < most - 20]


def draw(rng: random.Random, most: int = 3600) -> Text:
    """Return one training document: a search at a train centre, practice, or questions about primes."""
    text = Text()
    text.word(BEGIN, UNASKED)
    kind = rng.random()
    if kind < 0.4:
        c = rng.choice(TRAIN)
        text.word(PRACTICE, UNASKED)
        header(text, c, 0, skip := rng.choice((0, 0, 1, 3)), UNASKED)
        search(text, c, practice_list(rng, c), 0, skip, UNASKED, rng.randrange(200, 1500))
    elif kind < 0.55:
        c = rng.choice(PRIME_CENTRES)
        header(text, c, 0, 0, UNASKED)
        search(text, c, below(c), 0, 0, NEXT, most)
    elif kind < 0.83:
        c = rng.choice(COMPOSITE)
        lower = [p for p in below(c) if 2 * c - p < LIMIT]
        start, skip = (
            rng.choice(lower) if lower and rng.random() < 0.5 else 0,
            rng.choice((0, 0, 0, 1, 2, 3, 5, 7)),
        )
        if rng.random() < 0.5 and squares_of(c):
            start, skip = rng.choice(squares_of(c))
        if rng.random() < 0.3:
            text.word(ANY, UNASKED)
        header(text, c, start, skip, UNASKED)
        search(text, c, (p for p in below(c) if p <= (start or c)), start, skip, NEXT, most)
    elif kind < 0.96:
        text.word(ANY, UNASKED)
        any_header(text, rng)
    else:
        primality(text, rng)
    return text


def any_header(text: Text, rng: random.Random) -> tuple[int, int, int]:
    """Write which square of the train centres is searched for, each equally likely; return centre, start, skip."""
    while True:
        c = rng.choice(PRIME_CENTRES)
        found = within_reach(c)
        if rng.random() < len(found) / 75:
            break
    start, skip = rng.choice(found)
    header(text, c, start, skip, ASK)
    text.word(TWICE, ASK)
    return c, start, skip
