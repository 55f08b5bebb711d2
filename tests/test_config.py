"""Configs: layers, overrides, and one sentence for each mistake."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from aritmo.config import load_config, read_yaml, save_config


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    steps: int = 1
    name: str = "a"


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: Inner = Inner()
    flag: bool = False


def test_later_layers_win_and_none_says_nothing() -> None:
    layers = [{"inner": {"steps": 2, "name": "b"}}, {"inner": {"steps": 3}}]
    config = load_config(Outer, layers, ["inner.steps=4"], {"flag": True, "inner.name": None})
    assert config == Outer(inner=Inner(steps=4, name="b"), flag=True)
    assert layers[0] == {"inner": {"steps": 2, "name": "b"}}


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["inner.stepz=4"], r"inner\.stepz: there is no such key, did you mean steps\?"),
        (["colour=4"], "colour: there is no such key, allowed inner, flag"),
        (["inner.steps=many"], r"inner\.steps: got 'many'"),
        (["inner.steps"], "is no override"),
        (["flag=[1"], "not readable as YAML"),
        (["flag=true", "flag.x=1"], "flag is a single value"),
    ],
)
def test_a_mistake_is_one_sentence(overrides: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        load_config(Outer, [], overrides)
    assert "\n" not in str(caught.value)


def test_files_come_back_and_hold_data_only(tmp_path: Path) -> None:
    save_config(tmp_path / "c.yaml", {"inner": {"steps": 7}})
    assert read_yaml(tmp_path / "c.yaml") == {"inner": {"steps": 7}}
    (tmp_path / "bad.yaml").write_text("x: !!python/object/apply:os.system ['echo 1']")
    with pytest.raises(ValueError, match="not readable as YAML"):
        read_yaml(tmp_path / "bad.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not readable as YAML"):
        read_yaml(tmp_path / "bytes.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ValueError, match="no keys and values"):
        read_yaml(tmp_path / "list.yaml")
