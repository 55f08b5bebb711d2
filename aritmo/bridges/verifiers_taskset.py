"""aritmo's tasks as a taskset of verifiers 0.4, for its ``vf-eval`` and for prime-rl: taskset id ``aritmo``.

Each item comes from its own stream of sha256, of training families unless another split is asked for.
"""

from collections.abc import Iterator
from typing import Any

from aritmo.bridges import missing
from aritmo.bridges.problems import TAGGED, source, written
from aritmo.bridges.scoring import answer_in, check_measure, judged, score, scores

try:
    import verifiers.v1 as vf
    from verifiers.v1 import Taskset
except ImportError as error:
    raise missing("verifiers", "the taskset «aritmo» is for verifiers 0.4 or later") from error

__all__ = ["AritmoTaskset"]


class AritmoConfig(vf.TasksetConfig):  # type: ignore[misc]
    """What is asked: the name of a task of aritmo as ``kind``, how many problems, and settings of «corpus build».

    ``measure`` is what the reward is for, ``shots`` how many worked examples of training families come first; with
    a ``tag`` only what stands in its one pair at the end of a reply is judged.
    """

    kind: str = "addition"
    split: str = "train"
    count: int = 1000
    style: str | None = None
    seed: int = 0
    min_digits: int | None = None
    max_digits: int | None = None
    order: str | None = None
    below: int | None = None
    ask: str | None = None
    shots: int = 0
    tag: str | None = None
    measure: str = "valid"


class AritmoData(vf.TaskData):  # type: ignore[misc]
    """One problem: what aritmo knows of it, and how a reply is judged."""

    meta: dict[str, Any]
    asked: str
    answer: str
    measure: str
    tag: str | None


class AritmoTask(vf.Task[AritmoData, vf.State, vf.TaskConfig]):  # type: ignore[misc]
    @vf.reward  # type: ignore[untyped-decorator]
    async def exact(self, trace: Any) -> float:
        """Return 1 where the reply has what is measured, else 0."""
        data = self.data
        return score(data.meta["task"], data.meta["style"], data.asked, self._reply(trace), data.measure)

    @vf.metric  # type: ignore[untyped-decorator]
    async def measures(self, trace: Any) -> dict[str, float]:
        """Return everything that ``aritmo judge`` counts of the reply."""
        data, reply = self.data, self._reply(trace)
        return scores(judged(data.meta["task"], data.meta["style"], data.asked, reply or ""))

    async def validate(self, runtime: Any) -> bool:
        """Return whether the judge finds the answer that aritmo itself would write right."""
        data = self.data
        return score(data.meta["task"], data.meta["style"], data.asked, data.answer) == 1.0

    def _reply(self, trace: Any) -> str | None:
        return answer_in(trace.last_reply, self.data.tag)


class AritmoTaskset(Taskset[AritmoTask, AritmoConfig]):  # type: ignore[misc]
    """The problems of one task and split. Raises ValueError, one sentence, for what there is not."""

    def load(self) -> Iterator[AritmoTask]:
        config = self.config
        check_measure(config.kind, config.measure)
        names = ("style", "seed", "min_digits", "max_digits", "order", "below", "ask")
        problems = source(config.kind, config.split, **{name: getattr(config, name) for name in names})
        problems.check_holds(config.count)
        shots = problems.shots(config.shots)
        for example in problems.examples(0, config.count):
            data = AritmoData(
                name=f"{config.kind} {example.meta['key']}"[:80],
                prompt=written(example, shots),
                system_prompt=TAGGED.format(tag=config.tag) if config.tag else None,
                meta=example.meta,
                asked=example.prompt,
                answer=example.completion,
                measure=config.measure,
                tag=config.tag,
            )
            yield AritmoTask(data, config.task)
