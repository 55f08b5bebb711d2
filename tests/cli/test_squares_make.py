"""``aritmo squares make`` and ``count`` as a person types them: what they print, what they write, how they end."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aritmo.numbers.matrixfiles import read_matrices
from aritmo.numbers.squares import check_square, key

Aritmo = Callable[..., Any]


@pytest.fixture
def aritmo(command: Callable[..., Any]) -> Aritmo:
    return lambda words: command("squares", *words.split())


@pytest.mark.parametrize(("below", "squares"), [(0, 0), (1_000, 159), (10_000, 15_817)])
def test_count_prints_only_the_number(aritmo: Aritmo, below: int, squares: int) -> None:
    assert aritmo(f"count --order 3 --below {below}") == (0, f"{squares}\n", "")


def test_count_for_machines(aritmo: Aritmo) -> None:
    told = json.loads(aritmo("count --below 1000 --json").out)
    assert told == {"order": 3, "below": 1_000, "squares": 159}


def test_count_of_order_5_tells_the_cores(aritmo: Aritmo) -> None:
    lines = aritmo("count --order 5 --centre 251").out.splitlines()
    assert lines[0] == "35"
    assert {line.split()[0] for line in lines[1:]} == {"16", "19"}
    told = json.loads(aritmo("count --order 5 --centre 251 --json").out)
    assert (told["classes"], told["squares"]) == (35, 35 * 288)
    assert sorted(core["classes"] for core in told["cores"]) == [16, 19]


@pytest.mark.parametrize(
    "kind", ["--order 3 --below 5000", "--order 5 --plain", "--order 6", "--sum 45027 --order 9"]
)
def test_make_writes_different_valid_squares(aritmo: Aritmo, kind: str) -> None:
    assert aritmo(f"make {kind} --count 50 --seed 4 --out made.txt").status == 0
    squares = [cells for _, cells in read_matrices("made.txt")]
    assert all(check_square(cells, nested="plain" not in kind).valid for cells in squares)
    assert len({key(cells) for cells in squares}) == len(squares) == 50


def test_make_gives_the_same_bytes_for_the_same_seed(aritmo: Aritmo) -> None:
    for seed, name in ((1, "a"), (1, "b"), (2, "c")):
        aritmo(f"make --order 7 --count 20 --seed {seed} --out {name}")
    assert Path("a").read_bytes() == Path("b").read_bytes() != Path("c").read_bytes()


def test_make_says_what_it_made_and_which_bound_it_chose(aritmo: Aritmo) -> None:
    told = "a: 2 squares, order 7, nested, cells below 10,000\n"
    assert aritmo("make --order 7 --count 2 --out a") == (0, told, "")
    assert "centre 251, sum 1255" in aritmo("make --order 5 --centre 251 --count 2 --out b").out
    assert "pair sum 3000" in aritmo("make --order 6 --sum 9000 --count 2 --out c").out


def test_make_for_machines(aritmo: Aritmo) -> None:
    told = json.loads(aritmo("make --count 2 --below 1000 --out a --json").out)
    assert told == {
        "file": "a",
        "order": 3,
        "nested": True,
        "centre": None,
        "below": 1_000,
        "magic_sum": None,
        "pair_sum": None,
        "allow3": True,
        "seed": 1,
        "asked": 2,
        "squares": 2,
        "ended": "done",
    }


def test_a_timeout_ends_with_1_and_resume_goes_on(aritmo: Aritmo) -> None:
    ended = aritmo("make --order 5 --count 9000 --timeout 0 --out a")
    assert ended.status == 1
    assert re.search("of 9,000 squares, .*; the time was over, go on with --resume\n", ended.out)
    assert aritmo("make --order 5 --count 9000 --out a --resume").status == 0
    assert aritmo("make --order 5 --count 9000 --out b").status == 0
    assert Path("a").read_bytes() == Path("b").read_bytes()


def test_make_says_when_there_are_no_more(aritmo: Aritmo) -> None:
    ended = aritmo("make --order 3 --centre 59 --count 5 --out a")
    assert (ended.status, ended.out) == (
        1,
        "a: 1 of 5 squares, order 3, plain, centre 59, sum 177; "
        "the search met no more, so there seem to be no more than these\n",
    )
    ended = aritmo("make --order 6 --pair-sum 114 --count 5 --out b")
    assert (ended.status, ended.out) == (
        1,
        "b: nothing is written, for no square of order 6, nested, sum 342, pair sum 114 was found\n",
    )
    assert not Path("b").exists()


def test_no_file_is_written_over_unless_asked(aritmo: Aritmo) -> None:
    Path("out").write_text("mine")
    ended = aritmo("make --count 1 --out out")
    assert (ended.status, Path("out").read_text()) == (2, "mine")
    assert "--force" in ended.err
    assert aritmo("make --count 1 --out out --force").status == 0
    assert Path("out").read_text() != "mine"


def test_ctrl_c_says_what_is_kept(aritmo: Aritmo, monkeypatch: pytest.MonkeyPatch) -> None:
    from aritmo.progress import Progress

    def stop(self: Progress, count: int = 1) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "advance", stop)
    ended = aritmo("make --order 5 --count 9000 --out a")
    assert ended.status == 130
    kept = len(list(read_matrices("a")))
    assert f"a: {kept:,} of 9,000 squares" in ended.out
    assert "--resume" in ended.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("count --order 7", "not of order 7"),
        ("count --below 1000000000000", "searched up to"),
        ("count --below many", "--below"),
        ("count --order 5", "at a centre"),
        ("count --order 5 --centre 101", "101 has 7"),
        ("count --centre 101", "below a bound"),
        ("make --order 2 --out a", "no prime magic square of order 2"),
        ("make --order 5 --centre 101 --out a", "the first centre with enough is 251"),
        ("make --order 3 --count 160 --below 1000 --out a", "159 squares"),
        ("make --out .", "is a folder"),
        ("make --out none/a", "there is no folder none"),
        ("make --count 0 --out a", "not 0"),
        ("make --workers -1 --out a", "--workers"),
        ("make --timeout -1 --out a", "--timeout"),
    ],
)
def test_wrong_use_is_one_sentence(aritmo: Aritmo, words: str, told: str) -> None:
    ended = aritmo(words)
    assert (ended.status, ended.out) == (2, "")
    assert re.fullmatch(rf"aritmo: [^\n]*{told}[^\n]*\n", ended.err)
    assert not list(Path().iterdir())


@pytest.mark.parametrize("verb", ["count", "make"])
def test_every_help_has_an_example(aritmo: Aritmo, verb: str) -> None:
    ended = aritmo(f"{verb} --help")
    assert ended.status == 0
    assert f"aritmo squares {verb}" in " ".join(ended.out.split())
