"""Corpora: problems drawn, written as text by every core, split by family, counted and hashed.

A corpus is a folder of ``train.parquet``, ``validation.parquet`` and ``test.parquet`` (columns
``prompt``, ``completion``, ``meta``) and ``manifest.json``. The same config gives the same bytes.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from aritmo import __version__
from aritmo.files import check_free, file_hash, new_folder, write_json
from aritmo.matrices import Matrices, read_squares
from aritmo.numbers.keys import Kind, keys_of
from aritmo.numbers.randomness import SPLITS, Split, split_of
from aritmo.progress import Progress
from aritmo.tasks import Example, TaskOptions, find_task
from aritmo.tasks.squares import Squares
from aritmo.tasks.squares_options import fitting_bound, read_asks, read_orders
from aritmo.tasks.task import Ask
from aritmo.workers import Workers, cores

_CHUNK = 4096
"""Problems a worker writes at a time. Part of what fixes the bytes: never made to depend on the machine."""
_ROW_GROUP = 16 * _CHUNK
_SHOWN = 10
"""Matrices left out that are named on screen."""
_POOL_FROM = 20_000
"""Examples from which starting worker processes pays."""

META = pa.struct([(name, pa.string()) for name in ("task", "style", "family", "key")] + [("index", pa.int64())])
_REPEATING = ["meta.task", "meta.style", "meta.family"]
"""Columns in which a dictionary pays: the others hold a new text in nearly every row."""
SCHEMA = pa.schema([("prompt", pa.string()), ("completion", pa.string()), ("meta", META)])


class CorpusConfig(BaseModel):
    """What a corpus is made of. ``count`` is shared out 80 : 10 : 10 over train, validation and test.

    Of squares, ``order`` may be several, which take turns, and ``ask`` says what prompts name (without it a
    number), several taking turns too. Without ``below`` a bound is chosen that leaves every order some hundred
    families. ``distinct`` is the key (K1 to K5) that no two squares of the corpus may share; without it K1, but
    of order 3 alone all 8 orientations come. ``context`` is how many tokens of a digit an example may have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = "squares"
    style: str | None = None
    count: int = Field(10_000, ge=1)
    seed: int = 0
    min_digits: int = Field(1, ge=1)
    max_digits: int = Field(5, ge=1)
    order: Annotated[int | tuple[int, ...], BeforeValidator(read_orders)] = 3
    below: int | None = Field(None, ge=1)
    ask: Annotated[tuple[Ask, ...] | None, BeforeValidator(read_asks)] = None
    distinct: Kind | None = None
    context: int = Field(1024, ge=1)
    source: Path | None = None
    keep_wrong: bool = False
    text: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _, style = find_task(self.task, self.style)
        object.__setattr__(self, "style", style)
        if self.min_digits > self.max_digits:
            raise ValueError(f"min_digits: got {self.min_digits}, which is above max_digits {self.max_digits}")
        if self.source and self.task != "squares":
            raise ValueError(f"from: matrices are read for task squares, not for {self.task}")
        if self.task != Squares.name and (self.ask or self.distinct):
            name = "ask" if self.ask else "distinct"
            raise ValueError(f"{name}: this is for task squares, and the task is {self.task}; leave it out")
        if self.source and self.ask:
            raise ValueError("ask: matrices of your own are asked for by their number; leave it out")
        if self.task == Squares.name and not self.source:
            below = fitting_bound(self.options, self.below is not None, self.count, self.context)
            object.__setattr__(self, "below", below)
        return self

    @property
    def options(self) -> TaskOptions:
        orders = (self.order,) if isinstance(self.order, int) else self.order
        options = TaskOptions(self.min_digits, self.max_digits, orders)
        return replace(options, below=self.below or options.below, ask=self.ask or options.ask)

    def said(self) -> dict[str, Any]:
        """Return what this corpus depends on, by name, for the manifest and for people."""
        task, style = find_task(self.task, self.style)
        said: dict[str, Any] = {"task": task.name, "task_version": task.version, "style": style}
        if self.source:
            said |= {"from": self.source.name, "keep_wrong": self.keep_wrong}
        names = ("distinct",) if self.source else ("count", "seed", *task.fields, "distinct")
        return said | self.model_dump(mode="json", include=set(names), exclude_none=True)

    @property
    def dropped_by(self) -> Kind | None:
        """The key by which repeated examples are dropped, K1 being the task's own; None where none repeats."""
        if self.distinct or self.source:
            return self.distinct
        task, _ = find_task(self.task, self.style)
        return "K1" if task.repeats or (task.name == Squares.name and self.order != 3) else None


@dataclass(frozen=True)
class _Job:
    """A chunk to write: problems by index, or given."""

    config: CorpusConfig
    split: Split
    start: int
    stop: int
    given: Sequence[Any] | None = None


@dataclass(frozen=True)
class _Chunk:
    """Rows written by a worker, as an Arrow stream, and how many were asked for.

    ``keys`` holds 64 bits of the hash of each key, ``ends`` where those of each row end; both are empty where
    nothing is dropped.
    """

    rows: bytes
    keys: NDArray[np.uint64]
    ends: NDArray[np.int64]
    asked: int


def _write_chunk(job: _Job) -> _Chunk:
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
            _integers(np.arange(job.start, job.start + len(keys))),
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
    return _Chunk(chunk, np.frombuffer(hashes, dtype=np.uint64), ends, job.stop - job.start)


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


def _integers(values: NDArray[np.int64]) -> pa.Int64Array:
    """Return numbers as an Arrow array that shares their memory. ``pa.array`` would import pandas."""
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


@dataclass
class SplitCount:
    """The account of one split: problems drawn, repeated ones dropped, examples written."""

    count: int = 0
    drawn: int = 0
    duplicates: int = 0
    families: int = 0


class _SplitFile:
    """The Parquet file of one split, and its CSV beside it where asked for, written group by group."""

    def __init__(self, folder: Path, split: Split, text: bool, stack: ExitStack) -> None:
        raw = stack.enter_context((folder / f"{split}.parquet").open("wb"))
        parquet = pq.ParquetWriter(raw, SCHEMA, compression="zstd", use_dictionary=_REPEATING)
        self._parquet = stack.enter_context(parquet)
        self._csv = None
        if text:
            raw = stack.enter_context((folder / f"{split}.csv").open("wb"))
            self._csv = stack.enter_context(pa.csv.CSVWriter(raw, pa.schema([("text", pa.string())])))
        self._waiting: list[pa.RecordBatch] = []
        self._families: set[str] = set()

    def write(self, rows: pa.RecordBatch) -> None:
        self._waiting.append(rows)
        if sum(batch.num_rows for batch in self._waiting) >= _ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what waits as one row group, so that readers skip and scan well."""
        if not self._waiting:
            return
        table = pa.Table.from_batches(self._waiting).combine_chunks()
        self._waiting.clear()
        self._parquet.write_table(table, row_group_size=table.num_rows)
        self._families.update(pa.compute.unique(pa.compute.struct_field(table["meta"], "family")).to_pylist())
        if self._csv:
            text = pa.compute.binary_join_element_wise(table["prompt"], table["completion"], "")
            self._csv.write_table(pa.table({"text": text}))

    @property
    def families(self) -> int:
        self.flush()
        return len(self._families)


def quota(total: int, split: Split) -> int:
    """Return how many of ``total`` examples a split gets: a tenth for validation and test, the rest for train."""
    return total - 2 * (total // 10) if split == "train" else total // 10


def _jobs(config: CorpusConfig, split: Split, matrices: Matrices | None) -> Iterator[_Job]:
    """Yield chunk after chunk: of the matrices given, or without end."""
    if matrices:
        given = matrices.by_split[split]
        for start in range(0, len(given), _CHUNK):
            yield _Job(config, split, start, min(start + _CHUNK, len(given)), given[start : start + _CHUNK])
        return
    size = min(_CHUNK, max(256, quota(config.count, split)))
    for start in count(0, size):
        yield _Job(config, split, start, start + size)


def _fill(
    file: _SplitFile,
    config: CorpusConfig,
    split: Split,
    matrices: Matrices | None,
    workers: Workers,
    bar: Progress,
    seen: set[int],
) -> SplitCount:
    """Write one split until its quota is full or nothing new comes. ``seen`` are the keys of splits before."""
    wanted = len(matrices.by_split[split]) if matrices else quota(config.count, split)
    account = SplitCount()
    chunks = workers.map(_write_chunk, _jobs(config, split, matrices)) if wanted else iter(())
    for chunk in chunks:
        rows = pa.ipc.open_stream(chunk.rows).read_next_batch()
        missing = wanted - account.count
        fresh = _fresh(chunk, seen, missing) if config.dropped_by else list(range(min(rows.num_rows, missing)))
        looked_at = fresh[-1] + 1 if len(fresh) == missing else rows.num_rows
        account.drawn += looked_at
        account.duplicates += looked_at - len(fresh)
        account.count += len(fresh)
        file.write(rows.slice(0, looked_at) if len(fresh) == looked_at else rows.take(_integers(np.array(fresh))))
        bar.advance(len(fresh))
        exhausted = rows.num_rows < chunk.asked or not fresh
        if account.count == wanted or exhausted:
            break
    account.families = file.families
    return account


def _fresh(chunk: _Chunk, seen: set[int], limit: int) -> list[int]:
    """Return the places of the first ``limit`` rows all of whose keys are new, and remember those keys."""
    fresh: list[int] = []
    keys, begin = chunk.keys.tolist(), 0
    for place, end in enumerate(chunk.ends.tolist()):
        if len(fresh) == limit:
            break
        mine, begin = keys[begin:end], end
        if seen.isdisjoint(mine):
            seen.update(mine)
            fresh.append(place)
    return fresh


def build_corpus(config: CorpusConfig, out: Path, workers: int | None = None) -> "Corpus":
    """Build a corpus into the folder ``out``, whole or not at all.

    ``workers`` is a number of processes; without it every core works once the corpus is large.
    Raises ValueError where ``out`` is taken or the config cannot be met at all.
    """
    check_free(out)
    matrices = read_squares(config.source, config.keep_wrong) if config.source else None
    total = matrices.kept if matrices else config.count
    if workers is None:
        workers = cores() if total >= _POOL_FROM else 0
    accounts: dict[str, dict[str, Any]] = {}
    seen: set[int] = set()  # over all splits: of squares, a pattern (K5) may stand in families of two
    with new_folder(out) as folder, Workers(workers) as pool:
        with Progress(f"corpus {config.task}", total, "examples") as bar:
            for split in SPLITS:
                with ExitStack() as stack:
                    file = _SplitFile(folder, split, config.text, stack)
                    accounts[split] = asdict(_fill(file, config, split, matrices, pool, bar, seen))
        if not accounts["train"]["count"]:
            said = ", ".join(f"{name} {value}" for name, value in config.said().items())
            raise ValueError(
                f"no training example comes of these settings ({said}): ask for larger numbers, or more matrices"
            )
        manifest = {"format": 1, "aritmo": __version__, "pyarrow": pa.__version__, **config.said()}
        manifest["splits"] = accounts
        if matrices:
            manifest["left_out"] = matrices.left_out
        manifest["sha256"] = {
            file.name: file_hash(file) for file in sorted(folder.iterdir()) if file.name != "manifest.json"
        }
        write_json(folder / "manifest.json", manifest)
    return Corpus(out)


class Corpus:
    """A corpus on disk. Raises ValueError where the folder is none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "manifest.json"
        if not path.is_file():
            raise ValueError(
                f"{folder} is no corpus: it has no manifest.json; build one with «aritmo corpus build»"
            )
        try:
            self.manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self.task, self.style = find_task(self.manifest["task"], self.manifest["style"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged ({error}): build the corpus again") from error

    @cached_property
    def hash(self) -> str:
        """The sha256 of the manifest, which holds the hash of every file: it names these very bytes."""
        return file_hash(self.folder / "manifest.json")

    def verify(self) -> None:
        """Raise ValueError naming the first file that is not as it was written."""
        for name, expected in self.manifest["sha256"].items():
            path = self.folder / Path(name).name
            if not path.is_file() or file_hash(path) != expected:
                raise ValueError(f"{path} is not as it was built (its hash differs): build the corpus again")

    def table(self, split: Split) -> pa.Table:
        """Return a split's columns ``prompt``, ``completion`` and ``meta``."""
        return pq.read_table(self._file(split))

    def _file(self, split: Split) -> Path:
        return self.folder / f"{split}.parquet"

    def examples(self, split: Split, limit: int | None = None) -> list[Example]:
        """Return a split's first examples, or all; for few of many little is read."""
        table = self.table(split) if limit is None else pa.dataset.dataset(self._file(split)).head(limit)
        return [Example(**row) for row in table.to_pylist()]

    def lines(self) -> list[str]:
        """Return the account that people read: what was drawn, dropped and written."""
        parts = []
        for split, account in self.manifest["splits"].items():
            line = f"{split}: {account['count']:,} examples of {account['families']:,} families"
            if account["duplicates"]:
                line += f" ({account['drawn']:,} drawn, {account['duplicates']:,} repeated ones dropped)"
            parts.append(line)
        left_out = self.manifest.get("left_out", [])
        shown = [f"left out: {sentence}" for sentence in left_out[:_SHOWN]]
        more = [f"left out: {len(left_out) - _SHOWN:,} more, all in manifest.json"] if left_out[_SHOWN:] else []
        return parts + shown + more
