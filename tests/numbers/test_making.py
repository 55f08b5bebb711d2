"""Making squares: valid by an independent check, the same for the same seed, and safe from every interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aritmo.numbers import making
from aritmo.numbers.making import Making, block
from aritmo.numbers.requests import Request

ROOT = Path(__file__).parents[2]


def prime(n: int) -> bool:
    return n > 1 and all(n % p for p in range(2, int(n**0.5) + 1))


def squares_of(path: Path) -> list[list[list[int]]]:
    text = path.read_text()
    assert text.endswith("\n")
    return [[[int(cell) for cell in row.split()] for row in part.splitlines()] for part in text.split("\n\n")]


def accept(square: list[list[int]], order: int, nested: bool) -> None:
    """Fail unless this is a prime magic square, by nothing but the definition."""
    cells = [cell for row in square for cell in row]
    assert len(square) == order
    assert {len(row) for row in square} == {order}
    assert len(set(cells)) == order * order
    assert all(map(prime, cells))
    while True:
        size = len(square)
        sums = {sum(row) for row in square} | {sum(column) for column in zip(*square, strict=True)}
        sums |= {sum(square[i][i] for i in range(size)), sum(square[i][-1 - i] for i in range(size))}
        assert len(sums) == 1
        if not nested or size <= 4:
            return
        square = [row[1:-1] for row in square[1:-1]]


def k1(square: list[list[int]]) -> str:
    forms = []
    for _ in range(4):
        square = [list(column) for column in zip(*square[::-1], strict=True)]
        forms += [square, [row[::-1] for row in square]]
    return str(min(forms))


ASKED = [
    Request(3, below=2_000),
    Request(3, centre=5_003),
    Request(3, below=200_000),
    Request(4, below=2_000),
    Request(4, below=2_000, allow3=False),
    Request(4, magic_sum=2_002),
    Request(5, below=5_000),
    Request(5, nested=False, below=5_000),
    Request(6, below=5_000),
    Request(6, pair_sum=3_000),
    Request(7, centre=5_003),
    Request(8, below=10_000),
    Request(9, magic_sum=9 * 5_003, below=9_900),
    Request(25),
]


@pytest.mark.parametrize("request_", ASKED, ids=str)
def test_made_squares_are_valid_different_and_as_asked(tmp_path: Path, request_: Request) -> None:
    out = tmp_path / "squares.txt"
    making_ = Making(request_, 30, 5, out)
    assert making_.run(workers=1) == "done"
    squares = squares_of(out)
    assert len(squares) == making_.made == len({k1(square) for square in squares}) == 30
    for square in squares:
        accept(square, request_.order, request_.nested)
        assert max(map(max, square)) < (making_.request.below or 10**9)
        assert request_.magic_sum in (None, sum(square[0]))
        assert request_.centre in (None, square[request_.order // 2][request_.order // 2])
        assert request_.pair_sum in (None, square[0][0] + square[-1][-1])
        assert request_.allow3 or min(map(min, square)) > 3
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("order", [3, 4, 5, 6])
def test_a_smaller_count_is_the_beginning_and_another_seed_differs(tmp_path: Path, order: int) -> None:
    texts = []
    for many, seed in ((5_000, 1), (300, 1), (300, 2)):
        out = tmp_path / f"{many}-{seed}"
        Making(Request(order, below=20_000), many, seed, out).run(workers=1)
        texts.append(out.read_bytes())
    assert texts[0].startswith(texts[1])
    assert texts[1] != texts[2]


def test_the_first_squares_come_from_many_families(tmp_path: Path) -> None:
    Making(Request(7, below=20_000), 100, 1, tmp_path / "a").run(workers=1)
    assert len({square[3][3] for square in squares_of(tmp_path / "a")}) > 80


def test_processes_change_nothing(tmp_path: Path) -> None:
    for workers in (1, 2):
        Making(Request(7, below=20_000), 9_000, 1, tmp_path / str(workers)).run(workers)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_a_block_repeats_itself_and_no_other(tmp_path: Path) -> None:
    request = Request(5, below=10_000).check()
    assert (block(request, 1, 7) == block(request, 1, 7)).all()
    assert block(request, 1, 7).tolist() != block(request, 1, 8).tolist()


def test_it_ends_by_itself_when_there_are_no_more(tmp_path: Path) -> None:
    making_ = Making(Request(5, centre=251), 20_000, 1, tmp_path / "all")
    assert making_.run(workers=1) == "exhausted"
    # 35 classes (Skelt, Perkins and Roach 2025), each of 288 squares
    assert making_.made == len({k1(square) for square in squares_of(tmp_path / "all")}) == 35 * 288
    assert list(tmp_path.iterdir()) == [tmp_path / "all"]


def test_all_squares_of_order_3_can_be_had(tmp_path: Path) -> None:
    assert Making(Request(3, below=1_000), 159, 1, tmp_path / "a").run() == "done"
    assert len({k1(square) for square in squares_of(tmp_path / "a")}) == 159
    with pytest.raises(ValueError, match=r"159 squares of order 3 .* at most 159"):
        Making(Request(3, below=1_000), 160, 1, tmp_path / "b").run()
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_search_in_vain_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "a"
    out.write_text("mine")
    making_ = Making(Request(6, pair_sum=114), 5, 1, out, force=True)
    assert making_.run(workers=1) == "exhausted"
    assert (making_.made, out.read_text(), list(tmp_path.iterdir())) == (0, "mine", [out])


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """What an uninterrupted run writes."""
    Making(Request(5, below=9_000), 12_000, 3, tmp_path / "whole").run(workers=1)
    return (tmp_path / "whole").read_bytes()


class Stopped(BaseException):
    pass


@pytest.mark.parametrize("at", [1, 2])
def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path: Path, whole: bytes, at: int) -> None:
    out = tmp_path / "a"
    calls = iter(range(99))

    def stop(_: int) -> None:
        if next(calls) == at:
            raise Stopped

    with pytest.raises(Stopped):
        Making(Request(5, below=9_000), 12_000, 3, out).run(1, advance=stop)
    assert 0 < len(out.read_bytes()) < len(whole)
    assert whole.startswith(out.read_bytes() + b"\n")
    with out.open("ab") as file:
        file.write(b"\n12 3")  # as a run that was killed leaves it
    making_ = Making(Request(5, below=9_000), 12_000, 3, out, resume=True)
    assert making_.made > 0
    assert making_.run(workers=1) == "done"
    assert out.read_bytes() == whole
    assert not making_.note.exists()


def test_a_timeout_keeps_whole_squares(tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "a"
    assert Making(Request(5, below=9_000), 12_000, 3, out).run(1, timeout=0) == "timeout"
    assert whole.startswith(out.read_bytes() + b"\n")
    Making(Request(5, below=9_000), 12_000, 3, out, resume=True).run()
    assert out.read_bytes() == whole


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_costs_nothing(tmp_path: Path, number: signal.Signals) -> None:
    words = ["squares", "make", "--order", "5", "--count", "200000", "--below", "9000", "--seed", "3"]
    child = subprocess.Popen(
        [sys.executable, "-m", "aritmo", *words, "--workers", "1", "--out", "a"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    out = tmp_path / "a"
    while child.poll() is None and not (out.exists() and out.stat().st_size):
        time.sleep(0.01)
    child.send_signal(number)
    child.wait()
    assert child.returncode == (-number if number == signal.SIGKILL else 128 + number)
    Making(Request(5, below=9_000), 12_000, 3, tmp_path / "whole").run(workers=1)
    Making(Request(5, below=9_000), 200_000, 3, out, resume=True).run(workers=1)
    assert out.read_bytes().startswith((tmp_path / "whole").read_bytes())
    assert out.read_bytes().count(b"\n") == 200_000 * 6 - 1


def test_only_the_same_request_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "a"
    Making(Request(5, below=9_000), 12_000, 3, out).run(1, timeout=0)
    for request, seed, told in (
        (Request(5, below=9_000), 4, "begun with seed 3, not 4"),
        (Request(5, below=8_000), 3, "begun with below 9000, not 8000"),
        (Request(7, below=9_000), 3, "begun with order 5, not 7"),
    ):
        with pytest.raises(ValueError, match=told):
            Making(request, 12_000, seed, out, resume=True)
    with pytest.raises(ValueError, match="--resume to go on"):
        Making(Request(5, below=9_000), 12_000, 3, out)
    with pytest.raises(ValueError, match="more than 7; ask for more"):
        Making(Request(5, below=9_000), 7, 3, out, resume=True)
    out.write_bytes(out.read_bytes()[:1_000])
    with pytest.raises(ValueError, match=r"has not the .* squares of which"):
        Making(Request(5, below=9_000), 12_000, 3, out, resume=True)
    (tmp_path / "a.progress").write_text(json.dumps({"seed": 3}))
    with pytest.raises(ValueError, match="says nothing of use"):
        Making(Request(5, below=9_000), 12_000, 3, out, resume=True)


def test_nothing_to_resume(tmp_path: Path) -> None:
    assert Making(Request(5), 10, 3, tmp_path / "a", resume=True).run() == "done"
    with pytest.raises(ValueError, match="a is finished"):
        Making(Request(5), 10, 3, tmp_path / "a", resume=True)


@pytest.mark.parametrize("many", [0, -1, making.LARGEST_COUNT + 1])
def test_the_count_is_bounded(tmp_path: Path, many: int) -> None:
    with pytest.raises(ValueError, match=f"not {many}"):
        Making(Request(5), many, 1, tmp_path / "a")
