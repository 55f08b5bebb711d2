import numpy as np
import pytest
import torch
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

from aritmo.attention import Way, own_attentions
from aritmo.batches import UNASKED, Batch, collate, collate_stream, isolate, limits_of
from aritmo.packing import Packed, encode_examples, pack
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
NOT = {("gptj", "alone"), ("mistral", "mask")}
"""GPT-J has an attention of its own; a mask over rows does not know Mistral's window."""


def make(config: PretrainedConfig) -> PreTrainedModel:
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)  # the small weights of a fresh model hide leaks
    return model


WAYS: tuple[Way, ...] = ("stream", "alone", "mask")
CASES = [(name, way) for name in CONFIGS for way in WAYS if (name, way) not in NOT]


def batch_of(packed: Packed, way: Way, count: int = 2) -> Batch:
    rows = np.arange(len(packed))
    if way == "stream":
        return collate_stream(packed, rows, torch.device("cpu"), count, limits_of(packed))
    return collate(packed, rows, torch.device("cpu"), torch.float32, way)


@pytest.mark.parametrize(("name", "way"), CASES)
def test_a_packed_example_sees_itself_alone(name: str, way: Way) -> None:
    model, packed = make(CONFIGS[name]), pack(TOKENIZER, EXAMPLES, 48)
    assert len(packed) == 2, "several examples in a row, and more than one row"
    batch = batch_of(packed, way, count=3)
    tokens, positions = batch.inputs["input_ids"], batch.inputs["position_ids"]
    with torch.no_grad():
        encoded = encode_examples(TOKENIZER, EXAMPLES)
        expected = [model(torch.tensor([example.ids])).logits[0] for example in encoded]
        leaking = model(input_ids=tokens[:, :48], use_cache=False).logits
        with isolate(model, streams=way == "stream") as chosen:
            assert chosen == (
                "mask" if own_attentions(model) and way != "stream" else "alone" if way == "mask" else way
            )
            if chosen != way:
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
        if start and start + len(example.ids) <= leaking.shape[1]:
            assert (leaking[row, inside] - wanted).abs().max() > 1e-2, "without the mask it leaks"
            found += 1
    assert found >= 2


def test_streams_are_of_one_shape() -> None:
    packed = pack(TOKENIZER, EXAMPLES, 48)
    limits = limits_of(packed) | limits_of(pack(TOKENIZER, [], 48))
    assert limits == limits_of(packed)
    shapes = set()
    for rows in (np.array([0, 1]), np.array([1, 0]), np.array([1]), np.array([], np.int64)):
        batch = collate_stream(packed, rows, torch.device("cpu"), 2, limits)
        borders = batch.inputs["attention_mask"][0, 0, 0]
        lengths = borders.diff()
        assert borders[0] == 0
        assert borders[-1] == 96
        assert lengths.min() >= 0
        assert lengths.max() <= limits.longest == batch.inputs["attention_mask"].shape[2]
        asked = batch.targets != UNASKED
        assert asked.sum() == packed.trained[rows].sum()
        flat = batch.inputs["input_ids"][0]
        assert torch.equal(flat[batch.places[asked] + 1], batch.targets[asked])
        shapes.add((flat.shape, borders.shape, batch.places.shape))
    assert len(shapes) == 1


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_isolation_leaves_a_model_as_it_was(name: str, streams: bool) -> None:
    model = make(CONFIGS[name]).train()
    ids = torch.arange(6)[None]
    before = model.config._attn_implementation
    with torch.no_grad():
        model.eval()
        expected = model(ids).logits
        model.train()
        with isolate(model, streams):
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
    import aritmo.batches as batches

    model = make(CONFIGS["gpt2"])
    monkeypatch.setattr(batches, "_groups", lambda *_: None)
    with isolate(model) as way:
        assert way == "mask"
        assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("loss_on", ["completion", "text"])
def test_places_and_targets(loss_on: str) -> None:
    packed = pack(TOKENIZER, EXAMPLES, 48, loss_on)  # type: ignore[arg-type]
    batch = collate(packed, np.array([1, 0]), torch.device("cpu"), torch.float32, "mask")
    expected = []
    flat = batch.inputs["input_ids"].flatten().tolist()
    for prompt, completion in EXAMPLES:
        asked = len(TOKENIZER(prompt)["input_ids"]) if loss_on == "completion" else 1
        expected += [*TOKENIZER(prompt + completion)["input_ids"][asked:], TOKENIZER.eos_token_id]
    assert sorted(batch.targets.tolist()) == sorted(expected)
    assert [flat[place + 1] for place in batch.places.tolist()] == batch.targets.tolist()
    assert packed.account.trained == len(expected) == int(packed.trained.sum())
