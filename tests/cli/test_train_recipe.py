"""The command's way to a recipe, at toy size."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from aritmo.cli.train_recipe import train_recipe
from aritmo.recipes import adder
from aritmo.recipes.siblings import Course

NOTHING: dict[str, Any] = {"seed": None, "steps": None, "minutes": None, "lr": None, "others": {}, "json": False}


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adder, "FULL", adder.TOY)


def test_a_recipe_says_how_it_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_recipe("adder", tmp_path / "a", **{**NOTHING, "steps": 3})
    assert capsys.readouterr().out.startswith("done at step 3, loss ")
    train_recipe("adder", tmp_path / "b", **{**NOTHING, "steps": 3, "seed": 2, "lr": 1e-4, "json": True})
    told = json.loads(capsys.readouterr().out)
    assert (told["model"], told["ended"], told["updates"]) == (str(tmp_path / "b"), "done", 3)


def test_a_stopped_recipe_ends_with_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def falls(done: float) -> float:
        os.kill(os.getpid(), signal.SIGTERM)
        return 1.0

    monkeypatch.setattr(adder, "FULL", replace(adder.TOY, course=Course(1e-3, 1, falls)))
    with pytest.raises(typer.Exit) as left:
        train_recipe("adder", tmp_path / "a", **NOTHING)
    assert left.value.exit_code == 130
    assert "the model saved as it is" in capsys.readouterr().err
    assert (tmp_path / "a" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "others", "sentence"),
    [
        ("bread", {}, "recipe: got 'bread', allowed adder, tutor"),
        (
            "adder",
            {"--corpus": Path("c"), "--context": None},
            "a recipe has its own --corpus: beside --recipe only",
        ),
    ],
)
def test_a_mistake_leaves_nothing(name: str, others: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=sentence):
        train_recipe(name, tmp_path / "a", **{**NOTHING, "others": others})
    assert list(tmp_path.iterdir()) == []
