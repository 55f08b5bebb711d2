"""A corpus as a task of EleutherAI's lm-evaluation-harness (``lm-eval``), scored as ``aritmo judge`` scores.

The exported folder holds the task's YAML, a short ``utils.py`` that leads here, and the corpus itself, so that
the folder may be moved, and the verdict on squares tells copied ones. The keys are those of the harness' «New Task
Guide».
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aritmo.bridges import need
from aritmo.bridges.scoring import judged, measures_of, originals, scores
from aritmo.corpus import Corpus
from aritmo.numbers.randomness import SPLITS

Document = dict[str, Any]

CORPUS = "corpus"
"""The folder in the exported one that holds the corpus."""
SPARE = 32
"""Tokens that a text may have beyond the longest right one, so that one that goes on wrongly is seen to."""

UTILS = f'''"""What the harness calls for this task: the documents, and the exact scores of what a model wrote."""

from pathlib import Path

from aritmo.bridges.lm_eval import documents, scorer

_CORPUS = Path(__file__).parent / "{CORPUS}"


def load(**_):
    return documents(_CORPUS)


process_results = scorer(_CORPUS)
'''


def name_of(corpus: Corpus) -> str:
    """Return the name by which the harness knows the task of a corpus."""
    return f"aritmo_{corpus.task.name}_{corpus.style}"


def task_yaml(corpus: Corpus) -> str:
    """Return the YAML of the harness' task: greedy; few-shot examples, where asked for, are those of training."""
    keys = {
        "task": name_of(corpus),
        "custom_dataset": "!function utils.load",
        "training_split": "train",
        "validation_split": "validation",
        "test_split": "test",
        "fewshot_split": "train",
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "completion",
        # The harness would put a space between a prompt and what is written on it.
        "target_delimiter": '""',
        "process_results": "!function utils.process_results",
    }
    lines = [f"{key}: {value}" for key, value in keys.items()]
    lines += ["generation_kwargs:", "  until: []", "  do_sample: false", f"  max_gen_toks: {_most_tokens(corpus)}"]
    lines.append("metric_list:")
    for measure in measures_of(corpus.task.name, compared=True):
        lines += [f"  - metric: {measure}", "    aggregation: mean"]
        lines.append(f"    higher_is_better: {'false' if measure in ('copied', 'near_copy') else 'true'}")
    lines += ["metadata:", f"  version: {corpus.task.version}", f"  corpus: {corpus.hash}"]
    return "\n".join(lines) + "\n"


def documents(folder: Path) -> Any:
    """Return the corpus in a folder as a ``DatasetDict``. Raises ValueError where a file of it changed."""
    need("datasets", "lm-evaluation-harness")
    from datasets import Dataset, DatasetDict

    corpus = Corpus(folder)
    corpus.verify()
    return DatasetDict({split: Dataset(corpus.table(split)) for split in SPLITS})


def scorer(folder: Path) -> Callable[[Document, Sequence[Any]], dict[str, float]]:
    """Return the harness' ``process_results`` for the corpus in a folder."""

    def process_results(document: Document, results: Sequence[Any]) -> dict[str, float]:
        (text,) = results[:1]
        if not isinstance(text, str):
            raise ValueError(
                "the harness gave several texts for one problem: leave repeats at 1 and take the first"
            )
        meta, train = document["meta"], originals(folder)
        record = judged(meta["task"], meta["style"], document["prompt"], text, train)
        return scores(record, compared=True)

    return process_results


def _most_tokens(corpus: Corpus) -> int:
    """Return how many tokens of a digit or word the longest completions have, and some to spare."""
    from aritmo.tokens import encode_batch, task_tokenizer

    longest: list[str] = []
    for split in SPLITS:
        completions = corpus.table(split)["completion"].to_pylist()
        longest = sorted([*longest, *completions], key=len)[-SPARE:]
    return max(map(len, encode_batch(task_tokenizer(), longest)), default=0) + SPARE
