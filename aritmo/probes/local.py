"""A model on this machine, asked as it is: a Hugging Face folder or name, a run of aritmo, or a GGUF file."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from aritmo.choosing import SamplingConfig
from aritmo.experiment import newest_model
from aritmo.models import complete, open_model, open_quantised, open_tokenizer, quiet_transformers
from aritmo.probes.prompts import Item
from aritmo.sampling import write
from aritmo.screen import first_line
from aritmo.tokens import encode_batch

Record = dict[str, Any]

_MAGIC = b"GGUF"
_SPARE = 4
"""Tokens that a model may write more than a right answer has: what is cut off there is wrong already."""
_AT_ONCE = {"cpu": 16, "cuda": 256}
"""Texts that are written at once, and so are lost together where a probe is stopped."""
_BITS = {32: torch.float32, 16: torch.bfloat16}


class Local:
    """A model that is held in memory. ``head`` are the tokens that its tokenizer puts before any text."""

    def __init__(
        self, name: str, bits: int | None = None, tokenizer: str | None = None, batch_size: int | None = None
    ) -> None:
        """Open a model, as ``open_model`` does or from a GGUF file.

        ``bits`` are those of a weight: 32, 16 (bf16), 8 or 4; without it 16 on a GPU and 32 elsewhere.
        Raises ValueError in one sentence for what cannot be had.
        """
        device = "cuda" if torch.cuda.is_available() else "cpu"
        given = open_tokenizer(tokenizer) if tokenizer else None
        self.bits = bits or (16 if device == "cuda" else 32)
        self.name, self.batch_size = name, batch_size or _AT_ONCE[device]
        self.model: PreTrainedModel
        self.tokenizer: PreTrainedTokenizerBase
        if self.bits in (4, 8):
            if is_gguf(name):
                raise ValueError(f"the weights in {name} have as many bits as they have: leave out --bits {bits}")
            self.model, self.tokenizer = open_quantised(newest_model(name), given, self.bits)
        elif is_gguf(name):
            self.model, self.tokenizer = open_gguf(Path(name), given, _BITS[self.bits])
            self.model.to(device)
        else:
            self.model, self.tokenizer = open_model(
                newest_model(name), tokenizer=given, context=2, dtype=_BITS[self.bits], device=device
            )
        check_digits(name, self.tokenizer)
        self.head = head_of(self.tokenizer)

    def account(self) -> Record:
        """Return what is written down of the model: its kind, size and precision, and its tokenizer."""
        config = self.model.config
        return {
            "kind": "GGUF file" if is_gguf(self.name) else "local",
            "architecture": str(config.model_type),
            "parameters": int(self.model.num_parameters()),
            "bits": self.bits,
            "device": torch.cuda.get_device_name() if self.model.device.type == "cuda" else "CPU",
            "tokens_known": len(self.tokenizer),
            "first_token": self.tokenizer.decode(self.head) if self.head else None,
        }

    def write(self, items: Sequence[Item], temperature: float, seed: int) -> Iterator[str]:
        """Yield what the model writes on each prompt, in their order; their indices follow one another.

        A text ends with the end token, or a little after a right answer of its group would have ended.
        """
        right = encode_batch(self.tokenizer, [item.right for item in items])
        config = SamplingConfig(
            max_new_tokens=max(map(len, right)) + _SPARE,
            temperature=temperature,
            batch_size=self.batch_size,
            seed=seed,
        )
        for at in range(0, len(items), self.batch_size):
            some = items[at : at + self.batch_size]
            prompts = [item.prompt for item in some]
            written = write(
                self.model, self.tokenizer, prompts, config, start=some[0].index, progress=False, head=self.head
            )
            for one in written:
                yield one.text


def is_gguf(name: str) -> bool:
    """Return whether a name is meant as a GGUF file: by its ending, or because it begins like one."""
    path = Path(name)
    if path.suffix.lower() == ".gguf":
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def check_local(name: str, tokenizer: str | None) -> None:
    """Raise ValueError for a model that is not there or whose tokenizer cannot be read, before any is opened."""
    if is_gguf(name):
        check_gguf(Path(name))
    elif tokenizer is None:
        check_digits(name, open_tokenizer(newest_model(name)))


def check_digits(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise ValueError for a tokenizer that cannot write a number back.

    Where a folder holds none, transformers makes an empty one of the model's kind.
    """
    (ids,) = encode_batch(tokenizer, ["57+43="])
    if not ids or "57+43=" not in tokenizer.decode(ids).replace(" ", ""):
        raise ValueError(
            f"model {name} has no tokenizer that can write 57+43= back: put its tokenizer.json beside the "
            "weights, or give --tokenizer"
        )


def check_gguf(path: Path) -> None:
    """Raise ValueError unless a file is there and begins like a GGUF, and what reads it is installed."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}: check the path of the GGUF")
    with path.open("rb") as file:
        begin = file.read(len(_MAGIC))
    if begin != _MAGIC:
        raise ValueError(f"{path} is no GGUF file: it begins with {begin!r}, not {_MAGIC!r}; fetch it again")
    if find_spec("gguf") is None:
        raise ValueError("GGUF files need gguf, which is not installed: run «pip install 'aritmo[gguf]'»")


def open_gguf(
    path: Path, tokenizer: PreTrainedTokenizerBase | None, dtype: torch.dtype
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the model of a GGUF file, its weights taken out of their packing to ``dtype``, and its tokenizer.

    Raises ValueError where the file is none, is damaged, or is of an architecture that transformers does not read.
    """
    check_gguf(path)
    folder, name = str(path.parent), path.name
    # What a damaged file leads to there is of any kind: IndexError, KeyError, struct.error, MemoryError, ...
    try:
        with _quiet():
            tokenizer = tokenizer or AutoTokenizer.from_pretrained(folder, gguf_file=name, trust_remote_code=False)
    except Exception as error:
        raise ValueError(
            f"no tokenizer can be read from {path} ({first_line(error, 200)}): fetch it again, or give --tokenizer"
        ) from error
    try:
        with _quiet():
            config = AutoConfig.from_pretrained(folder, gguf_file=name, trust_remote_code=False)
            if config.model_type == "gpt2":  # whose length transformers reads and does not use
                config.n_positions = config.n_ctx
            model, loading = AutoModelForCausalLM.from_pretrained(
                folder,
                gguf_file=name,
                config=config,
                dtype=dtype,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:
        raise ValueError(
            f"the model in {path} cannot be read ({first_line(error, 200)}): it is damaged, or transformers does "
            "not know its architecture as GGUF"
        ) from error
    if lacking := sorted(loading["missing_keys"]):
        raise ValueError(f"{path} lacks {len(lacking):,} of its tensors, such as {lacking[0]}: fetch it again")
    return model.eval(), complete(tokenizer)


def head_of(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens that a tokenizer puts before any text, such as the sign that begins one."""
    whole: list[int] = tokenizer("1").input_ids
    bare: list[int] = tokenizer("1", add_special_tokens=False).input_ids
    starts = (at for at in range(len(whole)) if whole[at : at + len(bare)] == bare)
    return whole[: next(starts, 0)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep off the bars that transformers draws of its own, those past its own switch too."""
    with quiet_transformers(), redirect_stderr(io.StringIO()):
        yield
