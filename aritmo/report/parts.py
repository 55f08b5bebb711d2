"""Reading the folder of one experiment, whatever of it is there."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aritmo.config import parse_yaml
from aritmo.files import read_bounded
from aritmo.records import read_jsonl

Record = dict[str, Any]

_MOST = 64 << 20
"""Bytes that a config, a summary or a manifest may hold."""


@dataclass(frozen=True, slots=True)
class Part:
    """One experiment of a run. What its folder lacks is empty here and named in ``missing``."""

    folder: Path
    config: Record
    summary: Record
    manifest: Record
    metrics: list[Record]
    missing: list[str] = field(default_factory=list)

    @property
    def task(self) -> str:
        return self._named("task") or self.folder.name.partition("-")[0]

    @property
    def style(self) -> str:
        return self._named("style") or self.folder.name.partition("-")[2]

    @property
    def title(self) -> str:
        return f"{self.task} {self.style}".strip()

    def _named(self, what: str) -> str:
        holders = (self.summary, self.manifest, self.config)
        return str(next((holder[what] for holder in holders if what in holder), ""))

    def group(self, name: str) -> Record | None:
        """Return the summary of ``train`` or ``test``, None where nothing was asked."""
        group = self.summary.get("groups", {}).get(name)
        return group if group and group.get("samples") else None

    def verdicts(self) -> Iterator[Record]:
        """Yield the verdicts one by one, for there may be many. A broken file ends early and is named."""
        yield from _records(self.folder / "verdicts.jsonl", self.missing)


def read_part(folder: Path) -> Part:
    """Read one experiment's folder. Never raises for what is missing or broken in it."""
    missing: list[str] = []
    config = _mapping(folder / "config.yaml", missing)
    return Part(
        folder,
        config,
        _mapping(folder / "summary.json", missing),
        _mapping(folder / "corpus" / "manifest.json", missing),
        [line for line in _records(folder / "metrics.jsonl", missing) if "step" in line],
        missing,
    )


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
