"""Open a model by name: ``tiny`` made on the spot, a shipped one, GPT-2 and GPT-J, a folder, or any of the Hub.

Weights come from safetensors only, and code that lies in a model folder is never run.
"""

import difflib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPTJConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from aritmo.adapters import add_adapter, base_of, check_extra, is_adapter, put_on, quantised
from aritmo.files import check_name, read_bounded, size
from aritmo.hub import local_only, not_there
from aritmo.numbers.randomness import seed_of
from aritmo.screen import first_line
from aritmo.shipped import SHIPPED, shipped_folder

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_ATTENTION = ("eager", "sdpa", "flash_attention_2", "flex_attention")
"""Ways to compute attention that need no code of the model's own."""
_LAYERS = 4096
"""Layers of a model at most: the deepest known have some hundred."""
_TOLD, _TOKENIZER = 64 << 20, 512 << 20
"""Bytes of a folder's JSON files, and of those that hold a vocabulary."""


KNOWN = {
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "gpt-j-6b": "EleutherAI/gpt-j-6b",
}
"""Short names and the Hub names they stand for."""

Init = Literal["pretrained", "scratch"]
"""Where weights come from: files, or a draw from the seed as the architecture draws its own."""


def known_config(name: str) -> PretrainedConfig:
    """Return the config of a name of ``KNOWN``, with no network.

    Sizes are those of Radford et al., Language models are unsupervised multitask learners (2019), table 2,
    and of EleutherAI's GPT-J-6B, which are GPTJConfig's own defaults.
    """
    if name == "gpt-j-6b":
        return GPTJConfig(tie_word_embeddings=False)
    layers, width, heads = {
        "gpt2": (12, 768, 12),
        "gpt2-medium": (24, 1024, 16),
        "gpt2-large": (36, 1280, 20),
        "gpt2-xl": (48, 1600, 25),
    }[name]
    return GPT2Config(n_layer=layers, n_embd=width, n_head=heads)


def open_model(
    name: str,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    context: int = 1024,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    init: Init = "pretrained",
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a model and its tokenizer, in evaluation mode.

    ``name`` is ``tiny``, a shipped model's, a short name of ``KNOWN``, a folder, or a Hub name («owner/name»).
    ``tokenizer`` replaces the one that lies beside the weights; ``tiny`` has none of its own.
    ``context`` is how many tokens the model must take at once; ``seed`` draws the weights of ``tiny``, and of any
    model with ``init="scratch"``, which needs a config but no weights, and has as many tokens as the
    ``tokenizer`` given. An adapter's folder opens as its base with the adapter on it.
    Raises ValueError in one sentence for a name, folder or file that cannot be used.
    """
    if (folder := Path(name)).is_dir() and is_adapter(folder):
        tokenizer = tokenizer or _tokenizer(name, name)
        base, _ = open_model(base_of(folder), tokenizer=tokenizer, context=context)
        return put_on(folder, base).to(device=device, dtype=dtype).eval(), tokenizer
    if name == "tiny":
        if tokenizer is None:
            raise ValueError("model tiny has no tokenizer of its own; give one, such as digit_tokenizer(words)")
        model = _tiny(tokenizer, context, seed)
    else:
        fresh = init == "scratch"
        source = _source(name, weights=not fresh)
        config = known_config(name) if fresh and name in KNOWN else _config(name, source)
        longest = getattr(config.get_text_config(), "max_position_embeddings", None)
        if longest is not None and longest < context:
            raise ValueError(
                f"model {name} takes {longest:,} tokens at once, not {context:,}; lower training.context"
            )
        if fresh and tokenizer is not None:
            config.vocab_size = len(tokenizer)
            config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
            config.pad_token_id = tokenizer.pad_token_id  # its own may lie beyond the vocabulary
        tokenizer = tokenizer or _tokenizer(name, source)
        model = _drawn(config, seed) if fresh else _weights(name, source, config, dtype)
    if len(tokenizer) > (rows := model.get_input_embeddings().num_embeddings):
        raise ValueError(
            f"the tokenizer has {len(tokenizer):,} tokens and model {name} knows {rows:,}; "
            "use the tokenizer that belongs to the model"
        )
    complete(tokenizer)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model.to(device=device, dtype=dtype).eval(), tokenizer


def open_adapted(
    name: str, tokenizer: PreTrainedTokenizerBase | None, context: int, seed: int, rank: int, bits: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a model with a fresh adapter of that rank on it, and its tokenizer.

    ``bits`` are those of the weights that stand still: 32, 16 (bf16), 8 or 4. Names and errors as in
    ``open_model``; ValueError also for ``tiny``, which has no weights to stand still, and for what is missing.
    """
    check_extra(bits)
    if name == "tiny":
        raise ValueError(
            "model tiny has no learned weights for an adapter; choose another model or --adapter none"
        )
    source = _source(name)
    if bits in (4, 8):
        if not torch.cuda.is_available():
            raise ValueError(f"a base of {bits} bits needs a GPU, and there is none here; choose --base-bits 16")
        model, tokenizer = _quantised(name, source, tokenizer, bits)
    else:
        dtype = torch.float32 if bits == 32 else torch.bfloat16
        model, tokenizer = open_model(name, tokenizer=tokenizer, context=context, dtype=dtype)
    base = str(Path(source).resolve()) if Path(source).is_dir() else source
    return add_adapter(model, rank, base, seed_of("adapter", seed)), tokenizer


def set_dropout(model: PreTrainedModel, share: float) -> None:
    """Let a model drop this share of what its blocks make, at random, while it learns; its config says so too."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share
    for name in ("attn_pdrop", "resid_pdrop", "embd_pdrop"):
        if hasattr(model.config, name):
            setattr(model.config, name, share)


def open_quantised(
    name: str, tokenizer: PreTrainedTokenizerBase | None, bits: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a model whose weights take 8 or 4 bits each, on the GPU, and its tokenizer: to ask, not to train.

    Names and errors as in ``open_model``; ValueError also where there is no GPU or no bitsandbytes.
    """
    if find_spec("bitsandbytes") is None:
        raise ValueError(
            f"weights of {bits} bits need bitsandbytes, which is not installed: "
            "run «pip install 'aritmo[qlora]'», or leave out --bits"
        )
    if not torch.cuda.is_available():
        raise ValueError(f"weights of {bits} bits need a GPU, and there is none here: leave out --bits")
    return _quantised(name, _source(name), tokenizer, bits)


def _quantised(
    name: str, source: str, tokenizer: PreTrainedTokenizerBase | None, bits: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    config, tokenizer = _config(name, source), complete(tokenizer or _tokenizer(name, source))
    return _weights(name, source, config, torch.bfloat16, bits).eval(), tokenizer


def open_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model without its weights; names and errors as in ``open_model``."""
    if name == "tiny":
        raise ValueError("model tiny has no tokenizer of its own; give one, such as digit_tokenizer(words)")
    source = _source(name, weights=False)
    _config(name, source)
    return complete(_tokenizer(name, source))


def complete(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Give a tokenizer the end and pad tokens it lacks and return it.

    Padding may be the end token, as for GPT-2, since training and sampling mask by place and never by
    token. Raises ValueError where there is no token to end a text with.
    """
    if tokenizer.eos_token_id is None:
        if tokenizer.bos_token_id is None:
            raise ValueError("the tokenizer has no end token; set eos_token in its tokenizer_config.json")
        tokenizer.eos_token = tokenizer.bos_token
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers from drawing bars and tables of its own while it reads or writes weights."""
    bars = transformers_logging.is_progress_bar_enabled()
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()


def _tiny(tokenizer: PreTrainedTokenizerBase, context: int, seed: int) -> PreTrainedModel:
    """Make a GPT-2 of two layers; its GELU is GPT-2's own, computed by one fused kernel."""
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=context,
        n_embd=128,
        n_layer=2,
        n_head=4,
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("tiny", seed))
        return GPT2LMHeadModel(config)


def _drawn(config: PretrainedConfig, seed: int) -> PreTrainedModel:
    """Make a model of that config whose weights follow from the seed, drawn as its architecture draws them."""
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed_of("scratch", seed))
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


def _source(name: str, weights: bool = True) -> str:
    """Return the folder or Hub name behind ``name``, once its files have been looked at."""
    if name in KNOWN:
        return KNOWN[name]
    if name in SHIPPED:
        return str(shipped_folder(name))
    folder = Path(name)
    if folder.is_dir():
        _check_folder(folder, weights)
        return name
    if folder.exists():
        raise ValueError(f"model {name} is a file; give the folder that holds config.json and *.safetensors")
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    close = difflib.get_close_matches(name, ["tiny", *SHIPPED, *KNOWN], n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(close)}?" if close else f"known are tiny, {', '.join([*SHIPPED, *KNOWN])}"
    raise ValueError(f"there is no model {name!r} and no folder of that name; {meant} (Hub names read owner/name)")


def _check_folder(folder: Path, weights: bool) -> None:
    if not (folder / "config.json").is_file():
        raise ValueError(f"folder {folder} holds no config.json; give the folder of a Hugging Face model")
    for file in folder.glob("*.json"):
        most = _TOKENIZER if file.name.startswith("tokenizer") else _TOLD
        if file.stat().st_size > most:
            raise ValueError(f"{file} holds more than {size(most)}, too much for what it should be")
    _check_named(folder)
    if not weights or any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickled:
        raise ValueError(
            f"folder {folder} holds only pickled weights ({pickled[0]}), which can run code when opened; "
            "save the model again as safetensors"
        )
    raise ValueError(f"folder {folder} holds no *.safetensors weights; save the model there with save_pretrained")


def _check_named(folder: Path) -> None:
    """Raise ValueError where a folder's index of weights names a file that is none of the folder's own."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    try:
        names = set(json.loads(read_bounded(index, _TOLD))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{index} is no index of weights ({first_line(error)}); fetch the model again") from None
    for name in names:
        check_name(name, str(index))


def _config(name: str, source: str) -> PretrainedConfig:
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False, local_files_only=local_only(source))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        if Path(source).is_dir():
            raise ValueError(
                f"the config.json of model {name} is not one that transformers knows ({first_line(error)})"
            ) from error
        raise not_there(name) from error
    attention = getattr(config, "_attn_implementation", None)
    if attention is not None and attention not in _ATTENTION:
        raise ValueError(
            f"the config.json of model {name} asks for the attention {str(attention)!r:.60}, which is code from "
            f"elsewhere; take that line out, or write one of {', '.join(_ATTENTION)}"
        )
    layers = getattr(config.get_text_config(), "num_hidden_layers", 0) or 0
    if layers > _LAYERS:
        raise ValueError(f"the config.json of model {name} asks for {layers:,} layers, more than {_LAYERS:,}")
    if type(config) not in AutoModelForCausalLM._model_mapping:
        raise ValueError(f"model {name} is of type {config.model_type}, which is no causal language model")
    return config


def _tokenizer(name: str, source: str) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False, local_files_only=local_only(source))
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ValueError(
            f"model {name} has no tokenizer that can be read beside its weights ({first_line(error)}); "
            "put its tokenizer.json there"
        ) from error


def _weights(
    name: str, source: str, config: PretrainedConfig, dtype: torch.dtype, bits: int = 16
) -> PreTrainedModel:
    try:
        with quiet_transformers():
            model, loading = AutoModelForCausalLM.from_pretrained(
                source,
                config=config,
                dtype=dtype,
                # A config that holds this says that the file holds weights of few bits.
                quantization_config=quantised(bits),
                ignore_mismatched_sizes=True,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=local_only(source),
                output_loading_info=True,
            )
    except SafetensorError as error:
        raise ValueError(
            f"the weights of model {name} are damaged ({first_line(error)}); fetch them again"
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        if Path(source).is_dir():
            raise ValueError(
                f"the weights of model {name} do not fit its config.json ({first_line(error)}); fetch both again"
            ) from error
        raise not_there(name) from error
    _check_complete(name, loading)
    return model


def _check_complete(name: str, loading: dict[str, Any]) -> None:
    """Refuse weights that transformers would silently replace by random ones."""
    for what in ("missing_keys", "mismatched_keys"):
        if found := sorted(key if isinstance(key, str) else key[0] for key in loading[what]):
            raise ValueError(
                f"the weights of model {name} lack {len(found):,} of the tensors that its config.json "
                f"asks for, such as {found[0]}; fetch them again"
            )
