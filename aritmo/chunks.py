"""Chunks of a corpus: some thousand problems written as text by one process, and kept between sittings."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from aritmo.corpus_config import CorpusConfig
from aritmo.files import write_beside
from aritmo.numbers.keys import Kind, keys_of
from aritmo.numbers.randomness import Split, split_of
from aritmo.tables import META, SCHEMA
from aritmo.tasks import find_task

_HEAD = Struct("<5q")
"""Of a kept chunk: problems asked for, bytes of its rows, and the bytes that rows, keys and ends take."""


@dataclass(frozen=True)
class Job:
    """A chunk to write: problems by index, or given. ``kept`` is a folder that keeps it for a later sitting."""

    config: CorpusConfig
    split: Split
    start: int
    stop: int
    given: Sequence[Any] | None = None
    kept: Path | None = None


@dataclass(frozen=True)
class Chunk:
    """Rows written by a worker, as an Arrow stream, and how many were asked for.

    ``keys`` holds 64 bits of the hash of each key, ``ends`` where those of each row end; both are empty where
    nothing is dropped.
    """

    rows: bytes
    keys: NDArray[np.uint64]
    ends: NDArray[np.int64]
    asked: int

    def encoded(self) -> bytes:
        """Return it as bytes that say themselves whether they are whole."""
        parts = [pa.compress(self.rows, codec="lz4", asbytes=True), self.keys.tobytes(), self.ends.tobytes()]
        body = _HEAD.pack(self.asked, len(self.rows), *map(len, parts)) + b"".join(parts)
        return sha256(body).digest() + body

    @classmethod
    def decoded(cls, data: bytes) -> "Chunk":
        """Return the chunk of ``encoded`` bytes. Raises ValueError where they are not whole."""
        if sha256(data[32:]).digest() != data[:32]:
            raise ValueError("a chunk is not as it was written")
        asked, size, *lengths = _HEAD.unpack_from(data, 32)
        ends = [32 + _HEAD.size + sum(lengths[:place]) for place in range(len(lengths) + 1)]
        rows, keys, marks = (data[first:last] for first, last in pairwise(ends))
        return cls(
            pa.decompress(rows, decompressed_size=size, codec="lz4", asbytes=True),
            np.frombuffer(keys, dtype=np.uint64),
            np.frombuffer(marks, dtype=np.int64),
            asked,
        )


def write_chunk(job: Job) -> Chunk:
    """Return one chunk, as an earlier sitting kept it, or drawn and written, and kept for a later one."""
    if job.kept is None:
        return _made(job)
    path = job.kept / f"{job.split}-{job.start}"
    chunk = _recalled(path)
    if chunk is None or chunk.asked != job.stop - job.start:
        chunk = _made(job)
        # Where it cannot be kept, on a disk that is full above all, it is only made again another time.
        with suppress(OSError):
            write_beside(path, chunk.encoded())
    return chunk


def _made(job: Job) -> Chunk:
    """Draw and write one chunk. Every family is checked against the split here, once more."""
    task, style = find_task(job.config.task, job.config.style)
    problems = job.given
    if problems is None:
        problems = task.problems(job.split, job.config.seed, job.start, job.stop, job.config.options)
    families = [task.family(problem) for problem in problems]
    assert all(split_of(task.name, family) == job.split for family in set(families))
    keys = [task.key(problem) for problem in problems]
    meta = pa.StructArray.from_arrays(
        [
            _strings([task.name] * len(keys)),
            _strings([style] * len(keys)),
            _strings(families),
            _strings(keys),
            integers(np.arange(job.start, job.start + len(keys))),
        ],
        fields=list(META),
    )
    prompts = _strings([task.prompt(problem, style) for problem in problems])
    completions = _strings([task.completion(problem, style) for problem in problems])
    batch = pa.record_batch([prompts, completions, meta], schema=SCHEMA)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA) as stream:
        stream.write_batch(batch)
    owned = _keys(problems, keys, job.config.dropped_by)
    hashes = b"".join([sha256(key).digest()[:8] for mine in owned for key in mine])
    ends = np.cumsum(list(map(len, owned)), dtype=np.int64)
    chunk = sink.getvalue().to_pybytes()
    return Chunk(chunk, np.frombuffer(hashes, dtype=np.uint64), ends, job.stop - job.start)


def _recalled(path: Path) -> Chunk | None:
    """Return the chunk that stands there, None where there is none or it was torn."""
    try:
        return Chunk.decoded(path.read_bytes())
    except (OSError, ValueError):
        return None


def _keys(problems: Sequence[Any], keys: list[str], kind: Kind | None) -> list[list[bytes]]:
    """Return the keys that each problem has and no other may have; nothing where none is to be dropped."""
    if kind is None:
        return []
    if kind == "K1":
        return [[key.encode()] for key in keys]
    owned: list[list[bytes]] = [[] for _ in problems]
    orders = np.array([square.order for square in problems], dtype=np.int64)
    for order in np.unique(orders).tolist():
        mine = np.flatnonzero(orders == order)
        squares = np.array([problems[place].cells for place in mine.tolist()], dtype=np.int64)
        found = keys_of(squares.reshape(-1, order, order), kind)
        for owner, key in zip(mine[found.owners].tolist(), found.keys, strict=True):
            owned[owner].append(key)
    return owned


def _strings(texts: list[str]) -> pa.StringArray:
    """Return ASCII texts as an Arrow array, made of its two buffers: ``pa.array`` takes five times as long,
    and imports pandas before it begins.
    """
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    return pa.StringArray.from_buffers(
        len(texts), pa.py_buffer(ends), pa.py_buffer("".join(texts).encode("ascii"))
    )


def integers(values: NDArray[np.int64]) -> pa.Int64Array:
    """Return numbers as an Arrow array that shares their memory. ``pa.array`` would import pandas."""
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])
