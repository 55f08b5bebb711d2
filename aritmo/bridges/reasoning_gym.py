"""aritmo's tasks as datasets of reasoning-gym: ``config``, ``[i]`` and ``score_answer``, split by family.

Unlike in reasoning-gym's own datasets an item comes from sha256 over task, version, split, seed and index, so that
neighbouring seeds share nothing; a score is 1 or 0, and text around an answer makes it wrong.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from aritmo.bridges import missing
from aritmo.bridges.problems import Source, source, written
from aritmo.bridges.scoring import check_measure, score

try:
    from reasoning_gym.dataset import ProceduralDataset
    from reasoning_gym.factory import DATASETS, register_dataset
except ImportError as error:
    raise missing("reasoning_gym") from error

Entry = dict[str, Any]


@dataclass
class Config:
    """What a dataset is made of: reasoning-gym's ``seed`` and ``size``, and settings of ``aritmo corpus build``.

    ``split`` is whose families are asked; ``shots`` how many worked examples stand before each problem, always of
    training families; ``measure`` what counts: ``valid``, that all of the text is right, or for tasks that end
    in an answer ``answered``, that the answer is. A setting that the task does not read is an error.
    """

    task: ClassVar[str]

    style: str | None = None
    split: str = "train"
    min_digits: int | None = None
    max_digits: int | None = None
    order: Any = None
    below: int | None = None
    ask: Any = None
    shots: int = 0
    measure: str = "valid"
    seed: int | None = None
    size: int = 500

    def validate(self) -> None:
        """Raise ValueError for a setting or split that is not there, or for more problems than there are."""
        check_measure(self.task, self.measure)
        self.source(self.seed or 0).check_holds(self.size)

    def source(self, seed: int) -> Source:
        """Return where the problems come from."""
        own = {"split", "shots", "measure", "seed", "size"}
        settings = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in own}
        return source(self.task, self.split, seed=seed, **settings)


class Dataset(ProceduralDataset):  # type: ignore[misc]
    """The problems of one task; ``[i]`` is the same item whenever and wherever it is asked for."""

    def __init__(self, config: Config) -> None:
        super().__init__(config=config, seed=config.seed, size=config.size)
        self._source = config.source(self.seed)
        self._shots = self._source.shots(config.shots)

    @property
    def category(self) -> str:
        return "aritmo"

    def __getitem__(self, idx: int) -> Entry:
        found = self._source.examples(idx, idx + 1) if idx >= 0 else []
        if not found:
            raise IndexError(f"aritmo_{self.config.task} has no problem with index {idx}")
        (example,) = found
        told = {"source_dataset": f"aritmo_{self.config.task}", "source_index": idx, "split": self.config.split}
        return {
            "question": written(example, self._shots),
            "answer": example.completion,
            "metadata": told | example.meta | {"prompt": example.prompt},
        }

    def score_answer(self, answer: str | None, entry: Entry) -> float:
        """Return 1 where ``aritmo judge`` finds what is measured in the answer to an entry's prompt, else 0."""
        meta = entry["metadata"]
        text = answer if isinstance(answer, str) else None
        return score(meta["task"], meta["style"], meta["prompt"], text, self.config.measure)


class SquaresConfig(Config):
    task = "squares"


class AdditionConfig(Config):
    task = "addition"


class DecompositionConfig(Config):
    task = "decomposition"


class PrimalityConfig(Config):
    task = "primality"


class SquaresDataset(Dataset):
    pass


class AdditionDataset(Dataset):
    pass


class DecompositionDataset(Dataset):
    pass


class PrimalityDataset(Dataset):
    pass


_DATASETS: tuple[tuple[type[Dataset], type[Config]], ...] = (
    (SquaresDataset, SquaresConfig),
    (AdditionDataset, AdditionConfig),
    (DecompositionDataset, DecompositionConfig),
    (PrimalityDataset, PrimalityConfig),
)


def register() -> list[str]:
    """Make the tasks known to reasoning-gym as ``aritmo_squares`` and so on, and return these names."""
    names = []
    for dataset, config in _DATASETS:
        name = f"aritmo_{config.task}"
        if name not in DATASETS:
            register_dataset(name, dataset, config)
        names.append(name)
    return names
