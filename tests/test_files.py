"""Files and folders are whole or not there."""

import os
from pathlib import Path

import pytest

from aritmo.files import (
    check_free,
    check_name,
    file_hash,
    new_folder,
    read_vouched,
    size,
    write_json,
    write_vouched,
    write_whole,
)


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


def test_a_flipped_byte_anywhere_in_a_vouched_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    write_vouched(path, {"format": 2, "ñ": [1, 2]})
    assert read_vouched(path) == {"format": 2, "ñ": [1, 2]}
    voucher = tmp_path / "m.sha256"
    assert voucher.read_text() == f"{file_hash(path)}  m.json\n"
    for file in (path, voucher):
        whole = file.read_bytes()
        for place in range(len(whole)):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
            with pytest.raises(ValueError, match=r"m\.json is not as it was written"):
                read_vouched(path)
        file.write_bytes(whole)
    voucher.unlink()  # as earlier versions left it
    assert read_vouched(path)["format"] == 2
    with pytest.raises(ValueError, match="holds more than 9 bytes"):
        read_vouched(path, most=9)


@pytest.mark.parametrize("name", ["..", ".", "", "/etc/passwd", "a/b", "..\\x", "C:x", "a\x1b[2J", 3, None, "a\n"])
def test_a_name_that_leads_elsewhere_is_refused(name: object) -> None:
    with pytest.raises(ValueError, match="which is no plain name"):
        check_name(name, "m.json")
    assert check_name("squares-listing", "m.json") == "squares-listing"


def test_links_are_neither_followed_nor_trusted(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("precious")
    out = tmp_path / "out"
    out.symlink_to(mine)
    (tmp_path / f".out.partial-{os.getpid()}").symlink_to(mine)
    write_whole(out, "new")
    assert mine.read_text() == "precious"
    assert out.read_text() == "new"
    assert not out.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_sizes_are_read_by_people() -> None:
    assert [size(n) for n in (0, 1023, 1024, 1536, 3 << 30)] == [
        "0 bytes",
        "1,023 bytes",
        "1 KiB",
        "1.5 KiB",
        "3 GiB",
    ]
