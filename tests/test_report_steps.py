"""Sums beside the right ones: the first wrong step, what follows it, and the digits on paper."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from aritmo.report import steps
from aritmo.tasks import TASKS
from aritmo.tasks.addition import Sum

TASK = TASKS["addition"]


def verdict(problem: Sum, text: str, style: str = "tutorial") -> dict[str, object]:
    judged = TASK.judge(problem, text, style)
    return {
        "task": "addition", "style": style, "split": "test", "prompt": TASK.prompt(problem, style), "text": text,
        "valid": judged.valid, "answer": judged.answer, "reasons": list(judged.reasons), "details": judged.details,
    }  # fmt: skip


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_the_first_wrong_step_is_the_one_that_the_judge_names(a: int, b: int, random: object) -> None:
    problem = Sum(a, b)
    lines = TASK.completion(problem, "tutorial").split("\n")
    at = random.randrange(len(lines))  # type: ignore[attr-defined]
    spoilt = [*lines[:at], lines[at] + "1", *lines[at + 1 :]]
    shown = steps.walk(verdict(problem, "\n".join(spoilt)))
    assert not shown.valid
    first = shown.wrong_at
    assert first is not None
    place = shown.steps.index(first)
    assert {step.state for step in shown.steps[:place]} <= {"right"}
    assert "first wrong" not in {step.state for step in shown.steps[place + 1 :]}
    named = re.search(r"STEP [0-9]+|RESULT", shown.reason)
    if named and not lines[at].startswith(("STEP", "RESULT")):
        assert first.name == named[0]
    # The right sides, and what was right by itself, are the whole tutorial.
    whole = [line.text for step in shown.steps for line in (step.right or step.written)]
    if not lines[at].startswith(("STEP", "RESULT")):
        assert whole == lines
        marked = [line.text for step in shown.steps for line in step.written if line.differs]
        assert marked == [spoilt[at]]
        assert [line.text for step in shown.steps for line in step.right if line.differs] == [lines[at]]


def test_a_right_sum_has_right_steps_only_and_what_is_missing_is_said() -> None:
    problem = Sum(45, 981)
    text = TASK.completion(problem, "tutorial")
    shown = steps.walk(verdict(problem, text))
    assert [step.state for step in shown.steps] == ["right"] * 7
    assert [step.name for step in shown.steps] == [f"STEP {n}" for n in range(1, 7)] + ["RESULT"]
    assert shown.digits == []
    short = steps.walk(verdict(problem, text[: text.index("STEP 4")]))
    assert [step.state for step in short.steps] == ["right"] * 3 + ["first wrong"] + ["missing"] * 3
    assert short.steps[3].written == []


@settings(max_examples=30)
@given(st.text(max_size=100), st.sampled_from(["plain", "tutorial", "aligned"]))
def test_any_text_is_shown(text: str, style: str) -> None:
    shown = steps.walk(verdict(Sum(45, 981), text, style))
    assert not shown.valid
    assert shown.steps or shown.digits


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**13))
def test_exactly_the_wrong_digits_are_marked_on_paper(a: int, b: int, answer: int) -> None:
    rows = steps.on_paper(a, b, str(answer))
    assert len({len(row) for _, row in rows}) == 1
    named = {name: "".join(digit for digit, _ in row) for name, row in rows}
    assert int(named["right"]) == a + b
    assert int(named["plus"].removeprefix(" " * 99).replace("+", "")) == b
    assert ("written" in named) == (answer != a + b)
    if "written" in named:
        assert int(named["written"]) == answer
        wrong = [marked for name, row in rows if name == "written" for _, marked in row]
        wide = max(len(str(answer)), len(str(a + b)))
        mine, theirs = str(answer).rjust(wide), str(a + b).rjust(wide)
        assert wrong[2:] == [one != other for one, other in zip(mine, theirs, strict=True)]
    assert steps.on_paper(a, b, None) == []
    assert steps.on_paper(10**300, b, "1") == []


def test_wrong_sums_of_every_kind_come_first_and_all_are_counted() -> None:
    problem = Sum(8292, 29039)
    lines = TASK.completion(problem, "tutorial").split("\n")
    spoilt = [[*lines[:at], "tens->70", *lines[at + 1 :]] for at in (3, 3, 3, 15, 18)]
    found = steps.walks([verdict(problem, "\n".join(text)) for text in [*spoilt, lines]], "test", 3)
    assert [walk.steps.index(walk.wrong_at) for walk in found.wrong if walk.wrong_at] == [0, 1, 2]
    assert found.first_wrong[0] == ("tens of the first number", 3)
    assert found.mistakes == 5
    assert len(found.right) == 1
    assert steps.walks([verdict(problem, "x")], "train", 3) == steps.Walks()
