"""Addition, decomposition and primality, judged plainly."""

from typing import Any, NamedTuple

from trust.naive.text import DIGITS, add, bare, is_number, is_prime, lines, only_digits, scan_digits


class Found(NamedTuple):
    """What two judges have to agree on: valid or not, the answer, and whether that alone is right."""

    valid: bool
    answer: Any
    answered: bool


_HUNDREDS = ("ones", "tens", "hundreds")
_GROUPS = (
    "thousands millions billions trillions quadrillions quintillions sextillions septillions octillions "
    "nonillions decillions undecillions duodecillions tredecillions quattuordecillions quindecillions "
    "sexdecillions "
    "septendecillions octodecillions novemdecillions vigintillions"
)
PLACES = [*_HUNDREDS, *(f"{before}{group}" for group in _GROUPS.split() for before in ("", "ten ", "hundred "))]

Pair = tuple[str, str]


def _read_pair(text: str, most: int) -> Pair | None:
    parts = text.split("+")
    if len(parts) == 2 and all(is_number(part, most) for part in parts):
        return parts[0], parts[1]
    return None


def read_plain(prompt: str) -> Pair | None:
    text = bare(prompt)
    return _read_pair(text[:-1], 4000) if text[-1:] == "=" else None


def read_aligned(prompt: str) -> Pair | None:
    text = bare(prompt)
    return _read_pair(text[1:-1], 4000) if text[:1] == "$" and text[-1:] == "=" else None


def read_tutorial(prompt: str) -> Pair | None:
    """The last place with a name is the 66th, and the sum may have one place more than its operands."""
    return _read_pair(bare(prompt), len(PLACES) - 1)


def write_plain(pair: Pair) -> str:
    a, b = pair
    return f"{add(a, b)}\nAdding {a} and {b} means counting on from {a} by {b} and gives {add(a, b)}."


def write_aligned(pair: Pair) -> str:
    return "".join(reversed(add(*pair)))


def _take_apart(number: str) -> list[str]:
    return [f"{PLACES[place]}->{digit}" for place, digit in enumerate(reversed(number))]


def write_tutorial(pair: Pair) -> str:
    """Copy both numbers, add each column with its carry, collect the digits, and give the result."""
    a, b = pair
    text = ["STEP 1"]
    for number in pair:
        text += [f"Number: {number}", *_take_apart(number)]
    carry, place = 0, 0
    while place < max(len(a), len(b)) or carry:
        terms = [number[-1 - place] for number in pair if place < len(number)]
        if carry:
            terms.append("1")
        total = "0"
        for term in terms:
            total = add(total, term)
        text += [f"STEP {place + 2}", f"{PLACES[place]}->{'+'.join(terms)}={total}", f"Number: {total}"]
        text += _take_apart(total)
        carry, place = len(total) - 1, place + 1
    total = add(a, b)
    text += [f"STEP {place + 2}", *_take_apart(total), f"Number: {total}", "RESULT", f"{a}+{b}={total}"]
    return "\n".join(text)


def _same_lines(right: str, text: str) -> bool:
    return lines(right) == lines(text)


def judge_plain(pair: Pair, text: str) -> Found:
    begin = len(text) - len(bare(text + "x")) + 1
    answer = _whole(text, begin)
    if answer and len(answer) > 4001:
        answer = None
    return Found(_same_lines(write_plain(pair), text), answer, answer == add(*pair))


def judge_aligned(pair: Pair, text: str) -> Found:
    written = bare(text)
    answer = written[::-1] if only_digits(written) and len(written) <= 4001 else None
    return Found(written == write_aligned(pair), answer, answer == add(*pair))


def judge_tutorial(pair: Pair, text: str) -> Found:
    answer = _named_result(text)
    if answer and len(answer) > len(PLACES):
        answer = None
    return Found(_same_lines(write_tutorial(pair), text), answer, answer == add(*pair))


def _whole(text: str, begin: int) -> str | None:
    """Return the number that begins at a place, where nothing but white space or the end is behind it."""
    number = scan_digits(text, begin)
    behind = text[begin + len(number) :][:1]
    return number if number and (not behind or behind.isspace()) else None


def _named_result(text: str) -> str | None:
    """Return c of the first «RESULT a+b=c»."""
    begin = text.find("RESULT")
    while begin >= 0:
        at = begin + 6
        while at < len(text) and text[at].isspace():
            at += 1
        if at > begin + 6:
            for sign in ("+", "="):
                number = scan_digits(text, at)
                if not number or text[at + len(number) : at + len(number) + 1] != sign:
                    break
                at += len(number) + 1
            else:
                if result := _whole(text, at):
                    return result
        begin = text.find("RESULT", begin + 6)
    return None


def _after_mark(prompt: str) -> str:
    text = bare(prompt)
    return bare(text[3:]) if text[:3] == "###" else text


def read_joined(prompt: str) -> str | None:
    number = _after_mark(prompt)
    return number if is_number(number, len(PLACES)) else None


def read_spaced(prompt: str) -> str | None:
    """One space stands between any two digits."""
    text = _after_mark(prompt)
    number = "".join(text[::2])
    spaced = all(space == " " for space in text[1::2]) and len(text) % 2 == 1
    return number if spaced and is_number(number, len(PLACES)) else None


def write_digits(number: str) -> str:
    return "".join(f"{line}\n" for line in _take_apart(number))


def judge_digits(number: str, text: str) -> Found:
    digits = ""
    for place, row in enumerate(lines(text)):
        line = " ".join(row)
        if place < len(PLACES) and line[:-1] == f"{PLACES[place]}->" and line[-1] in DIGITS:
            digits = line[-1] + digits
        else:
            digits = ""
            break
    return Found(_same_lines(write_digits(number), text), digits or None, digits == number)


def read_question(prompt: str) -> int | None:
    text = bare(prompt)
    number = text[3:-7]
    right = text[:3] == "Is " and text[-7:] == " prime?" and is_number(number, 18)
    return int(number) if right else None


def read_halves(prompt: str) -> int | None:
    """The last two digits come first: 79'78 would be 7879."""
    text = bare(prompt)
    low, sign, high = text[11:13], text[13:14], text[14:]
    right = (
        text[:11] == "Ask: Prime " and len(low) == 2 and only_digits(low) and sign == "'" and is_number(high, 16)
    )
    return int(high + low) if right else None


def write_yes(number: int) -> str:
    return "yes" if is_prime(number) else "no"


def write_yes_as_symbol(number: int) -> str:
    return f" {write_yes(number)}\n"


def judge_yes(number: int, text: str) -> Found:
    answer = {"yes": True, "no": False}.get(bare(text))
    right = answer is not None and answer == is_prime(number)
    return Found(right, answer, right)


STYLES: dict[tuple[str, str], tuple[Any, Any, Any]] = {
    ("addition", "plain"): (read_plain, write_plain, judge_plain),
    ("addition", "tutorial"): (read_tutorial, write_tutorial, judge_tutorial),
    ("addition", "aligned"): (read_aligned, write_aligned, judge_aligned),
    ("decomposition", "joined"): (read_joined, write_digits, judge_digits),
    ("decomposition", "spaced"): (read_spaced, write_digits, judge_digits),
    ("primality", "plain"): (read_question, write_yes, judge_yes),
    ("primality", "halves"): (read_halves, write_yes_as_symbol, judge_yes),
}
