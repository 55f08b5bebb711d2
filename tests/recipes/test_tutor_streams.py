"""Streams of the tutor's texts: drawn without torch."""

import subprocess
import sys

import pytest

from aritmo.recipes import NOT_ASKED
from aritmo.recipes.tutor_streams import TextStreams, draw_stream
from aritmo.tokens import task_tokenizer


def test_a_process_that_draws_needs_no_torch() -> None:
    code = "import sys, aritmo.recipes.tutor_streams; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_tokens_are_those_of_the_models_tokenizer() -> None:
    tokenizer = task_tokenizer()
    tokens, labels, ends = draw_stream((TextStreams(2, 3, 300, 40, 1), 0))
    text = tokenizer.decode(tokens[: ends[1] - 1])
    assert tokens[ends[1] - 1] == tokenizer.eos_token_id
    assert tokenizer(text)["input_ids"] == tokens[: ends[1] - 1].tolist()
    assert (len(tokens), len(labels), len(ends)) == (300, 300, 41)
    assert labels[ends[1] - 1] == NOT_ASKED


def test_more_texts_than_there_is_room_for_are_an_error() -> None:
    with pytest.raises(AssertionError):
        draw_stream((TextStreams(2, 3, 300, 1, 1), 0))
