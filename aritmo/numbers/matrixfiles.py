"""Files of matrices: read in every common form, one plain sentence for what cannot be read, written as rows.

In a text file, lines of numbers that follow each other are a block; an empty line or a heading such as
``Matrix 5001`` ends it. A block of n lines with n numbers each is one matrix. A block of any other number of
lines with n * n numbers each, n at least 3, is one matrix a line. Between numbers there may be spaces, tabs,
commas, semicolons, quotation marks, brackets and parentheses, so CSV and what numpy prints are text too.
"""

import json
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from io import BytesIO
from itertools import chain, islice
from math import isqrt
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from aritmo.files import size, write_whole
from aritmo.numbers.squares import LARGEST, Cells, as_square
from aritmo.screen import printable

_HEADING = re.compile(rb"\s*(?:matrix|matriz|square)\s*(?:#\s*)?[0-9]{1,18}\s*(?:[:.]\s*)?", re.IGNORECASE)
_BRACKETS = bytes.maketrans(b'[]()"', b"     ")
_COMMAS = bytes.maketrans(b",;", b"  ")
_EMPTY_CELL = re.compile(rb"^\s*[,;]|[,;]\s*[,;]")
_NUMBERS = re.compile(rb"[0-9\s]*")
_PLAIN_ROW = re.compile(rb"[ \t]*+(?:[0-9]{1,18}+(?![0-9])[ \t]*+)*+[\r\n]*+")
"""Digits and gaps, no number being too large."""
_DIGITS = len(str(LARGEST))
_PLAIN = b"0123456789 \t\r\n"
_SPACE, _NEWLINE = b" \n"
_CHUNK = 1 << 23
_LINE = 1 << 26
"""Bytes that a line may have: that is a row, or a whole matrix, of ten million numbers."""
_JSON = 1 << 27
_NPY = 1 << 30
"""Bytes of files that are read whole."""
LARGEST_ORDER = 2048
"""Of matrices that are read."""
_ARCHIVES = {
    b"PK\x03\x04": "a zip archive, as .npz is",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\0": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"PAR1": "a Parquet file",
}
"""How packed files begin. They are never unpacked: what comes out may be of any size."""
_NUMPY = b"\x93NUMPY"
_BOM = b"\xef\xbb\xbf"

Row = tuple[str, list[int]]
"""A row of numbers with its place."""


def check_place(out: Path) -> None:
    """Raise ValueError unless a file may be written there: it is no folder, and stands in one."""
    if out.is_dir():
        raise ValueError(f"{printable(str(out))} is a folder; give the name of a file")
    if not out.parent.is_dir():
        raise ValueError(f"there is no folder {printable(str(out.parent))}; make it first")


def read_matrices(path: str | Path) -> Iterator[tuple[str, Cells]]:
    """Yield each matrix of a file: its place («squares.txt, line 5») and its (n, n) cells.

    Reads rows, one matrix a line, CSV, JSON nested lists and integer ``.npy``; ``-`` is standard input. Text
    is read as it comes, of a file some megabytes at a time, JSON and ``.npy`` whole. Raises ValueError, one
    sentence with file and line, for what is no square matrix of integers from 0 on whose lines add to less
    than 2**63, and for a file without any.
    """
    standard = str(path) == "-"
    name = "standard input" if standard else printable(str(path))
    found = False
    try:
        if not standard and Path(path).is_dir():
            raise ValueError(f"{name} is a folder; give a file of matrices")
        with nullcontext(sys.stdin.buffer) if standard else Path(path).open("rb") as file:
            for place, cells in _matrices(file, name, Path(path).suffix.lower() == ".json"):
                found = True
                yield place, cells
    except FileNotFoundError:
        raise ValueError(f"there is no file {name}; check the name") from None
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror or error}") from None
    if not found:
        raise ValueError(f"{name} holds no matrix; write its rows of numbers, one a line")


def parse_matrices(data: bytes, name: str) -> Iterator[tuple[str, Cells]]:
    """Yield each matrix of a text, as ``read_matrices`` does of a file that is called ``name``."""
    empty = True
    for place, cells in _matrices(BytesIO(data), name, json_only=False):
        empty = False
        yield place, cells
    if empty:
        raise ValueError(f"{name} holds no matrix; write its rows of numbers, one a line")


def _matrices(file: BinaryIO, name: str, json_only: bool) -> Iterator[tuple[str, Cells]]:
    head: list[bytes] = []
    for line in _lines(file, name):
        head.append(line if head else line.removeprefix(_BOM))
        if head[-1].strip():
            break
        if len(head) > _CHUNK:
            raise ValueError(f"{name} begins with more than {_CHUNK:,} empty lines; give rows of numbers")
    first = head[-1].lstrip()[:1] if head else b""
    for magic, what in _ARCHIVES.items():
        if head and head[0].startswith(magic):
            raise ValueError(f"{name} is {what}; unpack it, and give rows of numbers, JSON or .npy")
    if head and head[0].startswith(_NUMPY):
        yield from _from_numpy(_whole(head, file, _NPY, name), name)
        return
    if first and (json_only or first in b"[{"):
        data = _whole(head, file, _JSON, name)
        value = _load_json(data, name, json_only or first == b"{")
        if value is not None:
            yield from _from_json(value, name)
        else:
            yield from _from_text(data.splitlines(), 1, name)
    elif file.seekable():
        yield from _from_plain(b"".join(head), file, name)
    else:
        yield from _from_text(chain(head, _lines(file, name)), 1, name)


def _lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield the lines of a file. Raises ValueError for one that is too long to be numbers of a matrix."""
    while line := file.readline(_LINE + 1):
        if len(line) > _LINE:
            raise ValueError(f"{name} has a line of more than {size(_LINE)}; write a row of a matrix a line")
        yield line


def _whole(head: list[bytes], file: BinaryIO, most: int, name: str) -> bytes:
    """Return a file that is read in one piece. Raises ValueError where that is more than ``most`` bytes."""
    begun = b"".join(head)
    large = False
    if file.seekable():
        at = file.tell()  # A byte order mark was left out of ``head``.
        large = file.seek(0, os.SEEK_END) > most
        file.seek(at)
    data = begun + (b"" if large else file.read(most - len(begun) + 1))
    if large or len(data) > most:
        raise ValueError(f"{name} holds more than {size(most)}; give files of less, or rows of numbers as text")
    return data


def _from_plain(begun: bytes, file: BinaryIO, name: str) -> Iterator[tuple[str, Cells]]:
    """Read a file at speed as long as it holds square blocks of digits and spaces, the rest line by line."""
    line = 1
    text = begun + file.read(_CHUNK)
    while text:
        end = len(text) if len(text) < _CHUNK else _last_gap(text)
        found = [] if text[:end].isspace() else _plain_blocks(text[:end])
        if found is None:
            rest = BytesIO(text + file.readline(_LINE))
            yield from _from_text(chain(_lines(rest, name), _lines(file, name)), line, name)
            return
        for first, cells in found:
            yield f"{name}, line {line + first}", cells
        line += text.count(b"\n", 0, end)
        text = text[end:] + file.read(_CHUNK)


def _last_gap(text: bytes) -> int:
    """Return where the last empty line ends that more text follows; 0 where there is none."""
    return max(text.rfind(gap) + len(gap) if gap in text else 0 for gap in (b"\n\n", b"\n\r\n"))


def _plain_blocks(text: bytes) -> list[tuple[int, Cells]] | None:
    """Return the matrices of blocks of n lines with n numbers each, with the index of their first lines.

    None where anything else stands in the text, or a number or a sum of a line that may be too large.
    """
    if text.translate(None, _PLAIN):
        return None
    data = np.frombuffer(b"\n" + text + b"\n", dtype=np.uint8)
    edges = np.flatnonzero(np.diff(data > _SPACE))
    starts, ends = edges[::2], edges[1::2]
    if not starts.size or (ends - starts).max() >= _DIGITS:
        return None
    numbers = np.fromstring(text, dtype=np.int64, sep=" ")
    breaks = np.flatnonzero(data == _NEWLINE)
    counts = np.diff(np.searchsorted(starts, breaks))
    changes = np.flatnonzero(np.diff(counts > 0, prepend=False, append=False))
    firsts, lengths = changes[::2], changes[1::2] - changes[::2]
    widths = counts[firsts]
    if (counts[counts > 0] != np.repeat(lengths, lengths)).any() or (widths != lengths).any():
        return None
    if numbers.max() > LARGEST // lengths.max():
        return None
    ends = np.cumsum(lengths * lengths).tolist()
    shapes = zip(firsts.tolist(), lengths.tolist(), ends, strict=True)
    return [(first, numbers[end - n * n : end].reshape(n, n)) for first, n, end in shapes]


def _from_text(lines: Iterable[bytes], begin: int, name: str) -> Iterator[tuple[str, Cells]]:
    numbered = enumerate(lines, begin)
    for number, line in numbered:
        if not line.isspace() and (row := _text_row(line, place := f"{name}, line {number}")):
            yield from _cut(chain([(place, row)], _rows_on(numbered, name)))


def _rows_on(numbered: Iterator[tuple[int, bytes]], name: str) -> Iterator[Row]:
    """Yield the rows of a block that has begun."""
    for number, line in numbered:
        if line.isspace() or not (row := _text_row(line, place := f"{name}, line {number}")):
            return
        yield place, row


def _cut(block: Iterator[Row]) -> Iterator[tuple[str, Cells]]:
    """Yield the matrices of one block of rows: a single one, or one a row."""
    place, first = next(block)
    width = len(first)

    def even() -> Iterator[Row]:
        for where, row in block:
            if len(row) != width:
                remedy = "give all rows of a matrix as many, and part matrices by an empty line"
                raise ValueError(f"{where}: {len(row)} numbers in a row, {width} in the first; {remedy}")
            yield where, row

    rows = even()
    order = isqrt(width)
    if width > LARGEST_ORDER and (order * order != width or order > LARGEST_ORDER):
        raise ValueError(f"{place}: {width:,} numbers in a row; give matrices up to order {LARGEST_ORDER:,}")
    # So many in a row are a matrix a line, and need not be held to see whether they are as many rows.
    begun = [(place, first), *islice(rows, width if width <= LARGEST_ORDER else 0)]
    if len(begun) == width:
        yield place, _square([row for _, row in begun], place)
    elif order >= 3 and order * order == width:
        for where, row in chain(begun, rows):
            yield where, _square(np.array(row, dtype=np.int64).reshape(order, order), where)
    else:
        count = len(begun) + sum(1 for _ in rows)
        raise ValueError(f"{place}: {count} by {width} numbers are no square; give n rows of n numbers")


def _square(cells: list[list[int]] | NDArray[np.int64], place: str) -> Cells:
    try:
        return as_square(cells)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _text_row(line: bytes, place: str) -> list[int]:
    """Return the numbers of a line; none for an empty line or a heading."""
    if _PLAIN_ROW.fullmatch(line):
        return list(map(int, line.split()))
    text = line.translate(_BRACKETS)
    if b"," in text or b";" in text:
        text = text.strip().rstrip(b",; \t")
        if _EMPTY_CELL.search(text):
            raise ValueError(f"{place}: a cell is empty; write a number in each")
        text = text.translate(_COMMAS)
    tokens = text.split()
    if not _NUMBERS.fullmatch(text):
        if _HEADING.fullmatch(line):
            return []
        raise ValueError(f"{place}: {_why_not(next(t for t in tokens if not _NUMBERS.fullmatch(t)))}")
    if not tokens:
        return []
    longest = max(tokens, key=len)
    if len(longest) > _DIGITS:
        raise ValueError(f"{place}: {_too_large(longest.decode())}")
    return _in_range(list(map(int, tokens)), place)


def _in_range(numbers: list[int], place: str) -> list[int]:
    if numbers and max(numbers) > LARGEST:
        raise ValueError(f"{place}: {_too_large(str(max(numbers)))}")
    if numbers and min(numbers) < 0:
        raise ValueError(f"{place}: {min(numbers)} is negative; give numbers from 0 on")
    return numbers


def _too_large(digits: str) -> str:
    shown = digits if len(digits) <= 2 * _DIGITS else f"a number of {len(digits)} digits"
    return f"{shown} is too large; give numbers up to {LARGEST}"


def _why_not(token: bytes) -> str:
    """Say why a token is no number."""
    if b"\0" in token:
        return "this is no text; give rows of numbers, JSON or .npy"
    text = token[:40].decode(errors="backslashreplace")
    if re.fullmatch(r"[-\u2212][0-9]+", text):
        return f"{printable(text)} is negative; give numbers from 0 on"
    shown = printable(text[:20]) + ("..." if len(text) > 20 else "")
    return f'"{shown}" is no number; write whole numbers with the digits 0 to 9 only'


def _load_json(data: bytes, name: str, must: bool) -> Any:
    """Return the JSON value, what is no int left as text; None where the file may be rows in brackets."""
    try:
        return json.loads(
            data,
            parse_int=lambda digits: int(digits) if len(digits) <= _DIGITS + 1 else digits,
            parse_float=str,
            parse_constant=str,
        )
    except RecursionError:
        raise ValueError(f"{name}: lists in lists without end; give a list of rows, or a list of those") from None
    except UnicodeDecodeError:
        return None
    except json.JSONDecodeError as error:
        if must or error.pos >= len(error.doc.rstrip()):
            raise ValueError(f"{name}, line {error.lineno}: this is no JSON: {error.msg}") from None
        return None


def _from_json(value: Any, name: str) -> Iterator[tuple[str, Cells]]:
    depth, inner = 0, value
    while isinstance(inner, list) and inner:
        depth, inner = depth + 1, inner[0]
    if not isinstance(value, list) or depth > 3:
        raise ValueError(f"{name}: this JSON is no matrix; give a list of rows, or a list of such lists")
    if depth < 3:
        rows = value if depth == 2 else [value] if value else []
        if rows:
            yield from _cut((place, _json_row(row, place)) for row, place in _placed(rows, name, "row"))
        return
    for matrix, place in _placed(value, name, "matrix"):
        if not isinstance(matrix, list) or not matrix:
            raise ValueError(f"{place}: this is no list of rows; give n rows of n numbers")
        yield from _cut((place, _json_row(row, place)) for row in matrix)


def _placed(items: list[Any], name: str, kind: str) -> Iterator[tuple[Any, str]]:
    return ((item, f"{name}, {kind} {number}") for number, item in enumerate(items, 1))


def _json_row(row: Any, place: str) -> list[int]:
    if not isinstance(row, list) or not row:
        raise ValueError(f"{place}: a row is missing or empty; give n rows of n numbers")
    for cell in row:
        if type(cell) is not int:
            if isinstance(cell, str) and re.fullmatch(r"[0-9]+", cell) and len(cell) > _DIGITS:
                raise ValueError(f"{place}: {_too_large(cell)}")
            shown = cell if isinstance(cell, str) else json.dumps(cell)
            raise ValueError(f"{place}: {_why_not(shown.encode(errors='backslashreplace'))}")
    return _in_range(row, place)


def _from_numpy(data: bytes, name: str) -> Iterator[tuple[str, Cells]]:
    try:
        with warnings.catch_warnings(action="ignore"):  # headers of very old files
            array = np.load(BytesIO(data), allow_pickle=False)
    except Exception:  # a damaged header makes numpy raise errors of many kinds
        raise ValueError(f"{name} is no .npy file of integers; save it with numpy.save") from None
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} holds {array.dtype}, not integers; convert it before saving")
    if array.ndim not in (2, 3) or array.size == 0:
        raise ValueError(f"{name} has the shape {array.shape}; give (n, n) or (count, n, n)")
    if array.ndim == 3:
        for number, cells in enumerate(array, 1):
            place = f"{name}, matrix {number}"
            _in_range([int(cells.min()), int(cells.max())], place)
            yield place, _square(cells, place)
    else:
        yield from _cut(
            (place, _in_range(row.tolist(), place))
            for row, place in ((row, f"{name}, row {number}") for number, row in enumerate(array, 1))
        )


def write_matrices(path: str | Path, squares: Iterable[NDArray[np.int64]]) -> None:
    """Write (n, n) squares as aligned rows with an empty line between, whole or not at all."""
    write_whole(Path(path), "\n".join(map(_as_rows, squares)))


def _as_rows(square: NDArray[np.int64]) -> str:
    rows = [[str(cell) for cell in row] for row in square.tolist()]
    width = max(len(cell) for row in rows for cell in row)
    return "".join(" ".join(cell.rjust(width) for cell in row) + "\n" for row in rows)
