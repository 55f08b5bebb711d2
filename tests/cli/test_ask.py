"""``aritmo ask`` from end to end, with the shipped models."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from aritmo import asking, cli
from aritmo.shipped import SHIPPED

Aritmo = Callable[..., Any]


@pytest.fixture
def aritmo(command: Callable[..., Any]) -> Aritmo:
    return command


def test_one_sum_is_answered_with_the_models_own_text(aritmo: Aritmo) -> None:
    code, out, err = aritmo("ask", "addition", "8292 + 29,039")
    assert (code, err) == (0, "")
    assert out == "problem  8292+29039\nmodel    13373\nanswer   37331\nverdict  right\n"


def test_a_file_gives_one_object_a_line_in_its_order(aritmo: Aritmo, tmp_path: Path) -> None:
    sums = [(9, 71421), (10**50 - 1, 1), (0, 0), (67677, 92471), (9, 71421), (7, 10**20)]
    file = tmp_path / "sums.txt"
    file.write_text("\ufeff" + "\n\n".join(f"{a}+{b}\r" for a, b in sums))
    code, out, _ = aritmo("ask", "addition", "--file", str(file), "--json")
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(r["problem"], r["text"], r["answer"]) for r in records] == [
        (f"{a}+{b}", str(a + b)[::-1], str(a + b)) for a, b in sums
    ]
    assert all(list(r) == ["problem", "text", "answer", "verdict"] and r["verdict"]["valid"] for r in records)
    assert aritmo("ask", "addition", "--file", "-", "--json", stdin=file.read_bytes())[1] == out
    assert aritmo("ask", "addition", "--file", str(file))[1].splitlines()[-1] == "6 of 6 right"


def test_a_wrong_answer_is_exit_code_one_and_in_a_file_a_count(
    aritmo: Aritmo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking._Lean, "write", lambda self, problems, *_: ["21", "=+"][: len(problems)])
    code, out, _ = aritmo("ask", "addition", "5+6")
    assert code == 1
    assert out.splitlines()[2:] == [
        "answer   12",
        "verdict  wrong: wrong result: 12 in place of 11; first wrong step: digit 1 from the right",
    ]
    code, out, _ = aritmo("ask", "addition", "--file", "-", "--json", stdin=b"6+6\n1+1\n")
    first, second = map(json.loads, out.splitlines())
    assert code == 0
    assert (first["verdict"]["valid"], second["verdict"]["valid"], second["answer"]) == (True, False, None)
    assert aritmo("ask", "addition", "--file", "-", stdin=b"6+6\n1+1\n")[1].splitlines()[-1] == "1 of 2 right"


@pytest.mark.parametrize(
    ("words", "stdin", "sentence"),
    [
        (["12a+3"], b"", "'12a' is no whole number"),
        (["1+" + "9" * 1098], b"", "a number of 1,098 digits is too long: the model takes at most 1,097"),
        ([""], b"", "the problem is empty"),
        (["-5+3"], b"", "-5 looks like a negative number, and numbers are 0 or greater"),
        (["5+-3"], b"", "'-3' is negative: numbers are 0 or greater"),
        (["--file", "-"], b"1" * 10**6 + b"+1", "a number of 1,000,000 digits is too long"),
        ([], b"", "nothing or too much to ask"),
        (["1+2", "--file", "-"], b"3+4", "nothing or too much to ask"),
        (["--file", "-"], b"1+2\n\n3+x\n", "standard input, line 3: 'x' is no whole number"),
        (["--file", "-"], b"\n \n", "standard input holds no problem"),
        (["--file", "-"], b"1+2\n\xff", "standard input is no UTF-8 text (byte 5)"),
        (["--file", "nowhere.txt"], b"", "nowhere.txt: No such file"),
        (["1+2", "--style", "plain"], b"", "no model for task addition in the style plain is shipped yet"),
        (["1+2", "--model", "adder", "--style", "tutorial"], b"", "adder writes addition in the style aligned"),
        (["1+" + "9" * 13, "--style", "tutorial"], b"", "13 digits is too long: the model takes at most 12"),
        (["1+2", "--style", "other"], b"", "style: got 'other'"),
        (["1+2", "--model", "adder", "--style", "plain"], b"", "model adder writes addition in the style"),
        (["1+2", "--model", "banana"], b"", "nothing says how model banana writes: give --style"),
        (["1+2", "--model", "banana", "--style", "plain"], b"", "there is no model 'banana'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("json_too", [False, True])
def test_what_cannot_be_asked_is_one_sentence(
    aritmo, words: list[str], stdin: bytes, sentence: str, json_too: bool
) -> None:
    code, out, err = aritmo("ask", "addition", *words, *(["--json"] if json_too else []), stdin=stdin)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.startswith("aritmo: ")
    assert err.count("\n") == 1


def test_an_unknown_task_is_one_sentence(aritmo: Aritmo) -> None:
    assert "task: got 'sums'" in aritmo("ask", "sums", "7")[2]


def test_a_square_is_shown_with_its_steps(aritmo: Aritmo) -> None:
    code, out, err = aritmo("ask", "squares", "--centre", "59")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == ["problem  59", "model    Twice 18'1 59'0 59'0 53'0 65'0 47'0 71'0 * ."]
    assert lines[-4:] == [
        "answer    17  89  71",
        "         113  59   5",
        "          47  29 101",
        "verdict  right",
    ]
    assert aritmo("ask", "squares", "59")[1] == out


def test_centres_of_a_file_are_answered_with_rows(aritmo: Aritmo, tmp_path: Path) -> None:
    (tmp_path / "centres.txt").write_text("1,607\ncentre 59\n")
    code, out, _ = aritmo("ask", "squares", "--file", "centres.txt", "--json")
    first, second = map(json.loads, out.splitlines())
    assert code == 0
    assert (first["problem"], first["answer"][1][1], second["problem"]) == ("1607", 1607, "59")
    assert second["answer"] == [[17, 89, 71], [113, 59, 5], [47, 29, 101]]
    assert first["verdict"]["valid"]
    assert second["verdict"]["details"]["first_wrong"] is None
    lines = aritmo("ask", "squares", "--file", "centres.txt")[1].splitlines()
    assert lines[1:] == ["59 =  17  89  71 / 113  59   5 /  47  29 101", "2 of 2 right"]


def test_nested_squares_are_asked_for_by_order(aritmo: Aritmo, tmp_path: Path) -> None:
    code, out, err = aritmo("ask", "squares", "--order", "5", "--centre", "1607")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "problem  1607"
    assert lines[1].startswith("model    Twice 14'32 07'16 07'16")
    assert lines[-6:] == [
        "answer   1601 1481 1301 1931 1721",
        "         1307 1187 1787 1847 1907",
        "         1217 2267 1607  947 1997",
        "         2417 1367 1427 2027  797",
        "         1493 1733 1913 1283 1613",
        "verdict  right",
    ]
    (tmp_path / "centres.txt").write_text("1607\n")
    code, out, _ = aritmo("ask", "squares", "--order", "5", "--file", "centres.txt", "--json")
    record = json.loads(out)
    assert (code, record["verdict"]["details"]["order"], len(record["answer"])) == (0, 5, 5)


def test_any_square_is_drawn_by_its_seed(aritmo: Aritmo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is what is drawn; the search behind it would take long."""
    first = replace(SHIPPED["squares"], tokens={("squares", "tutorial"): 6})
    monkeypatch.setitem(SHIPPED, "squares", first)
    texts = {seed: json.loads(aritmo("ask", "squares", "--seed", seed, "--json")[1])["text"] for seed in (1, 2, 3)}
    assert len(set(texts.values())) == 3
    assert all(text.startswith("Centre ") for text in texts.values())
    assert json.loads(aritmo("ask", "squares", "any", "--seed", "2", "--json")[1])["text"] == texts[2]
    greedy = [aritmo("ask", "squares", "--temperature", "0", "--seed", seed)[1] for seed in (1, 2)]
    assert greedy[0] == greedy[1]


def test_a_number_is_said_to_be_prime_or_not(aritmo: Aritmo) -> None:
    assert aritmo("ask", "primality", "7919")[:2] == (
        0,
        "problem  7919\nmodel     yes\nanswer   yes\nverdict  right\n",
    )
    out = aritmo("ask", "primality", "--file", "-", stdin=b"7917\n7919\n")[1]
    assert out == "7917 = no\n7919 = yes\n2 of 2 right\n"
    assert json.loads(aritmo("ask", "primality", "7917", "--json")[1])["answer"] is False


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["squares", "1608"], "centre 1608 is even"),
        (["squares", "--centre", "1001"], "centre 1001 is not prime (7 x 143)"),
        (["squares", "13"], "no prime magic square of order 3 with centre 13 has all its cells below 10,000"),
        (["squares", "12007"], "centre 12,007 is too large"),
        (["squares", "9" * 40], "a number of 40 digits is too long"),
        (["squares", "centre"], "the problem is empty: write the centre of a square, like 1607, or any"),
        (["squares", "fish"], "'fish' is no whole number"),
        (["squares", "59", "--centre", "59"], "nothing or too much to ask"),
        (["squares", "59", "--temperature", "-1"], "temperature: got -1.0, give a number from 0 upwards"),
        (["squares", "59", "--temperature", "nan"], "temperature: got nan"),
        (["squares", "59", "--style", "listing"], "no model for task squares in the style listing"),
        (["addition", "1+2", "--centre", "59"], "--centre 59 is for squares"),
        (["addition", "1+2", "--order", "5"], "--order 5 is for squares: leave it out"),
        (["squares", "--order", "5"], "a square of order 5 is asked for by its centre: name one, like 1607"),
        (["squares", "1607", "--order", "9"], "for orders 5 and 7 by centre"),
        (["squares", "59", "--order", "7"], "the search for a nested square of order 7 with centre 59 finds none"),
        (["squares", "5003", "--order", "5"], "centre 5,003 is too large: order 5 is searched for centres below"),
        (["addition", "1+2", "--temperature", "1"], "model adder is asked for its likeliest text only"),
        (["primality", "12347"], "a number of 5 digits is too long: the model takes at most 4"),
    ],
)
def test_what_the_squares_model_cannot_be_asked_is_one_sentence(
    aritmo: Aritmo, words: list[str], sentence: str
) -> None:
    code, out, err = aritmo("ask", *words)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_any_model_with_a_style_is_asked(aritmo: Aritmo, tmp_path: Path) -> None:
    from aritmo.models import open_model
    from aritmo.tokens import digit_tokenizer

    model, tokenizer = open_model("tiny", tokenizer=digit_tokenizer([]), context=64)
    model.save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    code, out, _ = aritmo(
        "ask", "addition", "5+6", "--model", str(tmp_path / "tiny"), "--style", "plain", "--json"
    )
    assert code == 1
    assert json.loads(out)["problem"] == "5+6"


@pytest.mark.parametrize(("task", "problem", "answer"), [("addition", "5+6", "11"), ("primality", "7", "True")])
def test_the_shipped_models_need_no_torch(task: str, problem: str, answer: str) -> None:
    asked = (
        f"from aritmo.asking import Line, ask; print(list(ask({task!r}, [Line('', {problem!r})]))[0]['answer'])"
    )
    code = f"import sys; {asked}; print({{'torch', 'transformers'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{answer}\nset()\n"


def test_help_shows_an_example() -> None:
    assert "aritmo ask addition 8292+29039" in CliRunner().invoke(cli.app, ["ask", "--help"]).output
