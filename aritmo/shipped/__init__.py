"""Trained models that come with the package, each in a folder of its name with its model card."""

from dataclasses import dataclass, field
from pathlib import Path

from aritmo.files import file_hash


@dataclass(frozen=True, slots=True)
class Shipped:
    """What a shipped model was trained to write, and the sha256 of its ``model.safetensors``.

    ``writes`` holds each task and style with the most digits of a number; None leaves that to its position ids.
    ``tokens`` is how many it may write at most where that is not told by the right text.
    """

    writes: dict[tuple[str, str], int | None]
    sha256: str
    tokens: dict[tuple[str, str], int] = field(default_factory=dict)

    def styles(self, task: str) -> list[str]:
        return [style for of, style in self.writes if of == task]


SHIPPED = {
    "adder": Shipped(
        {("addition", "aligned"): None}, "a4306463cb2ab088acab778109403742b6e22d1d5560702fbc630f77e079a82a"
    ),
    "tutor": Shipped(
        {("addition", "tutorial"): 12, ("decomposition", "joined"): 7, ("decomposition", "spaced"): 7},
        "3534d7f738e3c5f18aab08786698baca4395a4e2c89b8032ce4333faa5aef5ac",
    ),
    "squares": Shipped(
        # A centre that is too large has a sentence of its own, so longer numbers are read.
        {("squares", "tutorial"): 6, ("primality", "halves"): 4},
        "86ef54a3eec27359fa6614ef51ec69e89c23ba432f72d0e1448205ed4d6dc394",
        {("squares", "tutorial"): 7600, ("primality", "halves"): 1},
    ),
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
