"""Squares, judged plainly: the listing, and at the end of a search the square itself."""

from typing import Any, NamedTuple

from trust.naive.text import bare, is_number, is_prime, lines, words

Rows = list[list[int]]


class Asked(NamedTuple):
    """What a prompt asks for; None leaves it open."""

    order: int | None = None
    centre: int | None = None
    magic_sum: int | None = None


class Facts(NamedTuple):
    """What holds of a square; ``nested`` is true where it need not be."""

    primes: int
    distinct: bool
    sums_equal: bool
    as_asked: bool
    nested: bool


class Found(NamedTuple):
    """What two judges have to agree on. ``amiss`` counts the false sums of a listing; of a search it is 1 or 0."""

    valid: bool
    answer: Rows | None
    facts: Facts | None
    amiss: int


def line_sums(rows: Rows) -> list[list[int]]:
    """Return the sums of the rows, of the columns, and of both diagonals."""
    n = len(rows)
    across, down, slant = [0] * n, [0] * n, [0, 0]
    for i in range(n):
        for j in range(n):
            across[i] += rows[i][j]
            down[j] += rows[i][j]
        slant[0] += rows[i][i]
        slant[1] += rows[i][n - 1 - i]
    return [across, down, slant]


def _is_magic(rows: Rows) -> bool:
    return len({total for group in line_sums(rows) for total in group}) == 1


def facts_of(rows: Rows, asked: Asked, nested: bool = False) -> Facts:
    """Return what holds of a square that was asked for in some way, and perhaps has to be nested."""
    n, cells = len(rows), [cell for row in rows for cell in row]
    magic = _is_magic(rows)
    asked_right = (
        (asked.order is None or asked.order == n)
        and (asked.centre is None or (n % 2 == 1 and rows[n // 2][n // 2] == asked.centre))
        and (asked.magic_sum is None or (magic and sum(rows[0]) == asked.magic_sum))
    )
    inner, all_magic = rows, magic
    while len(inner) > 4:
        inner = [row[1:-1] for row in inner[1:-1]]
        all_magic = all_magic and _is_magic(inner)
    primes = 0
    for cell in cells:
        primes += is_prime(cell)
    return Facts(primes, len(set(cells)) == len(cells), magic, asked_right, all_magic or not nested)


def holds(rows: Rows, facts: Facts) -> bool:
    """Say whether all is right with a square."""
    return facts.primes == len(rows) ** 2 and all(facts[1:])


def read_prompt(prompt: str) -> Asked | None:
    """Read «Matrix 5», «Matrix with centre 5», «Matrix of order 3 with sum 177», «Any matrix of order 3» ..."""
    parts = bare(prompt).split(" ")
    if parts[:1] == ["Matrix"] and len(parts) == 2 and _positive(parts[1]):
        return Asked()
    begun = parts[:1] == ["Matrix"] or parts[:2] == ["Any", "matrix"]
    rest = parts[1:] if parts[:1] == ["Matrix"] else parts[2:]
    order = None
    if rest[:2] == ["of", "order"] and len(rest) > 2 and _positive(rest[2]):
        order, rest = int(rest[2]), rest[3:]
    if not begun:
        return None
    if parts[0] == "Any":
        return Asked(order) if not rest else None
    if len(rest) == 3 and rest[0] == "with" and _positive(rest[2]):
        if rest[1] == "centre":
            return Asked(order, int(rest[2]))
        if rest[1] == "sum":
            return Asked(order, None, int(rest[2]))
    return None


def _positive(word: str) -> bool:
    return is_number(word, 18) and word != "0"


def write_listing(rows: Rows) -> str:
    """Return the listing of a square with its true sums."""
    text = "\n".join(" ".join(str(cell) for cell in row) for row in rows)
    for name, sums in zip(("Rows", "Columns", "Diagonals"), line_sums(rows), strict=True):
        text += f"\n{name}: " + " ".join(str(total) for total in sums)
    return text


def judge_listing(asked: Asked, text: str) -> Found:
    written = lines(text)
    rows: Rows = []
    for line in written:
        if not line[0][0].isdigit():
            break
        if not all(is_number(word, 15) for word in line):
            return Found(False, None, None, 0)
        rows.append([int(word) for word in line])
    if not 3 <= len(rows) <= 1001 or any(len(row) != len(rows) for row in rows):
        return Found(False, None, None, 0)
    if max(cell for row in rows for cell in row) >= 2**61 // len(rows) ** 2:
        return Found(False, None, None, 0)
    facts, false, missing = facts_of(rows, asked), 0, False
    rest = [" ".join(line) for line in written[len(rows) :]]
    for place, (name, sums) in enumerate(zip(("Rows", "Columns", "Diagonals"), line_sums(rows), strict=True)):
        head, _, claimed = (rest[place] if place < len(rest) else "").partition(":")
        claims = words(claimed)
        if words(head) != [name] or len(claims) != len(sums):
            missing = True
        else:
            false += sum(claim != str(total) for claim, total in zip(claims, sums, strict=True))
    right = holds(rows, facts) and not (false or missing or len(rest) > 3)
    return Found(right, rows, facts, false)


LISTING: tuple[Any, Any, Any] = (read_prompt, write_listing, judge_listing)
