"""What the tutor is trained on: streams of whole texts of the train families, whoever draws them."""

from itertools import pairwise

import torch

from aritmo.numbers.randomness import split_of
from aritmo.recipes.siblings import NOT_ASKED, Batch
from aritmo.recipes.tutor import TOY
from aritmo.tasks import TASKS, Task
from aritmo.tasks.task import Verdict
from aritmo.tokens import digit_tokenizer

CPU = torch.device("cpu")
TOKENIZER = digit_tokenizer([word for task in TASKS.values() for word in task.words])


def first(count: int, seed: int = 0, processes: int = 0) -> list[Batch]:
    batches = TOY.batches(seed, CPU, processes, lambda: 0.0)
    found = [next(batches) for _ in range(count)]
    batches.close()
    return found


def texts(batch: Batch) -> list[tuple[str, str]]:
    """Return the prompt and completion of each whole text of a stream."""
    found = []
    borders = sorted(set(batch.ends.tolist()))
    for start, stop in pairwise(borders[:-1]):
        tokens, labels = batch.tokens[0, start:stop].tolist(), batch.labels[0, start:stop].tolist()
        asked = next(at for at, label in enumerate(labels) if label != NOT_ASKED) + 1
        assert batch.positions[0, start:stop].tolist() == list(range(stop - start))
        assert labels == [NOT_ASKED] * (asked - 1) + tokens[asked:] + [NOT_ASKED]
        assert tokens[-1] == TOKENIZER.eos_token_id
        found.append((TOKENIZER.decode(tokens[:asked]), TOKENIZER.decode(tokens[asked:-1])))
    return found


def judged(prompt: str, completion: str) -> tuple[Task, str, Verdict]:
    name, style = ("addition", "tutorial") if "+" in prompt else ("decomposition", "joined")
    style = "spaced" if " " in prompt.strip("#\n") else style
    problem = TASKS[name].read_prompt(prompt, style)
    return TASKS[name], TASKS[name].family(problem), TASKS[name].judge(problem, completion, style)


def test_streams_hold_right_texts_of_the_train_families() -> None:
    names = []
    for batch in first(24):
        assert batch.tokens.shape == batch.labels.shape == (1, TOY.stream)
        assert len(batch.ends) == TOY.texts + 1
        for text in texts(batch):
            task, family, verdict = judged(*text)
            assert verdict.valid, text
            assert split_of(task.name, family) == "train"
            names.append(task.name)
    assert 0.05 < names.count("decomposition") / len(names) < 0.4
    assert len(names) > 50


def test_streams_are_the_same_however_many_processes_draw_them() -> None:
    here, there = first(3), first(3, processes=2)
    for one, other in zip(here, there, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[:4], other[:4], strict=True))
    assert not torch.equal(here[0].tokens, first(1, seed=1)[0].tokens)
