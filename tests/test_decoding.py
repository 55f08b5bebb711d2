"""Decoding in remembered room against models that read the whole text again at every step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTJConfig,
    GPTJForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    set_seed,
)

from aritmo import decoding, sampling
from aritmo.adapters import add_adapter
from aritmo.choosing import SamplingConfig, choose, uniforms
from aritmo.decoding import Decoder, decodes, is_known, rows_that_fit
from aritmo.memory import Memory, attend_plainly, bytes_a_token, remembering
from aritmo.positions import Layout, lay_out
from aritmo.sampling import write
from aritmo.tokens import digit_tokenizer

_VOCABULARY, _END, _CONTEXT = 20, 1, 64


def _sizes(**other: Any) -> dict[str, Any]:
    return {
        "vocab_size": _VOCABULARY, "bos_token_id": _END, "eos_token_id": _END, "pad_token_id": 0,
        "max_position_embeddings": _CONTEXT, "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4,
    } | other  # fmt: skip


def _like_llama(**other: Any) -> dict[str, Any]:
    return _sizes(intermediate_size=64, num_key_value_heads=2, **other)


_MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**_sizes(), scale_attn_by_inverse_layer_idx=True)),
    "gptj": lambda: GPTJForCausalLM(GPTJConfig(**_sizes(), rotary_dim=4)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_like_llama())),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**_like_llama(), sliding_window=5)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**_like_llama(head_dim=16))),
}


@dataclass(frozen=True)
class _Prompt:
    ids: list[int]
    layout: Layout
    room: int


def _model(name: str = "gpt2") -> PreTrainedModel:
    """Return a random model whose weights are large enough that it does not say the same token for ever."""
    set_seed(7)
    return _random(_MODELS[name]())


def _random(model: PreTrainedModel, spread: float = 0.4) -> PreTrainedModel:
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.normal_(0, spread)
    return model.eval()


def _prompts(lengths: list[int], most: int) -> list[_Prompt]:
    rng = np.random.default_rng(sum(lengths))
    layouts = [lay_out("", length, _CONTEXT) for length in lengths]
    return [
        _Prompt(rng.integers(2, _VOCABULARY, length).tolist(), layout, min(most, layout.room))
        for length, layout in zip(lengths, layouts, strict=True)
    ]


def _decoder(model: PreTrainedModel, prompts: list[_Prompt], config: SamplingConfig, **other: Any) -> Decoder:
    sizes = {
        "rows": len(prompts),
        "room": max(len(prompt.ids) + prompt.room for prompt in prompts),
        "steps": max(prompt.room for prompt in prompts),
    } | other
    return Decoder(
        model, partial(choose, config=config), end=_END, vocabulary=_VOCABULARY, context=_CONTEXT,
        draws=config.temperature > 0, **sizes,
    )  # fmt: skip


def _written(
    model: PreTrainedModel, prompts: list[_Prompt], config: SamplingConfig, decoder: Decoder | None = None
) -> list[list[int]]:
    """Return each text up to its end token, which is there where there is one."""

    def drawn(some: Sequence[int]) -> NDArray[np.float64]:
        return uniforms(3, some, 64)

    decoder = decoder or _decoder(model, prompts, config)
    rounds = decoder.write(prompts, drawn if config.temperature else None)
    texts: dict[int, list[int]] = {}
    while True:
        with torch.inference_mode():
            ended = next(rounds, None)
        if ended is None:
            return [texts[place] for place in range(len(prompts))]
        for place, tokens in ended:
            assert place not in texts
            texts[place] = _to_end(tokens[: prompts[place].room].tolist())


def _to_end(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(_END) + 1] if _END in tokens else tokens


def _slowly(model: PreTrainedModel, prompts: list[_Prompt], config: SamplingConfig) -> list[list[int]]:
    """Write each text alone, all of it read again for each token."""
    texts = []
    for row, prompt in enumerate(prompts):
        ids, drawn = list(prompt.ids), uniforms(3, [row], 64)
        while len(ids) - len(prompt.ids) < prompt.room and ids[-1] != _END:
            step = len(ids) - len(prompt.ids)
            with torch.inference_mode():
                logits = model(torch.tensor([ids]), use_cache=False).logits[:, -1]
            ids.append(int(choose(logits, torch.from_numpy(drawn[:, step]), config)))
        texts.append(ids[len(prompt.ids) :])
    return texts


@pytest.mark.parametrize("name", _MODELS)
def test_greedy_text_is_that_of_a_model_without_memory(name: str) -> None:
    model, prompts = _model(name), _prompts([3, 1, 9, 4, 4, 12, 2, 7, 30, 5], 40)
    expected = _slowly(model, prompts, SamplingConfig())
    assert len({tuple(text) for text in expected}) > 5
    assert _written(model, prompts, SamplingConfig()) == expected


@pytest.mark.parametrize("name", _MODELS)
def test_drawn_text_is_that_of_a_model_without_memory(name: str) -> None:
    model, prompts = _model(name), _prompts([5, 3, 8, 1, 1, 6, 2], 25)
    config = SamplingConfig(temperature=1.4, top_k=9, top_p=0.95)
    expected = _slowly(model, prompts, config)
    assert len({tuple(text) for text in expected}) == len(prompts)
    assert _written(model, prompts, config) == expected


def _steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the rows of each step that a decoder makes."""
    rows: list[int] = []
    advance = Decoder._advance

    def counted(decoder: Decoder, count: int) -> None:
        rows.append(count)
        advance(decoder, count)

    monkeypatch.setattr(Decoder, "_advance", counted)
    return rows


def test_rows_that_have_ended_leave_and_no_text_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    model, config = _model(), SamplingConfig(temperature=1.5)
    prompts = _prompts([1 + row % 9 for row in range(40)], 50)
    expected = _slowly(model, prompts, config)
    assert len({len(text) for text in expected}) > 10
    rows = _steps(monkeypatch)
    monkeypatch.setattr(decoding, "_LOOK", 4)
    assert _written(model, prompts, config) == expected
    assert rows[0] == 40
    assert all(later <= earlier for earlier, later in pairwise(rows))
    # A look comes every fourth step, and the next smaller graph holds at most twice the rows that are alive.
    alive = [sum(len(text) > step for text in expected) for step in range(len(rows))]
    assert all(count <= max(1, 2 * alive[max(0, step - 4)]) for step, count in enumerate(rows))
    assert len(set(rows)) > 2


def test_a_decoder_serves_one_batch_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_ROUND", 4)
    model, config = _model("llama"), SamplingConfig(temperature=1.2)
    batches = [_prompts(lengths, most) for lengths, most in (([9, 20, 4], 30), ([2], 5), ([1] * 7, 12))]
    decoder = _decoder(model, batches[0], config, rows=8, room=60)
    for prompts in [*batches, batches[0]]:
        assert decoder.takes(prompts)
        assert _written(model, prompts, config, decoder) == _slowly(model, prompts, config)
    assert decoder.takes(_prompts([1] * 9, 4))
    assert not decoder.takes(_prompts([58], 10))
    assert not decoder.takes(_prompts([1], 31))


def test_prompts_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_READ", 12)
    model, prompts = _model(), _prompts([3, 9, 2, 2, 2, 20, 1], 9)
    assert _written(model, prompts, SamplingConfig()) == _slowly(model, prompts, SamplingConfig())


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30), st.integers(1, 100))
def test_parts_hold_every_prompt_once_and_few_enough_tokens(lengths: list[int], most: int) -> None:
    prompts = _prompts(lengths, 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "_READ", most)
        parts = decoding._parts(prompts)
    assert [row for part in parts for row in range(len(prompts))[part]] == list(range(len(prompts)))
    for part in parts:
        some = lengths[part]
        assert len(some) == 1 or len(some) * max(some) <= most


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite_are_one_sentence(temperature: float) -> None:
    model = _model()
    with torch.no_grad():
        model.get_output_embeddings().weight[3] = torch.nan
    with pytest.raises(ValueError, match="not finite numbers"):
        _written(model, _prompts([1, 2], 30), SamplingConfig(temperature=temperature))


@pytest.mark.parametrize("name", ["gpt2", "mistral"])
@pytest.mark.parametrize(("look", "rows"), [(1, 3), (4, 5), (4, 16), (16, 1)])
def test_prompts_that_wait_take_the_rows_of_texts_that_ended(
    name: str, look: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_LOOK", look)
    monkeypatch.setattr(decoding, "_WORTH", 4)
    model, config = _model(name), SamplingConfig(temperature=1.4)
    prompts = _prompts([1 + row % 7 for row in range(24)], 30)
    expected = _slowly(model, prompts, config)
    assert len({len(text) for text in expected}) > 5
    sizes = _steps(monkeypatch)
    assert _written(model, prompts, config, _decoder(model, prompts, config, rows=rows)) == expected
    assert max(sizes) == rows
    # One batch after another takes as many steps as the longest of each; a row that ended is never idle for long.
    longest = sum(max(map(len, expected[at : at + rows])) for at in range(0, 24, rows))
    assert len(sizes) < longest + look * 24 // rows
    if (look, rows) == (1, 3):
        assert len(sizes) < longest - 1


@pytest.mark.parametrize("name", _MODELS)
def test_a_model_is_as_before_when_it_has_written(name: str) -> None:
    model, prompts = _model(name), _prompts([3, 8], 6)
    before = {id(module): set(module.__dict__) for module in model.modules()}
    attention = model.config._attn_implementation
    _written(model, prompts, SamplingConfig())
    memory = Memory(model, torch.zeros(1, dtype=torch.int64), 8)
    with pytest.raises(KeyboardInterrupt), remembering(model, memory):
        raise KeyboardInterrupt
    assert model.config._attn_implementation == attention
    assert {id(module): set(module.__dict__) for module in model.modules()} == before


def test_a_memory_takes_the_bytes_that_are_told() -> None:
    for name in _MODELS:
        model = _model(name).to(torch.bfloat16)
        memory = Memory(model, torch.zeros(3, dtype=torch.int64), 8)
        assert memory._cells.nbytes == 3 * 8 * bytes_a_token(model)


def _attended(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float, window: int | None
) -> torch.Tensor:
    """Return what one query (heads, size) sees of (key heads, tokens, size), head by head, in float64."""
    seen = []
    for head, asked in enumerate(query.double()):
        own = head * len(keys) // len(query)
        first = 0 if window is None else max(0, keys.shape[1] - window)
        scores = keys[own, first:].double() @ asked * scale
        seen.append(scores.softmax(0) @ values[own, first:].double())
    return torch.stack(seen)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=5),
    st.sampled_from([(4, 4, 8), (6, 2, 24), (2, 1, 64)]),
    st.sampled_from([None, 1, 7, 64]),
)
def test_attention_to_memory_is_that_of_each_row_alone(
    lengths: list[int], shape: tuple[int, int, int], window: int | None
) -> None:
    _check_attention(attend_plainly, lengths, shape, window, torch.device("cpu"))


def _check_attention(
    attend: Callable[..., torch.Tensor],
    lengths: list[int],
    shape: tuple[int, int, int],
    window: int | None,
    device: torch.device,
) -> None:
    heads, key_heads, size = shape
    torch.manual_seed(len(lengths))
    # Laid side by side, as GPT-2 makes them: not each in a piece of its own.
    joined = torch.randn(len(lengths), (heads + 2 * key_heads) * size, device=device)
    query, key, value = (
        part.view(len(lengths), -1, size) for part in joined.split([heads * size, *[key_heads * size] * 2], 1)
    )
    cells = torch.randn(2, len(lengths), key_heads, 100, size, device=device)
    before = cells.clone()
    seen = attend(query, key, value, cells, torch.tensor(lengths, device=device), 0.3, window)
    for row, length in enumerate(lengths):
        for kind, new in enumerate((key, value)):
            assert torch.equal(cells[kind, row, :, length], new[row])
            before[kind, row, :, length] = new[row]
        keys, values = cells[:, row, :, : length + 1]
        expected = _attended(query[row], keys, values, 0.3, window)
        torch.testing.assert_close(seen[row], expected.float(), rtol=1e-4, atol=1e-5)
    assert torch.equal(cells, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("shape", [(25, 25, 64), (16, 16, 256), (6, 2, 80), (32, 8, 128)])
@pytest.mark.parametrize("window", [None, 1, 7, 64])
def test_the_kernel_attends_as_each_row_alone(shape: tuple[int, int, int], window: int | None) -> None:
    pytest.importorskip("triton")
    from aritmo.kernels import attend_one

    _check_attention(attend_one, [0, 1, 15, 16, 63, 64, 65, 99], shape, window, torch.device("cuda"))


def test_what_stands_behind_a_row_is_never_seen() -> None:
    model, prompts = _model(), _prompts([3, 8, 5], 20)
    decoder = _decoder(model, prompts, SamplingConfig())
    decoder._memory._cells.fill_(1e4)
    assert _written(model, prompts, SamplingConfig(), decoder) == _slowly(model, prompts, SamplingConfig())


def test_models_that_are_known() -> None:
    assert all(is_known(_model(name)) for name in _MODELS)
    assert is_known(add_adapter(_model("llama"), 2, "base", 1))
    assert not any(decodes(_model(name)) for name in _MODELS), "here is no GPU"
    neox = GPTNeoXForCausalLM(GPTNeoXConfig(**_sizes(intermediate_size=64)))
    assert not is_known(neox)
    angles = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    assert not is_known(LlamaForCausalLM(LlamaConfig(**_like_llama(rope_parameters=angles))))
    quantised = _model()
    quantised.is_quantized = True
    assert not is_known(quantised)


def test_a_model_with_an_adapter_writes_by_it() -> None:
    model, prompts = _model("llama"), _prompts([3, 8, 5], 20)
    plain = _slowly(model, prompts, SamplingConfig())
    adapted = _random(add_adapter(model, 2, "base", 1))
    expected = _slowly(adapted, prompts, SamplingConfig())
    assert expected != plain
    assert _written(adapted, prompts, SamplingConfig()) == expected


def test_rows_are_as_many_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model()
    row = 64 * 2 * 2 * 32 * 4
    told = {"mem_get_info": (10 * row, 99 * row), "memory_reserved": 5 * row, "memory_allocated": 0}
    for name, bytes_told in told.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, told=bytes_told: told)
    assert rows_that_fit(model, 64) == 12
    assert rows_that_fit(model, 65) == 6
    with pytest.raises(ValueError, match=r"a text of 900 tokens needs .* ask for fewer"):
        rows_that_fit(model, 900)


@pytest.mark.parametrize("ids_a_place", [0, 3])
@pytest.mark.parametrize("temperature", [0.0, 1.3])
@pytest.mark.parametrize("size", [4, 64])
def test_write_by_a_decoder_is_write_without(
    size: int, temperature: float, ids_a_place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = digit_tokenizer([])
    set_seed(7)
    model = _random(GPT2LMHeadModel(GPT2Config(**_sizes(vocab_size=len(tokenizer), max_position_embeddings=150))))
    model.config.ids_a_place = ids_a_place
    prompts = [f"${10 ** (i % 7)}+{i}=" for i in range(20)]
    config = SamplingConfig(max_new_tokens=30, temperature=temperature, batch_size=size, seed=5)
    expected = list(write(model, tokenizer, prompts, config, progress=False))
    assert len({text.text for text in expected}) > 10
    used: list[int] = []
    rows: set[int] = set()
    decode = Decoder.write

    def watched(decoder: Decoder, prompts: Sequence[Any], drawn: Any) -> Any:
        used.append(len(prompts))
        rows.add(decoder.rows)
        return decode(decoder, prompts, drawn)

    monkeypatch.setattr(sampling, "decodes", lambda model: True)
    monkeypatch.setattr(sampling, "rows_that_fit", lambda model, room: 11)
    monkeypatch.setattr(Decoder, "write", watched)
    assert list(write(model, tokenizer, prompts, config, progress=False)) == expected
    assert used == [20]
    assert rows == ({4} if size == 4 else {11})
