"""``aritmo sample --guided``: two files, one of them all valid, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
_SAMPLE = ("--max-new-tokens", 140, "--count", 12, "--seed", 3)
_CORPUS = ("corpus", "build", "--task", "squares", "--below", 1000, "--ask", "centre,any", "--count", 300)


def _lines(file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(file).read_text("utf-8").splitlines()]


@pytest.fixture
def model(command: Command) -> str:
    """Make a model that has learned nothing, in the folder in which the command runs."""
    return _made("M", 256)


def _made(folder: str, context: int) -> str:
    from aritmo.models import open_model
    from aritmo.tokens import task_tokenizer

    for part in open_model("tiny", tokenizer=task_tokenizer(), context=context):
        part.save_pretrained(folder)
    return folder


def test_guided_and_bare_stand_side_by_side(command: Command, model: str) -> None:
    assert command(*_CORPUS, "--out", "C").status == 0
    ended = command("sample", model, *_SAMPLE, "--corpus", "C", "--guided", "--json", "--out", "g.jsonl")
    assert ended.status == 0, ended.err
    account = json.loads(ended.out)
    bare = account["bare"]
    assert (account["file"], bare["file"]) == ("g.jsonl", "g-bare.jsonl")
    assert (account["valid"]["count"], bare["valid"]["count"]) == (12, 0)
    for part in (account, bare):
        records = _lines(part["file"])
        assert part["samples"] == len(records) == 12
        assert part["tokens"] == sum(record["tokens"] for record in records) > 0
        assert part["tokens_per_second"] > 0
    assert [r["prompt"] for r in _lines("g.jsonl")] == [r["prompt"] for r in _lines("g-bare.jsonl")]
    judged = json.loads(command("judge", "g.jsonl", "--corpus", "C", "--json").out)
    assert judged["groups"]["test"]["valid"]["share"] == 1
    assert judged["groups"]["test"]["finished"]["share"] == 1


def test_people_read_both_lines(command: Command, model: str) -> None:
    ended = command("sample", model, *_SAMPLE, "--task", "squares", "--guided", "--out", "g.jsonl")
    guided, bare = ended.out.splitlines()
    assert guided.startswith("guided, 12 samples, 12 valid (100.00 %), ")
    assert bare.startswith("bare, 12 samples, 0 valid (0.00 %), ")
    again = command("sample", model, *_SAMPLE, "--task", "squares", "--out", "g.jsonl")
    assert (again.status, "g.jsonl is there already" in again.err) == (2, True)
    Path("g.jsonl").unlink()
    again = command("sample", model, *_SAMPLE, "--task", "squares", "--guided", "--out", "g.jsonl")
    assert (again.status, "g-bare.jsonl is there already" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--task", "squares", "--style", "tutorial"), "is for squares listing, not squares tutorial"),
        (("--task", "addition"), "is for squares listing, not addition plain"),
        (("--task", "squares"), "and a guided answer may have 119"),
    ],
)
def test_what_cannot_be_guided_is_refused(command: Command, words: tuple[str, ...], said: str) -> None:
    ended = command("sample", _made("short", 96), *_SAMPLE, *words, "--guided", "--out", "g.jsonl")
    assert ended.status == 2
    assert said in ended.err
    assert not Path("g.jsonl").exists()


def test_every_centre_of_a_split_is_asked_for(command: Command, model: str) -> None:
    words = ("sample", model, "--task", "squares", "--max-new-tokens", 4, "--centres", 5)
    assert command(*words, "--split", "validation", "--style", "listing", "--out", "c.jsonl").status == 0
    assert len({record["prompt"] for record in _lines("c.jsonl")}) == len(_lines("c.jsonl")) == 62
    assert _lines("c.jsonl")[0]["prompt"].startswith("Matrix of order 5 with centre ")
    refused = command(*words[:-1], 4, "--out", "d.jsonl")
    assert refused.status == 2
    assert "centres: got 4, and orders 3, 5, 7 are searched for" in refused.err
    refused = command("sample", model, "--task", "addition", "--centres", 3, "--out", "d.jsonl")
    assert refused.status == 2
    assert "addition has none: leave out --centres" in refused.err
    assert not Path("d.jsonl").exists()
