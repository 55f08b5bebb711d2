"""Files and folders are whole or not there."""

import os
from pathlib import Path

import pytest

from aritmo.files import check_free, new_folder, write_json, write_whole


def test_a_folder_appears_only_when_it_is_filled(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with new_folder(out) as folder:
        (folder / "a").write_text("a")
        assert not out.exists()
    assert (out / "a").read_text() == "a"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_failure_leaves_nothing_and_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(FileNotFoundError), new_folder(out) as folder:
        (folder / "missing" / "a").write_text("a")
    assert list(tmp_path.rglob("*")) == [out]
    with new_folder(out) as folder:
        (folder / "b").write_text("b")
    assert (out / "b").exists()


def test_what_a_dead_process_left_is_removed_and_a_living_ones_kept(tmp_path: Path) -> None:
    dead, alive = tmp_path / ".out.partial-4194305", tmp_path / f".out.partial-{os.getppid()}"
    dead.mkdir()
    alive.mkdir()
    with new_folder(tmp_path / "out"):
        pass
    assert not dead.exists()
    assert alive.exists()


def test_a_place_that_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is a file: choose another place"):
        check_free(tmp_path / "file")
    with pytest.raises(ValueError, match="a folder that is not empty"):
        check_free(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is a file"):
        check_free(tmp_path / "link")


def test_text_replaces_the_old_only_when_written(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    write_json(path, {"ñ": 1})
    assert path.read_text(encoding="utf-8") == '{\n  "ñ": 1\n}\n'
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")
    assert "ñ" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]
