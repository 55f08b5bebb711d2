"""Problems harder than a corpus: as hard as was asked, of one split, and refused where nothing can be harder."""

from pathlib import Path
from typing import Any

import pytest

from aritmo.corpus import Corpus, CorpusConfig, build_corpus
from aritmo.harder import Levels
from aritmo.numbers.randomness import Split, split_of


def levels(folder: Path, **config: Any) -> Levels:
    return Levels(build_corpus(CorpusConfig(count=60, **config), folder / "corpus"))


@pytest.mark.parametrize("split", ["train", "test"])
def test_sums_have_a_longer_operand_than_before(tmp_path: Path, split: Split) -> None:
    found = levels(tmp_path, task="addition", style="tutorial", max_digits=2)
    problems = found.draw(2, 1, split, 7, 300)
    assert len(set(problems)) == 300
    assert {max(len(str(a)), len(str(b))) for a, b in problems} == {4}
    assert {min(len(str(a)), len(str(b))) for a, b in problems} == {1, 2, 3, 4}
    assert {split_of("addition", found.task.family(problem)) for problem in problems} == {split}
    assert found.draw(2, 1, split, 7, 50) == problems[:50]
    assert found.draw(2, 1, split, 8, 50) != problems[:50]
    assert found.name(2) == "4 digits"


def test_what_is_taken_is_passed_over_and_what_there_is_ends(tmp_path: Path) -> None:
    found = levels(tmp_path, task="decomposition", max_digits=1)
    every = found.draw(1, 0, "train", 0, 1000)
    assert sorted(every) == [n for n in range(10, 100) if split_of("decomposition", str(n)) == "train"]
    taken = {f"###\n{n}\n" for n in every[:-3]}
    assert sorted(found.draw(1, 0, "train", 0, 1000, taken)) == sorted(every[-3:])
    alike = found.draw(0, None, "train", 0, 1000)
    assert sorted(alike) == [n for n in range(10) if split_of("decomposition", str(n)) == "train"]


def test_squares_have_a_cell_beyond_the_bound(tmp_path: Path) -> None:
    found = levels(tmp_path, task="squares", style="tutorial", below=1000, ask="centre")
    problems = found.draw(1, 0, "train", 0, 20)
    assert all(1000 <= max(square.cells) < 2000 for square in problems)
    assert {split_of("squares", found.task.family(square)) for square in problems} == {"train"}
    assert found.name(1) == "cells below 2,000"
    row = found.row(0, problems[0])
    asked = found.task.read_prompt(row["prompt"], "tutorial")
    assert found.task.judge(asked, row["completion"], "tutorial").valid
    with pytest.raises(ValueError, match="below 10,000"):
        found.draw(12, 9, "train", 0, 1)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"task": "primality", "max_digits": 4}, "what can be made harder is addition, decomposition, squares"),
        ({"task": "squares", "style": "listing"}, "build one with --style tutorial"),
    ],
)
def test_what_cannot_be_made_harder(tmp_path: Path, config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        levels(tmp_path, **config)


def test_a_number_without_names_for_its_places(tmp_path: Path) -> None:
    found = levels(tmp_path, task="decomposition", max_digits=2)
    with pytest.raises(ValueError, match="digits"):
        found.draw(100, 99, "train", 0, 1)


def test_matrices_from_a_file_have_no_level(tmp_path: Path) -> None:
    corpus = build_corpus(CorpusConfig(task="decomposition", max_digits=1), tmp_path / "corpus")
    del corpus.manifest["max_digits"]
    with pytest.raises(ValueError, match="have no level"):
        Levels(corpus)
    assert isinstance(corpus, Corpus)
