"""A run: one experiment or the report's whole set of them, within a budget of time, ending in a page."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aritmo.config import build, load_config, read_yaml, save_config
from aritmo.experiment import PartConfig, Say, run_part
from aritmo.files import check_name
from aritmo.report import verdict_lines, write_report

DEFAULT_MINUTES = 4.0
"""What a run of models made on the spot may take when nothing is said."""

_TRAINS = 0.75
"""Share of a part's time given to training; the rest is for its corpus, its samples and their judgement."""

_FAST = {"learning_rate": 3e-3, "schedule": "linear", "save_every": 1000, "evaluate_every": 300}

SUITE: dict[str, dict[str, Any]] = {
    "squares-listing": {
        "corpus": {"task": "squares", "style": "listing", "below": 1000, "count": 2_000},
        "training": {**_FAST, "context": 256, "batch_size": 4, "steps": 1500},
        "sampling": {"temperature": 1.0, "max_new_tokens": 160},
        "samples": 300,
    },
    "decomposition-joined": {
        "corpus": {"task": "decomposition", "style": "joined", "max_digits": 4, "count": 4_000},
        "numbers": "pairs",
        "training": {**_FAST, "context": 128, "batch_size": 4, "steps": 500},
        "sampling": {"max_new_tokens": 64},
        "samples": 400,
    },
    "decomposition-spaced": {
        "corpus": {"task": "decomposition", "style": "spaced", "max_digits": 4, "count": 4_000},
        "numbers": "pairs",
        "training": {**_FAST, "context": 128, "batch_size": 4, "steps": 500},
        "sampling": {"max_new_tokens": 64},
        "samples": 400,
    },
    "addition-plain": {
        "corpus": {"task": "addition", "style": "plain", "max_digits": 3, "count": 20_000},
        "training": {**_FAST, "context": 128, "batch_size": 4, "steps": 1500},
        "sampling": {"max_new_tokens": 64},
        "samples": 400,
    },
    "addition-tutorial": {
        "corpus": {"task": "addition", "style": "tutorial", "max_digits": 3, "count": 20_000},
        "training": {**_FAST, "context": 320, "batch_size": 2, "steps": 2400},
        "sampling": {"max_new_tokens": 256},
        "samples": 300,
    },
}
"""The report's experiments in small, in the order in which a run does them."""


def plan_run(file: Path | None, overrides: Sequence[str], given: dict[str, Any]) -> dict[str, PartConfig]:
    """Return the parts of a run by name: the whole suite, or one part where a task or a YAML file says which.

    Settings come from the suite's part of that task and style, then the file, then overrides, then what is
    given (by dotted name, None meaning «not said»). Raises ValueError where a setting cannot be used.
    """
    said = {name: value for name, value in given.items() if value is not None}
    values = read_yaml(file) if file else {}
    corpus = values["corpus"] if isinstance(values.get("corpus"), dict) else {}
    task = said.get("corpus.task", corpus.get("task"))
    if task is None and (file or "corpus.source" in said):
        task = "squares"
    if task is None:
        return {name: load_config(PartConfig, [settings], overrides, said) for name, settings in SUITE.items()}
    style = said.get("corpus.style", corpus.get("style"))
    near = next((name for name in SUITE if name.startswith(f"{task}-{style or ''}")), None)
    config = load_config(
        PartConfig,
        [SUITE[near] if near else {}, {"corpus": {"task": task, "style": style}}, values],
        overrides,
        said,
    )
    return {f"{config.corpus.task}-{config.corpus.style}": config}


def begin_run(parts: dict[str, PartConfig], minutes: float | None, out: Path) -> None:
    """Make the folder of a run and write down in ``run.yaml`` all that it is to do."""
    out.mkdir(parents=True, exist_ok=True)
    plain = {name: config.model_dump(mode="json") for name, config in parts.items()}
    save_config(out / "run.yaml", {"minutes": minutes, "parts": plain})


def recall_run(out: Path) -> tuple[dict[str, PartConfig], float | None]:
    """Return the parts and the budget of a run begun before. Raises ValueError where ``out`` holds none."""
    path = out / "run.yaml"
    if not path.is_file():
        raise ValueError(f"{out} holds no run to go on with (no run.yaml): leave out --resume to begin one")
    values = read_yaml(path)
    try:
        # A part's name is that of its folder.
        parts = {
            check_name(name, str(path)): build(PartConfig, part, str(path))
            for name, part in values["parts"].items()
        }
        return parts, values["minutes"]
    except (KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): begin another run") from error


def do_run(
    parts: dict[str, PartConfig], minutes: float | None, out: Path, say: Say, resume: bool = False
) -> tuple[Path, list[str]] | None:
    """Do every part, each within what is left of the budget, and return the page and the verdict's lines.

    Returns None where training was stopped: what is done is kept, and ``resume`` goes on from there.
    """
    ends = time.monotonic() + 60 * minutes if minutes else None
    weights = {
        name: config.training.steps * config.training.batch_size * config.training.context
        for name, config in parts.items()
    }
    for name, config in parts.items():
        say(f"\n{name}")
        if ends is not None:
            left = max(ends - time.monotonic(), 1.0) * weights[name] / sum(weights.values())
            config = config.model_copy(
                update={"training": config.training.model_copy(update={"minutes": _TRAINS * left / 60})}
            )
        del weights[name]
        if not run_part(config, out / name, lambda line: say(f"  {line}"), resume):
            return None
    folders = [out / name for name in parts]
    return write_report(out, folders, out / "report.html"), verdict_lines(folders)


def free_folder(base: Path = Path("runs")) -> Path:
    """Return the first folder runs/001, runs/002, ... that is not there yet."""
    taken = [int(path.name) for path in base.glob("[0-9][0-9][0-9]") if path.name.isascii()]
    return base / f"{max(taken, default=0) + 1:03d}"
