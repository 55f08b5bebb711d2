"""GGUF files, read by transformers and run by llama.cpp itself: the same tokens, the same logits."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, GPTJConfig, GPTJForCausalLM, PreTrainedTokenizerFast

from aritmo.adapters import add_adapter
from aritmo.models import open_model
from aritmo.probes.local import open_gguf
from aritmo.tokens import encode_batch, symbol_tokenizer, task_tokenizer
from aritmo.trials.texts import gpt2_tokenizer

pytest.importorskip("gguf", reason="gguf is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

from aritmo.bridges.gguf import export_gguf  # noqa: E402

TEXTS = [
    "###\n57\n",
    "###\n2 2 4 9\n",
    "8292+29039\n\nSTEP 1\nNumber: 8292\nones->2\ntens->9\nhundred thousands->",
    "Matrix 5001\n17 89 71\n113 59 5\n47 29 101\nRows: 177 177",
    "Is 7919 prime?\nyes",
]


def bpe() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=gpt2_tokenizer(None), eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    )


def saved(folder: Path, tokenizer: Any, **more: Any) -> Path:
    """Save a GPT-2 of random weights, large enough that its logits differ well."""
    torch.manual_seed(1)
    shape = {"n_positions": 96, "n_embd": 32, "n_layer": 2, "n_head": 2, "initializer_range": 0.2}
    config = GPT2Config(vocab_size=len(tokenizer) + 3, **shape | more)
    config.bos_token_id = config.eos_token_id = tokenizer.eos_token_id
    model = GPT2LMHeadModel(config)
    for parameter in model.parameters():  # biases and norms begin as 0 and 1, where mistakes would not show
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


MODELS = {
    "digits": (lambda: task_tokenizer(), {}),
    "pairs, untied, wide": (lambda: task_tokenizer("pairs"), {"tie_word_embeddings": False, "n_inner": 80}),
    "GPT-2's BPE": (bpe, {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_llama_cpp_computes_the_same(name: str, tmp_path: Path) -> None:
    make, more = MODELS[name]
    folder = saved(tmp_path / "model", make(), **more)
    made = export_gguf(str(folder), tmp_path / "m.gguf")
    assert made.difference == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.gguf", "model"]
    check_llama_cpp(tmp_path / "m.gguf", str(folder), 96)


def test_llama_cpp_runs_the_tutor(tmp_path: Path) -> None:
    export_gguf(str(_shipped("tutor")), tmp_path / "t.gguf")
    server = check_llama_cpp(tmp_path / "t.gguf", "tutor", 512, within=0.05)
    asked = {"prompt": "###\n2 2 5 0\n", "max_tokens": 80, "temperature": 0.0}
    (said,) = server.handle_completions(asked)["choices"]
    assert said["text"] == "ones->0\ntens->5\nhundreds->2\nthousands->2\n"
    assert said["finish_reason"] == "stop"


def test_probes_read_what_was_exported(tmp_path: Path) -> None:
    tokenizer = task_tokenizer()
    folder = saved(tmp_path / "model", tokenizer)
    export_gguf(str(folder), tmp_path / "m.gguf")
    read, _ = open_gguf(tmp_path / "m.gguf", tokenizer, torch.float32)
    ids = torch.tensor([tokenizer(TEXTS[0])["input_ids"]])
    assert read.config.n_positions == 96
    with torch.inference_mode():
        torch.testing.assert_close(read(ids).logits, GPT2LMHeadModel.from_pretrained(folder)(ids).logits)


def _shipped(name: str) -> Path:
    from aritmo.shipped import shipped_folder

    return shipped_folder(name)


def check_llama_cpp(file: Path, name: str, context: int, within: float = 0.02) -> Any:
    """Hold llama.cpp's next-token distributions against transformers'; return the server that gave them."""
    llama = pytest.importorskip("xllamacpp", reason="xllamacpp, which brings llama.cpp, is not installed")
    model, tokenizer = open_model(name, context=context)
    params = llama.CommonParams()
    params.model.path = str(file)
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads, params.warmup = context, 1, 1, False
    params.cache_type_k = params.cache_type_v = llama.ggml_type.GGML_TYPE_F32
    server = llama.Server(params)
    for text in TEXTS:
        (ids,) = encode_batch(tokenizer, [text])
        wanted = min(model.config.vocab_size, 200)
        answer = server.handle_completions(
            {"prompt": text, "max_tokens": 1, "temperature": 0.0, "logprobs": wanted}
        )
        assert answer["usage"]["prompt_tokens"] == len(ids)
        (found,) = answer["choices"][0]["logprobs"]["content"]
        given = {of["id"]: of["logprob"] for of in found["top_logprobs"]}
        with torch.no_grad():
            expected = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        likely = [id for id in given if expected[id] > -12]
        assert len(likely) >= min(20, int((expected > -12).sum()))
        # llama.cpp looks GELU up in a table of half precision.
        assert max(abs(given[id] - float(expected[id])) for id in likely) < within
        assert max(given, key=lambda id: given[id]) == int(expected.argmax())
    return server


def test_an_adapter_is_merged(tmp_path: Path) -> None:
    folder = saved(tmp_path / "base", task_tokenizer())
    model, tokenizer = open_model(str(folder), context=96)
    adapted = add_adapter(model, 4, str(folder), 3)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter.data, std=0.3)
    adapted.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    made = export_gguf(str(tmp_path / "adapter"), tmp_path / "m.gguf")
    assert 0 <= made.difference < 1e-2


def test_what_llama_cpp_cannot_run_is_refused_in_one_sentence(tmp_path: Path) -> None:
    task = task_tokenizer()
    torch.manual_seed(1)
    config = GPTJConfig(vocab_size=len(task), n_positions=64, n_embd=16, n_layer=1, n_head=2, rotary_dim=4)
    GPTJForCausalLM(config).save_pretrained(tmp_path / "gptj")
    task.save_pretrained(tmp_path / "gptj")
    saved(tmp_path / "relu", task, activation_function="relu")
    saved(tmp_path / "inverse", task, scale_attn_by_inverse_layer_idx=True)
    saved(tmp_path / "symbols", symbol_tokenizer([" 12", " 3", "\n", "<end>"], "<end>"))
    for folder, sentence in (
        (_shipped("adder"), "this model's are coupled by digit place"),
        (_shipped("squares"), "GGUF is written of GPT-2 only, and this model is a llama"),
        (tmp_path / "gptj", "llama.cpp does not run GPT-J"),
        (tmp_path / "relu", "has the activation gelu_new, not relu"),
        (tmp_path / "inverse", "scales attention by the width of a head alone"),
        (tmp_path / "symbols", "llama.cpp has no tokenizer that cuts texts as this model's does"),
        (tmp_path / "nowhere", "there is no run or model folder"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            export_gguf(str(folder), tmp_path / "m.gguf")
        assert not list(tmp_path.glob("*.gguf*")) + list(tmp_path.glob(".m*"))


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_text("mine")
    with pytest.raises(ValueError, match=r"m\.gguf is there already"):
        export_gguf(str(_shipped("tutor")), tmp_path / "m.gguf")
    assert (tmp_path / "m.gguf").read_text() == "mine"
