"""Files of records that outlive a stop: filled beside their place in as many sittings as it takes, then moved.

As long as ``samples.jsonl`` is unfinished there is no such file, but ``samples.jsonl.partial`` with the records so
far, and ``samples.jsonl.progress`` that says what was asked for. The same request goes on where they end.
"""

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aritmo.files import read_bounded, write_json
from aritmo.records import count_records, keep_records, read_jsonl, write_samples, written_through

try:
    import fcntl
except ImportError:  # not on Windows, where two sittings at once are not noticed
    fcntl = None  # type: ignore[assignment]

Record = dict[str, Any]

_NOTE = 1 << 20
"""Bytes that a note may have."""


class Unfinished:
    """One file of records in the making. Use as a context manager; ``finish`` moves it to its place.

    ``request`` is plain data on which every record depends. ``kept`` counts the whole records of the same request
    that an earlier sitting left, down to a multiple of ``every``: a writer that makes so many together begins
    again at such a border. Records of another request are dropped with ``anew``; without it they are an error.

    Raises ValueError where ``out`` was begun with another request, or is being written by another process.
    """

    def __init__(self, out: Path, request: Record, every: int = 1, anew: bool = False) -> None:
        self.out, self.path = out, out.with_name(f"{out.name}.partial")
        self._note = out.with_name(f"{out.name}.progress")
        self._request: Record = json.loads(json.dumps(request))
        self._lock = _locked(self.path, out)
        try:
            self.kept = self._take_up(every, anew)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What holds nothing is worth nothing, and a refused command leaves nothing behind.
        if self.path.exists() and not self.path.stat().st_size:
            self.path.unlink()
            self._note.unlink(missing_ok=True)
        os.close(self._lock)

    def add(self, records: Iterable[Mapping[str, Any]]) -> int:
        """Write records behind those that are there and return how many."""
        return write_samples(self.path, records)

    def added(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield records, each once it is written behind those that are there."""
        return written_through(self.path, records)

    def records(self) -> Iterator[Record]:
        """Yield what is there so far."""
        return read_jsonl(self.path)

    def finish(self) -> None:
        """Move the file, whole and on the disk, to its place."""
        self.path.touch()
        os.fsync(self._lock)
        self.path.replace(self.out)
        self._note.unlink(missing_ok=True)

    def _take_up(self, every: int, anew: bool) -> int:
        begun = self._begun()
        if begun == self._request:
            return keep_records(self.path, count_records(self.path) // every * every)
        if begun is not None and not anew and self.path.stat().st_size:
            raise ValueError(
                f"{self.out} was begun with {_differences(begun, self._request)}: go on with that, "
                f"remove {self.path}, or choose another file"
            )
        keep_records(self.path, 0)
        write_json(self._note, {"request": self._request})
        return 0

    def _begun(self) -> Record | None:
        """Return the request of an earlier sitting, None where there was none or what it says is of no use."""
        try:
            noted = json.loads(read_bounded(self._note, _NOTE))["request"]
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return noted if isinstance(noted, dict) else None


def _locked(path: Path, out: Path) -> int:
    """Open a file that is no link, make it where there is none, and hold it against other processes."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"{path} is a symbolic link: remove it or choose another file") from None
        raise
    if fcntl:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise ValueError(f"{out} is being written by another process: wait for it, or stop it") from None
    return handle


def _differences(begun: Record, now: Record) -> str:
    names = [name for name in {**begun, **now} if begun.get(name) != now.get(name)]
    told = [f"{name.replace('_', ' ')} {begun.get(name)}, not {now.get(name)}" for name in names]
    return " and ".join(told[:3])
