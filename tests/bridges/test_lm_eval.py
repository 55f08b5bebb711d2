"""The harness itself, on corpora as ``aritmo corpus export`` writes them: what it scores is what aritmo judges."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from aritmo.bridges.formats import export_corpus
from aritmo.bridges.lm_eval import task_yaml
from aritmo.corpus import Corpus
from aritmo.models import open_model
from aritmo.records import read_jsonl
from aritmo.tasks import TASKS
from aritmo.verdicts import judge_run
from tests.bridges.texts import texts_for, write_samples_of

STYLES = [(task.name, style) for task in TASKS.values() for style in task.styles]


@pytest.fixture
def harness() -> Any:
    return pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")


def evaluated(harness: Any, model: Any, folder: Path, task: str, **more: Any) -> dict[str, Any]:
    """Return the harness' results for one task of a folder, its samples included."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    found: dict[str, Any] = harness.simple_evaluate(
        model=model, tasks=[task], task_manager=manager, bootstrap_iters=0, log_samples=True, **more
    )
    return found


def test_the_yaml_says_what_the_corpus_is(corpus_of: Callable[..., Corpus]) -> None:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    corpus = corpus_of("addition", "tutorial")
    said = yaml.load(task_yaml(corpus), Loader)
    assert said["metadata"] == {"version": 1, "corpus": corpus.hash}
    assert (said["test_split"], said["fewshot_split"]) == ("test", "train")
    longest = max(len(example.completion) for example in corpus.examples("test"))
    assert 32 < said["generation_kwargs"]["max_gen_toks"] < longest
    assert [metric["metric"] for metric in said["metric_list"]] == ["valid", "parsed", "answered"]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("task", "style"), STYLES)
def test_the_same_texts_get_the_same_score(
    task: str, style: str, harness: Any, corpus_of: Callable[..., Corpus], tmp_path: Path
) -> None:
    from lm_eval.api.model import LM

    class Scripted(LM):  # type: ignore[misc]
        """A model that writes a given text on each prompt."""

        def __init__(self, said: dict[str, str]) -> None:
            super().__init__()
            self.said = said

        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            return [self.said[request.args[0]] for request in requests]

        def loglikelihood(self, requests: list[Any]) -> list[Any]:
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    corpus = corpus_of(
        task,
        style,
        **(
            {"order": (3, 5), "below": 2000}
            if style == "listing"
            else {"below": 2000}
            if task == "squares"
            else {}
        ),
    )
    texts = texts_for(corpus)
    prompts = [example.prompt for example in corpus.examples("test")]
    assert len(set(prompts)) == len(prompts) == 12
    export_corpus(corpus.folder, "lm-eval", tmp_path / "h")
    (tmp_path / "h").rename(tmp_path / "moved")
    name = f"aritmo_{task}_{style}"
    model = Scripted(dict(zip(prompts, texts, strict=True)))
    found = evaluated(harness, model, tmp_path / "moved", name)["results"][name]

    write_samples_of(corpus, texts, tmp_path / "samples.jsonl")
    group = judge_run(tmp_path / "samples.jsonl", corpus, None)["groups"]["test"]
    judged = group | group.get("squares", {})
    shares = {key: value["share"] for key, value in judged.items() if isinstance(value, dict) and "low" in value}
    measured = {key.partition(",")[0]: value for key, value in found.items() if key.endswith(",none")}
    measured = {key: value for key, value in measured.items() if not key.endswith("_stderr")}
    assert measured == {key: shares[key] for key in measured}
    assert len(measured) == (10 if task == "squares" else 3)
    assert 0 < measured["valid"] < 1
    if task == "squares":
        assert measured["copied"] > 0


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
def test_a_real_model_gets_the_score_of_aritmo_sample_and_judge(
    harness: Any, corpus_of: Callable[..., Corpus], tmp_path: Path
) -> None:
    """The tutor writes numbers of at most 7 digits, so of 6 to 9 it gets some right and some wrong."""
    from lm_eval.models.huggingface import HFLM

    from aritmo.choosing import SamplingConfig
    from aritmo.experiment import sample_problems
    from aritmo.tasks import TaskOptions

    corpus = corpus_of("decomposition", "spaced", min_digits=6, max_digits=9, count=200)
    export_corpus(corpus.folder, "lm-eval", tmp_path / "h")
    model, tokenizer = open_model("tutor", context=512)
    name = "aritmo_decomposition_spaced"
    found = evaluated(
        harness, HFLM(pretrained=model, tokenizer=tokenizer, batch_size=12), tmp_path / "h", name, limit=12
    )
    sampling = SamplingConfig(max_new_tokens=512)
    out = tmp_path / "s.jsonl"
    sample_problems("tutor", corpus.folder, None, None, "test", 12, TaskOptions(), sampling, out)
    group = judge_run(out, corpus, None)["groups"]["test"]
    assert found["results"][name]["valid,none"] == group["valid"]["share"]
    assert 0 < group["valid"]["share"] < 1
    said = {sample["doc"]["prompt"]: sample["filtered_resps"][0] for sample in found["samples"][name]}
    assert said == {record["prompt"]: record["text"] for record in read_jsonl(out)}
    assert found["configs"][name]["metadata"]["corpus"] == corpus.hash
