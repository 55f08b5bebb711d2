"""What ``aritmo corpus export`` writes: every example once, each split by itself, the corpus' hash beside it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from aritmo.bridges.formats import FORMATS, MANIFEST, export_corpus
from aritmo.corpus import Corpus, CorpusConfig, build_corpus
from aritmo.files import file_hash
from aritmo.numbers.randomness import SPLITS, split_of


def families(rows: Any, task: str) -> set[str]:
    return {split_of(task, row["meta"]["family"]) for row in rows}


@pytest.mark.parametrize("text", [False, True], ids=["Parquet", "with CSV beside it"])
def test_datasets_reads_a_corpus_as_it_is(text: bool, corpus_of: Callable[..., Corpus], tmp_path: Path) -> None:
    corpus = corpus_of("addition", "tutorial", text=text)
    data = load_dataset(str(corpus.folder), cache_dir=str(tmp_path))
    assert set(data) == set(SPLITS)
    for split in SPLITS:
        examples = corpus.examples(split)
        assert data[split].column_names == ["prompt", "completion", "meta"]
        assert data[split][:] == {
            name: [getattr(example, name) for example in examples] for name in data[split].column_names
        }
        assert families(data[split], "addition") == {split}
    streamed = load_dataset(str(corpus.folder), split="test", streaming=True)
    assert [row["prompt"] for row in streamed] == data["test"]["prompt"]


@pytest.mark.parametrize("chat", [False, True], ids=["texts", "messages"])
def test_trl_gets_prompt_and_completion(chat: bool, corpus_of: Callable[..., Corpus], tmp_path: Path) -> None:
    corpus = corpus_of("decomposition", "joined")
    made = export_corpus(corpus.folder, "trl", tmp_path / "t", chat)
    assert made.files == [MANIFEST, "test.jsonl", "train.jsonl", "validation.jsonl"]
    data = load_dataset(str(tmp_path / "t"), cache_dir=str(tmp_path / "cache"))
    for split in SPLITS:
        for row, example in zip(data[split], corpus.examples(split), strict=True):
            if chat:
                assert row["prompt"] == [{"role": "user", "content": example.prompt}]
                assert row["completion"] == [{"role": "assistant", "content": example.completion}]
            else:
                assert (row["prompt"], row["completion"]) == (example.prompt, example.completion)
            assert row["meta"] == example.meta
        assert families(data[split], "decomposition") == {split}


@pytest.mark.parametrize("chat", [False, True], ids=["alpaca", "sharegpt"])
def test_llama_factory_gets_its_files(chat: bool, corpus_of: Callable[..., Corpus], tmp_path: Path) -> None:
    """Held against the schema that its data/README.md documents; test_llama_factory.py asks its loader."""
    corpus = corpus_of("addition", "plain")
    export_corpus(corpus.folder, "llama-factory", tmp_path / "l", chat)
    info = json.loads((tmp_path / "l" / "dataset_info.json").read_text("utf-8"))
    assert list(info) == [f"aritmo_addition_plain_{split}" for split in SPLITS]
    for split, entry in zip(SPLITS, info.values(), strict=True):
        rows = json.loads((tmp_path / "l" / entry["file_name"]).read_text("utf-8"))
        examples = corpus.examples(split)
        columns = entry["columns"]
        if chat:
            assert entry["formatting"] == "sharegpt"
            role, content = entry["tags"]["role_tag"], entry["tags"]["content_tag"]
            said = [[(turn[role], turn[content]) for turn in row[columns["messages"]]] for row in rows]
            user, assistant = entry["tags"]["user_tag"], entry["tags"]["assistant_tag"]
            assert said == [[(user, one.prompt), (assistant, one.completion)] for one in examples]
        else:
            asked = [(row[columns["prompt"]], row[columns["query"]], row[columns["response"]]) for row in rows]
            assert asked == [(one.prompt, "", one.completion) for one in examples]


@pytest.mark.parametrize("name", FORMATS)
def test_the_hash_of_the_corpus_goes_along(name: str, corpus_of: Callable[..., Corpus], tmp_path: Path) -> None:
    corpus = corpus_of("addition", "plain")
    made = export_corpus(corpus.folder, name, tmp_path / "out")
    manifest = "corpus/manifest.json" if name == "lm-eval" else MANIFEST
    assert file_hash(made.folder / manifest) == corpus.hash == made.corpus
    assert sorted(made.files) == sorted(
        str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()
    )


def test_an_empty_split_is_an_empty_list(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("17 89 71\n113 59 5\n47 29 101\n")
    corpus = build_corpus(CorpusConfig(source=tmp_path / "m.txt"), tmp_path / "c")
    export_corpus(corpus.folder, "llama-factory", tmp_path / "l")
    assert json.loads((tmp_path / "l" / "test.json").read_text()) == []
    assert len(json.loads((tmp_path / "l" / "train.json").read_text())) == 1


def test_what_cannot_be_exported_is_one_sentence(corpus_of: Callable[..., Corpus], tmp_path: Path) -> None:
    folder = corpus_of("addition", "plain").folder
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_text("x")
    for given, sentence in (
        ((folder, "parquet", tmp_path / "o"), "format: got 'parquet', allowed trl, llama-factory, lm-eval"),
        ((tmp_path, "trl", tmp_path / "o"), "is no corpus: it has no manifest.json"),
        ((folder, "trl", tmp_path / "taken"), "is a folder that is not empty: choose another place"),
        ((folder, "lm-eval", tmp_path / "o", True), "leave --chat out"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            export_corpus(*given)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]


def test_a_corpus_that_was_changed_is_not_exported(tmp_path: Path) -> None:
    corpus = build_corpus(CorpusConfig(task="primality", count=100), tmp_path / "c")
    (tmp_path / "c" / "test.parquet").write_bytes((tmp_path / "c" / "validation.parquet").read_bytes())
    for name in FORMATS:
        with pytest.raises(ValueError, match=r"test\.parquet is not as it was built"):
            export_corpus(corpus.folder, name, tmp_path / "o")
    assert not (tmp_path / "o").exists()
