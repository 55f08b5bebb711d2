"""A corpus, or fresh problems, as a task of Inspect AI, scored by the exact judge.

``inspect eval aritmo/corpus -T folder=A`` and ``inspect eval aritmo/problems -T kind=addition`` find them by the
entry point that aritmo registers. Scores are «C» (right) or «I» with the judge's reasons as explanation.
"""

from pathlib import Path
from typing import Any

from aritmo.bridges import missing
from aritmo.bridges.problems import conversation, source
from aritmo.bridges.scoring import answer_in, check_measure, judged, originals, scores
from aritmo.corpus import Corpus
from aritmo.numbers.randomness import split_named
from aritmo.tasks import Example

try:
    from inspect_ai import Task, task
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser
    from inspect_ai.scorer import CORRECT, INCORRECT, Score, Target, accuracy, scorer, stderr
    from inspect_ai.solver import TaskState, generate
except ImportError as error:
    raise missing("inspect_ai") from error

_MESSAGES = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}


@scorer(metrics=[accuracy(), stderr()])  # type: ignore[untyped-decorator]
def exact(measure: str = "valid", tag: str | None = None, folder: str | None = None) -> Any:
    """Return the scorer: right where the reply has the ``measure``, as ``aritmo judge`` counts it.

    With a ``tag`` only what stands in its one pair at the end of a reply is judged. With the ``folder`` of a
    corpus copies of its training squares are told from others.
    """
    train = originals(Path(folder)) if folder else None

    async def score(state: TaskState, target: Target) -> Score:
        meta = state.metadata
        reply = answer_in(state.output.completion, tag)
        record = judged(meta["task"], meta["style"], meta["prompt"], reply or "", train)
        counted = scores(record, compared=train is not None)
        right = reply is not None and counted[measure] == 1.0
        said = "; ".join(record["reasons"]) or "all right"
        return Score(
            value=CORRECT if right else INCORRECT,
            answer=reply,
            explanation=said if reply is not None else f"no answer: not one pair of <{tag}> tags ends the reply",
            metadata=counted,
        )

    return score


@task  # type: ignore[untyped-decorator]
def corpus(
    folder: str, split: str = "test", shots: int = 0, tag: str | None = None, measure: str = "valid"
) -> Task:
    """Return the task that asks the problems of a corpus' split.

    ``shots`` worked examples, the first of its training split, come before each. Raises ValueError for a folder
    that is no corpus or has changed, and for a split or measure that is not there.
    """
    read = Corpus(Path(folder))
    read.verify()
    check_measure(read.task.name, measure)
    examples = read.examples(split_named(split))
    if not examples:
        raise ValueError(f"{folder} has no {split} example: choose another split")
    told = {"corpus": read.hash, "split": split}
    return _task(examples, read.examples("train", shots), tag, exact(measure, tag, str(read.folder)), told)


@task  # type: ignore[untyped-decorator]
def problems(
    kind: str = "addition",
    split: str = "test",
    count: int = 200,
    shots: int = 0,
    tag: str | None = None,
    measure: str = "valid",
    style: str | None = None,
    seed: int = 0,
    min_digits: int | None = None,
    max_digits: int | None = None,
    order: str | int | None = None,
    below: int | None = None,
    ask: str | None = None,
) -> Task:
    """Return the task that asks fresh problems of one kind: a task of aritmo, of a split's families.

    ``style`` and what follows it are settings of ``aritmo corpus build``. Raises ValueError for what there is not.
    """
    check_measure(kind, measure)
    numbers = {"min_digits": min_digits, "max_digits": max_digits, "order": order, "below": below}
    drawn = source(kind, split, style=style, seed=seed, ask=ask, **numbers)
    drawn.check_holds(count)
    told = {"seed": drawn.config.seed, "split": split}
    return _task(drawn.examples(0, count), drawn.shots(shots), tag, exact(measure, tag), told)


def _task(
    examples: list[Example], shots: list[Example], tag: str | None, judge: Any, told: dict[str, Any]
) -> Task:
    samples = [
        Sample(
            input=[_MESSAGES[said["role"]](content=said["content"]) for said in conversation(example, shots, tag)],
            target=example.completion,
            id=f"{example.meta['index']}",
            metadata=example.meta | {"prompt": example.prompt},
        )
        for example in examples
    ]
    return Task(dataset=MemoryDataset(samples), solver=generate(), scorer=judge, metadata=told)
