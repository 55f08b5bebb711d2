"""Streams of the squares model's documents: drawn without torch, and always full."""

import subprocess
import sys

from aritmo.recipes.squares_streams import DocumentStreams, draw_stream


def test_a_process_that_draws_needs_no_torch() -> None:
    code = "import sys, aritmo.recipes.squares_streams; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_documents_that_do_not_fill_a_stream_are_drawn_anew() -> None:
    """This one of the full recipe's streams got stuck for ever when only its last document could be drawn anew."""
    full = DocumentStreams(stream=65_536, texts=192, most=6_400, asked=0.2, nested=0.45, seed=1)
    symbols, kinds, ends = draw_stream((full, 5_817))
    assert len(symbols) == len(kinds) == full.stream == ends[-1]
    assert len(ends) == full.texts + 1
