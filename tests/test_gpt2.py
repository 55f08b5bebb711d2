"""The numpy GPT-2 against transformers' own, and its decoder against a loop that recomputes everything."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel, set_seed

from aritmo.gpt2 import Cache, Gpt2, Text, write_greedily, write_on
from aritmo.positions import Layout, lay_out

SYMBOLS = "0123456789+=$"
END = 13


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random coupled model whose weights are so large that it says many different things."""
    set_seed(5)
    shape: dict[str, Any] = {"vocab_size": 14, "n_positions": 120, "n_embd": 24, "n_layer": 3, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=12, eos_token_id=END, ids_a_place=3))
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights.normal_(1 if ".ln_" in name and name.endswith("weight") else 0, 0.3)
    path = tmp_path_factory.mktemp("coupled")
    model.to(torch.bfloat16).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def ours(folder: Path) -> Gpt2:
    return Gpt2.open(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> GPT2LMHeadModel:
    return GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()


def reference(model: GPT2LMHeadModel, tokens: list[int], ids: list[int]) -> torch.Tensor:
    """transformers' logits of one text alone, all at once: explicit ids, and a mask that hides nothing."""
    with torch.inference_mode():
        output = model(
            input_ids=torch.tensor([tokens]),
            position_ids=torch.tensor([ids]),
            attention_mask=torch.ones(1, len(tokens), dtype=torch.long),
            use_cache=False,
        )
    logits: torch.Tensor = output.logits[0]
    return logits


def naive(model: GPT2LMHeadModel, text: Text) -> list[int]:
    """Greedy text without a cache: every token reads everything again."""
    tokens, ids, written = list(text.tokens), list(text.layout.ids), []
    while len(written) < text.most:
        token = int(reference(model, tokens, ids)[-1].argmax())
        if token == END:
            break
        written.append(token)
        tokens.append(token)
        ids.append(ids[-1] + text.layout.stride)
    return written


def sum_of(a: int, b: int, most: int) -> Text:
    prompt = f"${a}+{b}="
    layout = lay_out(prompt, len(prompt), 120, 3)
    return Text([SYMBOLS.index(c) for c in prompt], layout, min(most, layout.room))


@given(st.lists(st.tuples(st.integers(0, 13), st.integers(0, 119)), min_size=1, max_size=40), st.data())
@settings(max_examples=40)
def test_logits_are_transformers_own(
    ours: Gpt2, theirs: GPT2LMHeadModel, read: list[tuple[int, int]], data: st.DataObject
) -> None:
    tokens, ids = (list(column) for column in zip(*read, strict=True))
    cut = data.draw(st.integers(0, len(tokens) - 1))
    cache = Cache(ours, np.zeros(1, dtype=np.int64), len(tokens))
    if cut:
        ours.read(np.array([tokens[:cut]]), np.array([ids[:cut]]), cache, asked=0)
    rest = len(tokens) - cut
    logits = ours.read(np.array([tokens[cut:]]), np.array([ids[cut:]]), cache, asked=rest)
    expected = reference(theirs, tokens, ids)[cut:]
    torch.testing.assert_close(torch.from_numpy(logits[0]), expected, rtol=2e-5, atol=2e-5)


@given(
    st.lists(st.tuples(st.integers(0, 10**30), st.integers(0, 10**5), st.integers(1, 20)), min_size=1, max_size=6)
)
@settings(max_examples=25)
def test_batches_write_what_a_loop_without_cache_writes(
    ours: Gpt2, theirs: GPT2LMHeadModel, sums: list[tuple[int, int, int]]
) -> None:
    texts = [sum_of(*one) for one in sums]
    told: list[int] = []
    assert write_greedily(ours, texts, 2, told.append) == [naive(theirs, text) for text in texts]
    assert sum(told) == len(texts)


def test_plain_positions_are_written_on_too(ours: Gpt2, theirs: GPT2LMHeadModel) -> None:
    texts = [Text(list(range(n)), lay_out("", n, 120), 9) for n in (1, 5, 12)]
    assert write_greedily(ours, texts) == [naive(theirs, text) for text in texts]


def test_texts_say_different_things_and_some_end(ours: Gpt2) -> None:
    written = write_greedily(ours, [sum_of(a, 7 * a, 6) for a in range(60)])
    assert len({tuple(tokens) for tokens in written}) > 20
    assert {len(tokens) < 6 for tokens in written} == {True, False}
    assert all(END not in tokens for tokens in written)


def test_tokens_come_one_by_one_and_no_further_than_they_are_taken(
    ours: Gpt2, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [sum_of(a, 7 * a, 6) for a in range(20)]
    assert [list(write_on(ours, text)) for text in texts] == write_greedily(ours, texts)
    reads: list[int] = []
    read = Gpt2.read

    def counted(self: Gpt2, tokens: Any, *rest: Any, **named: Any) -> Any:
        reads.append(tokens.size)
        return read(self, tokens, *rest, **named)

    monkeypatch.setattr(Gpt2, "read", counted)
    long = [text for text, row in zip(texts, write_greedily(ours, texts), strict=True) if len(row) == 6]
    reads.clear()
    coming = write_on(ours, long[0])
    next(coming)
    assert len(reads) == 1
    next(coming)
    assert reads[1:] == [1]
    coming.close()
    assert len(reads) == 2


def test_nothing_is_written_on_nothing(ours: Gpt2) -> None:
    assert write_greedily(ours, []) == []


def test_a_text_without_room_for_more_is_cut(ours: Gpt2) -> None:
    text = Text([12], Layout([0], 3, 1), 1)
    assert len(write_greedily(ours, [text])[0]) <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_stored_numbers_are_read_exactly(theirs: GPT2LMHeadModel, dtype: torch.dtype, tmp_path: Path) -> None:
    GPT2LMHeadModel(theirs.config).to(dtype).save_pretrained(tmp_path)
    model = GPT2LMHeadModel.from_pretrained(tmp_path, dtype=torch.float32).eval()
    cache = Cache(Gpt2.open(tmp_path), np.zeros(1, dtype=np.int64), 3)
    logits = Gpt2.open(tmp_path).read(np.array([[1, 2, 3]]), np.array([[0, 9, 4]]), cache, asked=3)
    expected = reference(model, [1, 2, 3], [0, 9, 4])
    torch.testing.assert_close(torch.from_numpy(logits[0]), expected, rtol=2e-5, atol=2e-5)


def test_another_kind_of_model_is_refused(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    weights = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights)
    for change, sentence in (
        ({"model_type": "llama"}, "model_type is 'llama' and only 'gpt2'"),
        ({"activation_function": "relu"}, "activation_function is 'relu'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ({"n_layer": 4}, "is damaged"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ValueError, match=sentence):
            Gpt2.open(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(weights[:-10])
    with pytest.raises(ValueError, match="is damaged"):
        Gpt2.open(tmp_path)
