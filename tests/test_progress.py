"""Progress: plain lines off a terminal, one live line on it, nothing for what ends at once."""

import io

import pytest

import aritmo.progress
from aritmo.progress import Progress, duration, rate


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(aritmo.progress, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations_are_written_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_rates_have_three_figures() -> None:
    assert [rate(value) for value in (0.5177, 18.34, 41234.5)] == ["0.518", "18.3", "41,234"]


def test_short_work_says_nothing(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress("work", 10, "things", stream) as progress:
        clock.now = 0.5
        progress.advance(10)
    assert stream.getvalue() == ""


def test_plain_lines_carry_rate_time_left_and_what_was_done_before(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress("work", 100, "things", stream) as progress:
        progress.start_at(50)
        clock.now = 20.0
        progress.advance(10, "loss 0.5")
        clock.now = 21.0
        progress.advance(10)
        clock.now = 100.0
        progress.advance(30)
    first, last = stream.getvalue().splitlines()
    assert first == "work: 60 of 100 things, 0.5/s, 1 min 20 s left, loss 0.5"
    assert last == "work: 100 of 100 things, 0.5/s, 1 min 40 s"


def test_a_terminal_gets_one_line_written_over(clock: Clock) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with Progress("work", 4, "things", stream) as progress:
        for second in (2.0, 3.0, 4.0):
            clock.now = second
            progress.advance()
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().count("\r\x1b[2K") == 3
