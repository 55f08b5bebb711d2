"""Adapters: small matrices trained beside a model whose own weights stand still, through peft.

LoRA is Hu et al. (2021), arXiv 2106.09685; with a base of 8 or 4 bits it is QLoRA, Dettmers et al. (2023),
arXiv 2305.14314. A folder with an adapter holds its weights and the name of its base, not the base.
"""

import json
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_NAME = "default"


def check_extra(bits: int = 32) -> None:
    """Raise ValueError unless what adapters need is installed, and for a base of few bits what that needs."""
    if find_spec("peft") is None:
        raise ValueError("adapters need peft, which is not installed: run «pip install 'aritmo[lora]'»")
    from transformers.integrations.peft import MIN_PEFT_VERSION, check_peft_version

    try:
        check_peft_version(min_version=MIN_PEFT_VERSION)
    except ValueError as error:
        raise ValueError(
            f"transformers {version('transformers')} goes with peft {MIN_PEFT_VERSION} or later, and "
            f"{version('peft')} is installed: run «pip install 'aritmo[lora]'», which takes a pair that fits"
        ) from error
    if bits in (4, 8) and find_spec("bitsandbytes") is None:
        raise ValueError(
            f"a base of {bits} bits needs bitsandbytes, which is not installed: "
            "run «pip install 'aritmo[qlora]'», or choose --base-bits 16"
        )


def quantised(bits: int) -> Any:
    """Return how transformers is to load a base of 8 or 4 bits; None for 16 and 32, which are plain types."""
    if bits not in (4, 8):
        return None
    from transformers import BitsAndBytesConfig

    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def add_adapter(model: PreTrainedModel, rank: int, base: str, seed: int) -> PreTrainedModel:
    """Put a fresh LoRA adapter on every matrix of every block, in place, and return the model.

    Its scale is 2 (alpha is twice the rank); it is drawn from the seed and begins as no change at all. Only
    it bears gradients, in fp32. ``base`` is the name under which the model opens again.
    """
    check_extra()
    from peft import LoraConfig

    # peft finds GPT-2's matrices, kept as inputs by outputs, by their type, and turns them itself.
    flipped = model.config.model_type == "gpt2"
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        fan_in_fan_out=flipped,
    )
    model.name_or_path = base  # what transformers writes down as the base
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.add_adapter(config, adapter_name=_NAME)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def is_adapted(model: PreTrainedModel) -> bool:
    """Return whether a model bears an adapter."""
    return bool(getattr(model, "_hf_peft_config_loaded", False))


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter in place of a whole model."""
    return (folder / _CONFIG).is_file()


def base_of(folder: Path) -> str:
    """Return the name of an adapter's base. Raises ValueError where the folder does not say it."""
    try:
        base = json.loads((folder / _CONFIG).read_bytes())["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the {_CONFIG} of folder {folder} names no base; fetch the adapter again") from error
    if not isinstance(base, str) or not base:
        raise ValueError(f"the {_CONFIG} of folder {folder} names no base; fetch the adapter again")
    return base


def put_on(folder: Path, model: PreTrainedModel) -> PreTrainedModel:
    """Put the adapter of a folder on its base, in place, and return the model."""
    check_extra()
    from peft import LoraConfig

    if not (folder / _WEIGHTS).is_file():
        raise ValueError(f"folder {folder} holds no {_WEIGHTS}; give a folder with an adapter as safetensors")
    config = LoraConfig.from_pretrained(str(folder))
    model.add_adapter(config, adapter_name=_NAME)
    load_adapter(folder, model)
    return model


def load_adapter(folder: Path, model: PreTrainedModel) -> None:
    """Put the weights of a folder's adapter into that of a model. Raises RuntimeError where they do not fit."""
    from peft import set_peft_model_state_dict

    found: Any = set_peft_model_state_dict(model, load_file(folder / _WEIGHTS), adapter_name=_NAME)
    lacking = [name for name in found.missing_keys if "lora_" in name]
    if found.unexpected_keys or lacking:
        raise RuntimeError(f"the adapter of {folder} is for another model")


def merge(model: PreTrainedModel) -> PreTrainedModel:
    """Add an adapter's matrices to the weights they stand beside, in place, and return the plain model."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, module.get_base_layer())
    model._hf_peft_config_loaded = False
    if hasattr(model, "peft_config"):
        del model.peft_config
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model
