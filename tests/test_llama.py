"""The numpy Llama against transformers' own, and its decoder, guesses and all, against a loop without a cache."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, set_seed

from aritmo import llama
from aritmo.llama import Cache, Llama, Text, write_on, write_texts
from aritmo.numbers.randomness import Stream

END = 13
prompts = st.lists(st.integers(0, 13), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with two queries to a key, whose weights are so large that it says many different things."""
    set_seed(5)
    shape: dict[str, Any] = {"vocab_size": 14, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 160}
    model = LlamaForCausalLM(LlamaConfig(**shape, **heads, head_dim=6, bos_token_id=12, eos_token_id=END))
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights.normal_(1 if "norm" in name else 0, 0.3)
    path = tmp_path_factory.mktemp("llama")
    model.to(torch.bfloat16).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def ours(folder: Path) -> Llama:
    return Llama.open(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def reference(model: LlamaForCausalLM, tokens: Sequence[int]) -> torch.Tensor:
    """transformers' logits of one text, all at once."""
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.tensor([list(tokens)]), use_cache=False).logits[0]
    return logits


def naive(model: LlamaForCausalLM, prompt: Sequence[int], most: int) -> list[int]:
    tokens = list(prompt)
    while len(tokens) < len(prompt) + most:
        token = int(reference(model, tokens)[-1].argmax())
        if token == END:
            break
        tokens.append(token)
    return tokens[len(prompt) :]


@given(prompts, st.data())
@settings(max_examples=40)
def test_logits_are_transformers_own(
    ours: Llama, theirs: LlamaForCausalLM, tokens: list[int], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(tokens) - 1))
    cache = Cache(ours, len(tokens) + 5)
    if cut:
        ours.read([*tokens[:cut], 3, 5], cache)
        cache.length = cut
    logits = ours.read(tokens[cut:], cache, asked=len(tokens) - cut)
    torch.testing.assert_close(torch.from_numpy(logits), reference(theirs, tokens)[cut:], rtol=2e-5, atol=2e-5)


@given(st.lists(st.tuples(prompts, st.integers(1, 40)), min_size=1, max_size=4))
@settings(max_examples=20)
def test_texts_are_what_a_loop_without_cache_writes(
    ours: Llama, theirs: LlamaForCausalLM, asked: list[tuple[list[int], int]]
) -> None:
    told: list[int] = []
    texts = [Text(tokens, most) for tokens, most in asked]
    assert write_texts(ours, texts, 2, told.append) == [naive(theirs, *one) for one in asked]
    assert sum(told) == len(texts)


@given(prompts, st.integers(1, 60), st.data())
@settings(max_examples=60)
def test_a_guess_changes_no_token(ours: Llama, prompt: list[int], most: int, data: st.DataObject) -> None:
    """Right guesses, wrong ones, half wrong ones, none: the same text, greedy and drawn."""
    drawn = data.draw(st.booleans())

    def text(guess: Sequence[int]) -> Text:
        draws = Stream("test", 1) if drawn else None
        return Text(prompt, most, lambda written: guess[len(written) :], draws, 0.7)

    (bare,) = write_texts(ours, [text([])])
    changed = data.draw(st.dictionaries(st.integers(0, 60), st.integers(0, 13), max_size=4))
    guess = [changed.get(place, token) for place, token in enumerate([*bare, END, 3, 3])]
    assert write_texts(ours, [text(guess), text([*bare, END])]) == [bare, bare]
    assert list(write_on(ours, text(guess))) == bare
    assert len(bare) <= most


def test_a_text_is_read_no_further_than_its_tokens_are_taken(ours: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    read = Llama.read

    def counted(self: Llama, tokens: Sequence[int], *rest: Any, **named: Any) -> Any:
        reads.append(len(tokens))
        return read(self, tokens, *rest, **named)

    monkeypatch.setattr(Llama, "read", counted)
    coming = write_on(ours, Text([1, 2, 3], 40))
    assert reads == []
    next(coming)
    assert reads == [2, 1]
    coming.close()
    assert reads == [2, 1]


def test_a_cache_that_grows_holds_what_it_held(ours: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [Text([1, 2, 3, 4, 5, 6, 7], 90, lambda written: [3, 5, 7]), Text([4], 60)]
    expected = write_texts(ours, texts)
    monkeypatch.setattr(llama, "_BEGUN", 2)
    assert write_texts(ours, texts) == expected
    cache = Cache(ours, 100)
    ours.read([1, 2, 3, 4, 5], cache)
    cache.length = 3
    grown = ours.read([6, 7, 8, 9, 10], cache)
    monkeypatch.setattr(llama, "_BEGUN", 100)
    whole = Cache(ours, 100)
    ours.read([1, 2, 3], whole)
    # Products of memory that lies otherwise are summed up otherwise on some processors.
    np.testing.assert_allclose(grown, ours.read([6, 7, 8, 9, 10], whole), rtol=1e-4, atol=1e-5)


def test_draws_follow_the_models_distribution(ours: Llama, theirs: LlamaForCausalLM) -> None:
    texts = [Text([1, 2, 3], 1, draws=Stream("draws", index), temperature=0.8) for index in range(1500)]
    firsts = [(tokens or [END])[0] for tokens in write_texts(ours, texts)]
    expected = (reference(theirs, [1, 2, 3])[-1] / 0.8).softmax(-1).numpy()
    counts = np.bincount(firsts, minlength=14)
    assert (np.abs(counts - 1500 * expected) < 5 * np.sqrt(1500 * expected * (1 - expected)) + 2).all()


def test_a_text_ends_where_the_table_ends(ours: Llama) -> None:
    texts = [Text([n % 13] * 150, 500) for n in range(13)]
    assert max(map(len, write_texts(ours, texts))) == 10
    assert write_texts(ours, []) == []


def test_another_kind_of_model_is_refused(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    weights = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights)
    for change, sentence in (
        ({"model_type": "gpt2"}, "model_type is 'gpt2' and only 'llama'"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_type is 'yarn'"),
        ({"num_hidden_layers": 4}, "is damaged"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ValueError, match=sentence):
            Llama.open(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(weights[:-10])
    with pytest.raises(ValueError, match="is damaged"):
        Llama.open(tmp_path)
