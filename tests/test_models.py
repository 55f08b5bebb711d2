import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPTJConfig, PretrainedConfig, ViTConfig

from aritmo.models import _quantised, complete, known_config, open_model, open_tokenizer, set_dropout
from aritmo.tokens import digit_tokenizer

TOKENIZER = digit_tokenizer(("STEP",))
CONFIGS = {
    "gpt2": GPT2Config(vocab_size=len(TOKENIZER), n_positions=32, n_embd=16, n_layer=1, n_head=2),
    "gptj": GPTJConfig(vocab_size=len(TOKENIZER), n_positions=32, n_embd=16, n_layer=1, n_head=2, rotary_dim=8),
}


def write(folder: Path, config: PretrainedConfig) -> Path:
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "model", CONFIGS["gpt2"])


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_folder_opens_as_it_was_written(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, CONFIGS[name])
    model, tokenizer = open_model(str(path), context=32)
    ids = tokenizer("STEP 1: 7+8=15\n", return_tensors="pt").input_ids
    expected = AutoModelForCausalLM.from_pretrained(path).eval()(ids).logits
    torch.testing.assert_close(model(ids).logits, expected, rtol=0, atol=0)
    assert not model.training
    assert model.generation_config.eos_token_id == model.config.eos_token_id == tokenizer.eos_token_id
    assert open_tokenizer(str(path)).get_vocab() == tokenizer.get_vocab() == TOKENIZER.get_vocab()
    half, _ = open_model(str(path), context=8, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}


def test_tiny_follows_from_its_seed_and_leaves_the_random_state_alone() -> None:
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    first, second, other = (open_model("tiny", tokenizer=TOKENIZER, context=48, seed=s)[0] for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    for (name, a), b, c in zip(first.named_parameters(), second.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.dim() == 1 or not torch.equal(a, c), name
    assert first.config.vocab_size == len(TOKENIZER)
    assert first(torch.zeros(1, 48, dtype=torch.long)).logits.shape == (1, 48, len(TOKENIZER))


def damage(folder: Path, how: str) -> None:
    weights, config = folder / "model.safetensors", folder / "config.json"
    if how == "no config":
        config.unlink()
    elif how == "empty config":
        config.write_text("{}")
    elif how == "torn config":
        config.write_text("{")
    elif how == "vision":
        config.write_text(json.dumps(ViTConfig().to_dict()))
    elif how == "no weights":
        weights.unlink()
    elif how == "pickle":
        weights.rename(folder / "pytorch_model.bin")
    elif how == "torn weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "wild header":
        weights.write_bytes(b"\xff" * 8 + weights.read_bytes()[8:])
    elif how in {"missing tensor", "wrong shape"}:
        tensors = load_file(weights)
        norm = tensors.pop("transformer.ln_f.weight")
        if how == "wrong shape":
            tensors["transformer.ln_f.weight"] = norm[:3].clone()
        save_file(tensors, weights, metadata={"format": "pt"})
    elif how == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    elif how == "broken tokenizer":
        (folder / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("no config", "holds no config.json; give the folder of a Hugging Face model"),
        ("empty config", "the config.json of model .* is not one that transformers knows"),
        ("torn config", "the config.json of model .* is not one that transformers knows"),
        ("vision", "is of type vit, which is no causal language model"),
        ("no weights", r"holds no \*.safetensors weights"),
        ("pickle", r"only pickled weights \(pytorch_model.bin\), which can run code when opened"),
        ("torn weights", "the weights of model .* are damaged"),
        ("wild header", "the weights of model .* are damaged"),
        ("missing tensor", "lack 1 of the tensors .* such as transformer.ln_f.weight"),
        ("wrong shape", "lack 1 of the tensors .* such as transformer.ln_f.weight"),
        ("no tokenizer", "no tokenizer that can be read beside its weights"),
        ("broken tokenizer", "no tokenizer that can be read beside its weights"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_sentence(folder: Path, how: str, sentence: str) -> None:
    damage(folder, how)
    with pytest.raises(ValueError, match=sentence) as caught:
        open_model(str(folder), context=32)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gpt2-xxl", "no model 'gpt2-xxl' .* did you mean gpt2-xl"),
        ("gptj-6b", "did you mean gpt-j-6b"),
        ("banana", "known are tiny, adder, tutor, squares, gpt2, gpt2-medium, gpt2-large, gpt2-xl, gpt-j-6b"),
        ("./there/is/none", "no folder of that name"),
        (
            "nobody/nothing",
            "model nobody/nothing could not be had from the Hub .*HF_HUB_OFFLINE.* or give a folder",
        ),
        ("gpt-j-6b", "model gpt-j-6b could not be had from the Hub"),
        ("tiny", "tiny has no tokenizer of its own"),
    ],
)
def test_an_unknown_name_is_refused_in_one_sentence(name: str, sentence: str) -> None:
    for opens in (open_model, open_tokenizer):
        with pytest.raises(ValueError, match=sentence):
            opens(name)


def test_a_model_must_fit_its_context_and_its_tokenizer(folder: Path) -> None:
    with pytest.raises(ValueError, match="takes 32 tokens at once, not 33; lower"):
        open_model(str(folder), context=33)
    larger = digit_tokenizer(("STEP", "carry"))
    with pytest.raises(ValueError, match=rf"has {len(larger)} tokens and model .* knows {len(TOKENIZER)}"):
        open_model(str(folder), tokenizer=larger, context=32)
    with pytest.raises(ValueError, match="is a file; give the folder"):
        open_model(str(folder / "config.json"))


def test_tokenizers_are_given_what_they_lack() -> None:
    bare = digit_tokenizer(())
    bare.pad_token = None
    assert complete(bare).pad_token == bare.eos_token == "<end>"
    bare.eos_token = bare.bos_token = None
    with pytest.raises(ValueError, match="has no end token; set eos_token"):
        complete(bare)


def test_a_model_from_scratch_needs_a_config_and_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    first, second, other = (open_model(str(folder), context=32, seed=s, init="scratch")[0] for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.transformer.wte.weight, other.transformer.wte.weight)
    assert float(first.transformer.wte.weight.detach().std()) == pytest.approx(0.02, rel=0.2)


def test_a_config_alone_takes_the_tokens_of_the_tokenizer_that_is_given(tmp_path: Path) -> None:
    config = {"model_type": "llama", "vocab_size": 128_256, "pad_token_id": 128_004, "hidden_size": 8,
              "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    model, _ = open_model(str(tmp_path), tokenizer=TOKENIZER, context=32, init="scratch")
    assert model.config.vocab_size == len(TOKENIZER)
    assert model.config.pad_token_id == TOKENIZER.pad_token_id


def test_known_names_need_no_network_from_scratch() -> None:
    parameters = {"gpt2": 124_439_808, "gpt2-medium": 354_823_168, "gpt2-large": 774_030_080,
                  "gpt2-xl": 1_557_611_200, "gpt-j-6b": 6_050_882_784}  # fmt: skip
    for name, count in parameters.items():
        with torch.device("meta"):
            assert AutoModelForCausalLM.from_config(known_config(name)).num_parameters() == count
    model, tokenizer = open_model("gpt2", tokenizer=TOKENIZER, context=1024, init="scratch")
    assert model.config.vocab_size == len(tokenizer)
    assert (model.config.n_layer, model.config.n_embd) == (12, 768)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_base_of_few_bits_is_made_of_plain_weights(bits: int, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    config = GPTJConfig(vocab_size=len(TOKENIZER), n_embd=64, n_layer=1, n_head=2, rotary_dim=8)
    # The two public ways ask for a GPU first; what they do then goes on a CPU as well.
    model, _ = _quantised("it", str(write(tmp_path, config)), None, bits)
    weight = model.transformer.h[0].attn.q_proj.weight
    assert weight.dtype == (torch.uint8 if bits == 4 else torch.int8)
    assert model(torch.tensor([[1, 2, 3]])).logits.isfinite().all()


@pytest.mark.parametrize("name", CONFIGS)
def test_dropout_is_what_is_asked_for(name: str) -> None:
    model = AutoModelForCausalLM.from_config(CONFIGS[name]).train()
    tokens = torch.tensor([[1, 2, 3, 4]])
    set_dropout(model, 0.3)
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.3}
    assert model.config.attn_pdrop == model.config.resid_pdrop == model.config.embd_pdrop == 0.3
    assert not torch.equal(model(tokens).logits, model(tokens).logits)
    set_dropout(model, 0.0)
    assert torch.equal(model(tokens).logits, model(tokens).logits)
    assert model.config.attn_pdrop == 0.0
