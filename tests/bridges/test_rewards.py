"""Rewards, and the real TRL: a step or two of its SFTTrainer and GRPOTrainer on what aritmo gives them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from transformers import set_seed

from aritmo.bridges.formats import export_corpus
from aritmo.bridges.rewards import reward, reward_for
from aritmo.bridges.scoring import answer_in, measures_of, text_of
from aritmo.corpus import Corpus
from aritmo.models import open_model
from aritmo.records import read_jsonl
from aritmo.tasks import TASKS
from aritmo.tokens import task_tokenizer
from aritmo.verdicts import judge_run
from tests.bridges.texts import texts_for, write_samples_of

STYLES = [(task.name, style) for task in TASKS.values() for style in task.styles]
QUIET = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning"
)


def asked(text: str) -> list[dict[str, Any]]:
    return [{"role": "system", "content": "Write on."}, {"role": "user", "content": text}]


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": text}]


@pytest.mark.parametrize(("task", "style"), STYLES)
def test_the_reward_is_what_the_judge_says(
    task: str, style: str, corpus_of: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = corpus_of(task, style, **({"below": 2000} if task == "squares" else {}))
    examples, texts = corpus.examples("test"), texts_for(corpus)
    write_samples_of(corpus, texts, tmp_path / "s.jsonl")
    judge_run(tmp_path / "s.jsonl", None, tmp_path / "v.jsonl")
    valid = [float(record["valid"]) for record in read_jsonl(tmp_path / "v.jsonl")]
    prompts, meta = [one.prompt for one in examples], [one.meta for one in examples]
    assert 0 < sum(valid) < len(valid)
    assert reward(prompts, texts, meta=meta, trainer_state=None) == valid
    assert reward(list(map(asked, prompts)), list(map(said, texts)), meta=meta) == valid
    assert reward_for(task, style)(prompts=prompts, completions=texts, completion_ids=[]) == valid
    if "answered" in measures_of(task):
        verdicts = read_jsonl(tmp_path / "v.jsonl")
        answered = [float(record["details"].get("answered", False)) for record in verdicts]
        assert reward_for(task, style, "answered")(prompts, texts) == answered
    tagged = [f"Let me think. <answer>\n{text}</answer>\n" for text in texts]
    assert reward_for(task, style, tag="answer")(prompts, tagged) == valid


def test_a_tag_is_read_strictly() -> None:
    judge = reward_for("primality", tag="answer")
    for text, right in (
        ("<answer>no</answer>", 1.0),
        ("1 is less than 2.\n<answer>\nno\n</answer>\n", 1.0),
        ("no", 0.0),
        ("<answer>no</answer> I am sure.", 0.0),
        ("<answer>yes</answer><answer>no</answer>", 0.0),
        ("<answer>yes</answer> or <answer>no</answer>", 0.0),
        ("<answer>no", 0.0),
        ("no</answer>", 0.0),
        ("<answer><answer>no</answer>", 0.0),
        ("<answer>no, it is not</answer>", 0.0),
        ("<ANSWER>no</ANSWER>", 0.0),
    ):
        assert judge(["Is 9 prime?\n"], [text]) == [right], text
    assert answer_in("no", None) == "no"


def test_the_text_of_messages_is_the_last_ones() -> None:
    parts = [{"type": "text", "text": "ye"}, {"type": "image"}, {"type": "text", "text": "s"}]
    assert text_of([*said("no"), {"role": "assistant", "content": parts}]) == "yes"
    assert text_of([]) == text_of([{"role": "assistant", "content": None}]) == ""


def test_what_is_missing_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="the data has no column meta"):
        reward(["Is 9 prime?\n"], ["no"])
    with pytest.raises(ValueError, match="measure: got 'nearly', task primality has valid, parsed, answered"):
        reward_for("primality", measure="nearly")
    assert reward_for("primality")(["What is this?"], ["no"]) == [0.0]


@QUIET
def test_trl_fine_tunes_on_a_corpus_as_it_is_and_as_exported(
    corpus_of: Callable[..., Corpus], tmp_path: Path
) -> None:
    pytest.importorskip("trl", reason="TRL is not installed")
    from trl import SFTConfig, SFTTrainer

    corpus = corpus_of("decomposition", "joined")
    export_corpus(corpus.folder, "trl", tmp_path / "exported")
    losses = []
    for folder in (corpus.folder, tmp_path / "exported"):
        set_seed(1)
        data = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
        model, tokenizer = open_model("tiny", tokenizer=task_tokenizer(), context=96, seed=1)
        settings = SFTConfig(
            output_dir=str(tmp_path / "out"), max_steps=2, per_device_train_batch_size=4, logging_steps=1,
            report_to=[], use_cpu=True, bf16=False, save_strategy="no", max_length=96, learning_rate=1e-3, seed=1,
            disable_tqdm=True,
        )  # fmt: skip
        trainer = SFTTrainer(model, settings, train_dataset=data["train"], processing_class=tokenizer)
        first = trainer.train_dataset[0]
        example = corpus.examples("train", 1)[0]
        assert tokenizer.decode(first["input_ids"]) == example.text + tokenizer.eos_token
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert len(losses[0]) == 2
    assert losses[0] == losses[1]


@QUIET
def test_grpo_trains_against_the_exact_judge(corpus_of: Callable[..., Corpus], tmp_path: Path) -> None:
    """The tutor solves these, and hot sampling makes it err: groups with right and wrong texts."""
    pytest.importorskip("trl", reason="TRL is not installed")
    from trl import GRPOConfig, GRPOTrainer

    corpus = corpus_of("decomposition", "joined", min_digits=4, max_digits=7)
    data = load_dataset(str(corpus.folder), cache_dir=str(tmp_path))
    model, tokenizer = open_model("tutor", context=512)
    calls = []

    def watched(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float]:
        rewards = reward(prompts, completions, **columns)
        calls.append((prompts, completions, columns["meta"], rewards))
        return rewards

    settings = GRPOConfig(
        output_dir=str(tmp_path / "out"), max_steps=2, per_device_train_batch_size=8, num_generations=4,
        max_completion_length=64, temperature=2.5, report_to=[], use_cpu=True, bf16=False, save_strategy="no",
        logging_steps=1, seed=3, learning_rate=1e-4, disable_tqdm=True,
    )  # fmt: skip
    before = model.transformer.h[0].mlp.c_fc.weight.detach().clone()
    trainer = GRPOTrainer(
        model, reward_funcs=watched, args=settings, train_dataset=data["train"], processing_class=tokenizer
    )
    trainer.train()
    assert len(calls) == 2
    for prompts, completions, meta, rewards in calls:
        for prompt, text, of, given in zip(prompts, completions, meta, rewards, strict=True):
            task = TASKS[of["task"]]
            assert given == task.judge(task.read_prompt(prompt, of["style"]), text, of["style"]).valid
    drawn = [given for *_, rewards in calls for given in rewards]
    assert 0 < sum(drawn) < len(drawn)
    logged = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
    assert logged == pytest.approx([sum(rewards) / len(rewards) for *_, rewards in calls])
    assert not before.equal(model.transformer.h[0].mlp.c_fc.weight)
