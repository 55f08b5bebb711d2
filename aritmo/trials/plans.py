"""What each experiment that compares is made of, small for a CPU and full for a GPU."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Cut = Literal["bpe", "apart", "digits"]
"""How numbers are cut into tokens: GPT-2's own BPE; the same with a space between digits; digit by digit."""

CUTS: tuple[Cut, ...] = get_args(Cut)


@dataclass(frozen=True, slots=True)
class Subject:
    """A task to be learned from training sets of several sizes, numbers having up to ``digits`` digits.

    ``sizes`` count different examples, rising; each set begins with the smaller ones. An update takes
    ``batch`` examples, whatever the size and however they are cut. With ``every`` all numbers of the test
    families are asked at the end, which only a task of one number can do.
    """

    task: str
    style: str
    digits: int
    sizes: tuple[int, ...]
    batch: int
    updates: int
    every: bool = False

    @property
    def name(self) -> str:
        return f"{self.task}-{self.style}"


@dataclass(frozen=True, slots=True)
class Plan:
    """An experiment: every subject, cut in every way, learned with each of so many seeds by a GPT-2 of one shape.

    ``tested`` different problems of the test families are asked of all at the end; the first ``looked`` of them,
    and as many of the training set, at each of ``looks`` looks on the way.
    """

    experiment: str
    subjects: tuple[Subject, ...]
    cuts: tuple[Cut, ...]
    seeds: int
    layers: int
    width: int
    heads: int
    rate: float
    warmup: int
    tested: int
    looked: int
    looks: int

    def groups(self) -> list[tuple[Subject, Cut]]:
        """Return what is trained at once: all sizes and seeds of a subject cut in one way."""
        return [(subject, cut) for subject in self.subjects for cut in self.cuts]

    def plain(self) -> dict[str, Any]:
        """Return the plan as a file stores it."""
        return asdict(self)


def read_plan(values: Any) -> Plan:
    """Return the plan that a file stored. Raises ValueError where it holds none."""
    try:
        subjects = tuple(
            Subject(**{**subject, "sizes": tuple(subject["sizes"])}) for subject in values["subjects"]
        )
        return Plan(**{**values, "subjects": subjects, "cuts": tuple(values["cuts"])})
    except (TypeError, KeyError) as error:
        raise ValueError(f"the plan of the experiment is damaged ({error!r}): begin another run") from None


def plan_of(experiment: str, size: str) -> Plan:
    """Return the plan of an experiment. Raises ValueError for a name or size that is not there."""
    if experiment not in PLANS:
        raise ValueError(f"experiment: got {experiment!r}, allowed {', '.join(PLANS)}")
    if size not in PLANS[experiment]:
        raise ValueError(f"size: got {size!r}, allowed {', '.join(PLANS[experiment])}")
    return PLANS[experiment][size]


_SMALL: dict[str, Any] = {
    "seeds": 3, "layers": 2, "width": 128, "heads": 4, "rate": 3e-3, "warmup": 20,
    "tested": 300, "looked": 100, "looks": 8,
}  # fmt: skip
_FULL: dict[str, Any] = {
    "seeds": 3, "layers": 4, "width": 256, "heads": 4, "rate": 1e-3, "warmup": 100,
    "tested": 2_000, "looked": 256, "looks": 20,
}  # fmt: skip

PLANS: dict[str, dict[str, Plan]] = {
    "tokenizer": {
        "small": Plan(
            "tokenizer",
            (
                Subject("decomposition", "joined", 4, (50, 200, 800), batch=16, updates=400),
                Subject("addition", "plain", 2, (400, 1_600), batch=16, updates=600),
                Subject("addition", "tutorial", 2, (400, 1_600), batch=4, updates=600),
            ),
            CUTS,
            **_SMALL,
        ),
        "full": Plan(
            "tokenizer",
            (
                Subject(
                    "decomposition", "joined", 6, (64, 250, 1_000, 4_000, 16_000, 64_000), 32, 2_000, every=True
                ),
                Subject("decomposition", "spaced", 6, (1_000, 16_000), 32, 2_000, every=True),
                Subject("addition", "tutorial", 4, (1_000, 8_000, 64_000), batch=16, updates=4_000),
                Subject("addition", "plain", 3, (1_000, 8_000, 64_000), batch=64, updates=4_000),
            ),
            CUTS,
            **_FULL,
        ),
    },
    "attempts": {
        "small": Plan(
            "attempts",
            (
                Subject("addition", "plain", 3, (1_000,), batch=16, updates=1_500),
                Subject("addition", "tutorial", 3, (1_000,), batch=4, updates=1_500),
            ),
            ("digits",),
            **_SMALL,
        ),
        "full": Plan(
            "attempts",
            (
                Subject("addition", "plain", 4, (4_000,), batch=32, updates=4_000),
                Subject("addition", "tutorial", 4, (4_000,), batch=32, updates=4_000),
            ),
            ("digits",),
            **_FULL,
        ),
    },
}
"""The experiments by name and size: was the tokenizer to blame, and the report's two attempts at addition."""
