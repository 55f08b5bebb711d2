"""aritmo's tasks inside reasoning-gym: its interface, its factory and composites, our splits and our judge."""

import re
from typing import Any

import pytest

from aritmo.numbers.randomness import split_of
from aritmo.tasks import TASKS

reasoning_gym = pytest.importorskip("reasoning_gym", reason="reasoning-gym is not installed")

from aritmo.bridges.reasoning_gym import AdditionConfig, AdditionDataset, register  # noqa: E402

STYLES = [(task.name, style) for task in TASKS.values() for style in task.styles]
NAMES = register()


def created(task: str, **config: Any) -> Any:
    return reasoning_gym.create_dataset(
        f"aritmo_{task}", **({"below": 2000} if task == "squares" else {}) | config
    )


@pytest.mark.parametrize(("task", "style"), STYLES)
def test_every_task_and_style_is_asked_and_scored(task: str, style: str) -> None:
    data = created(task, style=style, seed=3, size=40)
    entries = list(data)
    assert len(entries) == len(data) == 40
    for place, entry in enumerate(entries):
        meta = entry["metadata"]
        assert split_of(task, meta["family"]) == "train"
        assert (meta["source_dataset"], meta["source_index"]) == (f"aritmo_{task}", place)
        assert entry["question"] == meta["prompt"]
        assert data.score_answer(entry["answer"], entry) == 1.0
        for wrong in (None, "", f"Sure! {entry['answer']}", entry["answer"] + "\nI hope this helps."):
            assert data.score_answer(wrong, entry) == 0.0
    other = next(entry for entry in entries if entry["answer"] != entries[0]["answer"])
    if task != "squares":  # a matrix that is asked for by its number may be any
        assert data.score_answer(other["answer"], entries[0]) == 0.0


@pytest.mark.parametrize("task", TASKS)
def test_an_item_hangs_on_seed_and_index_alone(task: str) -> None:
    data = created(task, seed=42, size=60)
    late = created(task, seed=42, size=300)
    assert [late[i] for i in range(59, -1, -1)] == [data[i] for i in range(59, -1, -1)]
    assert [entry["answer"] for entry in created(task, seed=43, size=60)] != [entry["answer"] for entry in data]


def test_neighbouring_seeds_share_no_more_than_chance() -> None:
    """reasoning-gym's own chain_sum shares 496 of 497 items between seeds 42 and 43."""
    first, second = (
        {entry["question"] for entry in created("addition", seed=seed, min_digits=6, max_digits=9, size=500)}
        for seed in (42, 43)
    )
    assert not first & second


def test_held_out_families_are_asked_only_when_told() -> None:
    for split in ("train", "validation", "test"):
        entries = created("decomposition", split=split, seed=1, size=50)
        assert {split_of("decomposition", entry["metadata"]["family"]) for entry in entries} == {split}


def test_shots_are_of_training_families_and_never_the_problem_itself() -> None:
    data = created("decomposition", max_digits=1, shots=4, split="test", seed=5, size=20)
    for entry in data:
        instruction, *blocks = entry["question"].split("###\n")
        assert instruction.startswith("Write on exactly")
        numbers = [block.partition("\n")[0] for block in blocks]
        assert split_of("decomposition", numbers[-1]) == "test"
        assert all(split_of("decomposition", number) == "train" for number in numbers[:-1])
        assert data.score_answer(entry["answer"], entry) == 1.0
    known = created("decomposition", max_digits=1, shots=4, seed=5, size=20)
    for entry in known:
        numbers = [block.partition("\n")[0] for block in entry["question"].split("###\n")[1:]]
        assert numbers[-1] not in numbers[:-1]


def test_a_composite_mixes_them_with_its_own() -> None:
    from reasoning_gym.composite import CompositeConfig, CompositeDataset, DatasetSpec

    specs = [DatasetSpec(name, 1.0, {}) for name in NAMES if "squares" not in name]
    mixed = CompositeDataset(
        CompositeConfig(size=40, seed=7, datasets=[*specs, DatasetSpec("chain_sum", 1.0, {})])
    )
    entries = list(mixed)
    sources = {entry["metadata"]["source_dataset"] for entry in entries}
    assert sources == {"aritmo_addition", "aritmo_decomposition", "aritmo_primality", "chain_sum"}
    assert all(mixed.score_answer(entry["answer"], entry) == 1.0 for entry in entries)
    assert all(
        split_of(entry["metadata"]["task"], entry["metadata"]["family"]) == "train"
        for entry in entries
        if entry["metadata"]["source_dataset"] != "chain_sum"
    )


def test_a_result_alone_may_be_what_counts() -> None:
    data = created("addition", style="tutorial", measure="answered", seed=1, size=5)
    entry = data[0]
    steps, _, result = entry["answer"].rpartition("RESULT\n")
    assert steps
    assert data.score_answer(f"RESULT\n{result}", entry) == 1.0
    assert created("addition", style="tutorial", seed=1, size=5).score_answer(f"RESULT\n{result}", entry) == 0.0


def test_no_seed_is_a_seed_of_its_own() -> None:
    data = AdditionDataset(AdditionConfig(size=5))
    assert [data[i] for i in range(5)] == list(data)


def test_registering_again_changes_nothing() -> None:
    assert register() == NAMES == [f"aritmo_{task}" for task in TASKS]


@pytest.mark.parametrize(
    ("task", "config", "sentence"),
    [
        ("addition", {"style": "listing"}, "style: got 'listing'"),
        ("addition", {"order": 5}, "order: task addition reads style, seed, min_digits, max_digits"),
        ("addition", {"split": "dev"}, "split: got 'dev', allowed train, validation, test"),
        ("addition", {"measure": "all_prime"}, "measure: got 'all_prime', task addition has valid, parsed"),
        ("addition", {"size": 0}, "size: got 0"),
        ("squares", {"size": 10**6}, "squares listing has fewer than 1,000,000 train problems"),
        ("primality", {"max_digits": 30}, "primality is exact to 18 digits"),
    ],
)  # fmt: skip
def test_a_wrong_config_is_one_sentence(task: str, config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        created(task, **config)
