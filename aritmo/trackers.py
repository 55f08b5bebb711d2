"""Metrics to TensorBoard, trackio or Weights & Biases, beside ``metrics.jsonl``; each is an extra."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from accelerate.tracking import LOGGER_TYPE_TO_CLASS

TrackerName = Literal["tensorboard", "trackio", "wandb"]


def check_extras(names: Sequence[TrackerName]) -> None:
    """Raise ValueError naming the first whose package is missing."""
    for name in names:
        if find_spec(name) is None:
            raise ValueError(
                f"training.trackers names {name}, which is not installed: "
                f"run «pip install 'aritmo[{name}]'» or leave it out"
            )


class Trackers:
    """The trackers of one run, which all get the same numbers; none is as good as any.

    What they print goes to standard error: standard output is the command's own.
    """

    def __init__(self, names: Sequence[TrackerName], run: Path) -> None:
        """Open them. Raises ValueError naming the first whose package is missing."""
        check_extras(names)
        self._opened = []
        for name in names:
            kind = LOGGER_TYPE_TO_CLASS[name]
            where = {"logging_dir": run} if kind.requires_logging_directory else {}
            tracker = kind(run.name if name == "tensorboard" else "aritmo", **where)
            if hasattr(tracker, "start"):
                with redirect_stdout(sys.stderr):
                    tracker.start()
            self._opened.append(tracker)

    def configure(self, settings: dict[str, Any]) -> None:
        """Store what the run was told to do."""
        plain = {name: value for name, value in settings.items() if isinstance(value, int | float | str)}
        for tracker in self._opened:
            tracker.store_init_configuration(plain)

    def log(self, values: dict[str, Any], step: int) -> None:
        """Give the numbers among ``values`` to every tracker."""
        numbers = {
            name: value for name, value in values.items() if name != "step" and isinstance(value, int | float)
        }
        for tracker in self._opened:
            tracker.log(numbers, step=step)

    def close(self) -> None:
        """End them; what they still hold is written."""
        for tracker in self._opened:
            with redirect_stdout(sys.stderr):
                # A run of trackio's that ends by itself is ended once more when the process does.
                end = import_module("trackio") if tracker.name == "trackio" else tracker
                end.finish()
