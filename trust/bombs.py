"""Files that are small on the disk and would be endless in memory: each is opened in a copy of this process.

Run ``python -m trust.bombs``. Each must be refused in one sentence, within a minute, and without more memory than
a few hundred megabytes. Prints one JSON line.
"""

import json
import os
import resource
import select
import shutil
import signal
import struct
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aritmo.asking import read_lines
from aritmo.config import read_yaml
from aritmo.corpus import Corpus, CorpusConfig, build_corpus, write_manifest
from aritmo.models import open_model
from aritmo.numbers.matrixfiles import read_matrices
from aritmo.records import read_jsonl
from aritmo.tables import META, SCHEMA
from aritmo.weights import open_folder
from trust.planted import Case, model_folder

MOST = 600 << 20
PATIENCE = 60.0


def main() -> int:
    rows = 1_000_000 if "--small" in sys.argv else 20_000_000
    wrong: list[str] = []
    peak, count = 0, 0
    with tempfile.TemporaryDirectory() as place:
        for what, case in bombs(Path(place), rows):
            said, taken = _boxed(case)
            count += 1
            peak = max(peak, taken)
            if not said.startswith("refused: ") or "\n" in said or taken > MOST:
                wrong.append(f"{what}: {said[-300:]} ({taken >> 20:,} MiB)")
    print(json.dumps({"bombs": count, "peak_mib": peak / (1 << 20), "wrong": wrong}))
    return 1 if wrong else 0


def _boxed(case: Callable[[], object]) -> tuple[str, int]:
    """Run a case in a copy of this process; return how it ended and how many bytes its memory grew by at most."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        said = "it was taken"
        before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        try:
            case()
        except (ValueError, OSError) as error:
            said = f"refused: {str(error).strip()}"
        except BaseException:
            said = traceback.format_exc()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        os.write(writing, json.dumps([said[-1000:], max(peak - before, 0)]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        if not select.select([pipe], [], [], PATIENCE)[0]:
            os.kill(child, signal.SIGKILL)
        answer = pipe.read()
    os.waitpid(child, 0)
    said, taken = json.loads(answer) if answer else ("it took too long or too much", 0)
    return said, taken


def bombs(place: Path, rows: int) -> Iterator[Case]:
    """Yield all bombs, laid in a folder; those of corpora have so many rows."""
    yield from _yaml(place)
    yield from _matrices(place)
    yield from _records(place)
    yield from _corpora(place, rows)
    yield from _models(place)


def _yaml(place: Path) -> Iterator[Case]:
    levels = "\n".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]"
        for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    )
    texts = {
        "laughs": f"a: &a [x, x, x, x, x, x, x, x, x]\n{levels}",
        "itself": "a: &a [*a, *a]",
        "deep": "[" * 100_000,
        "digits": f"a: {'9' * 200_000}",
        "large": f"a: {'x' * (1 << 20)}",
    }
    for name, text in texts.items():
        file = place / f"{name}.yaml"
        file.write_text(text)
        yield f"YAML, {name}", partial(read_yaml, file)


def _sparse(path: Path, size: int, begin: bytes = b"") -> Path:
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(size)
    return path


def _header(shape: tuple[int, ...]) -> bytes:
    told = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(told)) + told.encode()


def _matrices(place: Path) -> Iterator[Case]:
    files = {
        "a .npy that claims more than there is": _sparse(place / "a.npy", 1 << 12, _header((1 << 40, 3, 3))),
        "a .npy of 40 GiB": _sparse(place / "b.npy", 40 << 30, _header((5 << 27, 3, 3))),
        "JSON of 20 GiB": _sparse(place / "c.json", 20 << 30, b"[["),
        "text without an end of line": _sparse(place / "d.txt", 20 << 30, b"1 2 3"),
        "an endless device": Path("/dev/zero"),
    }
    (place / "e.json").write_text("[" * 2_000_000)
    (place / "f.txt").write_text(("1 " * 3000 + "\n") * 3)
    with (place / "g.txt").open("w") as file:
        for _ in range(40):
            file.write("\n" * (1 << 20))
    with zipfile.ZipFile(place / "h.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cells.npy", _header((1 << 23, 3, 3)) + bytes(64 << 20))
    shutil.copy(place / "h.npz", place / "i.txt")
    files |= {
        "lists in lists": place / "e.json",
        "a row of 3,000": place / "f.txt",
        "empty lines": place / "g.txt",
    }
    files |= {"an archive": place / "h.npz", "an archive named .txt": place / "i.txt"}
    for what, path in files.items():
        yield f"matrices, {what}", partial(_read, path)
    yield "problems from an endless device", lambda: read_lines(Path("/dev/zero"))
    yield "problems of 20 GiB", lambda: read_lines(place / "d.txt")


def _records(place: Path) -> Iterator[Case]:
    _sparse(place / "line.jsonl", 20 << 30, b'{"index": 0}\n{"text": "')
    (place / "deep.jsonl").write_text('{"a": ' + "[" * 1_000_000 + "\n")
    (place / "digits.jsonl").write_text('{"a": ' + "9" * 1_000_000 + "}\n")
    for name in ("line", "deep", "digits"):
        yield f"samples, {name}", partial(_count, place / f"{name}.jsonl")


def _read(path: Path) -> int:
    return sum(1 for _ in read_matrices(path))


def _count(path: Path) -> int:
    return sum(1 for _ in read_jsonl(path))


def _corpora(place: Path, rows: int) -> Iterator[Case]:
    built = build_corpus(CorpusConfig(task="addition", count=50), place / "corpus")

    def with_train(name: str, table: pa.Table, **how: object) -> Path:
        folder = Path(shutil.copytree(built.folder, place / name))
        pq.write_table(table, folder / "train.parquet", **how)
        splits = built.manifest["splits"]
        train = splits["train"] | {"count": table.num_rows}
        write_manifest(_bare(folder), built.manifest | {"splits": splits | {"train": train}})
        return folder

    meta = pa.nulls(rows, META)
    same = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), ["x" * 100]).dictionary_decode()
    long = with_train(
        "many rows",
        pa.table({"prompt": same, "completion": pa.nulls(rows, pa.string()), "meta": meta}, SCHEMA),
        row_group_size=1 << 20,
    )
    del same, meta
    large = pa.table(
        {"prompt": ["x" * max(rows * 25, 1 << 27)], "completion": [""], "meta": pa.nulls(1, META)}, SCHEMA
    )
    yield f"a corpus of {rows:,} equal rows", lambda: Corpus(long).table("train")
    wide = with_train("a long text", large, compression="zstd")
    del large
    yield "a corpus with a long text", lambda: Corpus(wide).table("train")
    told = Path(shutil.copytree(built.folder, place / "told"))
    _sparse(told / "manifest.json", 20 << 30, b"{")
    yield "a manifest of 20 GiB", lambda: Corpus(told)


def _bare(folder: Path) -> Path:
    for name in ("manifest.json", "manifest.sha256"):
        (folder / name).unlink()
    return folder


def _models(place: Path) -> Iterator[Case]:
    clean = model_folder(place / "model")

    def changed(name: str, content: bytes, size: int = 0) -> Path:
        folder = Path(shutil.copytree(clean, place / f"{len(list(place.iterdir()))}-{name}"))
        (folder / name).write_bytes(content)
        if size:
            os.truncate(folder / name, size)
        return folder

    tensor = {"x": {"dtype": "F32", "shape": [1 << 58], "data_offsets": [0, 1 << 60]}}
    config = json.loads((clean / "config.json").read_text())
    folders = {
        "a header of 2**63 bytes": changed("model.safetensors", struct.pack("<Q", 1 << 63) + b"{}"),
        "a header of 90 MiB": changed("model.safetensors", struct.pack("<Q", 90 << 20) + b"{", 100 << 20),
        "a tensor of 2**60 bytes": changed(
            "model.safetensors",
            _tensors(tensor),
        ),
        "a config of 20 GiB": changed("config.json", b"{", 20 << 30),
        "a tokenizer of 20 GiB": changed("tokenizer.json", b"{", 20 << 30),
        "a config of lists in lists": changed("config.json", b'{"a": ' + b"[" * 1_000_000),
        "a tokenizer of lists in lists": changed("tokenizer.json", b'{"a": ' + b"[" * 1_000_000),
        "10**9 layers": changed("config.json", json.dumps(config | {"n_layer": 10**9}).encode()),
        "10**12 tokens": changed("config.json", json.dumps(config | {"vocab_size": 10**12}).encode()),
        "a width of 10**9": changed("config.json", json.dumps(config | {"n_embd": 10**9}).encode()),
    }
    for what, folder in folders.items():
        yield f"a model with {what}", partial(open_model, str(folder), context=2)
    huge = changed("model.safetensors", struct.pack("<Q", 2) + b"{}", 20 << 30)
    yield "weights of 20 GiB for numpy", lambda: open_folder(huge, lambda config, tensors: None)


def _tensors(header: object) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


if __name__ == "__main__":
    sys.exit(main())
