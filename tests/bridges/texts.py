"""Texts that stand for what a model may write, right and wrong."""

from collections.abc import Callable
from pathlib import Path

from aritmo.corpus import Corpus
from aritmo.records import write_samples
from aritmo.tasks import Example


def texts_for(corpus: Corpus) -> list[str]:
    """Return a text for each test example: right ones, and wrong ones of many kinds."""
    examples = corpus.examples("test")
    train = corpus.examples("train", len(examples))
    changes: list[Callable[[Example, Example], str]] = [
        lambda example, _: example.completion,
        lambda _, other: other.completion,  # of squares, a copy from training
        lambda example, _: f"Sure! {example.completion}",
        lambda example, _: f"{example.completion}\nI hope this helps.",
        lambda example, _: example.completion.replace("7", "1", 1),
        lambda example, _: f"\n {example.completion}\n",
        lambda *_: "",
    ]
    return [
        changes[place % len(changes)](example, other)
        for place, (example, other) in enumerate(zip(examples, train, strict=True))
    ]


def write_samples_of(corpus: Corpus, texts: list[str], file: Path) -> None:
    """Write texts on a corpus' test problems as ``aritmo sample`` does."""
    common = {"split": "test", "task": corpus.task.name, "style": corpus.style, "finished": True}
    examples = corpus.examples("test", len(texts))
    write_samples(
        file,
        [
            {"index": index, "prompt": example.prompt, "text": text} | common
            for index, (example, text) in enumerate(zip(examples, texts, strict=True))
        ],
    )
