"""Self-improvement, with a writer in place of the model that knows some of the answers: what is learned from is
right and of train families only, and work that was stopped anywhere goes on to the same bytes.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from aritmo import filling, improving
from aritmo.corpus import Corpus, CorpusConfig, build_corpus
from aritmo.experiment import PartConfig, newest_model, train_alone
from aritmo.files import file_hash
from aritmo.improving import ImproveConfig, improve, settings_of
from aritmo.numbers.randomness import digest, split_of
from aritmo.tasks import find_task
from aritmo.training import TrainingConfig

Record = dict[str, Any]
TRAINING = TrainingConfig(
    steps=2, context=192, batch_size=2, warmup=0, save_every=2, evaluate_every=2, schedule="constant"
)
CONFIG = ImproveConfig(rounds=2, count=40, tests=6, seed=3, training=TRAINING)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus of decompositions to 2 digits, and a tiny run that has seen two updates of it."""
    folder = tmp_path_factory.mktemp("start")
    corpus = build_corpus(CorpusConfig(task="decomposition", max_digits=2, count=60), folder / "corpus")
    train_alone(corpus, PartConfig(training=TRAINING, look=0), folder / "run", _hush, False)
    return folder / "run", folder / "corpus"


def _hush(line: str) -> None:
    """Say nothing."""


def _partly(known: int, of: int = 4) -> Any:
    """Return a writer that is right on about ``known`` of ``of`` prompts, the same ones each time."""

    def written(model: Any, tokenizer: Any, records: Sequence[Record], *_: Any, **__: Any) -> Iterator[Record]:
        for record in records:
            task, style = find_task(record["task"], record["style"])
            text = task.completion(task.read_prompt(record["prompt"], style), style)
            right = digest(record["prompt"])[0] % of < known
            yield record | {"text": text if right else text[:-2] + "?\n", "finished": True, "tokens": 3}

    return written


def _files(folder: Path) -> dict[str, str]:
    """Return the hash of each file that holds neither a time nor, as weights' settings do, a place."""
    return {
        path.relative_to(folder).as_posix(): file_hash(path)
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".parquet", ".safetensors")
        or path.name in ("samples.jsonl", "kept.jsonl", "tests.jsonl")
    }


def test_a_model_learns_from_what_holds_alone(
    start: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "written", _partly(3))
    told: list[str] = []
    rounds = improve(str(start[0]), start[1], CONFIG, tmp_path / "out", told.append)
    assert rounds is not None
    assert [one["round"] for one in rounds] == [0, 1, 2]
    assert list(rounds[0]["after"]) == ["2 digits", "3 digits", "4 digits"]
    task, _ = find_task("decomposition", "joined")
    old = Corpus(start[1])
    for number in (1, 2):
        folder = tmp_path / "out" / f"round-{number}"
        done = json.loads((folder / "manifest.json").read_text())
        assert done == rounds[number]
        assert done["before"] == rounds[number - 1]["after"]
        corpus = Corpus(folder / "corpus")
        corpus.verify()
        assert corpus.manifest["max_digits"] == 2 + number
        seen = corpus.table("train").to_pylist()
        assert seen[: old.table("train").num_rows] == old.table("train").to_pylist()
        made = seen[old.table("train").num_rows :]
        assert len(made) == done["mixed"]["made"] * done["mixed"]["times"]
        for row in seen:
            problem = task.read_prompt(row["prompt"], "joined")
            assert task.judge(problem, row["completion"], "joined").valid
            assert split_of("decomposition", str(problem)) == "train"
        lengths = {len(row["meta"]["family"]) for row in made}
        assert lengths == set(range(3, 3 + number))
        assert {len(text) for text in corpus.table("validation")["prompt"].to_pylist()[:6]} == {7 + number}
        kept = [json.loads(line) for line in (folder / "kept.jsonl").read_text().splitlines()]
        assert done["kept"]["count"] == done["kept_right"] == len(kept) < done["kept"]["of"] == 40
    assert newest_model(str(tmp_path / "out")).endswith("round-2/checkpoints/step-000002")
    assert any("3 digits: kept" in line for line in told)
    assert (tmp_path / "out" / "metrics.jsonl").read_text().count("\n") == 3


def test_work_that_was_stopped_anywhere_goes_on_to_the_same_end(
    start: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop comes at the n-th time that anything is written or moved, for every n that there is."""
    monkeypatch.setattr(filling, "written", _partly(3))
    config = CONFIG.model_copy(update={"rounds": 1})
    whole = improve(str(start[0]), start[1], config, tmp_path / "whole", _hush)
    left = 10**6

    def counted(function: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return function(*given, **named)

        return call

    monkeypatch.setattr(filling, "written", counted(filling.written))
    for name in ("write_json_lines", "write_json", "mix", "train_alone", "save_config"):
        monkeypatch.setattr(improving, name, counted(getattr(improving, name)))
    stops = 0
    for stops in range(100):
        left = stops
        try:
            again = improve(str(start[0]), start[1], config, tmp_path / "again", _hush)
        except KeyboardInterrupt:
            continue
        break
    assert stops >= 5
    assert [one["after"] for one in again or []] == [one["after"] for one in whole or []]
    assert _files(tmp_path / "again") == _files(tmp_path / "whole")


def test_a_round_in_which_nothing_holds_is_the_last(
    start: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "written", _partly(0))
    rounds = improve(str(start[0]), start[1], CONFIG, tmp_path / "out", _hush)
    assert rounds is not None
    assert [one["round"] for one in rounds] == [0, 1]
    assert "after" not in rounds[1]
    assert not (tmp_path / "out" / "round-1" / "corpus").exists()
    assert newest_model(str(tmp_path / "out" / "round-0")) == str(tmp_path / "out" / "round-0")


def test_a_real_model_writes_every_vote_from_a_stream_of_its_own(start: tuple[Path, Path], tmp_path: Path) -> None:
    config = CONFIG.model_copy(
        update={"rounds": 1, "evidence": "vote", "votes": 3, "temperature": 1.0, "count": 5}
    )
    rounds = improve(str(start[0]), start[1], config, tmp_path / "out", _hush)
    assert rounds is not None
    assert rounds[1]["written"] == 15
    texts = [
        json.loads(line) for line in (tmp_path / "out" / "round-1" / "samples.jsonl").read_text().splitlines()
    ]
    assert [text["index"] for text in texts] == list(range(15))
    assert len({text["prompt"] for text in texts}) == 5
    assert len({text["text"] for text in texts}) > 5


def test_a_round_trains_as_the_run_did(start: tuple[Path, Path], tmp_path: Path) -> None:
    assert TrainingConfig(**settings_of(start[0])) == TRAINING
    assert "model" not in settings_of(start[0])
    assert settings_of(tmp_path) == {}
