"""Files and folders that are either whole or not there."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import Any

VOUCHER = ".sha256"


def file_hash(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    hasher = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file beside its place, sync it and move it there, so that no reader sees half of it.

    A symbolic link at ``path`` is replaced, not followed, and one that lies in wait beside it is not either.
    """
    _clear_stale(path)
    write_beside(path, content, synced=True)


def write_beside(path: Path, content: str | bytes, synced: bool = False) -> None:
    """Write a file beside its place and move it there; unless ``synced`` a failure of power may still tear it."""
    beside = path.with_name(f".{path.name}.partial-{os.getpid()}")
    beside.unlink(missing_ok=True)
    try:
        with beside.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if synced:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write one JSON value, whole or not at all, readable and with keys in the order given."""
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
    """Write JSON values, one a line, as ``write_whole`` does."""
    write_whole(path, "".join(json.dumps(value) + "\n" for value in values))


def sync(path: Path) -> None:
    """Force a file, or a folder's list of names, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_vouched(path: Path, value: Any) -> None:
    """Write one JSON value and beside it, as ``sha256sum -c`` reads it, the hash that vouches for its bytes."""
    write_json(path, value)
    write_whole(path.with_suffix(VOUCHER), f"{file_hash(path)}  {path.name}\n")


def read_vouched(path: Path, most: int = 256 << 20) -> Any:
    """Return the JSON value of a file once its bytes are what ``write_vouched`` wrote.

    A file without its hash beside it, as earlier versions wrote it, is read as it is. Raises ValueError, as a
    clause, where the bytes differ or are no JSON, and OSError where there are none.
    """
    content = read_bounded(path, most)
    voucher = path.with_suffix(VOUCHER)
    if (
        voucher.exists()
        and read_bounded(voucher, 4096) != f"{sha256(content).hexdigest()}  {path.name}\n".encode()
    ):
        raise ValueError(f"{path.name} is not as it was written, by the hash in {voucher.name}")
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deeply") from None


def read_bounded(path: Path, most: int) -> bytes:
    """Return what a file holds. Raises ValueError where that is more than ``most`` bytes, which are not read."""
    with path.open("rb") as file:
        large = os.fstat(file.fileno()).st_size > most
        content = b"" if large else file.read(most + 1)
        if large or len(content) > most:
            raise ValueError(f"{path} holds more than {size(most)}, too much for what it should be")
    return content


def size(count: int) -> str:
    """Return a number of bytes as people write it: ``800 bytes``, ``64 KiB``, ``1.5 GiB``."""
    value, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:,.1f}".removesuffix(".0") + f" {unit}"


def check_name(name: object, where: str) -> str:
    """Return a name that stands in a file, once it is a plain one that cannot lead out of its folder.

    Raises ValueError for anything else: ``..``, a path, a control character, what is no text.
    """
    plain = isinstance(name, str) and name.isprintable() and not set(name) & set("/\\:")
    if not plain or name in ("", ".", ".."):
        raise ValueError(f"{where} names {name!r:.60}, which is no plain name: it could lead out of its folder")
    return str(name)


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
    _clear_stale(out)
    beside = out.with_name(f".{out.name}.partial-{os.getpid()}")
    beside.mkdir()
    try:
        yield beside
        beside.replace(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def withdrawn(folder: Path, only: str) -> Iterator[None]:
    """Take a folder away where what fills it is refused (ValueError) and it holds nothing but the file ``only``.

    So the same command serves once the cause is mended.
    """
    try:
        yield
    except ValueError:
        if folder.is_dir() and [file.name for file in folder.iterdir()] == [only]:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _clear_stale(out: Path) -> None:
    """Remove what killed processes of ours left beside ``out``."""
    for stale in out.parent.glob(f".{escape(out.name)}.partial-*"):
        process = stale.name.rpartition("-")[2]
        if not process.isdecimal() or _alive(int(process)):
            continue
        if stale.is_dir() and not stale.is_symlink():
            shutil.rmtree(stale, ignore_errors=True)
        else:
            stale.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
