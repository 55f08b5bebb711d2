"""Progress of long work: a live line with rate and time left on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self, TextIO

from aritmo.screen import printable

_PLAIN_EVERY = 10.0
_LIVE_EVERY = 0.1


def duration(seconds: float) -> str:
    """Return a duration as people write it: ``8 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def rate(per_second: float) -> str:
    """Return a rate with three figures or a thousands separator: ``0.52``, ``18.3``, ``41,200``."""
    return f"{per_second:.3g}" if per_second < 100 else f"{per_second:,.0f}"


class Progress:
    """Count work done against a total and say how fast it goes. Use as a context manager.

    ``unit`` is what is counted («examples»). Nothing is printed for work that ends within a second.
    """

    def __init__(self, what: str, total: int, unit: str, stream: TextIO | None = None) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = 0
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._began = self._shown = time.monotonic()
        self._from = 0
        self._said: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._said is not None:
            if self._said != self.done:
                self._show("")
            if self._live:
                self._stream.write("\n")
                self._stream.flush()

    def start_at(self, done: int) -> None:
        """Say that so much was done before, so that it does not count in the rate."""
        self.done = self._from = done

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count work done; ``note`` is shown behind the rate (a loss, say)."""
        self.done += count
        now = time.monotonic()
        if now - self._shown >= (_LIVE_EVERY if self._live else _PLAIN_EVERY) and now - self._began > 1:
            self._shown = now
            self._show(note)

    def say(self, line: str) -> None:
        """Print a line of its own, above the live one."""
        line = printable(line)
        self._stream.write(f"\r\x1b[2K{line}\n" if self._live else f"{line}\n")
        self._stream.flush()

    def _show(self, note: str) -> None:
        elapsed = time.monotonic() - self._began
        speed = (self.done - self._from) / max(elapsed, 1e-9)
        line = f"{self.what}: {self.done:,} of {self.total:,} {self.unit}, {rate(speed)}/s"
        if speed and self.done < self.total:
            line += f", {duration((self.total - self.done) / speed)} left"
        elif self.done >= self.total:
            line += f", {duration(elapsed)}"
        if note:
            line += f", {note}"
        self._stream.write(f"\r\x1b[2K{line}" if self._live else f"{line}\n")
        self._stream.flush()
        self._said = self.done
