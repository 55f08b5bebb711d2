import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.packing import fill, pack
from aritmo.tokens import digit_tokenizer

TOKENIZER = digit_tokenizer(("STEP",))
EXAMPLES = [(f"{a}+{b}=", f"{a + b}") for a, b in [(1, 2), (957, 86), (12345, 99999), (7, 0), (88, 12)]]


def best_sum(lengths: list[int], room: int) -> int:
    """Return the largest sum of some of these lengths that is at most ``room``, by trying all."""
    sums = {0}
    for length in lengths:
        sums |= {before + length for before in sums if before + length <= room}
    return max(sums)


@given(st.lists(st.integers(1, 20), max_size=60), st.integers(20, 45))
def test_rows_are_filled_as_far_as_what_waits_allows(lengths: list[int], room: int) -> None:
    rows = fill(lengths, room)
    waiting = list(lengths)
    for row in range(max(rows, default=-1) + 1):
        inside = [length for length, at in zip(lengths, rows, strict=True) if at == row]
        longest = max(waiting)
        waiting.remove(longest)
        assert sum(inside) == longest + best_sum(waiting, room - longest)
        waiting.append(longest)
        for length in inside:
            waiting.remove(length)
    assert not waiting
    assert fill(lengths, room) == rows


def test_equal_lengths_go_in_their_order() -> None:
    rows = fill([3, 5, 3, 5, 3, 5], 8)
    assert rows == [0, 0, 1, 1, 2, 2]


@given(st.lists(st.tuples(st.text("0123456789+ \n", max_size=8), st.text("0123456789", max_size=8)), max_size=30))
def test_every_example_is_packed_once_or_counted_as_dropped(examples: list[tuple[str, str]]) -> None:
    packed = pack(TOKENIZER, examples, 12)
    texts = []
    for tokens, positions, documents in zip(packed.tokens, packed.positions, packed.documents, strict=True):
        for document in np.unique(documents):
            inside = documents == document
            assert positions[inside].tolist() == list(range(inside.sum()))
            texts.append(TOKENIZER.decode(tokens[inside]))
    kept = [text for text in texts if set(text.split("<pad>")) != {""}]
    short = [prompt + completion for prompt, completion in examples if len(prompt + completion) < 12]
    assert sorted(kept) == sorted(text + "<end>" for text in short)
    account = packed.account
    assert (account.examples, account.dropped) == (len(examples), len(examples) - len(short))
    assert account.tokens == sum(len(text) + 1 for text in short)


def test_account_in_words() -> None:
    account = pack(TOKENIZER, [("1+1=", "2"), ("1+2=", "3"), ("1" * 20, "")], 15).account
    assert str(account) == (
        "3 examples -> 1 sequences of 15 tokens -> 15 tokens (80 % filled, 27 % trained on) -> 1 dropped "
        "(longer than 15 tokens; raise training.context)"
    )
    assert str(pack(TOKENIZER, [], 16).account).endswith("0 tokens (0 % filled, 0 % trained on) -> 0 dropped")


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="at least 2 tokens, not 1"):
        pack(TOKENIZER, EXAMPLES, 1)
    with pytest.raises(ValueError, match="one of completion, text, not 'prompt'"):
        pack(TOKENIZER, EXAMPLES, 48, "prompt")  # type: ignore[arg-type]
