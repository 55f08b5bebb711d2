"""Corpora: the same bytes every time, no family on two sides, nothing half written."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aritmo import chunks
from aritmo.config import build
from aritmo.corpus import Corpus, CorpusConfig, build_corpus, quota
from aritmo.files import file_hash
from aritmo.numbers.keys import KINDS, Kind, keys_of
from aritmo.numbers.randomness import SPLITS, split_of
from aritmo.tasks import TASKS
from aritmo.tasks.task import Ask
from aritmo.workers import Workers

STYLES = [(task.name, style) for task in TASKS.values() for style in task.styles]
COUNT = 600


def small(task: str, style: str, **more: object) -> CorpusConfig:
    return CorpusConfig(task=task, style=style, count=COUNT, seed=1, **more)  # type: ignore[arg-type]


def bytes_of(folder: Path) -> dict[str, str]:
    return {file.name: file_hash(file) for file in folder.iterdir()}


@pytest.mark.parametrize(("task", "style"), STYLES)
def test_every_task_and_style_builds_splits_and_judges_right(task: str, style: str, tmp_path: Path) -> None:
    corpus = build_corpus(small(task, style), tmp_path / "c")
    families: dict[str, set[str]] = {}
    keys: list[str] = []
    for split in SPLITS:
        examples = corpus.examples(split)
        assert len(examples) == quota(COUNT, split) == corpus.manifest["splits"][split]["count"]
        families[split] = {example.meta["family"] for example in examples}
        assert all(split_of(task, family) == split for family in families[split])
        assert len(families[split]) == corpus.manifest["splits"][split]["families"]
        keys += [example.prompt for example in examples]
        for example in examples[:50]:
            problem = corpus.task.read_prompt(example.prompt, style)
            assert corpus.task.judge(problem, example.completion, style).valid
    assert len(set(keys)) == COUNT
    assert not families["train"] & families["test"] | families["train"] & families["validation"]
    corpus.verify()


@pytest.fixture(scope="module")
def started() -> Iterator[Workers]:
    with Workers(2) as pool:
        yield pool


@pytest.fixture
def two(started: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let corpora that are built by two processes be built by the same two, since to start them takes seconds."""
    monkeypatch.setattr(
        "aritmo.corpus.Workers", lambda count: nullcontext(started) if count == 2 else Workers(count)
    )


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_gives_the_same_bytes_on_any_number_of_processes(task: str, tmp_path: Path) -> None:
    config = CorpusConfig(task=task, count=6000, seed=1, text=True, below=3000)
    alone = build_corpus(config, tmp_path / "alone", workers=0)
    build_corpus(config, tmp_path / "two", workers=2)
    other = build_corpus(config.model_copy(update={"seed": 2}), tmp_path / "other", workers=0)
    assert bytes_of(tmp_path / "alone") == bytes_of(tmp_path / "two")
    assert alone.hash != other.hash
    assert alone.examples("train", 20) != other.examples("train", 20)


@pytest.mark.usefixtures("two")
def test_nested_orders_give_the_same_bytes_on_any_number_of_processes(tmp_path: Path) -> None:
    config = CorpusConfig(order=(5, 3, 6), ask=("sum", "any"), count=6000, seed=1, distinct="K2")
    build_corpus(config, tmp_path / "alone", workers=0)
    build_corpus(config, tmp_path / "two", workers=2)
    assert bytes_of(tmp_path / "alone") == bytes_of(tmp_path / "two")


def test_listings_of_order_3_stay_what_they_were(tmp_path: Path) -> None:
    corpus = build_corpus(CorpusConfig(below=1000, count=2000, seed=1), tmp_path / "c")
    texts = {split: "".join(example.text for example in corpus.examples(split)) for split in SPLITS}
    hashes = [sha256(text.encode()).hexdigest()[:16] for text in texts.values()]
    assert hashes == ["b14fbe22bd2143ed", "9cb8b132e878690b", "11187a7b50d85e44"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_squares_share_the_key_that_is_to_be_distinct(kind: Kind, tmp_path: Path) -> None:
    config = CorpusConfig(order=(3, 5), below=800, count=500, seed=2, distinct=kind)
    corpus = build_corpus(config, tmp_path / "c")
    keys: list[bytes] = []
    for split in SPLITS:
        for example in corpus.examples(split):
            cells = np.array(example.meta["key"].split(), dtype=np.int64)
            order = round(len(cells) ** 0.5)
            keys += keys_of(cells.reshape(1, order, order), kind).keys
    assert len(keys) == len(set(keys)) > 50
    assert corpus.manifest["distinct"] == kind
    assert sum(account["duplicates"] for account in corpus.manifest["splits"].values()) > 0


@pytest.mark.parametrize("asks", [("centre",), ("sum", "any"), ("number",)])
def test_every_way_of_asking_is_judged_right(asks: tuple[Ask, ...], tmp_path: Path) -> None:
    corpus = build_corpus(CorpusConfig(order=(5, 3, 7), ask=asks, count=300), tmp_path / "c")
    for split in SPLITS:
        examples = corpus.examples(split)
        assert len(examples) == quota(300, split)
        for example in examples:
            problem = corpus.task.read_prompt(example.prompt, corpus.style)
            assert corpus.task.judge(problem, example.completion, corpus.style).valid
        verdict = corpus.task.judge(
            corpus.task.read_prompt(examples[0].prompt, "listing"), examples[1].completion, "listing"
        )
        assert verdict.valid == (asks == ("number",))


def test_the_hash_seed_changes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aritmo", "corpus", "build", "--task", "addition", "--style", "tutorial"]
    for seed in ("0", "123"):
        where = str(tmp_path / seed)
        environment = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run([*command, "--count", "500", "--seed", "1", "--out", where], check=True, env=environment)
    assert bytes_of(tmp_path / "0") == bytes_of(tmp_path / "123")


def test_neighbouring_seeds_share_no_more_than_chance(tmp_path: Path) -> None:
    config = CorpusConfig(task="addition", count=2000, min_digits=6, max_digits=9, seed=42)
    prompts = [
        {example.prompt for example in build_corpus(made, tmp_path / str(made.seed)).examples("train")}
        for made in (config, config.model_copy(update={"seed": 43}))
    ]
    assert not prompts[0] & prompts[1]


def test_what_there_is_too_little_of_is_built_as_far_as_it_goes(tmp_path: Path) -> None:
    config = CorpusConfig(task="decomposition", count=100_000, max_digits=2)
    corpus = build_corpus(config, tmp_path / "c", workers=0)
    counts = {split: account["count"] for split, account in corpus.manifest["splits"].items()}
    assert sum(counts.values()) == 100
    assert corpus.manifest["splits"]["train"]["duplicates"] > 0
    squares = build_corpus(CorpusConfig(task="squares", count=10**6, below=1000), tmp_path / "s", workers=0)
    assert sum(account["count"] for account in squares.manifest["splits"].values()) == 8 * 159


def test_text_is_one_column_that_holds_prompt_and_completion(tmp_path: Path) -> None:
    corpus = build_corpus(small("addition", "tutorial", text=True), tmp_path / "c")
    read = pa.csv.ParseOptions(newlines_in_values=True)
    table = pa.csv.read_csv(tmp_path / "c" / "train.csv", parse_options=read)
    assert table.column_names == ["text"]
    assert table["text"].to_pylist() == [example.text for example in corpus.examples("train")]


def test_other_libraries_read_it_as_it_is(tmp_path: Path) -> None:
    from datasets import load_dataset

    corpus = build_corpus(small("squares", "listing"), tmp_path / "c")
    files = {split: str(tmp_path / "c" / f"{split}.parquet") for split in SPLITS}
    data = load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    first = corpus.examples("test")[0]
    assert data["test"][0] == {"prompt": first.prompt, "completion": first.completion, "meta": first.meta}


MATRICES = "17 89 71\n113 59 5\n47 29 101\n\n17 89 71\n113 59 5\n47 29 101\n\n17 89 72\n113 59 5\n47 29 101\n"


def test_own_matrices_are_judged_and_the_wrong_ones_left_out(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text(MATRICES)
    corpus = build_corpus(CorpusConfig(source=tmp_path / "m.txt"), tmp_path / "c")
    assert sum(account["count"] for account in corpus.manifest["splits"].values()) == 1
    same, wrong = corpus.manifest["left_out"]
    assert "the same as" in same
    assert "not prime: 72 in row 1, column 3" in wrong
    kept = build_corpus(CorpusConfig(source=tmp_path / "m.txt", keep_wrong=True), tmp_path / "k")
    assert sum(account["count"] for account in kept.manifest["splits"].values()) == 2


def test_only_wrong_matrices_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("1 2 3\n4 5 6\n7 8 9\n")
    with pytest.raises(ValueError, match="no matrix is left to train on"):
        build_corpus(CorpusConfig(source=tmp_path / "m.txt"), tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.txt"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"task": "sums"}, "task: got 'sums'"),
        ({"task": "addition", "style": "listing"}, "style: got 'listing'"),
        ({"counts": 3}, "counts: there is no such key, did you mean count"),
        ({"count": 0}, "count: got '0'"),
        ({"task": "addition", "min_digits": 4, "max_digits": 3}, "min_digits: got 4"),
        ({"task": "addition", "source": "m.txt"}, "matrices are read for task squares"),
        ({"task": "addition", "distinct": "K2"}, "distinct: this is for task squares"),
        ({"source": "m.txt", "ask": "sum"}, "ask: matrices of your own"),
        ({"order": "3,3"}, "order: got '3,3'"),
        ({"order": []}, "order: got []"),
        ({"order": 2.5}, "order: got 2.5"),
        ({"order": 2}, "no prime magic square of order 2"),
        ({"order": 5, "ask": "sums"}, "ask: got 'sums', allowed number, centre, sum, any"),
        ({"order": 13}, "order 13 does not fit the context"),
        ({"order": 5, "below": 300}, "give a bound of at least 480"),
        ({"distinct": "K6"}, "distinct: got 'K6'"),
    ],
)
def test_a_wrong_setting_is_one_sentence(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        build(CorpusConfig, values)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine").write_text("x")
    with pytest.raises(ValueError, match="a folder that is not empty"):
        build_corpus(small("addition", "plain"), tmp_path / "c")
    assert (tmp_path / "c" / "mine").read_text() == "x"


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from aritmo.cli import main
sys.argv[1:] = "corpus build --task addition --style tutorial --count 15000 --out".split() + [sys.argv[1]]
main()
"""


def test_a_disk_that_fills_up_leaves_no_corpus_and_says_so(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path / "c")], capture_output=True, text=True)
    assert done.returncode == 2
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == [".c.chunks"]
    build_corpus(CorpusConfig(task="addition", style="tutorial", count=300), tmp_path / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_what_a_stopped_build_drew_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a chunk that was torn or is not what it was is drawn again, so that the bytes are the same."""
    config = CorpusConfig(task="addition", style="plain", count=12_000, seed=4)
    whole = build_corpus(config, tmp_path / "whole")
    drawn: list[int] = []
    make = chunks._made

    def counted(job: chunks.Job) -> chunks.Chunk:
        drawn.append(job.start)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return make(job)

    monkeypatch.setattr(chunks, "_made", counted)
    with pytest.raises(KeyboardInterrupt):
        build_corpus(config, tmp_path / "c")
    assert not (tmp_path / "c").exists()
    first, second = sorted(tmp_path.glob(".c.chunks-*/*"))
    second.write_bytes(second.read_bytes()[:-1])
    again = build_corpus(config, tmp_path / "c")
    assert first.name == "train-0"
    assert drawn[:3] == [0, 4096, 8192]
    assert drawn[3] == 4096
    assert bytes_of(again.folder) == bytes_of(whole.folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "whole"]


@settings(max_examples=20)
@given(st.binary(max_size=300), st.lists(st.integers(0, 2**64 - 1), max_size=4), st.data())
def test_a_kept_chunk_comes_back_or_is_known_to_be_torn(rows: bytes, keys: list[int], data: st.DataObject) -> None:
    ends = np.arange(len(keys), dtype=np.int64)
    encoded = chunks.Chunk(rows, np.array(keys, dtype=np.uint64), ends, 7).encoded()
    back = chunks.Chunk.decoded(encoded)
    assert (back.rows, back.keys.tolist(), back.ends.tolist(), back.asked) == (rows, keys, ends.tolist(), 7)
    torn = bytearray(encoded[: data.draw(st.integers(0, len(encoded)))])
    if len(torn) == len(encoded):
        torn[data.draw(st.integers(0, len(torn) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="not as it was written"):
        chunks.Chunk.decoded(bytes(torn))


def test_a_changed_byte_is_found_and_named(tmp_path: Path) -> None:
    corpus = build_corpus(small("addition", "plain"), tmp_path / "c")
    path = tmp_path / "c" / "test.parquet"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"test\.parquet is not as it was built"):
        corpus.verify()
    (tmp_path / "c" / "manifest.json").write_text(json.dumps({"task": "addition"}))
    with pytest.raises(ValueError, match="is damaged"):
        Corpus(tmp_path / "c")
    with pytest.raises(ValueError, match="is no corpus"):
        Corpus(tmp_path)
