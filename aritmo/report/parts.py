"""Reading the folder of one experiment, whatever of it is there, and files of verdicts beside it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aritmo.config import parse_yaml
from aritmo.files import read_bounded
from aritmo.judging import summarise
from aritmo.records import read_jsonl

Record = dict[str, Any]

_MOST = 64 << 20
"""Bytes that a config, a summary or a manifest may hold."""
VERDICTS = "verdicts.jsonl"


@dataclass(frozen=True, slots=True)
class Part:
    """One experiment of a run. What its folder lacks is empty here and named in ``missing``.

    ``files`` are the files of its verdicts, ``home`` the folder of its corpus and ``tokenizer`` that of its newest
    tokenizer, None where there is none. ``run`` names the run where a page shows several, and is empty else.
    """

    folder: Path
    config: Record
    summary: Record
    manifest: Record
    metrics: list[Record]
    missing: list[str] = field(default_factory=list)
    files: tuple[Path, ...] = ()
    home: Path | None = None
    tokenizer: Path | None = None
    run: str = ""

    @property
    def task(self) -> str:
        return self._named("task") or self.folder.name.partition("-")[0]

    @property
    def style(self) -> str:
        return self._named("style") or self.folder.name.partition("-")[2]

    @property
    def is_run(self) -> bool:
        """Whether it has a folder, of which pieces may be missing, and not only files of verdicts."""
        return self.folder not in self.files

    @property
    def name(self) -> str:
        """The experiment, which is the same in every run: its task and style."""
        return f"{self.task} {self.style}".strip()

    @property
    def title(self) -> str:
        return f"{self.name}, {self.run}" if self.run else self.name

    def _named(self, what: str) -> str:
        holders = (self.summary, self.manifest, self.config)
        return str(next((holder[what] for holder in holders if what in holder), ""))

    def group(self, name: str) -> Record | None:
        """Return the summary of ``train`` or ``test``, None where nothing was asked."""
        group = self.summary.get("groups", {}).get(name)
        return group if group and group.get("samples") else None

    def verdicts(self) -> Iterator[Record]:
        """Yield the verdicts one by one, for there may be many. A broken file ends early and is named."""
        for file in self.files:
            yield from _records(file, self.missing)


def read_part(folder: Path) -> Part:
    """Read one experiment's folder. Never raises for what is missing or broken in it.

    Where verdicts are there without their summary they are counted here.
    """
    missing: list[str] = []
    config = _mapping(folder / "config.yaml", missing)
    corpus = config.get("corpus")
    named = corpus if isinstance(corpus, str) else ""
    places = [folder / "corpus", *([Path(named), folder / named] if named else [])]
    home = next((place for place in places if (place / "manifest.json").is_file()), folder / "corpus")
    part = Part(
        folder,
        config,
        {},
        _mapping(home / "manifest.json", missing),
        [line for line in _records(folder / "metrics.jsonl", missing) if "step" in line],
        missing,
        (folder / VERDICTS,),
        home if (home / "manifest.json").is_file() else None,
        _newest_tokenizer(folder),
    )
    if (folder / "summary.json").is_file() or not (folder / VERDICTS).is_file():
        return replace(part, summary=_mapping(folder / "summary.json", missing))
    return _counted(part)


def read_verdicts(file: Path) -> Part:
    """Return what a file of verdicts shows by itself.

    Raises ValueError where it holds none, and OSError where it is not there.
    """
    return Part(file, {}, summary_of([file]), {}, [], files=(file,))


def with_verdicts(part: Part, files: Sequence[Path]) -> Part:
    """Return an experiment with further files of verdicts, and the summary of all of them.

    Raises ValueError where a file holds no verdicts, those of another task or style, or of a split that another
    file has.
    """
    own = [file for file in part.files if file.is_file() and file.stat().st_size]
    return replace(part, files=(*own, *files), summary=summary_of([*own, *files]))


def summary_of(files: Sequence[Path]) -> Record:
    """Return the summary of files of verdicts, which are of one task and style and each of splits of its own.

    Raises ValueError where they are not, OSError where one is not there.
    """
    summary: Record = {}
    for file in files:
        try:
            found = summarise(read_jsonl(file))
        except (KeyError, TypeError, AttributeError):
            raise ValueError(f"{file} holds no verdicts: give the file that «aritmo judge --out» wrote") from None
        if not found["groups"]:
            raise ValueError(f"{file} is empty: give the file that «aritmo judge --out» wrote")
        _check_joins(file, found, summary)
        summary = found | {"groups": summary.get("groups", {}) | found["groups"]}
    return summary


def _check_joins(file: Path, found: Record, summary: Record) -> None:
    """Raise ValueError unless the summary of a file can stand beside that of the files before it."""
    said, before = (f"{one.get('task')} {one.get('style')}" for one in (found, summary))
    if summary and said != before:
        raise ValueError(f"{file} holds verdicts on {said} beside others on {before}: report on them apart")
    if both := summary.get("groups", {}).keys() & found["groups"].keys():
        raise ValueError(
            f"{file} holds verdicts on {min(both)} problems, as another file of the same run does: leave one out"
        )


def _counted(part: Part) -> Part:
    """Return an experiment with the summary of its verdicts, and where they are broken without one."""
    try:
        return replace(part, summary=summary_of(part.files))
    except (ValueError, OSError, RecursionError):
        part.missing.append(f"{part.folder.name}/summary.json is not there and {VERDICTS} cannot be counted")
        return part


def _newest_tokenizer(folder: Path) -> Path | None:
    """Return the folder of the tokenizer that a run's newest checkpoint holds."""
    steps = sorted(folder.glob("checkpoints/step-*/tokenizer.json"))
    return steps[-1].parent if steps else None


def _mapping(path: Path, missing: list[str]) -> Record:
    name = f"{path.parent.name}/{path.name}"
    try:
        text = read_bounded(path, _MOST).decode()
        value = json.loads(text) if path.suffix == ".json" else parse_yaml(text)
    except FileNotFoundError:
        missing.append(f"{name} is not there")
    except (OSError, ValueError, RecursionError):
        missing.append(f"{name} cannot be read")
    else:
        if isinstance(value, dict):
            return value
        missing.append(f"{name} holds no names and values")
    return {}


def _records(path: Path, missing: list[str]) -> Iterator[Record]:
    try:
        yield from read_jsonl(path)
    except FileNotFoundError:
        missing.append(f"{path.parent.name}/{path.name} is not there")
    except (OSError, ValueError, RecursionError):
        missing.append(f"{path.parent.name}/{path.name} cannot be read to its end")
