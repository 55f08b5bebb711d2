"""Collections: what is read, what is skipped, and that any number of processes answers alike."""

import os
from pathlib import Path

import pytest

from aritmo.numbers import checking
from aritmo.numbers.checking import check_file, check_files, collect

GOOD = "17 89 71\n113 59 5\n47 29 101\n"
BAD = "17 89 71\n113 59 5\n47 9 101\n"


def fill(folder: Path, count: int) -> None:
    for index in range(count):
        path = folder / f"{index % 3}" / f"{index:03}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text([GOOD, BAD, GOOD + "\n" + BAD, "1 2\n", "words"][index % 5])


def test_processes_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 40)
    files = collect([tmp_path]).files
    expected = [answer for path, _ in files for answer in check_file(path, nested=True)]
    monkeypatch.setattr(checking, "_BATCH", 100)
    monkeypatch.setattr(checking, "_LARGE", len(GOOD + BAD))  # some of the files stay in this process
    for workers in (0, 2):
        done: list[int] = []
        assert list(check_files(files, True, done.append, workers)) == expected
        assert sum(done) == len(files)


def test_files_are_sorted_and_the_rest_is_counted(tmp_path: Path) -> None:
    for name in (
        "b/z.txt",
        "b/y.csv",
        "a.npy",
        ".git/x.txt",
        ".x.txt",
        "x.png",
        "X.TXT",
        "no_suffix",
        "b/c/d.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "outside.txt").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "pipe.txt")
    found = collect([tmp_path])
    names = [str(path.relative_to(tmp_path)) for path, _ in found.files]
    assert names == ["X.TXT", "a.npy", "b/c/d.json", "b/y.csv", "b/z.txt", "no_suffix"]
    assert found.skipped == {"hidden": 2, ".png": 1, "symbolic link": 2, "no regular file": 1}
    assert found.unreadable == []


def test_what_is_named_is_read_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / ".x.md").write_text(GOOD)
    link = tmp_path / "link"
    link.symlink_to(tmp_path, target_is_directory=True)
    assert [path for path, _ in collect([tmp_path / ".x.md"]).files] == [tmp_path / ".x.md"]
    (tmp_path / "a.txt").write_text(GOOD)
    assert [path for path, _ in collect([link]).files] == [link / "a.txt"]


def test_a_missing_file_is_one_answer(tmp_path: Path) -> None:
    path = tmp_path / "none\x1b.txt"
    [answer] = check_files(collect([path]).files)
    assert answer.check is None
    assert answer.unreadable is not None
    assert "there is no file" in answer.unreadable
    assert "\x1b" not in answer.place + answer.unreadable
