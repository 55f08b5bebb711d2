"""The exact judge as a reward function, in the signature that TRL's GRPO calls: prompts, completions, and columns.

Nothing of TRL is imported here, so any trainer that calls ``reward(prompts, completions, **columns)`` may use it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from aritmo.bridges.scoring import Text, answer_in, check_measure, score, text_of
from aritmo.tasks import find_task

Reward = Callable[..., list[float]]


def reward(
    prompts: Sequence[Text], completions: Sequence[Text], meta: Sequence[dict[str, Any]] | None = None, **_: Any
) -> list[float]:
    """Return 1 for each completion that is all right and 0 for others.

    ``meta`` is the column of that name in a corpus, which says each prompt's task and style. Prompts and
    completions are strings, or messages of which the last counts. Raises ValueError without ``meta``.
    """
    if meta is None:
        raise ValueError(
            "the data has no column meta, which says task and style: train on a corpus of aritmo, "
            "or give reward_for(task, style)"
        )
    return [
        score(of["task"], of["style"], text_of(prompt), text_of(completion))
        for prompt, completion, of in zip(prompts, completions, meta, strict=True)
    ]


def reward_for(task: str, style: str | None = None, measure: str = "valid", tag: str | None = None) -> Reward:
    """Return a reward function for one task and style, for data that does not say them.

    ``measure`` is what counts (``measures_of``): ``valid``, or for example ``answered``, the result alone. With a
    ``tag`` only what stands in its one pair at the end is judged, and without that pair the reward is 0.
    Raises ValueError for a task, style or measure that is not there.
    """
    _, named = find_task(task, style)
    check_measure(task, measure)

    def judge(prompts: Sequence[Text], completions: Sequence[Text], **_: Any) -> list[float]:
        return [
            score(task, named, text_of(prompt), answer_in(text_of(completion), tag), measure)
            for prompt, completion in zip(prompts, completions, strict=True)
        ]

    judge.__name__ = f"aritmo_{task}_{named}_{measure}"  # what TRL calls it in its logs
    return judge
