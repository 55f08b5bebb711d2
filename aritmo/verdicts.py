"""The verdict on a file of samples: each is judged exactly, and held against the corpus that the model learned."""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aritmo import __version__
from aritmo.corpus import Corpus
from aritmo.files import file_hash, write_json
from aritmo.judging import judge_samples, summarise
from aritmo.originals import Originals
from aritmo.records import read_jsonl
from aritmo.tasks.squares import Squares, read_rows
from aritmo.tasks.squares_tutorial import written_square
from aritmo.unfinished import Unfinished
from aritmo.verbatim import Repeated, find_repeated

Record = dict[str, Any]

_TEXTS = 200_000
"""Samples whose words are in memory at a time: of squares of order 3 about half a gigabyte."""
_AT_ONCE = 1024
"""Training texts in memory at a time."""


def judge_run(samples: Path, corpus: Corpus | None, verdicts: Path | None) -> Record:
    """Judge a file of samples, save the verdicts where a place is given, and return the summary.

    Each record is held in memory alone. Verdicts stand in their place once they are whole; those that a stopped
    call left are not made again if they are of the same samples and corpus. Earlier ones are written over.
    As a run's own ``verdicts.jsonl`` they come with ``summary.json``, which the run's page and its export read.
    """
    train = training_squares(corpus) if corpus else None
    repeated = None
    if corpus and train:
        repeated = _repeated(samples, corpus)
    if verdicts is None:
        return summarise(judge_samples(read_jsonl(samples), train, repeated))
    request = {"samples": file_hash(samples), "corpus": corpus.hash if corpus else None, "aritmo": __version__}
    with Unfinished(verdicts, request, anew=True) as file:
        kept = islice(file.records(), file.kept)
        fresh = judge_samples(read_jsonl(samples), train, repeated, file.kept)
        summary = summarise(chain(kept, file.added(fresh)))
        file.finish()
    if verdicts.name == "verdicts.jsonl" and (verdicts.parent / "config.yaml").is_file():
        write_json(verdicts.with_name("summary.json"), summary)
    return summary


def _repeated(samples: Path, corpus: Corpus) -> Iterator[Repeated]:
    """Yield what stands verbatim in training, some samples at a time: all of it is gone through for those."""
    texts = (str(sample.get("text", "")) for sample in read_jsonl(samples))
    while some := list(islice(texts, _TEXTS)):
        yield from find_repeated(some, _completions(corpus))


def training_squares(corpus: Corpus) -> Originals | None:
    """Return the index of a corpus' training squares, None for other tasks.

    Of a ``tutorial`` they are the squares at the end of the searches, not those passed over on the way.
    """
    if corpus.task.name != Squares.name:
        return None
    index = corpus.table("train")["meta"].combine_chunks().field("index").to_numpy()
    read = _searched_square if corpus.style == "tutorial" else _listed_square
    return Originals.from_squares(index, map(read, _completions(corpus)))


def _listed_square(text: str) -> NDArray[np.int64]:
    return read_rows(text.split("\n"))[0]


def _searched_square(text: str) -> NDArray[np.int64]:
    rows = written_square(text)
    assert rows is not None
    return np.array(rows, dtype=np.int64)


def _completions(corpus: Corpus) -> Iterator[str]:
    """Yield the training completions, few in memory at a time."""
    for batch in corpus.table("train").select(["completion"]).to_batches(max_chunksize=_AT_ONCE):
        yield from batch.column(0).to_pylist()
