"""The real Inspect AI on a corpus and on fresh problems: by its mock model, and by a real model."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aritmo.corpus import Corpus
from aritmo.models import open_model
from aritmo.numbers.randomness import split_of
from aritmo.tasks import TASKS
from aritmo.verdicts import judge_run
from tests.bridges.texts import texts_for, write_samples_of

pytest.importorskip("inspect_ai", reason="Inspect AI is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

from inspect_ai import eval as run_eval  # noqa: E402
from inspect_ai.model import ModelOutput, ModelUsage, get_model  # noqa: E402

from aritmo.bridges.inspect_ai import corpus as corpus_task  # noqa: E402
from aritmo.bridges.inspect_ai import problems  # noqa: E402

STYLES = [(task.name, style) for task in TASKS.values() for style in task.styles]


def evaluated(task: Any, model: Any, folder: Path) -> Any:
    (log,) = run_eval(task, model=model, log_dir=str(folder), display="none", score_display=False)
    assert log.status == "success", log.error
    return log


def output(text: str) -> ModelOutput:
    """Return a mock model's output, its tokens counted: Inspect would count them by a file from the network."""
    made = ModelOutput.from_content("mockllm/model", text)
    made.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    return made


def saying(texts: dict[str, str]) -> Any:
    """Return Inspect's mock model, which answers the last message with the text that belongs to it."""

    def answer(messages: Any, *_: Any) -> ModelOutput:
        return output(texts[messages[-1].text])

    return get_model("mockllm/model", custom_outputs=answer, memoize=False)


@pytest.mark.parametrize(("task", "style"), STYLES)
def test_the_same_texts_get_the_same_score(
    task: str, style: str, corpus_of: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = corpus_of(task, style, **({"below": 2000} if task == "squares" else {}))
    texts = texts_for(corpus)
    said = dict(zip([example.prompt for example in corpus.examples("test")], texts, strict=True))
    log = evaluated(corpus_task(str(corpus.folder)), saying(said), tmp_path)
    write_samples_of(corpus, texts, tmp_path / "s.jsonl")
    group = judge_run(tmp_path / "s.jsonl", corpus, None)["groups"]["test"]
    (scored,) = log.results.scores
    assert scored.metrics["accuracy"].value == group["valid"]["share"]
    assert 0 < group["valid"]["share"] < 1
    assert log.eval.metadata["corpus"] == corpus.hash
    counted = [sample.scores["exact"].metadata for sample in log.samples]
    judged = group | group.get("squares", {})
    assert {name: sum(one[name] for one in counted) for name in counted[0]} == {
        name: judged[name]["count"] for name in counted[0]
    }
    wrong = next(sample.scores["exact"] for sample in log.samples if sample.scores["exact"].value == "I")
    assert wrong.explanation


@pytest.fixture
def tutor(tmp_path: Path) -> str:
    """The folder of a real model that takes chats: the tutor, with a template that writes the last message."""
    model, tokenizer = open_model("tutor", context=512)
    tokenizer.chat_template = "{{ messages[-1]['content'] }}"
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_a_real_model_is_asked(tutor: str, tmp_path: Path) -> None:
    model = get_model("hf/tutor", model_path=tutor, device="cpu", memoize=False)
    asked = problems("decomposition", count=4, style="joined", min_digits=7, max_digits=8, seed=2)
    log = evaluated(asked, model, tmp_path / "log")
    task = TASKS["decomposition"]
    for sample in log.samples:
        verdict = task.judge(
            task.read_prompt(sample.metadata["prompt"], "joined"), sample.output.completion, "joined"
        )
        assert (sample.scores["exact"].value == "C") == verdict.valid
        assert sample.scores["exact"].answer == sample.output.completion
    assert any(sample.scores["exact"].value == "C" for sample in log.samples)


def test_fresh_problems_are_of_the_split_and_shots_of_training(tmp_path: Path) -> None:
    def answer(messages: Any, *_: Any) -> ModelOutput:
        assert [message.role for message in messages] == ["system", "user", "assistant", "user"]
        number = messages[1].text.removeprefix("###\n").strip()
        assert split_of("decomposition", number) == "train"
        assert "<answer>" in messages[0].text
        assert messages[2].text.startswith("<answer>\nones->")
        problem = TASKS["decomposition"].read_prompt(messages[-1].text, "joined")
        return output(f"So: <answer>{TASKS['decomposition'].completion(problem, 'joined')}</answer>")

    model = get_model("mockllm/model", custom_outputs=answer, memoize=False)
    log = evaluated(problems("decomposition", count=6, shots=1, tag="answer"), model, tmp_path)
    assert log.results.scores[0].metrics["accuracy"].value == 1.0
    assert {split_of("decomposition", sample.metadata["family"]) for sample in log.samples} == {"test"}


FIND = """
import sys
from inspect_ai._eval.loader import load_tasks
(corpus,) = load_tasks(["aritmo/corpus"], {"folder": sys.argv[1]})
(problems,) = load_tasks(["aritmo/problems"], {"kind": "primality", "count": 5})
print(len(corpus.dataset), len(problems.dataset), problems.metadata["split"])
"""


def test_inspects_own_command_finds_the_tasks(corpus_of: Callable[..., Corpus]) -> None:
    """By the entry point of the installed aritmo, so in a process that does not see this folder."""
    folder = str(corpus_of("addition", "plain").folder)
    done = subprocess.run([sys.executable, "-I", "-c", FIND, folder], capture_output=True, text=True)
    if "No module named 'aritmo'" in done.stderr:
        pytest.skip("aritmo is not installed here")
    assert done.stdout.split() == ["12", "5", "test"], done.stderr


def test_what_there_is_not_is_one_sentence(corpus_of: Callable[..., Corpus], tmp_path: Path) -> None:
    folder = str(corpus_of("addition", "plain").folder)
    for make, sentence in (
        (lambda: corpus_task(str(tmp_path)), "is no corpus: it has no manifest.json"),
        (lambda: corpus_task(folder, split="dev"), "split: got 'dev'"),
        (lambda: corpus_task(folder, measure="copied"), "measure: got 'copied', task addition has"),
        (lambda: problems("sums"), "task: got 'sums'"),
        (lambda: problems("addition", order=3), "order: task addition reads style"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            make()
