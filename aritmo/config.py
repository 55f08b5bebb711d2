"""Configs from YAML, then overrides: data only, and an unknown key is an error."""

import copy
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from aritmo.files import read_bounded, write_whole

_YAML = 1 << 18
_NODES = 100_000
"""Bytes and values that a config may hold: one of ours has some hundred."""

M = TypeVar("M", bound=BaseModel)


def load_config(
    model: type[M],
    layers: Sequence[Mapping[str, Any]],
    overrides: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
) -> M:
    """Return a config from layers of nested values, then overrides, then values given by dotted name.

    An override is text like «training.steps=300», its value read as YAML; a given value of None says
    nothing. Raises ValueError in one sentence for whatever cannot be used.
    """
    values: dict[str, Any] = {}
    for layer in layers:
        _merge(values, layer)
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            raise ValueError(
                f"{override!r} is no override: write a key, an equals sign and a value, like training.steps=300"
            )
        _put(values, name.strip(), _value(text, override))
    for name, value in (given or {}).items():
        if value is not None:
            _put(values, name, value)
    return build(model, values)


def build(model: type[M], values: Mapping[str, Any], where: str = "") -> M:
    """Return ``model(**values)``. Raises ValueError in one sentence naming the first key that is wrong."""
    try:
        return model(**values)
    except ValidationError as error:
        raise ValueError(f"{where}: {_sentence(error, model)}" if where else _sentence(error, model)) from None


def save_config(path: Path, values: Mapping[str, Any]) -> None:
    """Write plain data as YAML, keys in the order given."""
    write_whole(path, yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))


def read_yaml(file: Path) -> dict[str, Any]:
    """Return the keys and values of a YAML file. Raises ValueError where it holds none."""
    content = read_bounded(file, _YAML)
    try:
        values = parse_yaml(content.decode())
    except ValueError as error:
        raise ValueError(f"{file} is not readable as YAML ({error}): mend that line") from None
    if not isinstance(values, dict):
        raise ValueError(f"{file} holds no keys and values: write lines like «training: {{steps: 300}}»")
    return values


def parse_yaml(text: str) -> Any:
    """Return the plain data that a YAML text holds; no tag makes an object.

    Raises ValueError, as a clause, for what is no YAML, and for what would swell: a thing that is named once and
    repeated by aliases counts each time, and repeats itself without end if it holds itself.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None and _weight(node, {}) > _NODES:
            raise ValueError(f"more than {_NODES:,} values once its aliases are written out")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error).splitlines()[0]) from None


def _weight(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values a node holds, those behind aliases counted as often as they stand there."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = _NODES + 1  # what it weighs within itself
    parts = node.value if isinstance(node, yaml.CollectionNode) else []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in parts for part in pair]
    known[id(node)] = 1 + sum(_weight(part, known) for part in parts)
    return known[id(node)]


def _value(text: str, override: str) -> Any:
    try:
        return parse_yaml(text)
    except ValueError:
        raise ValueError(f"the value of {override!r} is not readable as YAML: quote it") from None


def _merge(values: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for name, value in layer.items():
        if isinstance(value, Mapping) and isinstance(values.get(name), dict):
            _merge(values[name], value)
        else:
            values[name] = copy.deepcopy(value)


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    *folders, last = name.split(".")
    for folder in folders:
        values = values.setdefault(folder, {})
        if not isinstance(values, dict):
            raise ValueError(f"{name}: {folder} is a single value and has no keys; leave that part out")
    values[last] = value


def _sentence(error: ValidationError, model: type[BaseModel]) -> str:
    """Return what is wrong first, with the keys that would be right."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join(path)
    if first["type"] == "extra_forbidden":
        allowed = _keys(model, path[:-1])
        close = difflib.get_close_matches(path[-1], allowed, n=1)
        hint = f"did you mean {close[0]}?" if close else f"allowed {', '.join(allowed)}"
        return f"{name}: there is no such key, {hint}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return message
    return f"{name}: got {str(first['input'])[:60]!r}, {message[:1].lower()}{message[1:]}"


def _keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    for part in path:
        inner = model.model_fields[part].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
