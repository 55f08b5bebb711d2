"""Corpora: problems drawn, written as text by every core, split by family, counted and hashed.

A corpus is a folder of ``train.parquet``, ``validation.parquet`` and ``test.parquet`` (columns
``prompt``, ``completion``, ``meta``) and ``manifest.json``. The same config gives the same bytes.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from glob import escape
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq

from aritmo import __version__
from aritmo.chunks import Chunk, Job, integers, write_chunk
from aritmo.corpus_config import CorpusConfig as CorpusConfig
from aritmo.files import check_free, check_name, file_hash, new_folder, read_vouched, sync, write_vouched
from aritmo.matrices import Matrices, read_squares
from aritmo.numbers.randomness import SPLITS, Split
from aritmo.progress import Progress
from aritmo.tables import SCHEMA, read_table
from aritmo.tasks import Example, find_task
from aritmo.workers import Workers, cores

MANIFEST = "manifest.json"
_CHUNK = 4096
"""Problems a worker writes at a time. Part of what fixes the bytes: never made to depend on the machine."""
_ROW_GROUP = 16 * _CHUNK
_SHOWN = 10
"""Matrices left out that are named on screen."""
_POOL_FROM = 20_000
"""Examples from which starting worker processes pays."""
_REPEATING = ["meta.task", "meta.style", "meta.family"]
"""Columns in which a dictionary pays: the others hold a new text in nearly every row."""


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


def _jobs(config: CorpusConfig, split: Split, matrices: Matrices | None, kept: Path | None) -> Iterator[Job]:
    """Yield chunk after chunk: of the matrices given, or without end."""
    if matrices:
        given = matrices.by_split[split]
        for start in range(0, len(given), _CHUNK):
            yield Job(config, split, start, min(start + _CHUNK, len(given)), given[start : start + _CHUNK])
        return
    size = min(_CHUNK, max(256, quota(config.count, split)))
    for start in count(0, size):
        yield Job(config, split, start, start + size, kept=kept)


def _fill(
    file: _SplitFile,
    config: CorpusConfig,
    split: Split,
    matrices: Matrices | None,
    workers: Workers,
    bar: Progress,
    seen: set[int],
    kept: Path | None,
) -> SplitCount:
    """Write one split until its quota is full or nothing new comes. ``seen`` are the keys of splits before."""
    wanted = len(matrices.by_split[split]) if matrices else quota(config.count, split)
    account = SplitCount()
    chunks = workers.map(write_chunk, _jobs(config, split, matrices, kept)) if wanted else iter(())
    for chunk in chunks:
        rows = pa.ipc.open_stream(chunk.rows).read_next_batch()
        missing = wanted - account.count
        fresh = _fresh(chunk, seen, missing) if config.dropped_by else list(range(min(rows.num_rows, missing)))
        looked_at = fresh[-1] + 1 if len(fresh) == missing else rows.num_rows
        account.drawn += looked_at
        account.duplicates += looked_at - len(fresh)
        account.count += len(fresh)
        file.write(rows.slice(0, looked_at) if len(fresh) == looked_at else rows.take(integers(np.array(fresh))))
        bar.advance(len(fresh))
        exhausted = rows.num_rows < chunk.asked or not fresh
        if account.count == wanted or exhausted:
            break
    account.families = file.families
    return account


def _fresh(chunk: Chunk, seen: set[int], limit: int) -> list[int]:
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

    What was drawn by a call that was stopped is kept, hidden beside ``out``, until the same config is built there.
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
    kept = None if matrices else _kept(config, out)
    with new_folder(out) as folder, Workers(workers) as pool:
        with Progress(f"corpus {config.task}", total, "examples") as bar:
            for split in SPLITS:
                with ExitStack() as stack:
                    file = _SplitFile(folder, split, config.text, stack)
                    accounts[split] = asdict(_fill(file, config, split, matrices, pool, bar, seen, kept))
        if not accounts["train"]["count"]:
            said = ", ".join(f"{name} {value}" for name, value in config.said().items())
            raise ValueError(
                f"no training example comes of these settings ({said}): ask for larger numbers, or more matrices"
            )
        manifest = {"format": 1, "aritmo": __version__, "pyarrow": pa.__version__, **config.said()}
        manifest["splits"] = accounts
        if matrices:
            manifest["left_out"] = matrices.left_out
        write_manifest(folder, manifest)
    if kept:
        shutil.rmtree(kept, ignore_errors=True)
    return Corpus(out)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a corpus whose other files are there, with the hash of each and of its own."""
    for file in folder.iterdir():
        sync(file)
    hashes = {file.name: file_hash(file) for file in sorted(folder.iterdir())}
    write_vouched(folder / MANIFEST, manifest | {"sha256": hashes})


def _kept(config: CorpusConfig, out: Path) -> Path:
    """Return the folder, made where there is none, that keeps chunks of this config; those of others go."""
    told = json.dumps([__version__, config.said(), config.context])
    name = f".{out.name}.chunks-"
    kept = out.parent / (name + sha256(told.encode()).hexdigest()[:16])
    for other in out.parent.glob(f"{escape(name)}*"):
        if other != kept and not other.is_symlink():
            shutil.rmtree(other, ignore_errors=True)
    kept.mkdir(parents=True, exist_ok=True)
    return kept


class Corpus:
    """A corpus on disk. Raises ValueError where the folder is none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / MANIFEST
        if not path.is_file():
            raise ValueError(
                f"{folder} is no corpus: it has no manifest.json; build one with «aritmo corpus build»"
            )
        self._whole: set[str] = set()
        try:
            self.manifest: dict[str, Any] = read_vouched(path)
            self.task, self.style = find_task(self.manifest["task"], self.manifest["style"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged ({error}): build the corpus again") from error

    @cached_property
    def hash(self) -> str:
        """The sha256 of the manifest, which holds the hash of every file: it names these very bytes."""
        return file_hash(self.folder / MANIFEST)

    def verify(self) -> None:
        """Raise ValueError naming the first file that is not as it was written."""
        for name in self.manifest["sha256"]:
            self._check(name)

    def _check(self, name: str) -> None:
        """Raise ValueError unless a file is as it was written; each is looked at once."""
        if name in self._whole:
            return
        path = self.folder / check_name(name, f"{self.folder / MANIFEST}")
        if not path.is_file() or file_hash(path) != self.manifest.get("sha256", {}).get(name):
            raise ValueError(f"{path} is not as it was built (its hash differs): build the corpus again")
        self._whole.add(name)

    def table(self, split: Split) -> pa.Table:
        """Return a split's columns ``prompt``, ``completion`` and ``meta``.

        Raises ValueError where the file is not as it was written.
        """
        return read_table(self._file(split), self.manifest["splits"][split]["count"])

    def _file(self, split: Split) -> Path:
        """Return a split's file, which is as it was written."""
        self._check(f"{split}.parquet")
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
