"""Trained models that come with the package, each in a folder of its name with its model card."""

from dataclasses import dataclass
from pathlib import Path

from aritmo.files import file_hash


@dataclass(frozen=True, slots=True)
class Shipped:
    """What a shipped model was trained to write, and the sha256 of its ``model.safetensors``."""

    task: str
    style: str
    sha256: str


SHIPPED = {
    "adder": Shipped("addition", "aligned", "a4306463cb2ab088acab778109403742b6e22d1d5560702fbc630f77e079a82a"),
}
"""The shipped models by name; of several that write a task in the same style the first is asked."""


def shipped_folder(name: str) -> Path:
    """Return the folder of a shipped model. Raises ValueError where its weights are not what was shipped."""
    folder = Path(__file__).parent / name
    weights = folder / "model.safetensors"
    if not weights.is_file() or file_hash(weights) != SHIPPED[name].sha256:
        raise ValueError(
            f"the weights of the shipped model {name} in {folder} are missing or damaged: install aritmo again"
        )
    return folder
