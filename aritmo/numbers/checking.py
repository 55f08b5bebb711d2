"""Checking collections: folders are walked, files are shared out over processes, answers come in order."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from os import scandir
from pathlib import Path

from aritmo.numbers.matrixfiles import read_matrices
from aritmo.numbers.squares import SquareCheck, check_square
from aritmo.screen import printable
from aritmo.workers import Workers, cores

SUFFIXES = frozenset({"", ".txt", ".text", ".dat", ".asc", ".csv", ".tsv", ".json", ".npy"})
"""Names in a folder that end so are read; a file that is named itself is read whatever its name."""

_WORTH_PROCESSES = 64 << 20
"""Bytes that one process checks in about as long as a second one takes to start."""
_BATCH = 1 << 20
_LARGE = 64 << 20
"""From this size on a file is checked in this process, where its answers can leave one by one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found at a place: a checked matrix, or one sentence on why nothing more can be read there."""

    place: str
    check: SquareCheck | None
    unreadable: str | None = None


@dataclass
class Collection:
    """The files to read, in order, with their bytes; what was skipped, by reason; what cannot be read."""

    files: list[tuple[Path, int]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    unreadable: list[Answer] = field(default_factory=list)


def collect(paths: Iterable[Path]) -> Collection:
    """Return the files that are named and those of the folders that are named, sorted by name within each.

    Within a folder hidden files and folders, symbolic links, what is no regular file and names that end
    otherwise than in ``SUFFIXES`` are skipped and counted.
    """
    found = Collection()
    for path in paths:
        if path.is_dir():
            before = len(found.files) + len(found.unreadable)
            _walk(path, found)
            if len(found.files) + len(found.unreadable) == before:
                sentence = f"{printable(str(path))} holds no file of matrices; give a folder that has some"
                found.unreadable.append(Answer(printable(str(path)), None, sentence))
        else:
            found.files.append((path, path.stat().st_size if path.is_file() else 0))
    return found


def _walk(top: Path, found: Collection) -> None:
    folders, files = [top], []
    while folders:
        folder = folders.pop()
        try:
            with scandir(folder) as entries:
                for entry in entries:
                    why = None
                    if entry.name.startswith("."):
                        why = "hidden"
                    elif entry.is_symlink():
                        why = "symbolic link"
                    elif entry.is_dir():
                        folders.append(folder / entry.name)
                    elif not entry.is_file():
                        why = "no regular file"
                    elif (suffix := Path(entry.name).suffix.lower()) not in SUFFIXES:
                        why = printable(suffix)
                    else:
                        files.append((folder / entry.name, entry.stat().st_size))
                    if why:
                        found.skipped[why] += 1
        except OSError as error:
            name = printable(str(folder))
            found.unreadable.append(Answer(name, None, f"{name} cannot be read: {error.strerror or error}"))
    found.files += sorted(files)


def check_file(path: Path, nested: bool = False) -> Iterator[Answer]:
    """Yield the answer for each matrix of a file; the last one says why, where the rest cannot be read."""
    try:
        for place, cells in read_matrices(path):
            yield Answer(place, check_square(cells, nested))
    except ValueError as error:
        yield Answer(printable(str(path)), None, str(error))


def check_files(
    files: list[tuple[Path, int]],
    nested: bool = False,
    advance: Callable[[int], None] = lambda count: None,
    workers: int | None = None,
) -> Iterator[Answer]:
    """Yield the answers for all files (path and bytes) in their order; ``advance`` is told of files done.

    ``workers`` processes share the work (0: this one); by default all cores where there is enough of it.
    """
    if workers is None:
        enough = len(files) > 1 and sum(size for _, size in files) > _WORTH_PROCESSES
        workers = cores() if enough and cores() > 1 else 0
    with Workers(workers) as pool:
        for alone, group in groupby(files, key=lambda file: not workers or file[1] >= _LARGE):
            if alone:
                for path, _ in group:
                    yield from check_file(path, nested)
                    advance(1)
            else:
                batches = _batches(group)
                for size, answers in pool.map(partial(_check_batch, nested), batches):
                    yield from answers
                    advance(size)


def _check_batch(nested: bool, paths: list[Path]) -> tuple[int, list[Answer]]:
    return len(paths), [answer for path in paths for answer in check_file(path, nested)]


def _batches(files: Iterable[tuple[Path, int]]) -> Iterator[list[Path]]:
    """Yield files that follow each other in batches large enough to be worth a message between processes."""
    batch: list[Path] = []
    held = 0
    for path, size in files:
        batch.append(path)
        held += size
        if held >= _BATCH:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
