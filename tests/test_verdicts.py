"""Samples held against a corpus: squares listed and squares searched for, copied, turned and new."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aritmo.corpus import Corpus, CorpusConfig, build_corpus
from aritmo.records import write_samples
from aritmo.tasks import TASKS
from aritmo.verdicts import judge_run, training_squares

_TASK = TASKS["squares"]


@pytest.fixture(scope="module", params=["listing", "tutorial"])
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    config = CorpusConfig(task="squares", style=request.param, count=150, seed=2, below=1_000, ask=("centre",))
    return build_corpus(config, tmp_path_factory.mktemp("corpus") / request.param)


def _samples(corpus: Corpus, split: str, change: Callable[[str], str] = str) -> list[dict[str, Any]]:
    return [
        {
            "index": index, "split": split, "task": "squares", "style": corpus.style, "prompt": example.prompt,
            "text": change(example.completion), "finished": True,
        }
        for index, example in enumerate(corpus.examples(split))  # type: ignore[arg-type]
    ]  # fmt: skip


def _judged(corpus: Corpus, samples: list[dict[str, Any]], folder: Path) -> tuple[Any, list[Any]]:
    write_samples(folder / "samples.jsonl", samples)
    summary = judge_run(folder / "samples.jsonl", corpus, folder / "verdicts.jsonl")
    return summary["groups"], [json.loads(line) for line in (folder / "verdicts.jsonl").read_text().splitlines()]


def test_every_training_square_is_found_again(corpus: Corpus) -> None:
    train = training_squares(corpus)
    assert train is not None
    for example in corpus.examples("train"):
        problem = _TASK.read_prompt(example.prompt, corpus.style)
        rows = _TASK.judge(problem, example.completion, corpus.style).answer
        nearest = train.nearest(rows)  # type: ignore[arg-type]
        assert nearest is not None
        assert (nearest.changed, nearest.turned) == (0, False)


def test_what_stands_in_training_is_copied_and_what_does_not_is_new(corpus: Corpus, tmp_path: Path) -> None:
    groups, verdicts = _judged(corpus, _samples(corpus, "train") + _samples(corpus, "test"), tmp_path)
    train, test = groups["train"]["squares"], groups["test"]["squares"]
    for name in ("valid_new", "valid_new_nest", "valid_unseen_family", "valid_unseen_pattern"):
        assert train[name]["count"] == 0
        assert train[name]["of"] == groups["train"]["samples"]
    assert train["copied"]["share"] == 1
    assert train["verbatim"]["share"] == 1
    assert test["copied"]["count"] == 0
    for name in ("valid_new", "valid_new_nest", "valid_unseen_family"):
        assert test[name]["share"] == 1
        assert test[name]["high"] == 1
    # Patterns by hand: the eight differences to the centre, whatever their order.
    patterns = {
        split: [
            tuple(sorted(cell - v["answer"][1][1] for row in v["answer"] for cell in row))
            for v in verdicts
            if v["split"] == split
        ]
        for split in ("train", "test")
    }
    unseen = [pattern not in set(patterns["train"]) for pattern in patterns["test"]]
    assert [v["unseen"]["pattern"] for v in verdicts if v["split"] == "test"] == unseen
    assert test["valid_unseen_pattern"]["count"] == sum(unseen)
    assert 0 < sum(unseen) < len(unseen)
    assert test["verbatim"]["share"] < 0.2
    assert test["different"] == len({v["details"]["key"] for v in verdicts if v["split"] == "test"})


def test_only_valid_squares_can_be_new(corpus: Corpus, tmp_path: Path) -> None:
    samples = _samples(corpus, "test", lambda text: text[::-1])
    groups, verdicts = _judged(corpus, samples, tmp_path)
    assert all(verdict["unseen"] is None for verdict in verdicts)
    assert groups["test"]["squares"]["valid_unseen_family"]["count"] == 0
    assert groups["test"]["squares"]["different"] == 0


def test_without_a_corpus_nothing_is_compared(corpus: Corpus, tmp_path: Path) -> None:
    write_samples(tmp_path / "samples.jsonl", _samples(corpus, "test"))
    squares = judge_run(tmp_path / "samples.jsonl", None, None)["groups"]["test"]["squares"]
    assert squares["valid_unseen_pattern"] == squares["copied"]
    assert squares["copied"]["of"] == 0
    assert "verbatim" not in squares
    assert squares["different"] > 0
