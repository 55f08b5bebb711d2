"""Which of the texts that a model wrote it may learn from: those that hold, by arithmetic or by agreement.

``exact``: the judge of the task found every step and the result right. That is arithmetic on the problem, with
no key of answers; but it needs arithmetic. ``vote``: nobody computes anything. Several texts are drawn for a
problem, and one is kept where most of them are the same text and it is not far shorter than those of like
problems (majority voting and length filtering, Lee and others 2025, arXiv 2502.01612; they vote among models of
several seeds, here it is among draws of one model). How many of the kept texts are right is counted for both,
and used for neither.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple

from aritmo.judging import judge_samples
from aritmo.tasks.squares import Squares

Evidence = Literal["exact", "vote"]
Record = dict[str, Any]

_SHORTEST = 0.8
"""A text on a problem of numbers must be at least so long, as a share of the longest that won on one of that
length."""


class Kept(NamedTuple):
    """A text to learn from: the prompt, what the model wrote, and whether the judge finds it right."""

    prompt: str
    text: str
    right: bool


def keep(records: Sequence[Record], evidence: Evidence, agree: float) -> list[Kept]:
    """Return the texts that hold, one a prompt at most, in the order of the samples.

    Samples on one prompt stand together. ``agree`` is the share of them that must be the same text for ``vote``.
    """
    by_prompt = [list(group) for _, group in groupby(records, key=lambda record: record["prompt"])]
    if evidence == "exact":
        judged = (judge_samples(group, None) for group in by_prompt)
        right = (next((one for one in group if one["valid"]), None) for group in judged)
        return [Kept(one["prompt"], one["text"], True) for one in right if one]
    winners = list(_winners(by_prompt, agree))
    verdicts = judge_samples(_long_enough(winners), None)
    return [Kept(one["prompt"], one["text"], one["valid"]) for one in verdicts]


def _winners(by_prompt: Sequence[Sequence[Record]], agree: float) -> Iterator[Record]:
    """Yield the text of each prompt that enough of its samples came to."""
    for group in by_prompt:
        votes = Counter(record["text"].strip() for record in group if record["finished"])
        text, count = max(votes.items(), key=lambda vote: (vote[1], vote[0]), default=("", 0))
        if text and count >= agree * len(group):
            yield next(record for record in group if record["finished"] and record["text"].strip() == text)


def _long_enough(winners: Sequence[Record]) -> list[Record]:
    """Leave out texts that are far shorter than others on prompts as long; searches for squares differ by
    nature."""
    if winners and winners[0]["task"] == Squares.name:
        return list(winners)
    longest: dict[int, int] = {}
    for record in winners:
        size = len(record["prompt"])
        longest[size] = max(longest.get(size, 0), len(record["text"]))
    return [one for one in winners if len(one["text"]) >= _SHORTEST * longest[len(one["prompt"])]]
