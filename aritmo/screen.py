"""What goes to a screen: text of models, names of files, and what a terminal may obey made visible."""

import json
import sys


def printable(text: str) -> str:
    """Return text with everything that a terminal may obey, or cannot show, written as an escape.

    That is every control character, ends of lines too, marks of direction, and halves of surrogate pairs.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show(*lines: str, err: bool = False) -> None:
    """Print lines, each ``printable``, on standard output or the standard error."""
    stream = sys.stderr if err else sys.stdout
    for line in lines:
        print(printable(line), file=stream)


def first_line(error: Exception, most: int | None = None) -> str:
    """Return the first line of what an error says, as a clause, or its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".")[:most] if lines else type(error).__name__


def json_line(value: object) -> str:
    """Return a value as one line of JSON in which nothing can act on a terminal; it reads back as it was.

    Raises ValueError for a float that is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
