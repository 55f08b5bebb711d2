"""What held-out examples share with training, against plain sets of texts and numbers; and figures on record."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from aritmo.cli import main
from aritmo.corpus import Corpus, CorpusConfig, build_corpus, write_manifest
from aritmo.leaks import HELD_OUT, find_leaks, shared_keys, write_unseen
from aritmo.numbers.keys import KINDS
from aritmo.numbers.randomness import SPLITS, Split, split_of
from aritmo.numbers.search import list_order3
from aritmo.tasks import TASKS, Example

Cells = NDArray[np.int64]

ORDER_5 = "11 353 401 449 41\n113 71 419 263 389\n191 443 251 59 311\n479 239 83 431 23\n461 149 101 53 491\n"


@pytest.fixture(scope="module")
def squares() -> Cells:
    return list_order3(10_000).reshape(-1, 3, 3)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return build_corpus(CorpusConfig(count=3_000, below=3_000, seed=1), tmp_path_factory.mktemp("leaks") / "c")


def splits_of(squares: Cells) -> NDArray[np.str_]:
    return np.array([split_of("squares", str(centre)) for centre in squares[:, 1, 1].tolist()])


def with_test(corpus: Corpus, out: Path, examples: list[Example]) -> Corpus:
    """Return a copy of a corpus, in ``out``, whose test is made of these examples."""
    out.mkdir()
    for split in SPLITS:
        pq.write_table(corpus.table(split), out / f"{split}.parquet")
    rows = [{"prompt": e.prompt, "completion": e.completion, "meta": e.meta} for e in examples]
    pq.write_table(pa.Table.from_pylist(rows, schema=corpus.table("test").schema), out / "test.parquet")
    splits = corpus.manifest["splits"]
    write_manifest(out, corpus.manifest | {"splits": splits | {"test": splits["test"] | {"count": len(rows)}}})
    return Corpus(out)


def counts(report: dict[str, Any], split: Split) -> dict[str, int]:
    shared = report["splits"][split]["shared"]
    assert all(share["of"] == report["splits"][split]["examples"] for share in shared.values())
    return {name: share["count"] for name, share in shared.items()}


def naive_keys(example: Example) -> dict[str, set[object]]:
    """Return the keys of a listed square of order 3, read from its text."""
    rows = [[int(word) for word in line.split()] for line in example.completion.split("\n")[:3]]
    centre, cells = rows[1][1], frozenset(cell for row in rows for cell in row)
    corners = frozenset(abs(rows[i][j] - centre) for i in (0, 2) for j in (0, 2))
    return {
        "K1": {(centre, corners)},  # the corners tell a square of order 3, up to how it is turned
        "K2": {(centre, corners)},
        "K3": {cells},
        "K4": {frozenset((cell, 2 * centre - cell)) for cell in cells} - {frozenset((centre,))},
        "K5": {corners},
    }


def naive_report(train: Iterable[Example], held: list[Example]) -> dict[str, int]:
    known: dict[str, set[object]] = {kind: set() for kind in KINDS}
    for example in train:
        for kind, keys in naive_keys(example).items():
            known[kind] |= keys
    mine = [naive_keys(example) for example in held]
    report = {kind: sum(not known[kind].isdisjoint(keys[kind]) for keys in mine) for kind in KINDS}
    every = sum(keys["K4"] <= known["K4"] for keys in mine)
    return report | {"K4_some": report.pop("K4"), "K4_every": every}


def test_a_random_split_leaks_every_pair_of_a_quarter_of_its_test(squares: Cells) -> None:
    """On record: in 26.9 % of test squares all four pairs stand in training."""
    shares = []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(squares))
        test, train = np.split(squares[order], [len(squares) // 10])
        assert not any(shared_keys([train], [test], kind)[0].any() for kind in ("K1", "K2", "K3"))
        some, every = shared_keys([train], [test], "K4")
        assert some.mean() > 0.95
        shares.append(every.mean())
    assert all(abs(share - 0.269) < 0.04 for share in shares)
    assert abs(np.mean(shares) - 0.269) < 0.015


def test_a_split_by_centre_leaks_patterns_alone(squares: Cells) -> None:
    """On record: no pair is shared, and 54 % of test squares have a pattern (u, a) of the other nine tenths."""
    splits = splits_of(squares)
    test, train, rest = squares[splits == "test"], squares[splits == "train"], squares[splits != "test"]
    for kind in KINDS[:4]:
        assert not np.any(shared_keys([rest], [test], kind))
    assert round(float(shared_keys([rest], [test], "K5")[0].mean()), 2) == 0.54
    assert round(float(shared_keys([train], [test], "K5")[0].mean()), 2) == 0.51


def test_batches_are_answered_one_after_another(squares: Cells) -> None:
    held = [squares[:7], squares[:0], squares[100:105]]
    some, every = shared_keys([squares[3:5], squares[104:]], held, "K1")
    assert some.tolist() == every.tolist() == [False] * 3 + [True] * 2 + [False] * 6 + [True]


def test_the_report_counts_what_the_texts_share(corpus: Corpus) -> None:
    report = find_leaks(corpus)
    train = corpus.examples("train")
    assert (report["task"], report["style"], report["train"]) == ("squares", "listing", len(train))
    for split in HELD_OUT:
        found = counts(report, split)
        expected = naive_report(train, corpus.examples(split))
        assert found == dict.fromkeys(("family", "key", "prompt", "completion"), 0) | expected
        assert 0 < expected["K5"] < report["splits"][split]["examples"]
        assert report["splits"][split]["unseen_pattern"] == len(corpus.examples(split)) - expected["K5"]


def test_copied_and_turned_squares_are_found_out(corpus: Corpus, tmp_path: Path) -> None:
    train, test = corpus.examples("train"), corpus.examples("test", 10)
    turned = train[7].completion.split("\n")[:3]
    copies = [
        train[3],
        Example("Matrix 0\n", train[5].completion, train[5].meta),
        Example("Matrix 0\n", "\n".join(turned[::-1]), train[7].meta),
    ]
    leaky = with_test(corpus, tmp_path / "c", [*test, *copies])
    found = counts(find_leaks(leaky), "test")
    expected = naive_report(train, [*test, *copies])
    assert found == expected | {"family": 3, "key": 3, "prompt": 1, "completion": 2}
    assert found["K1"] == found["K2"] == found["K3"] == found["K4_every"] == 3


@pytest.mark.parametrize("task", [name for name in TASKS if name != "squares"])
def test_other_tasks_say_which_texts_they_share(task: str, tmp_path: Path) -> None:
    corpus = build_corpus(CorpusConfig(task=task, count=400, max_digits=3), tmp_path / "c")
    train, test = corpus.examples("train"), corpus.examples("test")
    leaky = with_test(corpus, tmp_path / "leaky", test + train[::9])
    for which, held in ((corpus, test), (leaky, test + train[::9])):
        expected = {
            "family": sum(e.meta["family"] in {t.meta["family"] for t in train} for e in held),
            "key": sum(e.meta["key"] in {t.meta["key"] for t in train} for e in held),
            "prompt": sum(e.prompt in {t.prompt for t in train} for e in held),
            "completion": sum(e.completion in {t.completion for t in train} for e in held),
        }
        report = find_leaks(which)
        assert counts(report, "test") == expected
        assert "unseen_pattern" not in report["splits"]["test"]
    assert expected["prompt"] == len(train[::9])


def test_own_matrices_of_any_order_are_reported_and_empty_splits_too(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text(f"17 89 71\n113 59 5\n47 29 101\n\n{ORDER_5}\n1 2 3\n4 4 4\n9 9 9\n")
    corpus = build_corpus(CorpusConfig(source=tmp_path / "m.txt", keep_wrong=True), tmp_path / "c")
    everything = [example for split in SPLITS for example in corpus.examples(split)]
    assert len(everything) == 3
    leaky = with_test(corpus, tmp_path / "leaky", everything)
    train, found = corpus.examples("train"), counts(find_leaks(leaky), "test")
    assert found["K1"] == found["K2"] == found["K3"] == found["K4_some"] == len(train)
    assert found["K5"] == found["completion"] == len(train)
    empty = with_test(corpus, tmp_path / "empty", [])
    report = find_leaks(empty)
    assert report["splits"]["test"]["shared"]["K2"] == {"count": 0, "of": 0, "share": None}
    assert report["splits"]["test"]["unseen_pattern"] == 0


def test_the_unseen_part_is_a_corpus_of_its_own(corpus: Corpus, tmp_path: Path) -> None:
    unseen = write_unseen(corpus, tmp_path / "u")
    unseen.verify()
    train = corpus.examples("train")
    assert unseen.examples("train") == train
    known = {pattern for example in train for pattern in naive_keys(example)["K5"]}
    for split in HELD_OUT:
        expected = [e for e in corpus.examples(split) if known.isdisjoint(naive_keys(e)["K5"])]
        assert unseen.examples(split) == expected
        account = unseen.manifest["splits"][split]
        assert (account["count"], account["families"]) == (
            len(expected),
            len({e.meta["family"] for e in expected}),
        )
        assert counts(find_leaks(unseen), split)["K5"] == 0
    assert unseen.manifest["unseen_of"] == corpus.hash
    again = write_unseen(corpus, tmp_path / "again")
    assert again.hash == unseen.hash


def test_what_has_no_unseen_part_is_one_sentence(corpus: Corpus, tmp_path: Path) -> None:
    numbers = build_corpus(CorpusConfig(task="primality", count=100), tmp_path / "p")
    with pytest.raises(ValueError, match=r"^.* holds primality, and only squares have patterns; give a corpus"):
        write_unseen(numbers, tmp_path / "u")
    copied = with_test(corpus, tmp_path / "c", corpus.examples("train", 5))
    with pytest.raises(ValueError, match="every test pattern stands in training"):
        write_unseen(copied, tmp_path / "u")
    with pytest.raises(ValueError, match="a folder that is not empty"):
        write_unseen(corpus, tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "p"]


@pytest.mark.parametrize("key", ["17 89 71", "a b c d e f g h i", "1 2", "99999999999999999999"])
def test_a_damaged_key_is_one_sentence(corpus: Corpus, tmp_path: Path, key: str) -> None:
    example = corpus.examples("test", 1)[0]
    damaged = with_test(corpus, tmp_path / "c", [Example("", "", example.meta | {"key": key})])
    with pytest.raises(ValueError, match="build the corpus again"):
        find_leaks(damaged)


@pytest.fixture
def aritmo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["aritmo", "corpus", "leaks", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


def test_the_command_prints_a_table_or_json(corpus: Corpus, tmp_path: Path, aritmo: Any) -> None:
    report = find_leaks(corpus)
    status, out, err = aritmo(corpus.folder)
    assert (status, err) == (0, "")
    share = report["splits"]["test"]["shared"]["K5"]
    test = out[out.index("test: ") :]
    assert f"{share['count']}  {100 * share['share']:.2f} %" in test
    assert f"{report['splits']['test']['unseen_pattern']:,} examples have a pattern that training lacks" in test
    status, out, err = aritmo(corpus.folder, "--json", "--unseen", tmp_path / "u")
    assert (status, err) == (0, "")
    assert json.loads(out) == report | {"unseen": str(tmp_path / "u")}
    assert Corpus(tmp_path / "u").examples("test")


def test_the_command_refuses_in_one_sentence(tmp_path: Path, aritmo: Any) -> None:
    status, out, err = aritmo(tmp_path)
    assert (status, out) == (2, "")
    assert err.startswith("aritmo: ")
    assert "is no corpus" in err
    assert err.count("\n") == 1
