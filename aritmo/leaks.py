"""What the validation and test examples of a corpus share with its training, and what is left that shares none.

For every task: families, keys, prompts and completions, to the letter. For squares also the keys K1 to K5.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aritmo.corpus import Corpus, write_manifest
from aritmo.files import check_free, new_folder
from aritmo.numbers.keys import KINDS, Kind, keys_of
from aritmo.numbers.randomness import Split
from aritmo.numbers.squares import Cells
from aritmo.tasks.squares import Squares

HELD_OUT: tuple[Split, ...] = ("validation", "test")
Flags = NDArray[np.bool_]


def shared_keys(train: Iterable[Cells], held: Iterable[Cells], kind: Kind) -> tuple[Flags, Flags]:
    """Say of each held-out square whether some, and whether every, key of a kind stands in training.

    ``train`` and ``held`` are batches of (N, n, n) squares, one order each; the answers run over all of
    ``held``, batch after batch. The two differ for K4 alone. Raises ValueError as ``keys_of`` does.
    """
    known = {key for batch in train for key in keys_of(batch, kind).keys}
    some, every = [np.empty(0, dtype=bool)], [np.empty(0, dtype=bool)]
    for batch in held:
        owners, keys = keys_of(batch, kind)
        met = np.fromiter(map(known.__contains__, keys), dtype=bool, count=len(keys))
        shared = np.bincount(owners[met], minlength=len(batch))
        some.append(shared > 0)
        every.append((shared > 0) & (shared == np.bincount(owners, minlength=len(batch))))
    return np.concatenate(some), np.concatenate(every)


def find_leaks(corpus: Corpus) -> dict[str, Any]:
    """Return what share of a corpus' validation and test examples stands in training, by what is shared.

    Each share is ``count``, ``of`` and ``share`` (None where ``of`` is 0). Squares also say how many examples
    of a split have an unseen pattern (K5): those that ``write_unseen`` keeps. Raises ValueError where squares
    are damaged or too large to have keys.
    """
    train, held = corpus.table("train"), {split: corpus.table(split) for split in HELD_OUT}
    together = pa.concat_tables(held.values())
    met = {name: _texts_met(train, together, name) for name in ("family", "key", "prompt", "completion")}
    if corpus.task.name == Squares.name:
        met |= _squares_met(train, together, KINDS)
    splits: dict[str, Any] = {}
    begin = 0
    for split, table in held.items():
        end = begin + table.num_rows
        shared = {name: _share(flags[begin:end]) for name, flags in met.items()}
        splits[split] = {"examples": table.num_rows, "shared": shared}
        if "K5" in shared:
            splits[split]["unseen_pattern"] = table.num_rows - shared["K5"]["count"]
        begin = end
    return {
        "folder": str(corpus.folder),
        "task": corpus.task.name,
        "style": corpus.style,
        "train": train.num_rows,
        "splits": splits,
    }


def write_unseen(corpus: Corpus, out: Path) -> Corpus:
    """Write a corpus with the same training, and of validation and test only squares of an unseen pattern (K5).

    So whatever takes a corpus, such as sampling and judging, works on that harder part alone. Where a prompt
    only numbers a square a model may answer with any, so look at K5 of what it wrote: see ``shared_keys``.
    Nothing but the Parquet files is carried over. Raises ValueError where ``out`` is taken, where the corpus is
    of another task and where its test has no such square.
    """
    check_free(out)
    if corpus.task.name != Squares.name:
        raise ValueError(
            f"{corpus.folder} holds {corpus.task.name}, and only squares have patterns; give a corpus of squares"
        )
    train = corpus.table("train")
    with new_folder(out) as folder:
        shutil.copyfile(corpus.folder / "train.parquet", folder / "train.parquet")
        accounts = dict(corpus.manifest["splits"])
        for split in HELD_OUT:
            table = corpus.table(split)
            table = table.filter(pa.array((~_squares_met(train, table, ["K5"])["K5"]).tolist(), pa.bool_()))
            pq.write_table(table, folder / f"{split}.parquet", compression="zstd")
            rows, families = table.num_rows, len(pc.unique(_column(table, "family")))
            accounts[split] = {"count": rows, "drawn": rows, "duplicates": 0, "families": families}
        if not accounts["test"]["count"]:
            raise ValueError(
                f"{corpus.folder}: every test pattern stands in training; build a corpus of larger cells"
            )
        manifest = corpus.manifest | {"unseen_of": corpus.hash, "splits": accounts}
        write_manifest(folder, manifest)
    return Corpus(out)


def _share(met: Flags) -> dict[str, Any]:
    count, of = int(np.count_nonzero(met)), len(met)
    return {"count": count, "of": of, "share": count / of if of else None}


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    return table[name] if name in table.column_names else pc.struct_field(table["meta"], name)


def _texts_met(train: pa.Table, held: pa.Table, name: str) -> Flags:
    """Say of each held-out example whether its text in a column stands in training."""
    found = pc.is_in(_column(held, name), value_set=pc.unique(_column(train, name)))
    return np.asarray(found.to_numpy(), dtype=np.bool_)


def _squares_met(train: pa.Table, held: pa.Table, kinds: Sequence[Kind]) -> dict[str, Flags]:
    """Say of each held-out example whether the keys of its square stand in training, by kind of key."""
    batches = [batch for _, batch in _by_order(train)]
    groups = list(_by_order(held))
    places = np.concatenate([np.empty(0, dtype=np.intp), *(places for places, _ in groups)])
    found: dict[str, Flags] = {}
    for kind in kinds:
        flags = shared_keys(batches, [batch for _, batch in groups], kind)
        for name, met in zip(("K4_some", "K4_every") if kind == "K4" else (kind,), flags, strict=False):
            found[name] = np.zeros(held.num_rows, dtype=np.bool_)
            found[name][places] = met
    return found


def _by_order(table: pa.Table) -> Iterator[tuple[NDArray[np.intp], Cells]]:
    """Yield for each order of squares the places of its examples in the table and their cells, (N, n, n).

    The cells are read from ``meta.key``, which is K1: the square, turned. No key depends on how it is turned.
    """
    keys = _column(table, "key")
    sizes = pc.count_substring(keys, " ").to_numpy() + 1
    for size in np.unique(sizes).tolist():
        places = np.flatnonzero(sizes == size)
        words = " ".join(keys.take(pa.array(places.tolist(), pa.int64())).to_pylist()).split()
        try:
            yield places, np.array(words, dtype=np.int64).reshape(len(places), isqrt(size), isqrt(size))
        except (ValueError, OverflowError):
            shown = words[0][:30]
            raise ValueError(
                f"the key that begins with {shown!r} is no square of numbers; build the corpus again"
            ) from None
