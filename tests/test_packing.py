import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    GPTJConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    PretrainedConfig,
    PreTrainedModel,
)

from aritmo.packing import collate, encode_examples, first_fit, isolate, pack
from aritmo.tokens import digit_tokenizer

TOKENIZER = digit_tokenizer(("STEP",))
VOCABULARY = len(TOKENIZER)
EXAMPLES = [(f"{a}+{b}=", f"{a + b}") for a, b in [(1, 2), (957, 86), (12345, 99999), (7, 0), (88, 12)]]
CONFIGS = {
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_positions=48, n_embd=32, n_layer=2, n_head=2),
    "gptj": GPTJConfig(vocab_size=VOCABULARY, n_positions=48, n_embd=32, n_layer=2, n_head=2, rotary_dim=8),
    "llama": LlamaConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=48,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
    "mistral": MistralConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=48,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=4,
    ),
}
ONE_WAY = {("gptj", True), ("mistral", False)}
"""GPT-J has an attention of its own; a mask over rows does not know Mistral's window."""


def make(config: PretrainedConfig) -> PreTrainedModel:
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)  # the small weights of a fresh model hide leaks
    return model


CASES = [(name, alone) for name in CONFIGS for alone in (False, True) if (name, alone) not in ONE_WAY]


@pytest.mark.parametrize(("name", "alone"), CASES)
def test_a_packed_example_sees_itself_alone(name: str, alone: bool) -> None:
    model, packed = make(CONFIGS[name]), pack(TOKENIZER, EXAMPLES, 48)
    assert len(packed) == 2, "several examples in a row, and more than one row"
    batch = collate(packed, np.arange(2), torch.device("cpu"), torch.float32, alone)
    tokens, positions = batch.inputs["input_ids"], batch.inputs["position_ids"]
    with torch.no_grad():
        encoded = encode_examples(TOKENIZER, EXAMPLES)
        expected = [model(torch.tensor([example.ids])).logits[0] for example in encoded]
        leaking = model(input_ids=tokens, use_cache=False).logits
        with isolate(model) as chosen:
            assert chosen == (name != "gptj")
            if not alone and chosen:
                model.set_attn_implementation("sdpa")
            logits = model(**batch.inputs).logits
    assert torch.isfinite(logits).all()
    found = 0
    for example, wanted in zip(encoded, expected, strict=True):
        row, start = next(
            (row, start)
            for row, line in enumerate(tokens.tolist())
            for start in range(len(line))
            if line[start : start + len(example.ids)] == example.ids and positions[row, start] == 0
        )
        inside = slice(start, start + len(example.ids))
        torch.testing.assert_close(logits[row, inside], wanted, atol=1e-5, rtol=0)
        if start:
            assert (leaking[row, inside] - wanted).abs().max() > 1e-2, "without the mask it leaks"
            found += 1
    assert found == 3


@pytest.mark.parametrize("name", CONFIGS)
def test_isolation_leaves_a_model_as_it_was(name: str) -> None:
    model = make(CONFIGS[name]).train()
    ids = torch.arange(6)[None]
    before = model.config._attn_implementation
    with torch.no_grad():
        model.eval()
        expected = model(ids).logits
        model.train()
        with isolate(model):
            assert model.training
            model.eval()
            generated = model(ids, use_cache=True)
            torch.testing.assert_close(generated.logits, expected)
    assert model.config._attn_implementation == before


def test_models_that_cannot_keep_examples_apart_are_refused() -> None:
    for config in (
        MambaConfig(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=1, state_size=4),
        BloomConfig(vocab_size=VOCABULARY, hidden_size=16, n_layer=1, n_head=2),
    ):
        model = make(config)
        with (
            pytest.raises(ValueError, match=f"of type {config.model_type} let packed examples see each"),
            isolate(model),
        ):
            pass


def test_without_groups_the_probe_finds_the_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that drops what it is told about the examples is caught: here, attention that ignores it."""
    import aritmo.packing as packing

    model = make(CONFIGS["gpt2"])
    monkeypatch.setattr(packing, "_groups", lambda *_: None)
    with isolate(model) as alone:
        assert not alone
        assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("loss_on", ["completion", "text"])
def test_places_and_targets(loss_on: str) -> None:
    packed = pack(TOKENIZER, EXAMPLES, 48, loss_on)  # type: ignore[arg-type]
    batch = collate(packed, np.array([1, 0]), torch.device("cpu"), torch.float32, alone=False)
    expected = []
    flat = batch.inputs["input_ids"].flatten().tolist()
    for prompt, completion in EXAMPLES:
        asked = len(TOKENIZER(prompt)["input_ids"]) if loss_on == "completion" else 1
        expected += [*TOKENIZER(prompt + completion)["input_ids"][asked:], TOKENIZER.eos_token_id]
    assert sorted(batch.targets.tolist()) == sorted(expected)
    assert [flat[place + 1] for place in batch.places.tolist()] == batch.targets.tolist()
    assert packed.account.trained == len(expected) == int(packed.trained.sum())


def naive_first_fit(lengths: list[int], room: int) -> list[int]:
    left: list[int] = []
    rows = []
    for length in lengths:
        row = next((row for row, free in enumerate(left) if free >= length), len(left))
        if row == len(left):
            left.append(room)
        left[row] -= length
        rows.append(row)
    return rows


@given(st.lists(st.integers(1, 20), max_size=60), st.integers(20, 45))
def test_first_fit(lengths: list[int], room: int) -> None:
    assert first_fit(lengths, room) == naive_first_fit(lengths, room)


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
