"""Problems for tools that draw their own: by split and index, each from its own stream of sha256."""

from dataclasses import dataclass, replace
from typing import Any

from aritmo.config import build
from aritmo.corpus import CorpusConfig
from aritmo.numbers.randomness import Split, seed_of, split_named
from aritmo.tasks import Example, find_task, write_example

FORM = "Write on exactly in the form of the examples."
BARE = "Write nothing else."
TAGGED = "Put what you answer into one <{tag}>...</{tag}> at the very end."
Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Source:
    """The examples of one task, style and split, without end where the task has no end.

    Nothing is dropped that comes twice: of short numbers there are few.
    """

    config: CorpusConfig
    split: Split

    @property
    def task(self) -> str:
        return self.config.task

    @property
    def style(self) -> str:
        assert self.config.style
        return self.config.style

    def examples(self, start: int, stop: int) -> list[Example]:
        """Return the examples with these indices, or fewer where there are no more."""
        task, style = find_task(self.task, self.style)
        problems = task.problems(self.split, self.config.seed, start, stop, self.config.options)
        return [write_example(task, problem, style, index) for index, problem in enumerate(problems, start)]

    def check_holds(self, count: int) -> None:
        """Raise ValueError unless there are so many examples."""
        if count < 1:
            raise ValueError(f"size: got {count}, allowed 1 or more")
        if not self.examples(count - 1, count):
            raise ValueError(
                f"{self.task} {self.style} has fewer than {count:,} {self.split} problems in these limits: "
                "ask for fewer, or for larger numbers"
            )

    def shots(self, count: int) -> list[Example]:
        """Return worked examples to show before a problem: of training families, from a stream of their own."""
        seed = seed_of("shots", self.config.seed)
        return replace(self, config=self.config.model_copy(update={"seed": seed}), split="train").examples(
            0, count
        )


def source(task: str, split: str = "train", **settings: Any) -> Source:
    """Return the source of a task's examples; ``settings`` are those of ``aritmo corpus build``, or None.

    Raises ValueError in one sentence for a name that is not there, and for a setting that the task does not read.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    found, _ = find_task(task)
    for name in given:
        if name not in (allowed := ("style", "seed", *found.fields)):
            raise ValueError(f"{name}: task {task} reads {', '.join(allowed)}; leave {name} out")
    return Source(build(CorpusConfig, {"task": task} | given), split_named(split))


def conversation(example: Example, shots: list[Example], tag: str | None = None) -> list[Message]:
    """Return the messages that ask a chat model: what to do, worked examples, and the problem.

    Without shots and tag it is the bare prompt. A shot of the same problem is left out.
    """
    shown = _shown(example, shots)
    messages = []
    if shown or tag:
        told = [FORM] * bool(shown) + [TAGGED.format(tag=tag) if tag else BARE]
        messages.append(says("system", " ".join(told)))
    for shot in shown:
        answer = f"<{tag}>\n{shot.completion}</{tag}>" if tag else shot.completion
        messages += [says("user", shot.prompt), says("assistant", answer)]
    return [*messages, says("user", example.prompt)]


def written(example: Example, shots: list[Example]) -> str:
    """Return one text that asks: the bare prompt, or what to do, worked examples, and the prompt."""
    shown = _shown(example, shots)
    if not shown:
        return example.prompt
    return "\n\n".join([f"{FORM} {BARE}", *(shot.text.rstrip("\n") for shot in shown), example.prompt])


def _shown(example: Example, shots: list[Example]) -> list[Example]:
    return [shot for shot in shots if shot.meta["key"] != example.meta["key"]]


def says(role: str, content: str) -> Message:
    """Return a message of a chat."""
    return {"role": role, "content": content}
