"""Files and folders that are either whole or not there."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any


def file_hash(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    hasher = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file beside its place, sync it and move it there, so that no reader sees half of it."""
    beside = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write one JSON value, whole or not at all, readable and with keys in the order given."""
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def check_free(out: Path) -> None:
    """Raise ValueError unless ``out`` is free for a new folder: not there, or an empty folder."""
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists() or out.is_symlink():
        kind = "a folder that is not empty" if out.is_dir() else "a file"
        raise ValueError(f"{out} is {kind}: choose another place, or remove it first")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a folder to fill, and move it to ``out`` when all went well; otherwise nothing is left.

    Raises ValueError where ``out`` is taken. What a killed process of ours left behind is removed.
    """
    check_free(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    for stale in out.parent.glob(f".{out.name}.partial-*"):
        if not _alive(int(stale.name.rpartition("-")[2])):
            shutil.rmtree(stale, ignore_errors=True)
    beside = out.with_name(f".{out.name}.partial-{os.getpid()}")
    beside.mkdir()
    try:
        yield beside
        beside.replace(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
