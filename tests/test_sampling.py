"""Decoding against transformers' own, against the exact distribution, and against itself in other batches."""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.decoders import Fuse
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Split
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
    PreTrainedTokenizerFast,
    set_seed,
)

from aritmo.choosing import SamplingConfig, choose, uniforms
from aritmo.sampling import Written, write, write_on

_ALPHABET = ["<pad>", "<end>", *"0123456789+="]
_PAD, _END = 0, 1
_PROMPTS = ["1", "12+7=", "99+1=", "123456+7=", "0", "5+5=", "31", "2+2=", "70707+12345=", "8="]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(WordLevel({token: i for i, token in enumerate(_ALPHABET)}, unk_token="<pad>"))
    backend.pre_tokenizer = Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<end>", split_special_tokens=True
    )


def _sizes(context: int = 64, **other: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(_ALPHABET), "bos_token_id": _END, "eos_token_id": _END, "pad_token_id": _PAD,
        "max_position_embeddings": context, "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4,
    } | other  # fmt: skip


def _gpt2(**other: Any) -> PreTrainedModel:
    return GPT2LMHeadModel(GPT2Config(**_sizes(**other), resid_pdrop=0.5))


_MODELS = {
    "gpt2": _gpt2,
    "gptj": lambda: GPTJForCausalLM(GPTJConfig(**_sizes(), rotary_dim=4)),
    "gpt-neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**_sizes(), intermediate_size=64)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_sizes(), intermediate_size=64, num_key_value_heads=2)),
    "mistral": lambda: MistralForCausalLM(
        MistralConfig(**_sizes(), intermediate_size=64, num_key_value_heads=2, sliding_window=8)
    ),
}


def _model(name: str = "gpt2", spread: float = 0.4, **other: Any) -> PreTrainedModel:
    """Return a random model whose weights are large enough that it does not say the same token for ever."""
    set_seed(7)
    model = _MODELS[name](**other)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.normal_(0, spread)
    return model


def _texts(*arguments: Any, **named: Any) -> list[Written]:
    return list(write(*arguments, progress=False, **named))


def _generated(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompt: str, new: int) -> Written:
    """Return what transformers writes on its own from one prompt, greedily."""
    model.eval()
    ids = torch.tensor([tokenizer(prompt).input_ids])
    written = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False, pad_token_id=_PAD
    )[0, ids.shape[1] :].tolist()
    finished = _END in written
    text = tokenizer.decode(written[: written.index(_END)] if finished else written)
    return Written(_PROMPTS.index(prompt), text, finished)


@pytest.mark.parametrize("name", _MODELS)
def test_greedy_text_is_what_transformers_writes(name: str, tokenizer: PreTrainedTokenizerFast) -> None:
    model = _model(name)
    expected = [_generated(model, tokenizer, prompt, 40) for prompt in _PROMPTS]
    assert len({written.text for written in expected}) > 3
    for size in (1, 3, len(_PROMPTS)):
        config = SamplingConfig(max_new_tokens=40, batch_size=size)
        assert _texts(model, tokenizer, _PROMPTS, config) == expected


def test_greedy_parity_covers_rows_that_end_and_rows_that_do_not(tokenizer: PreTrainedTokenizerFast) -> None:
    """Without both kinds in one batch the parity above would not try out rows leaving it."""
    written = [
        w for name in _MODELS for w in _texts(_model(name), tokenizer, _PROMPTS, SamplingConfig(max_new_tokens=40))
    ]
    assert {True, False} == {w.finished for w in written}
    assert len({len(w.text) for w in written if w.finished}) > 2


_DRAWN = {"max_new_tokens": 25, "temperature": 1.3, "top_k": 9, "top_p": 0.95, "seed": 3}


@pytest.fixture(scope="module")
def drawn(tokenizer: PreTrainedTokenizerFast) -> list[Written]:
    """Return what is written on ``_many()`` at once."""
    return _texts(_model(), tokenizer, _many(), SamplingConfig(**_DRAWN, batch_size=60))


def _many() -> list[str]:
    return [_PROMPTS[i % len(_PROMPTS)] for i in range(60)]


@pytest.mark.parametrize(("size", "count"), [(1, 20), (2, 30), (7, 60), (40, 60), (300, 60)])
def test_sampled_text_does_not_depend_on_the_batch(
    size: int, count: int, drawn: list[Written], tokenizer: PreTrainedTokenizerFast
) -> None:
    written = _texts(_model(), tokenizer, _many()[:count], SamplingConfig(**_DRAWN, batch_size=size))
    assert written == drawn[:count]
    assert [w.index for w in written] == list(range(count))


def test_sampled_text_in_parts_is_that_of_the_whole(
    drawn: list[Written], tokenizer: PreTrainedTokenizerFast
) -> None:
    model, config = _model(), SamplingConfig(**_DRAWN)
    first, second = _many()[:23], _many()[23:]
    in_parts = [*_texts(model, tokenizer, first, config), *_texts(model, tokenizer, second, config, start=23)]
    assert in_parts == drawn


def test_another_seed_writes_other_texts(tokenizer: PreTrainedTokenizerFast) -> None:
    first, second = (
        _texts(_model(), tokenizer, ["1+1="] * 20, SamplingConfig(max_new_tokens=20, temperature=1, seed=seed))
        for seed in (0, 1)
    )
    assert len({w.text for w in first}) > 15
    assert [w.text for w in first] != [w.text for w in second]


def test_sampled_tokens_follow_the_models_distribution(tokenizer: PreTrainedTokenizerFast) -> None:
    """Chi-square of 20,000 first tokens against the softmax; 99.9 % of the seeds pass in a fair sampler."""
    model = _model(spread=0.1).eval()
    count, temperature = 20_000, 0.8
    config = SamplingConfig(max_new_tokens=1, temperature=temperature, batch_size=5000, seed=11)
    seen = Counter("<end>" if w.finished else w.text for w in _texts(model, tokenizer, ["1+1="] * count, config))
    with torch.no_grad():
        logits = model(torch.tensor([tokenizer("1+1=").input_ids])).logits[0, -1].double()
    expected = dict(zip(_ALPHABET, (count * (logits / temperature).softmax(0)).tolist(), strict=True))
    assert min(expected.values()) > 5
    statistic = sum((seen[token] - mean) ** 2 / mean for token, mean in expected.items())
    # The 99.9 % point of chi-square with 13 degrees of freedom.
    assert statistic < 34.53


_LOGITS = st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=8)


def _kept(logits: list[float], config: SamplingConfig) -> list[float]:
    """Return the filtered distribution, slowly: the definition of temperature, top-k and top-p."""
    best = max(logits)
    weights = [math.exp((logit - best) / config.temperature) for logit in logits]
    if 0 < config.top_k < len(weights):
        least = sorted(weights, reverse=True)[config.top_k - 1]
        weights = [weight if weight >= least else 0.0 for weight in weights]
    if config.top_p < 1:
        total, before = sum(weights), 0.0
        for token in sorted(range(len(weights)), key=lambda i: (-weights[i], i)):
            weight = weights[token]
            if before >= config.top_p * total:
                weights[token] = 0.0
            before += weight
    return [weight / sum(weights) for weight in weights]


@settings(max_examples=200, deadline=None)
@given(_LOGITS, st.floats(0, 1, exclude_max=True), st.floats(0.1, 5), st.integers(0, 9), st.floats(0.01, 1))
def test_choosing_inverts_the_distribution(
    logits: list[float], drawn: float, temperature: float, top_k: int, top_p: float
) -> None:
    config = SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p)
    token = int(choose(torch.tensor([logits]), torch.tensor([drawn], dtype=torch.float64), config))
    shares = _kept(logits, config)
    # The share of a token that stands on the edge of a filter hangs on rounding, so a neighbour passes there.
    assert sum(shares[:token]) - 1e-9 <= drawn <= sum(shares[: token + 1]) + 1e-9 or _on_an_edge(logits, config)


def _on_an_edge(logits: list[float], config: SamplingConfig) -> bool:
    slightly = [config.model_copy(update={"top_p": config.top_p * factor}) for factor in (1 - 1e-9, 1 + 1e-9)]
    return _kept(logits, slightly[0]) != _kept(logits, slightly[1])


@pytest.mark.parametrize("temperature", [1e-300, 1e-3, 1.0, 1e300])
def test_extreme_draws_and_temperatures_choose_a_possible_token(temperature: float) -> None:
    logits = torch.tensor([[-math.inf, 3.0, 2.0, -math.inf]] * 2)
    drawn = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    first, last = choose(logits, drawn, SamplingConfig(temperature=temperature)).tolist()
    assert first == 1
    assert last == (1 if temperature < 0.01 else 2)


def test_uniforms_are_splitmix64_and_do_not_depend_on_their_company() -> None:
    together = uniforms(5, [3, 8, 2**40], 50)
    assert together.shape == (3, 50)
    assert (together[1:2, :20] == uniforms(5, [8], 20)).all()
    assert (uniforms(6, [3], 50) != together[0]).any()
    assert together.min() >= 0
    assert together.max() < 1


def test_uniforms_against_splitmix64_written_out_in_whole_numbers() -> None:
    from aritmo.numbers.randomness import seed_of

    state, expected = seed_of("sampling", 9, 4), []
    for _ in range(30):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        expected.append(((z ^ (z >> 31)) >> 11) / 2**53)
    assert uniforms(9, [4], 30)[0].tolist() == expected


def test_uniforms_fill_the_unit_interval_evenly() -> None:
    tenths = np.bincount((uniforms(0, range(200), 500) * 10).astype(int).ravel(), minlength=10)
    # The 99.9 % point of chi-square with 9 degrees of freedom.
    assert ((tenths - 10_000) ** 2 / 10_000).sum() < 27.88


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_text_stops_where_the_context_is_full(name: str, tokenizer: PreTrainedTokenizerFast) -> None:
    model = _model(name) if name == "llama" else _model(context=20)
    model.config.max_position_embeddings = 20
    with torch.no_grad():
        # A logit of 0 is below the largest of the others, so that neither of the two is ever written.
        model.get_output_embeddings().weight[[_PAD, _END]] = 0
    prompts = ["1" * length for length in (1, 7, 19, 12)]
    written = _texts(model, tokenizer, prompts, SamplingConfig(max_new_tokens=100))
    assert [len(prompt + w.text) for prompt, w in zip(prompts, written, strict=True)] == [20] * 4
    assert not any(w.finished for w in written)


@pytest.mark.parametrize("length", [20, 21, 300])
def test_a_prompt_without_room_is_refused_at_once(length: int, tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match=rf"prompt 1 has {length} tokens .* context of 20: shorten"):
        write(_model(context=20), tokenizer, ["1", "1" * length], SamplingConfig())


def test_an_empty_prompt_is_refused_at_once(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match="prompt 6 is empty"):
        write(_model(), tokenizer, ["1", ""], SamplingConfig(), start=5)


def test_no_prompts_give_no_texts(tokenizer: PreTrainedTokenizerFast) -> None:
    assert _texts(_model(), tokenizer, [], SamplingConfig()) == []


def test_a_tokenizer_without_an_end_is_refused() -> None:
    backend = Tokenizer(WordLevel({"1": 0}, unk_token="1"))
    with pytest.raises(ValueError, match="no end token"):
        write(_model(), PreTrainedTokenizerFast(tokenizer_object=backend), ["1"], SamplingConfig())


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_damaged_weights_are_one_sentence(temperature: float, tokenizer: PreTrainedTokenizerFast) -> None:
    model = _model()
    with torch.no_grad():
        model.get_output_embeddings().weight[3] = math.nan
    with pytest.raises(ValueError, match="not finite numbers"):
        _texts(model, tokenizer, ["1"], SamplingConfig(temperature=temperature))


def test_tokens_that_the_tokenizer_lacks_are_never_written(tokenizer: PreTrainedTokenizerFast) -> None:
    """A model's vocabulary may be padded to a round number; here the padding has the largest logits."""
    model = _model(vocab_size=64)
    plain = _texts(model, tokenizer, _PROMPTS, SamplingConfig(max_new_tokens=10))
    with torch.no_grad():
        model.get_output_embeddings().weight[len(_ALPHABET) :] *= 100
    assert _texts(model, tokenizer, _PROMPTS, SamplingConfig(max_new_tokens=10)) == plain


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_in_its_own_mode_between_texts(training: bool, tokenizer: PreTrainedTokenizerFast) -> None:
    """Also that dropout, which the model has, is off while it writes, and gradients are on again after."""
    model = _model().train(training)
    config = SamplingConfig(max_new_tokens=9, batch_size=2)
    texts = write(model, tokenizer, _PROMPTS, config, progress=False)
    first = list(islice(texts, 3))
    assert model.training is training
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    texts.close()  # type: ignore[attr-defined]
    assert first == _texts(model.eval(), tokenizer, _PROMPTS, config)[:3]
    model.train()(torch.tensor([[2, 3]])).logits.sum().backward()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_a_stop_in_the_middle_passes_through(
    stop: type[BaseException], tokenizer: PreTrainedTokenizerFast
) -> None:
    model = _model().train()
    calls = iter(range(100))

    def interrupt(*_: object) -> None:
        if next(calls) == 4:
            raise stop

    hook = model.register_forward_pre_hook(interrupt)
    with pytest.raises(stop):
        _texts(model, tokenizer, _PROMPTS, SamplingConfig(max_new_tokens=9))
    hook.remove()
    assert model.training
    assert torch.is_grad_enabled()


def test_texts_come_in_the_order_of_the_prompts_while_work_goes_on(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    """One window is written before its first text is out, and no more than one."""
    model = _model()
    widths: list[int] = []
    hook = model.register_forward_pre_hook(
        lambda _, __, inputs: widths.append(inputs["input_ids"].shape[1]), with_kwargs=True
    )
    texts: Iterator[Written] = write(
        model,
        tokenizer,
        [str(10**i) for i in range(20)],
        SamplingConfig(max_new_tokens=2, batch_size=2),
        progress=False,
    )
    assert widths == []
    assert next(texts).index == 0
    assert max(widths) == 8
    assert [w.index for w in texts] == list(range(1, 20))
    hook.remove()


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1}, {"temperature": math.inf}, {"top_p": 0}, {"top_p": 1.5}, {"top_k": -1}, {"typo": 1},
     {"batch_size": 0}, {"max_new_tokens": 0}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SamplingConfig(**wrong)


def test_tokens_are_counted_and_the_end_among_them(tokenizer: PreTrainedTokenizerFast) -> None:
    """In this alphabet every token but the padding is one character."""
    written = _texts(_model(), tokenizer, _PROMPTS, SamplingConfig(max_new_tokens=40, temperature=1.0))
    assert [w.tokens for w in written] == [len(w.text.replace("<pad>", "?")) + w.finished for w in written]
    assert {w.finished for w in written} == {True, False}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_pieces_make_up_the_text_that_is_written_at_once(
    tokenizer: PreTrainedTokenizerFast, temperature: float
) -> None:
    model = _gpt2()
    config = SamplingConfig(max_new_tokens=20, temperature=temperature, seed=3)
    whole = [text.text for text in write(model, tokenizer, _PROMPTS, config, start=5, progress=False)]
    model.train()
    pieces = [list(write_on(model, tokenizer, prompt, config, index)) for index, prompt in enumerate(_PROMPTS, 5)]
    assert ["".join(text) for text in pieces] == whole
    assert max(map(len, pieces)) > 5
    coming = write_on(model, tokenizer, "12+7=", config)
    next(coming)
    # Whoever takes the pieces may compute gradients between them.
    assert model.training
    assert not torch.is_inference_mode_enabled()


def test_a_character_comes_when_its_last_byte_has() -> None:
    letters = sorted(ByteLevel.alphabet())
    backend = Tokenizer(BPE({letter: i for i, letter in enumerate(["<end>", *letters])}, []))
    backend.pre_tokenizer, backend.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    bytewise = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")
    config = SamplingConfig(max_new_tokens=60, temperature=1.0, seed=1)
    model = _gpt2(vocab_size=257)
    (whole,) = write(model, bytewise, ["9"], config, progress=False)
    *pieces, last = write_on(model, bytewise, "9", config)
    assert "".join([*pieces, last]) == whole.text
    assert "\ufffd" in whole.text
    assert not any(piece.endswith("\ufffd") for piece in pieces)
