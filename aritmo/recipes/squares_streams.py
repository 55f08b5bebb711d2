"""The documents that the squares model learns from, drawn by processes that start fast without torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aritmo.tasks.squares_documents import Document, Draws
from aritmo.tasks.squares_drills import draw_document


@dataclass(frozen=True, slots=True)
class DocumentStreams:
    """Streams of ``stream`` symbols, of at most ``texts`` documents of at most ``most`` symbols.

    The share ``asked`` of the documents only ask, the share ``nested`` is of orders 5 and 7.
    """

    stream: int
    texts: int
    most: int
    asked: float
    nested: float
    seed: int


def draw_stream(
    job: tuple[DocumentStreams, int],
) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.int32]]:
    """Return the symbols of a stream, their kinds, and the borders of its documents.

    A GPU wants one shape, and how many documents there are varies: borders that are not used stand at the end.
    """
    streams, index = job
    symbols: list[int] = []
    kinds: list[int] = []
    ends = [0]
    for document in _documents(streams, Draws("squares", "documents", streams.seed, index)):
        symbols += document.symbols[: streams.most]
        kinds += document.kinds[: streams.most]
        ends.append(min(len(symbols), streams.stream))
    ends += [streams.stream] * (streams.texts + 1 - len(ends))
    cut = slice(streams.stream)
    return np.array(symbols[cut], np.int16), np.array(kinds[cut], np.uint8), np.array(ends, np.int32)


def _documents(streams: DocumentStreams, draws: Draws) -> list[Document]:
    """Return documents that fill a stream together. Now and then ``texts`` of them do not: they are drawn anew."""
    while True:
        documents: list[Document] = []
        room = streams.stream
        while room > 0 and len(documents) < streams.texts:
            documents.append(draw_document(draws, streams.asked, streams.nested))
            room -= min(len(documents[-1]), streams.most)
        if room <= 0:
            return documents
