"""When training ends early, and which of its evaluations was the best."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(slots=True)
class Best:
    """The best evaluation so far: by exact match, then by validation loss; of equal ones the first.

    ``step`` is its update, 0 before any; ``since`` counts the evaluations after it.
    """

    step: int = 0
    exact: float | None = None
    validation_loss: float | None = None
    since: int = 0

    def note(self, step: int, exact: float | None, validation_loss: float | None) -> bool:
        """Take in an evaluation and return whether it is the best. One without any figure never is."""
        better = (exact is not None or validation_loss is not None) and (
            not self.step or _rank(exact, validation_loss) > _rank(self.exact, self.validation_loss)
        )
        if better:
            self.step, self.exact, self.validation_loss, self.since = step, exact, validation_loss, 0
        else:
            self.since += 1
        return better

    def as_dict(self) -> dict[str, Any]:
        """Return it as a checkpoint's state holds it; ``Best(**state)`` is its like."""
        return asdict(self)


def _rank(exact: float | None, validation_loss: float | None) -> tuple[float, float]:
    loss = float("inf") if validation_loss is None else validation_loss
    return (-1.0 if exact is None else exact), -loss


def evaluation_line(step: int, found: dict[str, Any]) -> str:
    """Return an evaluation, as ``metrics.jsonl`` holds it, as a line for people."""
    said = [f"step {step:,}"]
    if found["validation_loss"] is not None:
        said.append(f"validation loss {found['validation_loss']:.4f}")
    if found.get("exact") is not None:
        said.append(f"exact {found['exact']:.1%} of {found['of']:,}")
    return ", ".join(said)


@contextmanager
def signals() -> Iterator[list[int]]:
    """Give a list that SIGTERM and Ctrl-C add to, so that a loop ends in order; twice stops at once."""
    seen: list[int] = []

    def note(number: int, frame: object) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    watched = (signal.SIGTERM, signal.SIGINT)
    if threading.current_thread() is not threading.main_thread():
        yield seen  # Python lets only the main thread set handlers
        return
    before = [signal.signal(number, note) for number in watched]
    try:
        yield seen
    finally:
        for number, handler in zip(watched, before, strict=True):
            signal.signal(number, handler)
