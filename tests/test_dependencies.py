"""Every dependency has its reason in docs/dependencies.md, and nothing else has."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
_ROW = re.compile(r"^\| ([\w-]+) \| (.+) \|$", re.MULTILINE)


def asked() -> dict[str, set[str]]:
    """Return the packages that pyproject.toml asks for, each with the extras that do; "" is always."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, set[str]] = {}
    for extra, requirements in groups.items():
        for requirement in requirements:
            name = re.match(r"[\w.-]+", requirement)
            assert name
            if name[0] != "aritmo":
                found.setdefault(name[0], set()).add(extra)
    return found


def reasons() -> dict[str, list[str]]:
    rows = _ROW.findall((ROOT / "docs" / "dependencies.md").read_text("utf-8"))
    return {name: rest.split(" | ") for name, rest in rows if name != "package"}


def test_each_has_its_reason_and_there_is_no_other() -> None:
    assert sorted(reasons()) == sorted(asked())
    assert len(asked()) > 20


def test_each_stands_under_an_extra_that_asks_for_it() -> None:
    for name, (*extra, why) in reasons().items():
        assert why
        if extra:
            assert extra[0] in asked()[name], name
        else:
            assert "" in asked()[name], name
