"""aritmo's tasks as classic environments of verifiers (0.2 and 0.3): ``load_environment``, one turn, exact.

``verifiers.load_environment("aritmo", task="addition")`` finds it, and so does what trains on such environments.
verifiers 0.4 took environments out: for it there is ``aritmo.bridges.verifiers_taskset``.
"""

from typing import Any

from aritmo.bridges import missing
from aritmo.bridges.problems import Source, conversation, source
from aritmo.bridges.scoring import answer_in, check_measure, measures_of, score, text_of

try:
    from datasets import Dataset
    from verifiers import Rubric, SingleTurnEnv
except ImportError as error:
    raise missing("verifiers", "verifiers 0.4 has no environments: take 0.3, or its taskset «aritmo»") from error


def load_environment(
    task: str = "addition",
    count: int = 1000,
    eval_count: int = 200,
    eval_split: str = "validation",
    shots: int = 0,
    tag: str | None = None,
    measure: str = "valid",
    **settings: Any,
) -> Any:
    """Return a verifiers ``SingleTurnEnv`` that asks ``count`` training problems and ``eval_count`` held-out ones.

    The reward is 1 where a reply has the ``measure``, else 0; the task's other measures weigh nothing.
    ``shots`` worked examples of training families come before each problem. With a ``tag`` only what stands in
    its one pair at the end of a reply is judged; without, the whole reply. ``settings`` are those of ``aritmo
    corpus build``: style, seed, min_digits, max_digits, order, below, ask.
    Raises ValueError, one sentence, for what there is not.
    """
    check_measure(task, measure)
    train, held_out = source(task, **settings), source(task, eval_split, **settings)
    examples = train.shots(shots)
    rubric = Rubric(funcs=[_scorer(measure, tag)], weights=[1.0])
    for other in measures_of(task):
        if other != measure:
            rubric.add_metric(_scorer(other, tag))
    return SingleTurnEnv(
        dataset=Dataset.from_list(_rows(train, count, examples, tag)),
        eval_dataset=Dataset.from_list(_rows(held_out, eval_count, examples, tag)),
        rubric=rubric,
    )


def _rows(problems: Source, count: int, shots: list[Any], tag: str | None) -> list[dict[str, Any]]:
    problems.check_holds(count)
    return [
        {
            "prompt": conversation(example, shots, tag),
            "answer": example.completion,
            # verifiers keeps the name «task» in info for itself.
            "info": {"aritmo": example.meta | {"prompt": example.prompt}},
        }
        for example in problems.examples(0, count)
    ]


def _scorer(measure: str, tag: str | None) -> Any:
    def scored(completion: Any, info: dict[str, Any], **_: Any) -> float:
        asked = info["aritmo"]
        return score(asked["task"], asked["style"], asked["prompt"], answer_in(text_of(completion), tag), measure)

    scored.__name__ = measure  # what verifiers calls it in its results
    return scored
