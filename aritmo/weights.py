"""Weights as transformers writes them, read into numpy: for models that answer without torch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from aritmo.files import read_bounded

_MOST = 4 << 30
"""Bytes of weights that are read: numpy is too slow for models that have more."""

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
M = TypeVar("M")


def open_folder(folder: Path, make: Callable[[dict[str, Any], dict[str, Floats]], M]) -> M:
    """Return what ``make`` makes of a folder's config.json and the tensors of its model.safetensors, in float32.

    They may be stored as float32, float16 or bfloat16. Raises ValueError where a file is damaged or ``make``
    misses a tensor (KeyError).
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        content = read_bounded(folder / "model.safetensors", _MOST)
        tensors = deserialize(content)  # type: ignore[no-untyped-call]
        return make(config, {name: _floats(**tensor) for name, tensor in tensors})
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"the model in {folder} is damaged ({error}); fetch it again") from None


def _floats(dtype: str, shape: list[int], data: bytes) -> Floats:
    """Return a stored tensor in float32; a bfloat16 is the upper half of a float32."""
    kinds = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
    if dtype not in kinds:
        raise ValueError(f"a tensor is stored as {dtype}; store the model as float32, float16 or bfloat16")
    stored = np.frombuffer(data, dtype=kinds[dtype]).reshape(shape)
    if dtype == "BF16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32)
