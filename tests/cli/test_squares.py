"""``aritmo squares`` as a person types it: what it prints, what it writes, how it ends."""

import json
import re
import sys
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

from aritmo.cli import main
from aritmo.numbers.matrixfiles import read_matrices
from aritmo.numbers.squares import check_square, key

GOOD = "17 89 71\n113 59 5\n47 29 101\n"
BAD = "17 89 71\n113 59 5\n47 9 101\n"
WORSE = "1 1 1\n1 1 4\n6 8 10\n"
SVG = "{http://www.w3.org/2000/svg}"


class Ended(NamedTuple):
    status: int
    out: str
    err: str


Aritmo = Callable[..., Ended]


@pytest.fixture
def aritmo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Aritmo:
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["aritmo", "squares", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        status = ended.value.code
        assert isinstance(status, int)
        return Ended(status, *capsys.readouterr())

    return run


@pytest.mark.parametrize(("below", "squares"), [(0, 0), (1_000, 159), (10_000, 15_817)])
def test_count_prints_only_the_number(aritmo: Aritmo, below: int, squares: int) -> None:
    assert aritmo("count", "--order", 3, "--below", below) == (0, f"{squares}\n", "")


def test_count_for_machines(aritmo: Aritmo) -> None:
    told = json.loads(aritmo("count", "--below", 1_000, "--json").out)
    assert told == {"order": 3, "below": 1_000, "squares": 159}


def test_make_writes_different_valid_squares(aritmo: Aritmo) -> None:
    assert aritmo("make", "--count", 50, "--seed", 4, "--below", 5_000, "--out", "made.txt").status == 0
    squares = [cells for _, cells in read_matrices("made.txt")]
    assert all(check_square(cells).valid and cells.max() < 5_000 for cells in squares)
    assert len({key(cells) for cells in squares}) == len(squares) == 50


def test_make_gives_the_same_bytes_for_the_same_seed(aritmo: Aritmo) -> None:
    for seed, name in ((1, "a"), (1, "b"), (2, "c")):
        aritmo("make", "--count", 20, "--seed", seed, "--below", 1_000, "--out", name)
    assert Path("a").read_bytes() == Path("b").read_bytes() != Path("c").read_bytes()


def test_make_for_machines(aritmo: Aritmo) -> None:
    told = json.loads(aritmo("make", "--count", 2, "--below", 1_000, "--out", "a", "--json").out)
    assert told == {"file": "a", "order": 3, "below": 1_000, "seed": 1, "squares": 2}


def test_make_writes_nothing_where_too_few_exist(aritmo: Aritmo) -> None:
    ended = aritmo("make", "--count", 160, "--below", 1_000, "--out", "a")
    assert ended.status == 2
    assert "159 squares" in ended.err
    assert not list(Path().iterdir())


@pytest.mark.parametrize("verb", [("make", "--count", 1), ("draw", "squares.txt")])
def test_no_file_is_written_over_unless_asked(aritmo: Aritmo, verb: tuple[object, ...]) -> None:
    Path("squares.txt").write_text(GOOD)
    Path("out").write_text("mine")
    ended = aritmo(*verb, "--out", "out")
    assert (ended.status, Path("out").read_text()) == (2, "mine")
    assert "--force" in ended.err
    assert aritmo(*verb, "--out", "out", "--force").status == 0
    assert Path("out").read_text() != "mine"


def test_check_says_what_holds(aritmo: Aritmo) -> None:
    Path("good.txt").write_text(GOOD)
    assert aritmo("check", "good.txt", "--nested") == (
        0,
        "good.txt, line 1: order 3, valid, centre 59, magic sum 177, nested down to 3\n1 of 1 matrix is valid\n",
        "",
    )


def test_check_names_every_defect_and_says_no(aritmo: Aritmo) -> None:
    Path("mixed.txt").write_text(GOOD + "\n" + BAD)
    ended = aritmo("check", "mixed.txt")
    assert ended.status == 1
    assert ended.out.splitlines()[1:] == [
        "mixed.txt, line 5: order 3, invalid, centre 59, no magic sum",
        "  not prime: 9 in row 3, column 2",
        "  sum: row 3 adds to 157, most lines to 177",
        "  sum: column 2 adds to 157, most lines to 177",
        "1 of 2 matrices are valid",
    ]


def test_check_shows_ten_defects_and_json_all(aritmo: Aritmo) -> None:
    Path("worse.txt").write_text(WORSE)
    lines = aritmo("check", "worse.txt").out.splitlines()
    matrix, total = map(json.loads, aritmo("check", "worse.txt", "--json").out.splitlines())
    assert len(matrix["defects"]) > 10
    assert lines[1:11] == [f"  {defect}" for defect in matrix["defects"][:10]]
    assert lines[11] == f"  and {len(matrix['defects']) - 10} more"
    assert matrix["place"] == "worse.txt, line 1"
    assert (matrix["order"], matrix["valid"], matrix["magic_sum"], matrix["primes"]) == (3, False, None, 0)
    assert total == {"matrices": 1, "valid": 0}


def test_check_tells_pair_sums_of_even_orders(aritmo: Aritmo) -> None:
    Path("even.txt").write_text("16 3 2 13\n5 10 11 8\n9 6 7 12\n4 15 14 1\n")
    assert "order 4, invalid, pair sum 17, magic sum 34, nested down to 4" in aritmo("check", "even.txt").out


def test_check_answers_what_comes_before_an_unreadable_file(aritmo: Aritmo) -> None:
    Path("good.txt").write_text(GOOD)
    ended = aritmo("check", "good.txt", "missing.txt")
    assert ended.status == 2
    assert ended.out.startswith("good.txt, line 1: order 3, valid")
    assert ended.err == "aritmo: there is no file missing.txt; check the name\n"


def test_check_reads_standard_input(aritmo: Aritmo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(GOOD.encode())))
    assert aritmo("check", "-").out.startswith("standard input, line 1: order 3, valid")


def test_no_name_commands_the_terminal(aritmo: Aritmo) -> None:
    name = "a\x1b[31m.txt"
    Path(name).write_text(GOOD)
    for words in (("check", name), ("draw", name, "--out", name + ".svg"), ("check", "b" + name)):
        ended = aritmo(*words)
        assert "\\x1b" in ended.out + ended.err
        assert "\x1b" not in ended.out + ended.err


def test_a_drawing_marks_what_is_wrong(aritmo: Aritmo) -> None:
    Path("a<&>.txt").write_text(GOOD + "\n" + BAD)
    assert aritmo("draw", "a<&>.txt", "--which", 2, "--out", "square.svg").status == 0
    drawing = ElementTree.parse("square.svg").getroot()
    boxes = [box.get("class") for box in drawing.iter(f"{SVG}rect")]
    assert boxes == ["ring0"] * 4 + ["ring1"] + ["ring0"] * 2 + ["composite", "ring0"]
    texts = list(drawing.iter(f"{SVG}text"))
    assert [text.text for text in texts if text.get("class") is None] == BAD.split()
    assert [text.text for text in texts if text.get("class") == "wrong"] == ["157", "157"]
    assert [text.text for text in texts if text.get("class") == "sum"] == ["177"] * 6
    assert texts[0].text is not None
    assert texts[0].text.startswith("a<&>.txt, line 5: order 3, invalid")


def test_everything_drawn_is_inside_the_picture(aritmo: Aritmo) -> None:
    Path("wide.txt").write_text("1000000000000 2\n3 4\n")
    aritmo("draw", "wide.txt", "--out", "square.svg")
    drawing = ElementTree.parse("square.svg").getroot()
    width, height = (int(drawing.get(side, "")) for side in ("width", "height"))
    for text in drawing.iter(f"{SVG}text"):
        assert 0 < int(text.get("x", "")) < width
        assert 0 < int(text.get("y", "")) < height


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("count", "--order", 5), "only squares of order 3 .* not of order 5"),
        (("count", "--below", 10**12), "searched up to"),
        (("count", "--below", "many"), "--below"),
        (("make", "--order", 7, "--out", "a"), "only squares of order 3 .* not of order 7"),
        (("make", "--out", "."), "is a folder"),
        (("make", "--out", "none/a"), "there is no folder none"),
        (("make", "--count", 0, "--out", "a"), "--count"),
        (("draw", "good.txt", "--which", 2, "--out", "a"), "fewer than 2 matrices"),
        (("draw", "good.txt", "--out", "none/a"), "there is no folder none"),
        (("check", "."), "is a folder"),
        (("check", "letters.txt"), "line 1"),
        (("check",), "files"),
    ],
)
def test_wrong_use_is_one_sentence(aritmo: Aritmo, words: tuple[object, ...], told: str) -> None:
    Path("good.txt").write_text(GOOD)
    Path("letters.txt").write_text("a b\n")
    ended = aritmo(*words)
    assert (ended.status, ended.out) == (2, "")
    assert re.fullmatch(rf"aritmo: [^\n]*{told}[^\n]*\n", ended.err)
    assert {path.name for path in Path().iterdir()} == {"good.txt", "letters.txt"}


@pytest.mark.parametrize("verb", ["count", "make", "check", "draw"])
def test_every_help_has_an_example(aritmo: Aritmo, verb: str) -> None:
    ended = aritmo(verb, "--help")
    assert ended.status == 0
    assert f"aritmo squares {verb}" in " ".join(ended.out.split())
