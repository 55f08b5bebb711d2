import json
from collections.abc import Callable
from typing import Any


def test_a_corpus_is_handed_on(command: Callable[..., Any]) -> None:
    built = command("corpus", "build", "--task", "addition", "--count", 50, "--out", "A")
    assert built.status == 0
    done = command("corpus", "export", "A", "--format", "trl", "--out", "T", "--json")
    assert done.status == 0
    said = json.loads(done.out)
    assert (said["folder"], said["format"]) == ("T", "trl")
    assert len(said["corpus"]) == 64
    shown = command("corpus", "export", "A", "--format", "lm-eval", "--out", "H")
    assert "aritmo_addition_plain.yaml" in shown.out


def test_mistakes_are_one_sentence(command: Callable[..., Any]) -> None:
    command("corpus", "build", "--task", "addition", "--count", 50, "--out", "A")
    for words, sentence in (
        (("A", "--format", "csv", "--out", "T"), "format: got 'csv', allowed trl, llama-factory, lm-eval"),
        (("B", "--format", "trl", "--out", "T"), "B is no corpus"),
        (("A", "--format", "trl", "--out", "A"), "A is a folder that is not empty"),
    ):
        done = command("corpus", "export", *words)
        assert done.status == 2
        assert sentence in done.err
        assert done.err.count("\n") == 1
