"""Files of records: one JSON object a line, added to as work goes on and readable at any moment."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

from aritmo.files import size

R = TypeVar("R", bound=Mapping[str, Any])

_LONGEST = 64 << 20
"""Bytes that a line may have: a record of ours has some thousands."""


def write_samples(path: str | Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Add records to the end of a file, which is made where there is none, and return how many.

    Each record goes to the system as one whole line, so a stop at any moment leaves a file that
    ``read_jsonl`` reads. A torn last line that an earlier stop left behind is cut off first.
    Serves samples, verdicts and metrics alike. Raises ValueError for a float that is not finite.
    """
    return sum(1 for _ in written_through(path, records))


def written_through(path: str | Path, records: Iterable[R]) -> Iterator[R]:
    """Yield records, each once ``write_samples`` would have written it."""
    with Path(path).open("ab+", buffering=0) as file:
        _mend(file)
        for record in records:
            try:
                _write_whole(file, _line(record))
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from error
            yield record


def read_jsonl(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a file, one line in memory at a time; empty lines are passed over.

    A last line without its newline that is no whole record was torn by a stop and is left out.
    Raises ValueError naming file and line where any other line is no JSON object, or has more than 64 MiB.
    """
    with Path(path).open("rb") as file:
        for number, line in enumerate(iter(partial(file.readline, _LONGEST + 1), b""), start=1):
            if not line.strip():
                continue
            if len(line) > _LONGEST:
                raise ValueError(f"{path}, line {number}: longer than {size(_LONGEST)}; write one record a line")
            try:
                yield _record(line)
            except ValueError as error:
                if line.endswith(b"\n"):
                    raise ValueError(f"{path}, line {number}: {error}") from None


def count_records(path: Path) -> int:
    """Return how many whole lines a file has, empty ones aside. A last one without its newline is none."""
    count = 0
    with path.open("rb") as file:
        while line := file.readline(_LONGEST):
            count += line.endswith(b"\n") and not line.isspace()
    return count


def keep_records(path: Path, many: int) -> int:
    """Cut a file down to its first ``many`` records and return that number."""
    with path.open("rb+") as file:
        left = many
        while left and (line := file.readline(_LONGEST)):
            left -= line.endswith(b"\n") and not line.isspace()
        file.truncate(file.tell())
    return many - left


def _line(record: Mapping[str, Any]) -> bytes:
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    # A lone surrogate has no UTF-8 form; what stands in for it here is its escape in JSON.
    return text.encode(errors="backslashreplace") + b"\n"


def _write_whole(file: BinaryIO, line: bytes) -> None:
    """Write a line in one call to the system, or in more where the system takes only a part."""
    rest = memoryview(line)
    while rest:
        rest = rest[file.write(rest) :]


def _record(line: bytes) -> dict[str, Any]:
    """Return the object on a line. Raises ValueError, as a clause, for anything else."""
    try:
        record = json.loads(line.decode(), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply; write one flat JSON object a line") from None
    except ValueError:
        shown = line[:40].decode(errors="replace").strip()
        raise ValueError(f"no JSON in {shown!r}; write one JSON object a line") from None
    if not isinstance(record, dict):
        raise ValueError(f"a JSON {type(record).__name__} in place of an object; write one object a line")
    return record


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _mend(file: BinaryIO) -> None:
    """Make the file end in a whole line: cut a torn one off, or close one that lacks only its newline."""
    end = file.seek(0, os.SEEK_END)
    start, tail = end, b""
    while start and b"\n" not in tail:
        block = min(start, 1 << 16)
        start = file.seek(start - block)
        tail = file.read(block) + tail
    tail = tail[tail.rfind(b"\n") + 1 :]
    if not tail:
        return
    try:
        _record(tail)
    except ValueError:
        file.truncate(end - len(tail))
    else:
        file.write(b"\n")
