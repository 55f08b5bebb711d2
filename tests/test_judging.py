"""Verdicts and summaries against counting by hand; the search for originals against looking at all."""

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aritmo.judging import judge_samples, summarise
from aritmo.numbers.classes import list_order5
from aritmo.originals import Originals, origin_of
from aritmo.statistics import chance_levels, wilson
from aritmo.tasks import TASKS
from aritmo.tasks.addition import Sum
from aritmo.tasks.squares import Square
from aritmo.verbatim import RUN, Repeated

_MAGIC = [[17, 89, 71], [113, 59, 5], [47, 29, 101]]
_LISTING = TASKS["squares"].completion(Square(1, tuple(np.ravel(_MAGIC).tolist())), "listing")


def _sample(task: str, style: str, prompt: str, text: str, **other: Any) -> dict[str, Any]:
    return {
        "index": 0, "split": "test", "task": task, "style": style, "prompt": prompt, "text": text,
        "finished": True,
    } | other  # fmt: skip


def _square(text: str, **other: Any) -> dict[str, Any]:
    return _sample("squares", "listing", "Matrix 10\n", text, **other)


def _judged(sample: dict[str, Any], train: Originals | None = None) -> dict[str, Any]:
    (verdict,) = judge_samples([sample], train)
    return verdict


def _train(*squares: list[list[int]]) -> Originals:
    return Originals.from_squares(range(100, 100 + len(squares)), [np.array(cells) for cells in squares])


def _images(cells: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the 8 symmetries by moving each cell on its own."""
    n = len(cells)
    moves = [
        lambda i, j: (i, j), lambda i, j: (j, n - 1 - i), lambda i, j: (n - 1 - i, n - 1 - j),
        lambda i, j: (n - 1 - j, i), lambda i, j: (j, i), lambda i, j: (i, n - 1 - j),
        lambda i, j: (n - 1 - j, n - 1 - i), lambda i, j: (n - 1 - i, j),
    ]  # fmt: skip
    return [np.array([[cells[move(i, j)] for j in range(n)] for i in range(n)]) for move in moves]


@st.composite
def _collections(draw: st.DrawFn) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Draw training squares of few different numbers, and one more, often one of them with few changes."""
    orders = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    number = st.integers(0, draw(st.integers(1, 30)))

    def square(order: int) -> NDArray[np.int64]:
        cells = draw(st.lists(number, min_size=order * order, max_size=order * order))
        return np.array(cells, dtype=np.int64).reshape(order, order)

    train = [square(draw(st.sampled_from(orders))) for _ in range(draw(st.integers(0, 12)))]
    asked = square(draw(st.sampled_from([*orders, 5])))
    if train and draw(st.booleans()):
        asked = draw(st.sampled_from(_images(draw(st.sampled_from(train))))).copy()
        for _ in range(draw(st.integers(0, asked.size // 2))):
            asked.flat[draw(st.integers(0, asked.size - 1))] = draw(number)
    return train, asked


@settings(max_examples=400, deadline=None)
@given(_collections(), st.randoms(use_true_random=False))
def test_the_nearest_original_is_the_one_that_looking_at_all_finds(
    collection: tuple[list[NDArray[np.int64]], NDArray[np.int64]], random: Any
) -> None:
    train, asked = collection
    indices = random.sample(range(1000), len(train))
    every = [
        (int((image != asked).sum()), way > 0, index)
        for index, square in zip(indices, train, strict=True)
        if square.shape == asked.shape
        for way, image in enumerate(_images(square))
    ]
    changed, turned, index = min(every, default=(asked.size, False, -1))
    found = Originals.from_squares(indices, train).nearest(asked.tolist())
    if changed > asked.size // 3:
        assert found is None
        return
    assert found is not None
    assert (found.changed, found.turned, found.index) == (changed, turned, index)
    assert (found.cells != asked).sum() == changed
    original = train[indices.index(index)]
    assert any((found.cells == image).all() for image in _images(original))


def test_numbers_beyond_the_machine_s_are_compared_too() -> None:
    written = [row.copy() for row in _MAGIC]
    written[0][0] = 10**30
    found = _train(_MAGIC).nearest(written)
    assert found is not None
    assert (found.changed, found.cells.tolist()) == (1, _MAGIC)


def test_a_whole_corpus_with_one_centre_is_searched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of cells compared at a time does not change what is found."""
    random = np.random.default_rng(4)
    squares = random.integers(0, 3, size=(300, 3, 3))
    asked = random.integers(0, 3, size=(50, 3, 3)).tolist()
    originals = Originals.from_squares(range(300), squares)
    whole = [originals.nearest(rows) for rows in asked]
    monkeypatch.setattr("aritmo.originals._CHUNK", 50)
    parts = [originals.nearest(rows) for rows in asked]
    assert [found and found.record() for found in parts] == [found and found.record() for found in whole]
    assert any(whole)


def test_a_right_square_that_training_lacks_is_invented() -> None:
    verdict = _judged(_square(_LISTING), _train([[1, 2, 3], [4, 5, 6], [7, 8, 9]]))
    assert verdict["valid"]
    assert verdict["answer"] == _MAGIC
    assert (verdict["origin"], verdict["nearest"]) == ("invented", None)
    assert verdict["index"] == 0


def test_a_copy_is_told_from_a_turned_copy() -> None:
    exact = _judged(_square(_LISTING), _train([[1, 2, 3], [4, 5, 6], [7, 8, 9]], _MAGIC))
    assert exact["origin"] == "copied"
    assert exact["details"]["copied_how"] == "exact"
    assert exact["nearest"] == {"index": 101, "cells": _MAGIC, "changed": 0}
    turned = _judged(_square(_LISTING), _train(np.rot90(_MAGIC).T.tolist()))
    assert turned["origin"] == "copied"
    assert turned["details"]["copied_how"] == "rotated or reflected"
    assert turned["nearest"] == {"index": 100, "cells": _MAGIC, "changed": 0}


@pytest.mark.parametrize("changed", range(10))
def test_a_near_copy_differs_in_at_most_a_third_of_the_cells(changed: int) -> None:
    original = np.rot90(_MAGIC, 3).copy()
    original.flat[:changed] = 10**6
    verdict = _judged(_square(_LISTING), _train(original.tolist()))
    expected = "copied" if changed == 0 else "near copy" if changed <= 3 else "invented"
    assert verdict["origin"] == expected == origin_of(_train(original.tolist()).nearest(_MAGIC))
    if expected == "near copy":
        assert verdict["nearest"] == {
            "index": 100, "cells": np.rot90(original).tolist(), "changed": changed,
        }  # fmt: skip
        assert "copied_how" not in verdict["details"]


@pytest.mark.parametrize("text", ["", "gibberish", "1 2\n3", "\x00", "١٧ ٨٩ ٧١", "9" * 100_000])
def test_what_holds_no_square_has_no_origin(text: str) -> None:
    verdict = _judged(_square(text), _train(_MAGIC))
    assert not verdict["valid"]
    assert verdict["reasons"]
    assert (verdict["answer"], verdict["origin"], verdict["nearest"]) == (None, None, None)
    json.dumps(verdict)


def test_without_a_corpus_no_origin_is_claimed() -> None:
    verdict = _judged(_square(_LISTING))
    assert (verdict["valid"], verdict["origin"], verdict["nearest"]) == (True, None, None)


@pytest.mark.parametrize(("task", "style"), [(t.name, style) for t in TASKS.values() for style in t.styles])
def test_a_prompt_that_asks_nothing_is_a_verdict(task: str, style: str) -> None:
    verdict = _judged(_sample(task, style, "what?", "42"), _train(_MAGIC))
    assert not verdict["valid"]
    assert verdict["answer"] is None
    (reason,) = verdict["reasons"]
    assert reason.startswith("prompt: ")
    assert verdict["details"] == {}
    assert ("origin" in verdict) is (task == "squares")


@pytest.mark.parametrize(
    ("task", "asked"), [("addition", Sum(8292, 29039)), ("decomposition", 57), ("primality", 7919)]
)
def test_what_a_task_writes_itself_is_valid(task: str, asked: Any) -> None:
    one = TASKS[task]
    for style in one.styles:
        verdict = _judged(_sample(task, style, one.prompt(asked, style), one.completion(asked, style)))
        assert (verdict["valid"], verdict["reasons"]) == (True, [])
        assert verdict["details"]["answered"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": None}, "sample 2: prompt must be str, not None"),
        ({"finished": "yes"}, "sample 2: finished must be bool, not 'yes'"),
        ({"index": True}, "sample 2: index must be int, not True"),
        ({"split": "exam"}, "sample 2: split must be train, validation or test, not 'exam'"),
        ({"task": "cooking"}, "cooking"),
        ({"style": "haiku"}, "haiku"),
    ],
)
def test_a_record_that_is_no_sample_is_one_sentence(change: dict[str, Any], said: str) -> None:
    good = _square(_LISTING)
    verdicts = judge_samples([good, good | change], None)
    next(verdicts)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        next(verdicts)
    assert "\n" not in str(caught.value)


def _share(count: int, of: int) -> dict[str, Any]:
    low, high = wilson(count, of)
    return {"count": count, "of": of, "share": count / of, "low": low, "high": high}


def test_the_summary_of_additions() -> None:
    def plain(a: int, b: int, says: int, **other: Any) -> dict[str, Any]:
        text = TASKS["addition"].completion(TASKS["addition"].read_prompt(f"{a}+{b}=", "plain"), "plain")
        return _sample("addition", "plain", f"{a}+{b}=", text.replace(str(a + b), str(says)), **other)

    samples = [
        plain(1, 2, 3), plain(1, 2, 4), plain(10, 2, 12, finished=False), plain(2, 10, 12),
        _sample("addition", "plain", "1+1=", "no idea"), _sample("addition", "plain", "1", "2"),
        plain(5, 5, 10, split="train"),
    ]  # fmt: skip
    verdicts = list(judge_samples(samples, None))
    summary = summarise(iter(verdicts))
    assert (summary["task"], summary["style"]) == ("addition", "plain")
    assert list(summary["groups"]) == ["train", "test"]
    test = summary["groups"]["test"]
    assert test["samples"] == 6
    assert test["finished"] == _share(5, 6)
    assert test["parsed"] == _share(4, 6)
    assert test["answered"] == _share(3, 6)
    assert test["valid"] == _share(3, 6)
    assert test["by_length"] == [[1, 1, 1, 3], [1, 2, 1, 1], [2, 1, 1, 1]]
    kinds = {reason.split(":")[0] for verdict in verdicts for reason in verdict["reasons"]}
    assert {kind for kind, _ in test["reasons"]} == kinds
    assert [count for _, count in test["reasons"]] == sorted((c for _, c in test["reasons"]), reverse=True)
    assert ["prompt", 1] in test["reasons"]
    assert "squares" not in test
    assert summary["groups"]["train"]["valid"] == _share(1, 1)


@pytest.mark.parametrize("task", ["decomposition", "primality"])
def test_the_summary_counts_by_digits(task: str) -> None:
    one = TASKS[task]
    style = one.styles[0]
    samples = [
        _sample(task, style, one.prompt(n, style), one.completion(n if n != 13 else 12, style))
        for n in (7, 11, 13)
    ]
    group = summarise(judge_samples(samples, None))["groups"]["test"]
    assert group["by_length"] == [[1, 1, 1], [2, 1, 2]]


def test_the_summary_of_squares() -> None:
    near = _LISTING.replace("17 89 71", "17 89 73")
    composite = "1 9 9\n4 5 6\n7 8 3"
    samples = [_square(_LISTING), _square(near), _square(composite, finished=False), _square("none")]
    samples.append(_square("11 3 5\n7 13 17\n19 23 29"))
    verdicts = list(judge_samples(samples, _train(_MAGIC)))
    (group,) = summarise(verdicts, below=1000)["groups"].values()
    table = group["squares"]
    assert group["samples"] == 5
    assert group["finished"] == _share(4, 5)
    assert group["parsed"] == _share(4, 5)
    assert group["valid"] == _share(1, 5)
    assert "answered" not in group
    assert "by_length" not in group
    assert table["cells_prime"] == _share(9 + 9 + 3 + 9, 36)
    assert table["all_prime"] == _share(3, 5)
    assert table["sums_equal"] == _share(1, 5)
    assert table["distinct"] == _share(3, 5)
    right = sum(verdict["details"].get("wrong_claims", 1) == 0 for verdict in verdicts)
    assert table["claims_right"] == _share(right, 5)
    assert table["copied"] == _share(1, 5)
    assert table["near_copy"] == _share(1, 5)
    assert table["invented"] == _share(2, 5)
    assert table["valid_new"] == _share(0, 5)
    assert table["chance"] == chance_levels(1000)
    assert group["reasons"][0][1] == max(count for _, count in group["reasons"])
    # Several composites in one square count once.
    assert ["not prime", 1] in group["reasons"]


def test_a_valid_square_that_is_new_counts_as_such() -> None:
    (group,) = summarise(judge_samples([_square(_LISTING)], _train([[2] * 3] * 3)))["groups"].values()
    assert group["squares"]["valid_new"] == _share(1, 1)


def test_what_training_lacks_of_a_square_is_told_from_strict_to_loose() -> None:
    """A nested square of order 5, beside training squares that share ever less with it."""
    first, *others = list_order5(251)
    nest = first.copy()
    nest[0, [1, 2]], nest[4, [1, 2]] = first[0, [2, 1]], first[4, [2, 1]]
    core = first[1:4, 1:4]
    same_core = next(square for square in others if set(square[1:4, 1:4].flat) == set(core.flat))
    other_core = next(square for square in others if set(square[1:4, 1:4].flat) != set(core.flat))
    for square, unseen in (
        (np.rot90(first), {"K1": False, "K2": False, "family": False, "pattern": False}),
        (nest, {"K1": True, "K2": False, "family": False, "pattern": False}),
        (same_core, {"K1": True, "K2": True, "family": False, "pattern": False}),
        (np.rot90(core), {"K1": True, "K2": True, "family": False, "pattern": False}),
        (other_core, {"K1": True, "K2": True, "family": False, "pattern": True}),
        (np.array(_MAGIC), {"K1": True, "K2": True, "family": True, "pattern": True}),
    ):
        text = TASKS["squares"].completion(Square(1, tuple(first.ravel().tolist())), "listing")
        verdict = _judged(_square(text), _train(square.tolist()))
        assert verdict["valid"], verdict["reasons"]
        assert verdict["unseen"] == unseen


def test_a_pattern_is_known_around_another_centre_and_a_wrong_square_has_none() -> None:
    shifted = [[cell + 6 for cell in row] for row in np.rot90(_MAGIC).tolist()]
    verdict = _judged(_square(_LISTING), _train(shifted))
    assert verdict["unseen"] == {"K1": True, "K2": True, "family": True, "pattern": False}
    assert _judged(_square(_LISTING.replace("17 89", "17 91")), _train(shifted))["unseen"] is None
    assert _judged(_square(_LISTING))["unseen"] is None


def test_valid_squares_that_differ_are_counted_once() -> None:
    turned = TASKS["squares"].completion(Square(1, tuple(np.rot90(_MAGIC).ravel().tolist())), "listing")
    samples = [_square(text) for text in (_LISTING, turned, _LISTING, "none")]
    repeated = [Repeated(10, 9, 9), Repeated(30, 0, 0), Repeated(0, 0, 0), Repeated(1, 0, 0)]
    (group,) = summarise(judge_samples(samples, _train(_MAGIC), repeated))["groups"].values()
    assert group["squares"]["different"] == 1
    assert group["squares"]["verbatim"] == {"run": RUN, "longest": 9, "count": 9, "of": 41, "share": 9 / 41}


def test_without_a_corpus_the_shares_of_origin_are_of_nothing() -> None:
    (group,) = summarise(judge_samples([_square(_LISTING)], None))["groups"].values()
    assert group["squares"]["copied"]["share"] is None
    assert group["squares"]["valid_new"]["of"] == 0


def test_no_verdicts_give_an_empty_summary() -> None:
    assert summarise([]) == {"task": None, "style": None, "groups": {}}


def test_mixed_verdicts_are_refused() -> None:
    samples = [_square(_LISTING), _sample("primality", "plain", "7", "yes")]
    with pytest.raises(ValueError, match="the verdicts mix squares listing and primality plain"):
        summarise(judge_samples(samples, None))


def test_verdicts_survive_their_file() -> None:
    verdicts = list(judge_samples([_square(_LISTING), _square("x")], _train(_MAGIC)))
    stored = [json.loads(json.dumps(verdict)) for verdict in verdicts]
    assert stored == verdicts
    assert summarise(stored) == summarise(verdicts)
