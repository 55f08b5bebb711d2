"""A corpus written as other tools read it: TRL, LLaMA-Factory, lm-evaluation-harness.

Each split stays a file of its own, so that what was held out stays so, and the corpus' manifest goes along.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from aritmo.bridges import lm_eval
from aritmo.bridges.problems import says
from aritmo.corpus import Corpus
from aritmo.files import new_folder, write_json, write_whole
from aritmo.numbers.randomness import SPLITS, Split

MANIFEST = "corpus-manifest.json"
"""The corpus' manifest beside its examples, to the byte: its sha256 is the hash that names the corpus."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote: where, in which format, the files, and the hash that names the corpus."""

    folder: Path
    format: str
    files: list[str]
    corpus: str


def export_corpus(folder: Path, name: str, out: Path, chat: bool = False) -> Exported:
    """Write the corpus in ``folder`` to the new folder ``out`` in the format of that name.

    ``chat`` writes prompt and completion as messages, where the format has them. Raises ValueError for a folder
    that is no corpus or has changed, for an unknown format, and where ``out`` is taken; then nothing is left.
    """
    if name not in FORMATS:
        raise ValueError(f"format: got {name!r}, allowed {', '.join(FORMATS)}")
    if chat and name not in _WITH_CHAT:
        raise ValueError(f"format {name} asks chat models by the harness' --apply_chat_template: leave --chat out")
    corpus = Corpus(folder)
    corpus.verify()
    with new_folder(out) as beside:
        FORMATS[name](corpus, beside, chat)
        files = sorted(str(file.relative_to(beside)) for file in beside.rglob("*") if file.is_file())
    return Exported(out, name, files, corpus.hash)


def _trl(corpus: Corpus, out: Path, chat: bool) -> None:
    """Write TRL's prompt-completion format (its «Dataset formats»), one JSON object a line, ``meta`` kept."""
    for split in SPLITS:
        with (out / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            for row in _rows(corpus, split):
                pair = {"prompt": row["prompt"], "completion": row["completion"]}
                if chat:
                    pair = {
                        "prompt": [says("user", row["prompt"])],
                        "completion": [says("assistant", row["completion"])],
                    }
                file.write(_line(pair | {"meta": row["meta"]}) + "\n")
    shutil.copyfile(corpus.folder / "manifest.json", out / MANIFEST)


_ALPACA = {"columns": {"prompt": "instruction", "query": "input", "response": "output"}}
_SHAREGPT = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
}


def _llama_factory(corpus: Corpus, out: Path, chat: bool) -> None:
    """Write LLaMA-Factory's alpaca or sharegpt format (its «Data Preparation»), and ``dataset_info.json``."""
    name, info = lm_eval.name_of(corpus), {}
    for split in SPLITS:
        rows = map(_messages if chat else _instruction, _rows(corpus, split))
        with (out / f"{split}.json").open("w", encoding="utf-8") as file:
            file.writelines(_array(rows))
        info[f"{name}_{split}"] = {"file_name": f"{split}.json"} | (_SHAREGPT if chat else _ALPACA)
    write_json(out / "dataset_info.json", info)
    shutil.copyfile(corpus.folder / "manifest.json", out / MANIFEST)


def _instruction(row: Row) -> Row:
    return {"instruction": row["prompt"], "input": "", "output": row["completion"]}


def _messages(row: Row) -> Row:
    return {"messages": [says("user", row["prompt"]), says("assistant", row["completion"])]}


def _harness(corpus: Corpus, out: Path, chat: bool) -> None:
    """Write a task of lm-evaluation-harness, with the corpus in it."""
    inner = out / lm_eval.CORPUS
    inner.mkdir()
    vouching = [path.name for path in corpus.folder.glob("manifest.*")]
    for name in (*vouching, *corpus.manifest["sha256"]):
        shutil.copyfile(corpus.folder / name, inner / name)
    write_whole(out / f"{lm_eval.name_of(corpus)}.yaml", lm_eval.task_yaml(corpus))
    write_whole(out / "utils.py", lm_eval.UTILS)


FORMATS: dict[str, Callable[[Corpus, Path, bool], None]] = {
    "trl": _trl,
    "llama-factory": _llama_factory,
    "lm-eval": _harness,
}
_WITH_CHAT = ("trl", "llama-factory")


def _rows(corpus: Corpus, split: Split) -> Iterator[Row]:
    """Yield a split's examples, few as Python objects at a time."""
    for batch in corpus.table(split).to_batches(max_chunksize=4096):
        yield from batch.to_pylist()


def _array(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the text of a JSON list, an object a line."""
    lines = map(_line, rows)
    first = next(lines, None)
    yield "[\n"
    if first is not None:
        yield first
    yield from chain.from_iterable((",\n", line) for line in lines)
    yield "\n]\n"


def _line(value: Row) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
