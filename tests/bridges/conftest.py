"""Corpora that the tests of the bridges share."""

from collections.abc import Callable
from typing import Any

import pytest

from aritmo.corpus import Corpus, CorpusConfig, build_corpus


@pytest.fixture(scope="session")
def corpus_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Corpus]:
    """Return a function that builds a small corpus once, and gives it again to who asks for the same."""
    made: dict[str, Corpus] = {}

    def build(task: str, style: str, **more: Any) -> Corpus:
        name = f"{task} {style} {sorted(more.items())}"
        if name not in made:
            config = CorpusConfig(**({"task": task, "style": style, "count": 120, "seed": 1} | more))
            made[name] = build_corpus(config, tmp_path_factory.mktemp("corpus") / "c", workers=0)
        return made[name]

    return build
