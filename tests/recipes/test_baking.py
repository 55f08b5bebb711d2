"""Recipes at toy size: trained, stopped, saved, and opened again by ``ask``."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from aritmo.asking import Line, ask
from aritmo.recipes import RECIPES
from aritmo.recipes.adder import TOY
from aritmo.recipes.baking import LOG, TOLD, bake, find_recipe
from aritmo.recipes.siblings import Course
from aritmo.records import read_jsonl

ASKED = {
    "adder": ("addition", "12+7", "aligned"),
    "tutor": ("addition", "12+7", "tutorial"),
    "squares": ("squares", "59", "tutorial"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_learns_and_leaves_a_model_that_can_be_asked(name: str, tmp_path: Path) -> None:
    recipe, out = find_recipe(name, toy=True), tmp_path / "out"
    baked = bake(recipe, out, seed=1)
    lines = list(read_jsonl(out / LOG))
    assert (baked.reason, baked.updates) == ("done", recipe.steps)
    assert [line["step"] for line in lines] == list(range(1, recipe.steps + 1))
    assert lines[-1]["loss"] < lines[0]["loss"]
    told = json.loads((out / TOLD).read_text())
    assert (told["recipe"], told["seed"], told["updates"]) == (name, 1, recipe.steps)
    task, problem, style = ASKED[name]
    (record,) = ask(task, [Line("", problem)], model=str(out), style=style)
    assert record["problem"] == problem
    with pytest.raises(ValueError, match="not empty"):
        bake(recipe, out)


def test_the_same_seed_makes_the_same_weights(tmp_path: Path) -> None:
    recipe = find_recipe("adder", toy=True)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        bake(recipe, tmp_path / name, seed=seed, steps=3)
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_full_recipes_are_those_of_the_shipped_models() -> None:
    """The config of what a recipe makes is that of the model in the package."""
    from transformers import AutoConfig

    from aritmo.shipped import shipped_folder

    for name in RECIPES:
        shipped = AutoConfig.from_pretrained(shipped_folder(name)).to_dict()
        ours = find_recipe(name).model(0).config.to_dict()
        keys: tuple[str, ...] = ("n_positions", "n_embd", "n_layer", "n_head", "eos_token_id", "bos_token_id")
        if ours["model_type"] == "llama":
            keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
            keys += ("rope_parameters", "rms_norm_eps", "vocab_size")
            keys += ("max_position_embeddings", "eos_token_id", "bos_token_id", "pad_token_id")
        assert {key: ours[key] for key in keys} == {key: shipped[key] for key in keys}
        assert ours["vocab_size"] >= shipped["vocab_size"]
        assert ours.get("ids_a_place", 0) == shipped.get("ids_a_place", 0)


def test_a_stopped_recipe_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def falls(done: float) -> float:
        calls.append(done)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return 1.0

    recipe = replace(TOY, course=Course(1e-3, 1, falls))
    baked = bake(recipe, tmp_path / "out", steps=1000)
    assert (baked.reason, baked.updates) == ("stopped", 4)
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert len(list(read_jsonl(tmp_path / "out" / LOG))) >= 1


def test_the_clock_ends_a_recipe(tmp_path: Path) -> None:
    baked = bake(find_recipe("adder", toy=True), tmp_path / "out", steps=10**6, minutes=0.005)
    assert baked.reason == "time"
    assert baked.updates < 10**6


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="recipe: got 'cake', allowed adder, tutor"):
        find_recipe("cake")
    broken = replace(TOY, course=Course(1e30, 1))
    with pytest.raises(ValueError, match=r"the loss is nan at step .*: lower the learning rate"):
        bake(broken, tmp_path / "out", steps=10)
