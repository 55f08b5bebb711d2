"""The written search for a square, made anew word by word, and a text held against it.

Numbers are written with the last two digits first, 07'16 for 1607. The words and their order are those that
docs/trust.md describes.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from trust.naive.squares import Asked, Found, Rows, facts_of, holds
from trust.naive.text import is_number, is_prime, only_digits, words

_END = 10_000
_MEMBERS = {5: 28, 7: 52}
_LENGTH = {5: 5_000, 7: 7_400}


class TooLargeError(Exception):
    """A number comes that no two symbols can write."""


class Request(NamedTuple):
    order: int
    centre: int
    start: int = 0
    skip: int = 0


ANY = "any"
Question = Request | str
Pair = tuple[int, int, int]
"""The number of a member in the list, the member and its mirror."""


def spell(number: int) -> str:
    if not 0 <= number < 2 * _END:
        raise TooLargeError
    return f"{number % 100:02d}'{number // 100}"


def read_number(word: str) -> int | None:
    low, sign, high = word[:2], word[2:3], word[3:]
    right = len(low) == 2 and only_digits(low) and sign == "'" and is_number(high, 6)
    return int(high) * 100 + int(low) if right else None


@lru_cache(maxsize=64)
def right_words(request: Request) -> tuple[list[str], Rows | None]:
    """Return all words of the true search, the request aside, and the square at its end, None where none comes."""
    maker = _Maker(request)
    try:
        rows = maker.search()
    except TooLargeError:
        rows = None
    if rows and request.order > 3 and maker.symbols() > _LENGTH[request.order]:
        rows = None
    return maker.out, rows


class _Maker:
    def __init__(self, request: Request) -> None:
        self.request, self.c = request, request.centre
        self.out: list[str] = []
        self.members: list[int] = []
        self.known: set[int] = set()
        below = [p for p in range(self.c - 6, 4, -6) if is_prime(p)]
        self.coming = [p for p in below if not request.start or p <= request.start]

    def symbols(self) -> int:
        return sum(2 if "'" in word else 1 for word in self.out)

    def put(self, *items: int | str) -> None:
        self.out += [spell(item) if isinstance(item, int) else item for item in items]

    def search(self) -> Rows | None:
        rows = self.order_3()
        if rows is None or self.request.order == 3:
            return rows
        self.more_members()
        self.put("All")
        used = {cell for row in rows for cell in row}
        pairs: list[Pair] = [(k, p, 2 * self.c - p) for k, p in enumerate(self.members, 1)]
        for pair in pairs:
            self.listed(pair)
            if pair[1] in used:
                self.put("used")
        free = [pair for pair in pairs if pair[1] not in used]
        for size in range(5, self.request.order + 1, 2):
            ring = self.ring(size, free)
            if ring is None:
                self.put("none")
                return None
            top, left, free = ring
            rows = self.surround(rows, top, left)
            self.square(rows)
        return rows

    def order_3(self) -> Rows | None:
        c, skip, nested = self.c, self.request.skip, self.request.order > 3
        self.put("Twice", 2 * c)
        if not self.request.start:
            self.put(c, c)
        while self.coming:
            p = self.coming.pop(0)
            self.put(p, 2 * c - p)
            if 2 * c - p >= _END:
                break
            if not is_prime(2 * c - p):
                continue
            self.put("*")
            if nested:
                self.put(f"#{len(self.members) + 1}")
            for y in self.members[::-1]:
                z, a = 2 * y - p, y - p
                self.put(y, z)
                if z > c:
                    break
                if z not in self.known:
                    continue
                self.put("+", a, c - a, c + a)
                if not (is_prime(c - a) and is_prime(c + a)) or c - a == z:
                    continue
                if skip == 0:
                    t = c - a
                    rows = [
                        [y, 2 * c - z, 2 * c - t],
                        [2 * c - p, c, p],
                        [t, z, 2 * c - y],
                    ]
                    self.members.append(p)
                    self.square(rows)
                    return rows
                skip -= 1
                self.put("~", f"{skip}x")
            self.members.append(p)
            self.known.add(p)
            self.put(".")
        self.put("none")
        return None

    def square(self, rows: Rows) -> None:
        self.put("!")
        for number, row in enumerate(rows):
            if number:
                self.put("/")
            self.put(*row)

    def more_members(self) -> None:
        while len(self.members) < _MEMBERS[self.request.order]:
            if not self.coming:
                self.put("none")
                return
            p = self.coming.pop(0)
            self.put(p, 2 * self.c - p)
            if is_prime(2 * self.c - p):
                self.members.append(p)
                self.put("*", f"#{len(self.members)}")

    def listed(self, pair: Pair) -> None:
        self.put(f"#{pair[0]}", pair[1], pair[2])

    def free_list(self, free: list[Pair]) -> None:
        self.put("Free")
        for pair in free:
            self.listed(pair)

    def ring(self, size: int, free: list[Pair]) -> tuple[list[int], list[int], list[Pair]] | None:
        for turn in range(len(free)):
            if turn:
                self.put("Again")
            turned = free[turn:] + free[:turn]
            self.free_list(turned)
            if len(free) < 2 * (size - 1):
                return None
            first, second = turned[0], turned[1]
            self.put("Ring")
            self.listed(first)
            self.listed(second)
            self.put("Top")
            line = self.line(size, [first[2], second[1]], turned[2:])
            if line is None:
                continue
            top = [first[1], *line, second[2]]
            self.put(*top)
            rest = [pair for pair in turned[2:] if pair[1] not in line and pair[2] not in line]
            self.free_list(rest)
            self.put("Left")
            left = self.line(size, [first[2], second[2]], rest)
            if left is None:
                continue
            self.put(*left)
            return top, left, [pair for pair in rest if pair[1] not in left and pair[2] not in left]
        return None

    def line(self, size: int, corners: list[int], free: list[Pair]) -> list[int] | None:
        """Find the cells between two corners: some taken as they come, then three that add to what is left."""
        need = corners[0] + corners[1]
        self.put(*corners, need, need + self.c)
        need += self.c
        taken: list[int] = []
        for at in range(size - 5):
            cell = free[at][1] if at % 2 == 0 else free[at][2]
            self.put("-", f"#{free[at][0]}", cell, need - cell, need - cell + self.c)
            need += self.c - cell
            taken.append(cell)
        tried = 0
        for at in range(size - 5, len(free)):
            for a in free[at][1:]:
                if tried:
                    self.put(need)
                tried += 1
                self.put("-", f"#{free[at][0]}", a, need - a)
                for k in range(at + 1, len(free)):
                    self.put(f"#{free[k][0]}")
                    for b in free[k][1:]:
                        rest = need - a - b
                        self.put(b, rest if 0 < rest < 2 * _END else "no")
                        later = [pair for pair in free[k + 1 :] if rest in pair[1:]]
                        if later:
                            self.put("+", f"#{later[0][0]}")
                            return [*taken, a, b, rest]
        return None

    def surround(self, rows: Rows, top: list[int], left: list[int]) -> Rows:
        twice, n = 2 * self.c, len(top)
        bottom = [twice - top[n - 1], *(twice - top[j] for j in range(1, n - 1)), twice - top[0]]
        return [top, *([left[i], *rows[i], twice - left[i]] for i in range(n - 2)), bottom]


def _read_request(said: list[str]) -> tuple[Request, list[str]] | None:
    """Return the request that words begin with and the words after it, None where it is none."""
    order = 3
    if said[:1] in (["Order5"], ["Order7"]):
        order, said = int(said[0][-1]), said[1:]
    centre = read_number(said[1]) if len(said) > 1 and said[0] == "Centre" else None
    if centre is None or centre >= (_END if order == 3 else _END // 2) or centre % 2 == 0 or not is_prime(centre):
        return None
    said, start, skip = said[2:], 0, 0
    if said[:1] == ["from"]:
        number = read_number(said[1]) if len(said) > 1 else None
        if number is None or not 4 <= number < centre or (centre - number) % 6 or not is_prime(number):
            return None
        start, said = number, said[2:]
    if said[:1] == ["skip"]:
        times = said[1] if len(said) > 1 else ""
        if order > 3 or times[-1:] != "x" or not is_number(times[:-1], 4) or times == "0x":
            return None
        skip, said = int(times[:-1]), said[2:]
    return Request(order, centre, start, skip), said


def read_prompt(prompt: str) -> Question | None:
    """Return what a prompt asks: a search that ends in a square, or any square."""
    said = words(prompt)
    if said == ["Ask:", "Any"]:
        return ANY
    asked = _read_request(said[1:]) if said[:1] == ["Ask:"] else None
    if asked is None or asked[1] or right_words(asked[0])[1] is None:
        return None
    return asked[0]


def judge(question: Question, text: str) -> Found:
    """Judge the square at the end, and say whether every word is as it has to be."""
    said = words(text)
    rows = _last_square(said)
    request: Request | None
    if isinstance(question, str):
        asked, begun = Asked(order=3), _read_request(said)
        request, said = begun if begun and begun[0].order == 3 else (None, said)
    else:
        asked, request = Asked(question.order, question.centre), question
    amiss = int(request is None or said != right_words(request)[0])
    if rows is None:
        return Found(False, None, None, amiss)
    facts = facts_of(rows, asked, nested=len(rows) > 3)
    return Found(holds(rows, facts) and not amiss, rows, facts, amiss)


def _last_square(said: list[str]) -> Rows | None:
    if "!" not in said:
        return None
    last = max(at for at, word in enumerate(said) if word == "!")
    rows: Rows = [[]]
    for word in said[last + 1 :]:
        number = read_number(word)
        if word == "/":
            rows.append([])
        elif number is not None:
            rows[-1].append(number)
        else:
            return None
    square = len(rows) in (3, 5, 7) and all(len(row) == len(rows) for row in rows)
    return rows if square else None


def write(question: Question) -> str | None:
    """Return the words of the true search, None where any square may come."""
    return " ".join(right_words(question)[0]) if isinstance(question, Request) else None


TUTORIAL: tuple[Any, Any, Any] = (read_prompt, write, judge)
