"""The tables of a corpus, read from files that may be anybody's: what would swell is refused by size."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from aritmo.files import size
from aritmo.screen import first_line

META = pa.struct([(name, pa.string()) for name in ("task", "style", "family", "key")] + [("index", pa.int64())])
SCHEMA = pa.schema([("prompt", pa.string()), ("completion", pa.string()), ("meta", META)])

_SWELLS = 200
"""A file may unfold to so many times its size; ours take 3 to 40 times as much in memory as on the disk."""
_ALWAYS = 64 << 20
"""Bytes that a file may unfold to in any case."""
_BATCH = 4096


def read_table(path: Path, rows: int) -> pa.Table:
    """Return a file's columns ``prompt``, ``completion`` and ``meta``.

    What it claims to hold is looked at before anything is unfolded, and what comes of it batch by batch.
    Raises ValueError naming the file where it is none of ours, holds another number of rows, or unfolds to more
    than 64 MiB and 200 times its own size.
    """
    most = max(_ALWAYS, _SWELLS * path.stat().st_size)
    batches, held = [], 0
    try:
        with pq.ParquetFile(path) as file:
            told = file.metadata
            if not file.schema_arrow.equals(SCHEMA):
                raise ValueError("its columns are not prompt, completion and meta")
            if told.num_rows != rows:
                raise ValueError(f"it holds {told.num_rows:,} rows, and the manifest tells of {rows:,}")
            claimed = sum(told.row_group(number).total_byte_size for number in range(told.num_row_groups))
            if claimed > most:
                raise ValueError(f"it would unfold to {size(claimed)}, and at most {size(most)} are taken")
            for batch in file.iter_batches(_BATCH):
                held += batch.nbytes
                if held > most:
                    raise ValueError(f"it unfolds to more than {size(most)}")
                batches.append(batch)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise ValueError(
            f"{path} is no table of a corpus ({first_line(error, 200)}): build the corpus again"
        ) from None
    return pa.Table.from_batches(batches, SCHEMA)
