"""``aritmo squares`` as a person types it: what it prints, what it writes, how it ends."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

GOOD = "17 89 71\n113 59 5\n47 29 101\n"
BAD = "17 89 71\n113 59 5\n47 9 101\n"
WORSE = "1 1 1\n1 1 4\n6 8 10\n"
SVG = "{http://www.w3.org/2000/svg}"


Aritmo = Callable[..., Any]


@pytest.fixture
def aritmo(command: Callable[..., Any]) -> Aritmo:
    return partial(command, "squares")


def test_no_file_is_written_over_unless_asked(aritmo: Aritmo) -> None:
    Path("squares.txt").write_text(GOOD)
    Path("out").write_text("mine")
    ended = aritmo("draw", "squares.txt", "--out", "out")
    assert (ended.status, Path("out").read_text()) == (2, "mine")
    assert "--force" in ended.err
    assert aritmo("draw", "squares.txt", "--out", "out", "--force").status == 0
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
    assert total == {"matrices": 1, "valid": 0, "unreadable": 0, "skipped": {}}


def test_check_tells_pair_sums_of_even_orders(aritmo: Aritmo) -> None:
    Path("even.txt").write_text("16 3 2 13\n5 10 11 8\n9 6 7 12\n4 15 14 1\n")
    assert "order 4, invalid, pair sum 17, magic sum 34, nested down to 4" in aritmo("check", "even.txt").out


def test_check_answers_what_comes_before_an_unreadable_file(aritmo: Aritmo) -> None:
    Path("good.txt").write_text(GOOD)
    ended = aritmo("check", "good.txt", "missing.txt")
    assert ended.status == 2
    assert ended.out.startswith("good.txt, line 1: order 3, valid")
    assert ended.err == "aritmo: there is no file missing.txt; check the name\n"


def test_check_reads_standard_input(aritmo: Aritmo) -> None:
    assert aritmo("check", "-", stdin=GOOD.encode()).out.startswith("standard input, line 1: order 3, valid")


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
    boxes = [box.get("class", "").removeprefix("box ") for box in drawing.iter(f"{SVG}rect")]
    assert boxes == ["core"] * 4 + ["centre"] + ["core"] * 2 + ["composite", "core"]
    texts = list(drawing.iter(f"{SVG}text"))
    assert [text.text for text in texts if text.get("class") in ("cell", "defect")] == BAD.split()
    assert [text.text for text in texts if text.get("class") == "defect"] == ["9"]
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
        (("draw", "good.txt", "--out", "."), "is a folder"),
        (("draw", "good.txt", "--which", 2, "--out", "a"), "fewer than 2 matrices"),
        (("draw", "good.txt", "--out", "none/a"), "there is no folder none"),
        (("draw", "good.txt", "--which", 2, "--out", "a.png"), "fewer than 2 matrices"),
        (("stats", "missing.txt"), "there is no file missing.txt"),
        (("stats", "good.txt", "--picture", "good.txt"), "is there already"),
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


@pytest.mark.parametrize("verb", ["check", "stats", "draw"])
def test_every_help_has_an_example(aritmo: Aritmo, verb: str) -> None:
    ended = aritmo(verb, "--help")
    assert ended.status == 0
    assert f"aritmo squares {verb}" in " ".join(ended.out.split())


def test_check_lists_a_folder_as_a_table(aritmo: Aritmo) -> None:
    Path("set/deep").mkdir(parents=True)
    Path("set/deep/b.txt").write_text(GOOD)
    Path("set/a.txt").write_text(BAD + "\n" + GOOD)
    Path("set/.hidden.txt").write_text("x")
    Path("set/notes.md").write_text("x")
    Path("set/link.txt").symlink_to("a.txt")
    ended = aritmo("check", "set", "--nested")
    assert (ended.status, ended.err) == (1, "")
    head, *rows = ended.out.splitlines()
    assert " ".join(head.split()) == "matrix order centre or pair sum magic sum nested to valid first defect"
    assert [row.split("  ", 1)[0] for row in rows if row.startswith("set")] == [
        "set/a.txt",
        "set/a.txt, line 5",
        "set/deep/b.txt",
    ]
    assert "4 defects  not prime: 9 in row 3, column 2" in rows[0]
    assert rows[1:4] == [
        "  sum: row 3 adds to 157, most lines to 177",
        "  sum: column 2 adds to 157, most lines to 177",
        "  not nested: the whole square has no common sum",
    ]
    assert rows[5].split() == ["set/deep/b.txt", "3", "59", "177", "3", "yes"]
    assert rows[6:] == ["2 of 3 matrices are valid", "skipped in folders: 1 .md, 1 hidden, 1 symbolic link"]


def test_one_unreadable_file_does_not_stop_the_rest(aritmo: Aritmo) -> None:
    Path("set").mkdir()
    Path("set/a.txt").write_text("1 2\n3\n")
    Path("set/b.txt").write_text(BAD)
    Path("set/c.txt").write_text(GOOD)
    ended = aritmo("check", "set", "--json")
    assert ended.status == 2
    assert ended.err.startswith("aritmo: set/a.txt, line 2: ")
    told = [json.loads(line) for line in ended.out.splitlines()]
    assert [line.get("valid") for line in told[:-1]] == [None, False, True]
    assert ended.err == f"aritmo: {told[0]['error']}\n"
    assert told[-1] == {"matrices": 2, "valid": 1, "unreadable": 1, "skipped": {}}


def test_an_empty_folder_is_wrong_use(aritmo: Aritmo) -> None:
    Path("set").mkdir()
    ended = aritmo("check", "set")
    assert (ended.status, ended.out) == (2, "")
    assert "set holds no file of matrices" in ended.err


def test_a_table_of_many_pages_keeps_its_order(aritmo: Aritmo) -> None:
    Path("set").mkdir()
    Path("set/all.txt").write_text((GOOD + "\n") * 1_203)
    lines = aritmo("check", "set").out.splitlines()
    assert len(lines) == 1_205
    assert [line.split("  ")[0] for line in lines[2:-1]] == [
        f"set/all.txt, line {4 * i + 1}" for i in range(1, 1203)
    ]
    assert lines[-1] == "1,203 of 1,203 matrices are valid"


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<svg")])
def test_a_drawing_takes_the_form_of_its_name(aritmo: Aritmo, name: str, begins: bytes) -> None:
    Path("\u6570.txt").write_text(BAD)
    assert aritmo("draw", "\u6570.txt", "--out", name).status == 0
    assert Path(name).read_bytes().startswith(begins)


def test_a_png_that_nobody_could_read_is_refused(aritmo: Aritmo) -> None:
    Path("large.txt").write_text("\n".join(" ".join(str(300 * r + c) for c in range(300)) for r in range(300)))
    ended = aritmo("draw", "large.txt", "--out", "large.png")
    assert (ended.status, ended.out) == (2, "")
    assert "give the name of an .svg" in ended.err
    assert not Path("large.png").exists()


def test_stats_tell_and_draw_the_same_numbers(aritmo: Aritmo) -> None:
    Path("a.txt").write_text(GOOD)
    ended = aritmo("stats", "a.txt", "--picture", "a.svg")
    assert ended.status == 0
    assert "super-primes: 3 cells (33.3 %), 3 distinct" in ended.out
    told = json.loads(aritmo("stats", "a.txt", "--picture", "a.png", "--json").out)
    assert (told["squares"], told["orders"], told["numbers"]["super_primes"]) == (1, {"3": 1}, 3)
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    first = Path("a.svg").read_bytes()
    ElementTree.fromstring(first)
    aritmo("stats", "a.txt", "--picture", "a.svg", "--force")
    assert Path("a.svg").read_bytes() == first


def test_stats_of_what_is_partly_unreadable(aritmo: Aritmo) -> None:
    Path("a.txt").write_text(GOOD + "\n1 2\n")
    ended = aritmo("stats", "a.txt")
    assert ended.status == 2
    assert ended.out.startswith("1 squares: 1 of order 3")
    assert "a.txt, line 5" in ended.err
