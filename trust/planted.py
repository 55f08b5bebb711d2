"""Things planted in folders that a user is given: pickles and code that must not run, names that lead elsewhere.

Every trap writes a file when it goes off. A case opens a folder or file as the command would and returns; it may
be refused in one sentence (ValueError), but the trap must not go off.
"""

import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from aritmo import checkpoints
from aritmo.config import read_yaml
from aritmo.corpus import Corpus, CorpusConfig, build_corpus, write_manifest
from aritmo.experiment import newest_model
from aritmo.files import check_free, file_hash, new_folder, write_vouched, write_whole
from aritmo.models import open_model, open_tokenizer, quiet_transformers
from aritmo.numbers.checking import check_files, collect
from aritmo.numbers.matrixfiles import read_matrices
from aritmo.records import read_jsonl
from aritmo.report.given import parts_of
from aritmo.runs import recall_run
from aritmo.tables import SCHEMA
from aritmo.tokens import task_tokenizer
from aritmo.unfinished import Unfinished

Case = tuple[str, Callable[[], object]]


class Trap:
    """What writes ``path`` when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _spring, (str(self.path),)


def _spring(path: str) -> None:
    Path(path).write_text("it ran")


def model_folder(place: Path) -> Path:
    """Return a folder with a small model and its tokenizer."""
    model, tokenizer = open_model("tiny", tokenizer=task_tokenizer(), context=16)
    with quiet_transformers():
        model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def pickles(place: Path, sprung: Path) -> Iterator[Case]:
    """Yield cases with a pickle where data should be. The first is the control: unpickled, it goes off."""
    bomb = pickle.dumps(Trap(sprung))
    yield "control", lambda: pickle.loads(bomb)
    clean = model_folder(place / "clean")
    for name in ("pytorch_model.bin", "model.pt", "training_args.bin", "optimizer.pt", "rng_state.pth"):
        beside = Path(shutil.copytree(clean, place / f"beside {name}"))
        torch.save({"trap": Trap(sprung)}, beside / name)
        yield f"{name} beside the weights", _opening(beside)
        alone = Path(shutil.copytree(clean, place / f"alone {name}"))
        (alone / "model.safetensors").unlink()
        (alone / name).write_bytes(bomb)
        yield f"{name} in place of the weights", _opening(alone)
    for name in ("model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json"):
        folder = Path(shutil.copytree(clean, place / f"as {name}"))
        (folder / name).write_bytes(bomb)
        yield f"a pickle named {name}", _opening(folder)
    for name in ("vocab.pkl", "tokenizer.pickle", "spiece.model", "vocab.bin"):
        folder = Path(shutil.copytree(clean, place / f"tokenizer {name}"))
        (folder / "tokenizer.json").unlink()
        (folder / name).write_bytes(bomb)
        yield f"{name} in place of the tokenizer", partial(open_tokenizer, str(folder))
    (place / "objects.npy").parent.mkdir(exist_ok=True)
    np.save(place / "objects.npy", np.array([[Trap(sprung)]], dtype=object), allow_pickle=True)
    np.savez(place / "objects.npz", cells=np.array([[Trap(sprung)]], dtype=object))
    (place / "pickle.npy").write_bytes(bomb)
    (place / "matrices.txt").write_bytes(bomb)
    for name in ("objects.npy", "objects.npz", "pickle.npy", "matrices.txt"):
        yield f"matrices in {name}", partial(_read, place / name)
    (place / "samples.jsonl").write_bytes(bomb + b"\n")
    yield "samples that are a pickle", lambda: list(read_jsonl(place / "samples.jsonl"))
    (place / "run.yaml").write_text(
        f"!!python/object/apply:pathlib.Path.write_text [!!python/name:x '', {sprung}]"
    )
    yield "a config with a Python tag", lambda: read_yaml(place / "run.yaml")
    (place / "exec.yaml").write_text(f"a: !!python/object/apply:os.system ['touch {sprung}']")
    yield "a config that calls a function", lambda: read_yaml(place / "exec.yaml")
    yield from _in_corpora(place, bomb)
    yield from _in_checkpoints(place, bomb)


def _opening(folder: Path) -> Callable[[], object]:
    return partial(open_model, str(folder), context=2)


def _read(path: Path) -> int:
    return sum(1 for _ in read_matrices(path))


def _in_corpora(place: Path, bomb: bytes) -> Iterator[Case]:
    folder = build_corpus(CorpusConfig(task="addition", count=50), place / "corpus").folder
    manifest = Corpus(folder).manifest
    (folder / "train.parquet").write_bytes(bomb)
    write_manifest(folder, manifest)
    yield "a corpus file that is a pickle", lambda: Corpus(folder).table("train")
    # Such a type names a pickle that old versions of Arrow opened.
    told = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": bomb}
    schema = pa.schema([pa.field("prompt", pa.string(), metadata=told), *list(SCHEMA)[1:]])
    rows = [{"prompt": "1", "completion": "2", "meta": None}] * manifest["splits"]["train"]["count"]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "test.parquet")
    write_manifest(folder, manifest)
    yield "a corpus column of a pickled type", lambda: Corpus(folder).table("test")


def _in_checkpoints(place: Path, bomb: bytes) -> Iterator[Case]:
    model, tokenizer = open_model("tiny", tokenizer=task_tokenizer(), context=16)
    adam = torch.optim.AdamW(model.parameters())
    for name in (checkpoints.OPTIMIZER, checkpoints.STATE, "optimizer.bin"):
        folder = checkpoints.save(place / f"run {name}", 1, model, tokenizer, adam, {"step": 1})
        (folder / name).write_bytes(bomb)
        hashes = json.loads((folder / checkpoints.MANIFEST).read_text())
        hashes["sha256"][name] = file_hash(folder / name)
        write_vouched(folder / checkpoints.MANIFEST, hashes)
        yield f"a pickle named {name} in a checkpoint", partial(checkpoints.load, folder, model, adam)


def remote_code(place: Path, sprung: Path) -> Iterator[Case]:
    """Yield model folders that bring code along."""
    code = f"from pathlib import Path\nPath({str(sprung)!r}).write_text('it ran')\n"
    names = {
        "AutoConfig": "evil.Config",
        "AutoModelForCausalLM": "evil.Model",
        "AutoTokenizer": ["evil.T", "evil.T"],
    }
    changes: dict[str, dict[str, Any]] = {
        "auto_map in config.json": {"config.json": {"auto_map": names}},
        "an unknown type with auto_map": {"config.json": {"auto_map": names, "model_type": "evil"}},
        "auto_map in tokenizer_config.json": {
            "tokenizer_config.json": {"auto_map": names, "tokenizer_class": "EvilTokenizer"}
        },
        "attention from elsewhere": {"config.json": {"attn_implementation": "evil/kernel"}},
        "attention from elsewhere, the older name": {"config.json": {"_attn_implementation": "evil/kernel"}},
        "a template that calls the system": {
            "tokenizer_config.json": {
                "chat_template": "{{ cycler.__init__.__globals__.os.system('touch " + str(sprung) + "') }}"
            }
        },
    }
    clean = model_folder(place / "clean")
    for number, (what, files) in enumerate(changes.items()):
        folder = Path(shutil.copytree(clean, place / str(number)))
        for name in ("evil.py", "modeling_evil.py", "tokenization_evil.py", "__init__.py", "generate.py"):
            (folder / name).write_text(code)
        (folder / "custom_generate").mkdir()
        (folder / "custom_generate" / "generate.py").write_text(code)
        for name, values in files.items():
            told = json.loads((folder / name).read_text())
            (folder / name).write_text(json.dumps(told | values))
        yield what, _opening(folder)


def names(place: Path, outside: Path) -> Iterator[Case]:
    """Yield names and links that lead to ``outside``, whose files must stay as they are; each must be refused."""
    for number, name in enumerate(("../outside", str(outside), "..", "a/../../outside", "x\x1b[2J")):
        run = place / f"run {number}"
        run.mkdir()
        (run / "run.yaml").write_text(json.dumps({"minutes": 1, "parts": {name: {}}}))
        yield f"a part of a run named {name!r}", partial(recall_run, run)
        yield f"the report on a part named {name!r}", partial(parts_of, run)
    model, tokenizer = open_model("tiny", tokenizer=task_tokenizer(), context=16)
    adam = torch.optim.AdamW(model.parameters())
    for number, name in enumerate(("../../../outside/mine", "/dev/zero", "..")):
        folder = checkpoints.save(place / f"saved {number}", 1, model, tokenizer, adam, {"step": 1})
        told = {"step": 1, "sha256": {name: ""}}
        write_vouched(folder / checkpoints.MANIFEST, told)
        yield f"a checkpoint with a file {name}", partial(newest_model, str(folder))
    folder = model_folder(place / "sharded")
    (folder / "model.safetensors").rename(outside / "model.safetensors")
    index = {"metadata": {}, "weight_map": {"transformer.wte.weight": "../outside/model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "other.safetensors").write_bytes(b"")
    yield "weights from another folder", lambda: open_model(str(folder), context=2)
    corpus = build_corpus(CorpusConfig(task="addition", count=50), place / "corpus").folder
    manifest = json.loads((corpus / "manifest.json").read_text())
    write_vouched(corpus / "manifest.json", manifest | {"sha256": {"../../outside/mine": ""}})
    yield "a corpus with a file elsewhere", lambda: Corpus(corpus).verify()
    (place / "link").symlink_to(outside / "new")
    yield "a new folder where a link is", lambda: check_free(place / "link")
    (place / "s.jsonl.partial").symlink_to(outside / "mine")
    yield "records where a link is", lambda: Unfinished(place / "s.jsonl", {})


def links(place: Path, outside: Path) -> Iterator[Case]:
    """Yield work in folders that hold links to ``outside``; it is done, and nothing outside is touched or read."""
    (place / "page.html").symlink_to(outside / "mine")
    yield "a file written over a link", lambda: write_whole(place / "page.html", "new")
    folder = place / "collection"
    folder.mkdir()
    (folder / "a.txt").write_text("17 89 71\n113 59 5\n47 29 101\n")
    (folder / "b.txt").symlink_to(outside / "mine")
    (folder / "round").symlink_to(folder)
    (folder / "out").symlink_to(outside)

    def collected() -> None:
        found = collect([folder])
        assert [path.name for path, _ in found.files] == ["a.txt"]
        assert found.skipped == {"symbolic link": 3}
        assert len(list(check_files(found.files))) == 1

    yield "a collection with links", collected

    def filled() -> None:
        (place / ".new.partial-4194305").symlink_to(outside)
        with new_folder(place / "new") as fresh:
            (fresh / "x").write_text("x")
        assert not (place / ".new.partial-4194305").exists()

    yield "a new folder beside a stale link", filled
