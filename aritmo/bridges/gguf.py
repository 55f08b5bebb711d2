"""A trained GPT-2 as one GGUF file for llama.cpp, its tokenizer in it, proved to compute the same.

Names and shapes are those of llama.cpp's architecture ``gpt2`` (its «gguf-py/gguf/constants.py»). A GPT-2 BPE is
written as such. aritmo's own tokenizers, which take the longest word or else one character, become llama.cpp's
type ``rwkv``, which cuts so too. Weights stay float32; llama.cpp's own tool makes smaller files of them.
"""

import json
import os
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, PreTrainedTokenizerBase

from aritmo.bridges import need
from aritmo.export import Exported, compared, opened_source
from aritmo.models import quiet_transformers

_TENSORS = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}
_IN_BLOCK = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
_CONVERTER = "llama.cpp's own convert_hf_to_gguf.py may take the folder that «aritmo export» writes"


def export_gguf(source: str, out: Path) -> Exported:
    """Write the model of a run, checkpoint or folder to the new GGUF file ``out``, an adapter merged into it.

    The file is read again by transformers, and its logits are compared with the source's. Raises ValueError where
    ``out`` is there, for what llama.cpp cannot run, or where anything differs; then nothing is left.
    """
    need("gguf", "export to GGUF")
    if out.exists() or out.is_symlink():
        raise ValueError(f"{out} is there already: remove it or choose another file")
    opened = opened_source(source)
    _check_runs(opened.model)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        _write(opened.model, opened.tokenizer, opened.texts, beside)
        difference = compared(_read(beside, opened.model.config), opened.tokenizer, opened)
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
    return Exported(out, opened.folder, len(opened.texts), difference)


def _check_runs(model: PreTrainedModel) -> None:
    """Raise ValueError, one sentence, for a model that llama.cpp cannot run or that is not written here."""
    config = model.config
    if getattr(config, "ids_a_place", 0):
        raise ValueError(
            "llama.cpp counts positions one by one, this model's are coupled by digit place: it cannot run there"
        )
    if config.model_type == "gptj":
        raise ValueError("llama.cpp does not run GPT-J, so there is no GGUF of it: leave --format gguf out")
    if config.model_type != "gpt2":
        raise ValueError(f"GGUF is written of GPT-2 only, and this model is a {config.model_type}: {_CONVERTER}")
    if config.activation_function not in _GELU:
        raise ValueError(
            f"llama.cpp's GPT-2 has the activation gelu_new, not {config.activation_function}: it cannot run there"
        )
    if not config.scale_attn_weights or config.scale_attn_by_inverse_layer_idx:
        raise ValueError("llama.cpp's GPT-2 scales attention by the width of a head alone: it cannot run there")


def _write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str], path: Path) -> None:
    from gguf import GGUFWriter

    config: GPT2Config = model.config
    writer = GGUFWriter(path, "gpt2")
    writer.add_context_length(config.n_positions)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(config.n_inner or 4 * config.n_embd)
    writer.add_head_count(config.n_head)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_file_type(0)  # all float32
    _add_tokenizer(writer, tokenizer, texts, model.get_input_embeddings().num_embeddings)
    for name, tensor in _tensors(model):
        writer.add_tensor(name, tensor)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _tensors(model: PreTrainedModel) -> list[tuple[str, Any]]:
    """Return each tensor under llama.cpp's name; GPT-2 holds its matrices the other way round."""
    found = []
    tied = model.config.tie_word_embeddings
    for name, tensor in model.state_dict().items():
        stem, _, kind = name.rpartition(".")
        parts = stem.split(".")
        if stem == "lm_head":
            if tied:
                continue
            new = "output"
        elif parts[1] == "h":
            new = f"blk.{parts[2]}.{_IN_BLOCK['.'.join(parts[3:])]}"
        else:
            new = _TENSORS[parts[1]]
        turned = tensor.T if kind == "weight" and parts[-1].startswith("c_") else tensor
        found.append((f"{new}.{kind}", np.ascontiguousarray(turned.float().cpu().numpy())))
    return found


def _add_tokenizer(writer: Any, tokenizer: PreTrainedTokenizerBase, texts: list[str], rows: int) -> None:
    """Write the tokenizer, and after it names for the rows of the model that are no token."""
    from gguf import TokenType

    said = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = tokenizer.get_vocab()
    spelled = _bpe(said) or _longest_first(said, vocabulary)
    if spelled is None:
        raise ValueError(
            "llama.cpp has no tokenizer that cuts texts as this model's does: it takes GPT-2's, and aritmo's own "
            "that have every single character"
        )
    kind, pre, merges = spelled
    names = {id: token for token, id in vocabulary.items()}
    special = set(tokenizer.all_special_ids)
    tokens = [_shown(names[id], kind) if id in names else f"[PAD{id}]" for id in range(rows)]
    types = [
        TokenType.CONTROL if id in special else TokenType.NORMAL if id in names else TokenType.UNUSED
        for id in range(rows)
    ]
    writer.add_tokenizer_model(kind)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if merges:
        writer.add_token_merges(merges)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_bos_token_id(tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id)
    if tokenizer.unk_token_id is not None:
        writer.add_unk_token_id(tokenizer.unk_token_id)
    writer.add_add_bos_token(False)
    if kind == "rwkv":
        _check_cuts(tokenizer, vocabulary, texts)


def _bpe(said: dict[str, Any]) -> tuple[str, str, list[str]] | None:
    """Return llama.cpp's names for a tokenizer like GPT-2's, and its merges; None for others."""
    before = said["pre_tokenizer"] or {}
    plain = before.get("type") == "ByteLevel" and before.get("use_regex", True) and not before["add_prefix_space"]
    if said["model"]["type"] != "BPE" or not plain or said["normalizer"]:
        return None
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in said["model"]["merges"]]
    return "gpt2", "gpt-2", merges


def _longest_first(said: dict[str, Any], vocabulary: dict[str, int]) -> tuple[str, str, list[str]] | None:
    """Return llama.cpp's names for a tokenizer of aritmo; None where it is none or lacks a first character.

    Without that llama.cpp would not get past a text that only begins like a token.
    """
    before, model = said["pre_tokenizer"] or {}, said["model"]
    ours = model["type"] == "WordLevel" and before.get("type") == "Split" and before.get("behavior") == "Isolated"
    if not ours or any(token[0] not in vocabulary or not token.isascii() for token in vocabulary):
        return None
    return "rwkv", "default", []


def _shown(token: str, kind: str) -> str:
    """Return a token as the file holds it: of type ``rwkv`` with escapes."""
    return token.encode("unicode_escape").decode("ascii") if kind == "rwkv" else token


def _check_cuts(tokenizer: PreTrainedTokenizerBase, vocabulary: dict[str, int], texts: list[str]) -> None:
    """Raise ValueError unless the longest token first, as llama.cpp cuts, cuts texts as the tokenizer does."""
    longest = max(map(len, vocabulary))
    for text in texts:
        ids, at = [], 0
        while at < len(text):
            ends = range(min(len(text), at + longest), at, -1)
            end = next((end for end in ends if text[at:end] in vocabulary), at + 1)
            ids.append(vocabulary.get(text[at:end], tokenizer.unk_token_id))
            at = end
        if ids != tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]:
            raise ValueError(f"llama.cpp would cut {text[:40]!r} otherwise than this model's tokenizer does")


def _read(path: Path, config: GPT2Config) -> PreTrainedModel:
    """Return the model in a GGUF file, its tensors taken from there and nothing else but the config."""
    with quiet_transformers(), redirect_stderr(StringIO()):  # a bar that transformers draws all the same
        model = GPT2LMHeadModel.from_pretrained(
            path.parent, gguf_file=path.name, config=config, dtype=torch.float32
        )
    for parameter in model.parameters():  # turned round they would be multiplied in another order
        parameter.data = parameter.data.contiguous()
    return model.eval()
