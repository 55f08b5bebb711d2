"""Prime magic squares made in numbers: seeded blocks on any number of processes, streamed to a file that survives.

A block is a pure function of the request, the seed and its number, so that the same seed gives the same squares
in one process or in many. The parent takes blocks in order, drops squares that it met before, writes the others
and notes beside the file how far it came: ``squares.txt.progress`` is there as long as the file is unfinished.
"""

import json
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import asdict
from functools import cached_property, partial
from itertools import count, islice
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from aritmo.files import write_json
from aritmo.numbers.matrixfiles import check_place
from aritmo.numbers.randomness import Stream
from aritmo.numbers.requests import Request, take_turns
from aritmo.numbers.rows import Seen, fingerprints, rows
from aritmo.numbers.search import draw_order3
from aritmo.screen import printable
from aritmo.workers import Workers, cores

Ints = NDArray[np.int64]
Advance = Callable[[int], object]
"""Is told how many more squares are written."""
End = Literal["done", "exhausted", "timeout"]

LARGEST_COUNT = 1_000_000_000
_EXACT_BELOW = 100_000
"""Up to this bound all squares of order 3 are listed and drawn from, so that it is known how many there are."""
_BLOCK = 4096
_WORK = 100_000_000
"""About so many cells, times the cells of a square, make a block: a fraction of a second of search."""
_FAMILIES = 128
_FAMILIES_OF_CORES = 8
"""Into so many families a block reaches. A few squares of each pay for its tables; of cores it takes hundreds."""
_BARREN = 16
"""After so many blocks without a new square, and a quarter of all blocks, there are taken to be no more."""
_ALONE = 1.0
_WORTH = 4.0
"""After _ALONE seconds in one process, processes are started where more than _WORTH seconds are left."""
_NOTE_EVERY = 1.0


def block(request: Request, seed: int, number: int) -> Ints:
    """Return the squares of one block as (m, n, n), each the least of its 8 symmetries; m may be 0.

    ``request`` is as ``Request.check`` returns it. Squares may repeat, in a block and between blocks.
    """
    order = request.order
    size = max(1, min(_BLOCK, _WORK // order**4))
    families = request.families()
    reach = _FAMILIES if request.in_rings and order % 2 else _FAMILIES_OF_CORES
    picks = min(reach, size) if len(families) > 1 else 1
    stream = Stream("squares", "make", *map(str, asdict(request).values()), seed, number)
    parts = []
    for _ in range(picks):
        family = int(families[stream.below(len(families))])
        parts.append(request.draw(family, size // picks, stream.below(1 << 63)))
    return take_turns(parts)


class Making:
    """One file of squares in the making. ``run`` fills it; what is in it at any time are whole squares.

    ``made`` counts the squares in the file. Raises ValueError for an impossible request (``Request.check``), a
    count out of range, and a file that is in the way: one that is there needs ``force``, which writes over it as
    soon as there is a square, or ``resume``, which goes on where the same request and seed were interrupted and
    ends with the bytes of a run that never was. Without anything to go on with, ``resume`` begins anew.
    """

    def __init__(
        self, request: Request, many: int, seed: int, out: Path, resume: bool = False, force: bool = False
    ) -> None:
        if not 1 <= many <= LARGEST_COUNT:
            raise ValueError(
                f"from 1 to {LARGEST_COUNT} squares are made at a time, not {many}; give such a count"
            )
        self.request, self.many, self.seed, self.out = request.check(), many, seed, out
        self.note = out.parent / f"{out.name}.progress"
        self.made = self._bytes = self._next = self._barren = 0
        self._finished = False
        self._seen = Seen()
        self._noted = time.monotonic()
        check_place(out)
        name = printable(str(out))
        unfinished = out.exists() and self.note.exists()
        if resume and unfinished:
            self._take_up()
        elif resume and out.exists():
            raise ValueError(f"{name} is finished, so there is nothing to resume; give another name, or --force")
        elif out.exists() and not force:
            remedy = "--resume to go on with it, " if unfinished else ""
            raise ValueError(f"{name} is there already; give {remedy}another name, or --force to write over it")

    def run(self, workers: int = 0, timeout: float | None = None, advance: Advance | None = None) -> End:
        """Make squares until there are enough, no new ones turn up, or ``timeout`` seconds are over.

        ``workers`` processes search; 0 means all cores where the work is worth it. When an exception passes
        through, Ctrl-C above all, the file keeps its whole squares. Raises ValueError where all squares of
        the request are listed (order 3 below 100,000) and are too few; then nothing is written.
        """
        end = time.monotonic() + timeout if timeout is not None else float("inf")
        blocks = self._all() if self._listed else self._searched(workers)
        try:
            with closing(blocks):
                for squares in blocks:
                    before = self.made
                    self._take(squares)
                    if advance is not None:
                        advance(self.made - before)
                    if self.made == self.many:
                        return self._finish("done")
                    if not self._listed and self._barren >= _BARREN + self._next // 4:
                        return self._finish("exhausted")
                    if time.monotonic() > end:
                        return "timeout"
            return self._finish("exhausted")
        finally:
            self._leave_whole()

    @property
    def _listed(self) -> bool:
        request = self.request
        return request.order == 3 and request.family is None and (request.below or 0) <= _EXACT_BELOW

    def _all(self) -> Generator[Ints]:
        below = self.request.below
        assert below is not None
        squares = draw_order3(self.many, self.seed, below).reshape(-1, 3, 3)
        for start in range(self._next * _BLOCK, len(squares), _BLOCK):
            yield squares[start : start + _BLOCK]

    def _searched(self, workers: int) -> Generator[Ints]:
        """Yield the blocks in order, from this process and, where that is worth it, from more."""
        search = partial(block, self.request, self.seed)
        numbers = count(self._next)
        began, before = time.monotonic(), self.made
        spare = workers or cores()
        while workers == 0 or spare == 1:
            yield search(next(numbers))
            elapsed = time.monotonic() - began
            left = (self.many - self.made) * elapsed / max(1, self.made - before)
            if spare > 1 and elapsed > _ALONE and left > _WORTH:
                break
        with Workers(spare) as pool:
            yield from pool.map(search, numbers)

    @cached_property
    def _file(self) -> BinaryIO:
        """The file, opened for the first square, so that a search for nothing leaves what was there."""
        if not self.made:
            self.note.unlink(missing_ok=True)
            self.out.write_bytes(b"")
            self._write_note()
        file = self.out.open("r+b", buffering=0)
        file.seek(self._bytes)
        return file

    def _take(self, squares: Ints) -> None:
        """Write what is new of a block, and count the block as done."""
        canonical = np.empty_like(squares)
        new = self._seen.fresh(fingerprints(squares, canonical))
        chosen = canonical[new][: self.many - self.made]
        text = memoryview(rows(chosen))
        if len(chosen):
            text = text[0 if self.made else 1 :]
            written = 0
            while written < len(text):
                written += self._file.write(text[written:])
        self._next, self._barren = self._next + 1, 0 if len(chosen) else self._barren + 1
        self._bytes += len(text)
        self.made += len(chosen)
        if time.monotonic() - self._noted > _NOTE_EVERY:
            self._write_note()

    def _write_note(self) -> None:
        """Note how far it came, and only after the squares are safe."""
        if "_file" in self.__dict__:
            os.fsync(self._file.fileno())
        self._noted = time.monotonic()
        state = {"squares": self.made, "bytes": self._bytes, "next": self._next, "barren": self._barren}
        write_json(self.note, {"request": asdict(self.request), "seed": self.seed, **state})

    def _finish(self, end: End) -> End:
        self._finished = True
        self.note.unlink(missing_ok=True)
        return end

    def _leave_whole(self) -> None:
        """Cut off what an interrupted write left, and note where to go on unless the file is finished."""
        if "_file" not in self.__dict__:
            return
        self._file.truncate(self._bytes)
        if not self._finished:
            self._write_note()
        self._file.close()

    def _take_up(self) -> None:
        """Go on where the note says: cut off what came after it, and remember all squares before."""
        name, note = printable(str(self.out)), printable(str(self.note))
        try:
            noted = json.loads(self.note.read_text("utf-8"))
            request, seed = Request(**noted["request"]), noted["seed"]
            self.made, self._bytes, self._next, self._barren = (
                int(noted[key]) for key in ("squares", "bytes", "next", "barren")
            )
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{note} says nothing of use; remove it, and begin anew with --force") from None
        if (request, seed) != (self.request, self.seed):
            raise ValueError(
                f"{name} was begun with {_differences(request, seed, self.request, self.seed)}; "
                f"go on with that, or give another name"
            )
        if self.made > self.many:
            raise ValueError(f"{name} has {self.made} squares already, more than {self.many}; ask for more")
        found = sum(self._remember(squares) for squares in _read(self.out, self._bytes, request.order))
        if found != self.made:
            raise ValueError(
                f"{name} has not the {self.made} squares of which {note} tells; begin anew with --force"
            )

    def _remember(self, squares: Ints) -> int:
        self._seen.fresh(fingerprints(squares, np.empty_like(squares)))
        return len(squares)


def _differences(request: Request, seed: int, now: Request, seed_now: int) -> str:
    was, wanted = {**asdict(request), "seed": seed}, {**asdict(now), "seed": seed_now}
    pairs = ((key.replace("_", " "), value, wanted[key]) for key, value in was.items() if value != wanted[key])
    return " and ".join(f"{key} {value}, not {other}" for key, value, other in pairs)


def _read(path: Path, end: int, order: int) -> Iterator[Ints]:
    """Yield the squares that we wrote into the first ``end`` bytes, some thousand at a time."""
    with path.open("rb") as file:
        lines = (order + 1) * _BLOCK
        while file.tell() < end:
            text = b"".join(islice(iter(file.readline, b""), lines))
            text = text[: max(0, end - file.tell() + len(text))]
            cells = np.fromstring(text, dtype=np.int64, sep=" ")
            yield cells[: cells.size // order**2 * order**2].reshape(-1, order, order)
            if not text:
                return
