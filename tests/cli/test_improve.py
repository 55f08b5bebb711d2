"""``aritmo improve`` as a person types it: a table, JSON, going on, and mistakes in one sentence."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from aritmo import filling, improving
from aritmo.corpus import CorpusConfig, build_corpus
from aritmo.experiment import PartConfig, train_alone
from aritmo.tasks import find_task
from aritmo.training import TrainingConfig

Command = Callable[..., Any]
SMALL = ["--rounds", "1", "--count", "20", "--tests", "4", "--seed", "1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus C of decompositions to 2 digits and a run R of two updates of tiny."""
    folder = tmp_path_factory.mktemp("made")
    corpus = build_corpus(CorpusConfig(task="decomposition", max_digits=2, count=60), folder / "C")
    training = TrainingConfig(steps=2, context=64, batch_size=2, warmup=0)
    train_alone(corpus, PartConfig(training=training, look=0), folder / "R", lambda line: None, False)
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> str:
    """C and R in the folder in which the command runs."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return "R"


@pytest.fixture
def knowing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every model write the right text."""

    def written(model: Any, tokenizer: Any, records: Sequence[Any], *_: Any, **__: Any) -> Iterator[Any]:
        for record in records:
            task, style = find_task(record["task"], record["style"])
            problem = task.read_prompt(record["prompt"], style)
            yield record | {"text": task.completion(problem, style), "finished": True, "tokens": 3}

    monkeypatch.setattr(filling, "written", written)


def refused(ended: Any, sentence: str) -> None:
    last = ended.err.splitlines()[-1]
    assert (ended.status, ended.out) == (2, "")
    assert last.startswith("aritmo: ")
    assert sentence in last
    assert not Path("NEW").exists()


@pytest.mark.usefixtures("knowing")
def test_a_table_of_all_rounds_and_the_same_command_again(command: Command, run: str) -> None:
    words = ["improve", run, "--corpus", "C", "--out", "I", *SMALL]
    ended = command(*words)
    assert ended.status == 0
    assert ended.out.splitlines()[-3:] == [
        "round  kept      2 digits  3 digits",
        "0      -         100.0 %   100.0 %",
        "1      20 of 20  100.0 %   100.0 %",
    ]
    written = {path: path.stat().st_mtime_ns for path in Path("I").rglob("*.jsonl") if path.parent.name != "I"}
    again = command(*words, "--json")
    told = json.loads(again.out)
    assert [one["round"] for one in told["rounds"]] == [0, 1]
    assert {path: path.stat().st_mtime_ns for path in written} == written
    settings = yaml.safe_load(Path("I/improve.yaml").read_text())
    assert settings["training"]["steps"] == 2
    other = command(*words[:-1], "2")
    assert other.status == 2
    assert "I was begun with seed 1, not 2: give the same settings" in other.err
    sampled = command("sample", "I", "--corpus", "C", "--split", "test", "--count", "2", "--out", "s.jsonl")
    assert sampled.status == 0


def test_nothing_that_holds_is_exit_code_one(command: Command, run: str) -> None:
    ended = command("improve", run, "--corpus", "C", "--out", "I", *SMALL)
    assert ended.status == 1
    last = ended.err.splitlines()[-1]
    assert last == "aritmo: nothing that it wrote on 3 digits holds, so there is nothing to learn"
    assert ended.out.splitlines()[-1].split() == ["1", "0", "of", "20", "-", "-"]


def test_what_cannot_be_improved_is_one_sentence_and_leaves_nothing(command: Command, run: str) -> None:
    words = ["--corpus", "C", "--out", "NEW", *SMALL]
    refused(command("improve", "nowhere", *words), "there is no model 'nowhere'")
    refused(command("improve", "tiny", *words), "tiny has no tokenizer of its own")
    refused(command("improve", "adder", *words), "which only its recipe trains")
    refused(
        command("improve", run, *words, "--rounds", "9"), "ask for fewer rounds, or improve a model with a longer"
    )
    refused(command("improve", run, *words, "--rounds", "0"), "rounds: got '0'")
    refused(command("improve", run, *words, "--evidence", "hope"), "evidence: got 'hope'")
    refused(command("improve", run, *words, "--set", "trainin.steps=3"), "did you mean training?")
    refused(command("improve", run, "--corpus", "R", "--out", "NEW"), "R is no corpus")
    taken = command("improve", run, "--corpus", "C", "--out", "R", *SMALL)
    assert taken.status == 2
    assert "R is a folder that is not empty" in taken.err


def test_a_corpus_that_trains_on_held_out_families_is_refused(
    command: Command, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(improving, "split_of", lambda task, family: "test" if family == "57" else "train")
    monkeypatch.setattr(improving.Corpus, "table", lambda self, split: _table(self, "57"))
    refused(
        command("improve", run, "--corpus", "C", "--out", "NEW", *SMALL), "C trains on 57, which is of the test"
    )


def _table(corpus: Any, family: str) -> Any:
    import pyarrow as pa

    from aritmo.tables import SCHEMA

    meta = {"task": "decomposition", "style": "joined", "family": family, "key": family, "index": 0}
    return pa.Table.from_pylist([{"prompt": "", "completion": "", "meta": meta}], schema=SCHEMA)
