"""What a model may learn from: texts that are right, or texts that most draws come to."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aritmo.evidence import Evidence, keep
from aritmo.tasks import find_task


def samples(texts: dict[int, list[str]], unfinished: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
    return [
        {
            "index": 0, "split": "train", "task": "decomposition", "style": "joined", "prompt": f"###\n{number}\n",
            "text": text, "finished": text not in unfinished,
        }
        for number, written in texts.items()
        for text in written
    ]  # fmt: skip


RIGHT, WRONG = "ones->7\ntens->5\n", "ones->7\ntens->6\n"


def test_exact_keeps_the_first_text_that_is_right() -> None:
    kept = keep(samples({57: [WRONG, RIGHT, RIGHT + " "], 58: [RIGHT]}), "exact", 0.8)
    assert [(one.prompt, one.text, one.right) for one in kept] == [("###\n57\n", RIGHT, True)]


@pytest.mark.parametrize(
    ("written", "agree", "text"),
    [
        ([RIGHT, RIGHT, RIGHT, WRONG], 0.75, RIGHT),
        ([RIGHT, RIGHT, RIGHT, WRONG], 0.8, None),
        ([WRONG, WRONG, WRONG, RIGHT], 0.75, WRONG),
        ([RIGHT, RIGHT.strip() + "\n\n"], 1.0, RIGHT),
        (["", "", ""], 0.5, None),
    ],
)
def test_a_vote_asks_nobody_what_is_right(written: list[str], agree: float, text: str | None) -> None:
    kept = keep(samples({57: written}), "vote", agree)
    assert [one.text for one in kept] == ([] if text is None else [text])
    assert all(one.right == (one.text == RIGHT) for one in kept)


def test_texts_that_never_ended_have_no_vote() -> None:
    assert keep(samples({57: [RIGHT, RIGHT]}, frozenset({RIGHT})), "vote", 0.5) == []


def test_short_texts_are_left_out_beside_long_ones_on_prompts_as_long() -> None:
    long, short = "ones->7\ntens->5\nhundreds->4\n", "ones->7\n"
    kept = keep(samples({457: [long], 458: [short], 57: [short]}), "vote", 0.5)
    assert [one.prompt for one in kept] == ["###\n457\n", "###\n57\n"]


@settings(max_examples=25)
@given(
    st.dictionaries(
        st.integers(10, 99), st.lists(st.sampled_from([RIGHT, WRONG, "", "x"]), min_size=1), min_size=1
    ),
    st.sampled_from(["exact", "vote"]),
    st.floats(0.1, 1.0),
)
def test_whatever_is_kept_was_written_and_is_told_right_or_not(
    texts: dict[int, list[str]], evidence: Evidence, agree: float
) -> None:
    task, style = find_task("decomposition", "joined")
    kept = keep(samples(texts), evidence, agree)
    assert len({one.prompt for one in kept}) == len(kept)
    for one in kept:
        number = task.read_prompt(one.prompt, style)
        assert one.text in texts[number]
        assert one.right == task.judge(number, one.text, style).valid
        assert one.right or evidence == "vote"
        if evidence == "vote":
            same = sum(text.strip() == one.text.strip() for text in texts[number])
            assert same >= agree * len(texts[number])
