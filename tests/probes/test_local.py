"""Models on this machine: folders as they are, GGUF files, few bits; and what cannot be opened says so."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTJConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from aritmo.choosing import SamplingConfig
from aritmo.probes.local import Local, check_local, head_of, is_gguf, open_gguf
from aritmo.probes.prompts import PROBES
from aritmo.sampling import write
from aritmo.tokens import task_tokenizer

TOKENIZER = task_tokenizer("digits")
SIZES = {"vocab_size": len(TOKENIZER), "n_positions": 512, "n_embd": 16, "n_layer": 1, "n_head": 2}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def gptj(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-J as its folder is, in bf16, but tiny."""
    folder = tmp_path_factory.mktemp("models") / "gpt-j"
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(GPTJConfig(**SIZES, rotary_dim=8, tie_word_embeddings=False))
    model.to(torch.bfloat16).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def test_a_folder_is_asked_as_it_is(gptj: Path) -> None:
    items = PROBES["joined"].items(0, (2,), 5)
    local = Local(str(gptj), batch_size=2)
    account = local.account()
    assert (account["architecture"], account["bits"]) == ("gptj", 16 if torch.cuda.is_available() else 32)
    texts = list(local.write(items, 0.0, 0))
    model = AutoModelForCausalLM.from_pretrained(gptj, dtype=torch.float32).eval()
    for item, text in zip(items, texts, strict=True):
        ids = TOKENIZER(item.prompt, return_tensors="pt").input_ids
        made = model.generate(ids, max_new_tokens=20, do_sample=False, pad_token_id=TOKENIZER.pad_token_id)
        assert text
        assert TOKENIZER.decode(made[0, ids.shape[1] :]).startswith(text)
    drawn = list(local.write(items, 1.0, 3))
    assert drawn != texts
    # The rest of a group says what it would have said with the first ones before it.
    assert list(local.write(items[3:], 1.0, 3)) == drawn[3:]
    half = Local(str(gptj), bits=16)
    assert half.model.dtype == torch.bfloat16
    assert len(list(half.write(items, 0.0, 0))) == 5


def test_few_bits_need_their_extra_and_a_gpu(gptj: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aritmo.models.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"weights of 4 bits need bitsandbytes.*pip install 'aritmo\[qlora\]'"):
        Local(str(gptj), bits=4)
    monkeypatch.setattr("aritmo.models.find_spec", lambda name: name)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="weights of 8 bits need a GPU, and there is none here: leave out --bits"):
        Local(str(gptj), bits=8)


def test_few_bits_are_handed_on_and_compute_in_bf16(gptj: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def weights(name: str, source: str, config: GPTJConfig, dtype: torch.dtype, bits: int) -> torch.nn.Module:
        seen["bits"], seen["dtype"] = bits, dtype
        return AutoModelForCausalLM.from_pretrained(source, dtype=dtype)

    monkeypatch.setattr("aritmo.models.find_spec", lambda name: name)
    monkeypatch.setattr("aritmo.models.torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("aritmo.models._weights", weights)
    from aritmo.models import open_quantised

    model, tokenizer = open_quantised(str(gptj), None, 4)
    assert seen["dtype"] == torch.bfloat16
    assert seen["bits"] == 4
    assert not model.training
    assert len(tokenizer) == len(TOKENIZER)


def test_a_model_without_a_tokenizer_is_said_to_have_none_or_given_one(gptj: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    AutoModelForCausalLM.from_config(GPT2Config(**SIZES)).save_pretrained(folder)
    with pytest.raises(ValueError, match=r"has no tokenizer that can write 57\+43= back: put its tokenizer.json"):
        check_local(str(folder), None)
    check_local(str(folder), str(gptj))
    assert len(Local(str(folder), tokenizer=str(gptj)).tokenizer) == len(TOKENIZER)


@pytest.mark.parametrize("name", ["nowhere", "gpt2-xxl", "./nowhere"])
def test_a_name_that_is_not_there(name: str) -> None:
    with pytest.raises(ValueError, match="there is no model"):
        check_local(name, None)


def test_the_head_is_what_the_tokenizer_puts_before_a_text() -> None:
    assert head_of(TOKENIZER) == []
    begins = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(TOKENIZER.backend_tokenizer.to_str()))
    from tokenizers.processors import TemplateProcessing

    begins.backend_tokenizer.post_processor = TemplateProcessing("<end> $A", special_tokens=[("<end>", 1)])
    assert head_of(begins) == [1]


# A GGUF file, made by the library that writes them.

WIDTH, LAYERS, HEADS = 32, 2, 2
_PIECES = [
    "#",
    "\n",
    "-",
    ">",
    "+",
    "=",
    "?",
    " ",
    "ones",
    "tens",
    "prime",
    *"0123456789",
    *"abcdefghijklmnopqrstuvwxyz",
]


def bpe() -> tuple[list[str], list[str]]:
    """Return the pieces and merges of a small byte-level BPE that knows «ones» and «tens»."""
    byte = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = ["o n", "e s", "on es", "t e", "n s", "te ns"]
    return ["<|endoftext|>", *byte, *("".join(merge.split()) for merge in merges)], merges


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LlamaForCausalLM, Tokenizer]:
    """A GGUF file of a tiny Llama, and the very model and tokenizer that it was written from."""
    gguf = pytest.importorskip("gguf")
    torch.manual_seed(2)
    tokens, merges = bpe()
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokens), hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=LAYERS,
            num_attention_heads=HEADS, num_key_value_heads=HEADS, max_position_embeddings=512,
            tie_word_embeddings=False, bos_token_id=0, eos_token_id=0,
        )
    ).eval()  # fmt: skip
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(64)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (len(tokens) - 1))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, values in tensors(model):
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    backend = Tokenizer(BPE({token: id for id, token in enumerate(tokens)}, [tuple(m.split()) for m in merges]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return path, model, backend


def tensors(model: LlamaForCausalLM) -> list[tuple[str, np.ndarray]]:
    """Return the model's tensors under GGUF's names; rows of queries and keys stand there in pairs."""

    def paired(weight: torch.Tensor) -> torch.Tensor:
        return weight.reshape(HEADS, 2, WIDTH // HEADS // 2, WIDTH).swapaxes(1, 2).reshape(weight.shape)

    names = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    state = model.state_dict()
    found = [
        ("token_embd.weight", state["model.embed_tokens.weight"]),
        ("output_norm.weight", state["model.norm.weight"]),
        ("output.weight", state["lm_head.weight"]),
    ]  # fmt: skip
    for layer in range(LAYERS):
        for ours, theirs in names.items():
            weight = state[f"model.layers.{layer}.{ours}.weight"]
            turned = paired(weight) if theirs in ("attn_q", "attn_k") else weight
            found.append((f"blk.{layer}.{theirs}.weight", turned))
    return [(name, weight.numpy().astype(np.float32)) for name, weight in found]


def test_a_gguf_file_is_the_model_that_it_was_written_from(
    pair: tuple[Path, LlamaForCausalLM, Tokenizer], capfd: pytest.CaptureFixture[str]
) -> None:
    path, model, backend = pair
    local = Local(str(path), bits=32)
    assert local.account()["kind"] == "GGUF file"
    assert capfd.readouterr().err == ""
    items = PROBES["joined"].items(0, (2,), 3)
    ids = backend.encode(items[0].prompt).ids
    assert local.tokenizer(items[0].prompt, add_special_tokens=False).input_ids == ids
    with torch.inference_mode():
        expected = model(torch.tensor([ids])).logits
        found = local.model.cpu()(torch.tensor([ids])).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert len(list(local.write(items, 0.7, 1))) == 3
    half, _ = open_gguf(path, None, torch.bfloat16)
    assert half.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: b"PK\x03\x04" + data[4:], r"is no GGUF file: it begins with b'PK"),
        (lambda data: b"", "is no GGUF file: it begins with b''"),
        (lambda data: data[:4] + b"\xff" * 4 + data[8:], "no tokenizer can be read"),
        (lambda data: data[:200], "no tokenizer can be read"),
        (lambda data: data[: len(data) * 3 // 4], "cannot be read|no tokenizer can be read"),
    ],
    ids=["zip", "empty", "version", "header", "torn"],
)
def test_a_gguf_file_that_is_none(
    damage: Callable[[bytes], bytes], said: str, pair: tuple[Path, LlamaForCausalLM, Tokenizer], tmp_path: Path
) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(damage(pair[0].read_bytes()))
    with pytest.raises(ValueError, match=said) as found:
        Local(str(path))
    assert "\n" not in str(found.value)


def test_a_gguf_file_is_known_by_its_beginning_too(
    pair: tuple[Path, LlamaForCausalLM, Tokenizer], tmp_path: Path
) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(pair[0].read_bytes())
    assert is_gguf(str(blob))
    assert not is_gguf(str(tmp_path))
    with pytest.raises(ValueError, match=r"there is no file gone\.gguf"):
        check_local("gone.gguf", None)
    with pytest.raises(ValueError, match="have as many bits as they have: leave out --bits 4"):
        Local(str(pair[0]), bits=4)


def test_without_gguf_its_extra_is_named(
    pair: tuple[Path, LlamaForCausalLM, Tokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aritmo.probes.local.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'aritmo\[gguf\]'"):
        check_local(str(pair[0]), None)


def test_prompts_that_begin_alike_say_what_they_say_alone(pair: tuple[Path, LlamaForCausalLM, Tokenizer]) -> None:
    local = Local(str(pair[0]), bits=32)
    items = [item for digits in (2, 3) for item in PROBES["addition"].items(0, (digits, 1), 3)]
    prompts = [item.prompt for item in items]
    together, alone = (
        [
            text.text
            for text in write(
                local.model, local.tokenizer, prompts, SamplingConfig(max_new_tokens=12, batch_size=size),
                progress=False, head=head,
            )
        ]
        for size, head in ((6, ()), (1, ()))
    )  # fmt: skip
    assert together == alone
