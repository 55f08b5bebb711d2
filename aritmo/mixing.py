"""A corpus with texts that a model made: the old one's training examples, and the made ones, repeated to a
share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from aritmo.corpus import Corpus, write_manifest
from aritmo.files import new_folder
from aritmo.numbers.randomness import SPLITS, Split, split_of
from aritmo.tables import SCHEMA

_MOST = 10
"""So often a made example is repeated at most: more would be learned by heart."""

Record = dict[str, Any]


def repeats(old: int, made: int, share: float) -> int:
    """Return how often ``made`` examples stand beside ``old`` ones to be about a share of all."""
    return max(1, min(_MOST, round(share / (1 - share) * old / made)))


def mix(
    old: Corpus,
    made: Sequence[Record],
    held: Mapping[Split, Sequence[Record]],
    share: float,
    level: Mapping[str, Any],
    out: Path,
) -> tuple[Corpus, Record]:
    """Build a corpus of the old one and what a model made, whole or not at all; return it and its account.

    ``held`` are problems of the new level for validation and test, which come first there. ``level`` are the
    fields of the manifest that it changes. A corpus that is there already is taken as it is.
    """
    times = repeats(old.manifest["splits"]["train"]["count"], len(made), share)
    account = {"old": old.manifest["splits"]["train"]["count"], "made": len(made), "times": times}
    if out.is_dir():
        return Corpus(out), account
    rows: dict[Split, list[Record]] = {"train": [*made] * times, **{split: [*held[split]] for split in held}}
    with new_folder(out) as folder:
        splits: Record = {}
        for split in SPLITS:
            new = pa.Table.from_pylist(rows[split], schema=SCHEMA)
            parts = [old.table(split), new] if split == "train" else [new, old.table(split)]
            table = pa.concat_tables(parts).combine_chunks()
            families = pa.compute.unique(pa.compute.struct_field(table["meta"], "family")).to_pylist()
            assert all(split_of(old.task.name, family) == split for family in families)
            pq.write_table(table, folder / f"{split}.parquet", compression="zstd")
            splits[split] = {
                "count": len(table), "drawn": len(table), "duplicates": 0, "families": len(families),
            }  # fmt: skip
        manifest = {**old.manifest, **level, "count": sum(one["count"] for one in splits.values())}
        write_manifest(folder, manifest | {"splits": splits, "made": account | {"from": old.hash}})
    return Corpus(out), account
