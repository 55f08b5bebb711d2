from typing import Any

import pytest

from aritmo.numbers.randomness import split_of
from aritmo.tasks import TaskOptions
from aritmo.tasks.squares import Squares
from aritmo.tasks.squares_centres import centres_of


@pytest.mark.parametrize(
    ("order", "split", "many"), [(3, "test", 112), (3, "validation", 116), (5, "test", 65), (7, "validation", 55)]
)
def test_centres_are_of_their_split_and_in_a_drawn_order(order: int, split: Any, many: int) -> None:
    centres = centres_of(order, split)
    assert len(set(centres)) == len(centres) == many
    assert all(split_of("squares", str(centre)) == split for centre in centres)
    assert centres != tuple(sorted(centres))


@pytest.mark.parametrize("order", [3, 5, 7])
def test_each_centre_is_asked_for_once_and_can_be_judged(order: int) -> None:
    task, options = Squares(), TaskOptions(centres=order)
    whole = task.problems("test", 0, 0, 10_000, options)
    assert [problem.wanted.centre for problem in whole if problem.wanted] == list(centres_of(order, "test"))
    assert task.problems("test", 5, 3, 9, options) == whole[3:9]
    for problem in whole:
        asked = task.read_prompt(task.prompt(problem, "tutorial"), "tutorial")
        assert task.judge(asked, task.completion(problem, "tutorial"), "tutorial").valid
    assert task.prompt(whole[0], "listing").startswith("Matrix")


def test_an_order_that_is_not_searched_for_is_refused() -> None:
    with pytest.raises(ValueError, match="centres: got 4, and orders 3, 5, 7 are searched for"):
        centres_of(4, "test")
