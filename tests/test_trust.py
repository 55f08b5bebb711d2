"""The rows of ``make trust`` on a small scale: each holds, and a row that does not is told."""

from pathlib import Path

import pytest

from aritmo.numbers.primes import is_prime as known_prime
from aritmo.numbers.randomness import Split
from aritmo.tasks import TASKS, TaskOptions
from tests.copies import Copies
from trust import agreement, fuzz, golden, mutations, seeds, splits
from trust.cases import STYLES, draw_random, right_cases
from trust.mutations import change
from trust.naive.text import is_prime
from trust.rows import Figure, Row, Size
from trust.table import ROWS, check, choose, print_rows, write_table

SMALL = Size(full=False)


ELSEWHERE = {
    "any command at any moment": "test_unfinished.py, test_workers.py and test_files.py",
    "training killed": "test_killed.py",
    "a page that is exposed": "play/test_serving.py",
    "every Python": "the row «same bytes», in the Python that runs it",
}
"""Rows whose small version would take long, and the tests that try the same."""


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in ELSEWHERE], ids=lambda row: row.name)
def test_a_row_holds_on_a_small_scale(row: Row, copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    if row.needs:
        pytest.importorskip(row.needs)
    monkeypatch.setattr("trust.safe.run_module", copies.run)
    result = check(row, SMALL)
    assert result.figure.holds, [result.figure.shown, *result.figure.details]


def test_a_row_that_fails_to_run_does_not_hold(tmp_path: Path) -> None:
    rows = [
        Row("group", "broken", "never", lambda size: Figure(str(1 // 0), True)),
        Row("group", "sound", "always", lambda size: Figure("1 | 1", True)),
    ]
    lines: list[str] = []
    results = print_rows(rows, SMALL, lines.append)
    assert [result.figure.holds for result in results] == [False, True]
    assert any("ZeroDivisionError" in line for line in lines)
    page = write_table(tmp_path, results, SMALL).read_text()
    assert "1 of 2 rows hold" in page
    assert r"1 \| 1" in page


def test_rows_have_names_of_their_own() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert choose([]) == ROWS
    assert ELSEWHERE.keys() < {row.name for row in ROWS}
    with pytest.raises(ValueError, match="no row or group 'nothing'"):
        choose(["nothing"])


def test_a_judge_that_reads_what_python_reads_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """``int`` takes «017», «1_7» and digits of any script for numbers."""
    monkeypatch.setattr("aritmo.tasks.squares._number", int)
    square = right_cases("squares", "listing", draw_random("control"), 1)[0]
    tally = change(mutations.Job("squares", "listing", square, 4_000, 0))
    assert tally.wrong
    jobs = [agreement.Job("squares", "listing", seed, 0, 1) for seed in range(4)]
    assert any(agreement.compare(job).differing for job in jobs)


def test_an_error_and_a_wait_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(data: bytes) -> None:
        if b"\x00" in data:
            raise KeyError("nothing")

    def wait(data: bytes) -> None:
        sum(range(2_000_000))

    texts = list(fuzz.texts_of(0, 0, 200))
    assert any("KeyError" in told for told in fuzz.read_all({"fails": [fail]}, texts).failed)
    assert any(" ms for " in told for told in fuzz.read_all({"waits": [wait]}, texts[:2]).failed)
    assert not fuzz.read_all(fuzz.targets(tmp_path), [b"17"]).failed


def test_a_text_that_changes_would_be_noticed() -> None:
    found = {"corpus": "1", "samples": "2"}
    assert golden.differences(found, found) == []
    assert golden.differences(found, {"corpus": "1", "samples": "3", "verdicts": "4"}) == ["samples", "verdicts"]
    assert len(golden.kept()) == len(golden.CORPORA) + len(STYLES) + len(golden.SAMPLES)


def test_seeds_that_hardly_matter_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = TASKS["decomposition"].problems

    def shifted(split: Split, seed: int, start: int, stop: int, options: TaskOptions) -> list[int]:
        """Draw item i of a seed as item i + seed of all: neighbours share all but one."""
        return drawn(split, 0, start + seed, stop + seed, options)

    monkeypatch.setattr(TASKS["decomposition"], "problems", shifted)
    space = seeds.spaces(500)["decomposition"]
    assert min(pair.odds for pair in seeds.shared("decomposition", space)) < seeds.RARE


def test_a_family_on_two_sides_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aritmo.tasks.task.split_of", lambda task, family: "train")
    stream = splits.streams(10_000)[1]
    job = splits.Job(stream, "train", 0, 0, 500)
    _, _, _, wrong = splits.crossing(
        [(job, splits.look(job))] * 2 + [(job._replace(split="test"), splits.look(job))]
    )
    assert any("family" in told for told in wrong)
    assert any("on two sides" in told for told in wrong)


@pytest.mark.parametrize(
    "number", [0, 1, 2, 561, 7_919, 2**31 - 1, 3_215_031_751, 999_999_999_999_999_989, 2**61 - 1]
)
def test_the_second_test_for_primes_agrees(number: int) -> None:
    assert is_prime(number) == known_prime(number)
