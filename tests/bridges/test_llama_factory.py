"""LLaMA-Factory's own loader on what ``aritmo corpus export`` writes.

LLaMA-Factory 0.9.5 holds transformers at most at 5.6, below what aritmo asks for, so the two are installed into
one environment by hand: LLaMA-Factory first, then aritmo with ``--no-deps``.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from aritmo.bridges.formats import export_corpus
from aritmo.corpus import Corpus
from aritmo.numbers.randomness import split_of

pytest.importorskip("llamafactory", reason="LLaMA-Factory is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("chat", [False, True], ids=["alpaca", "sharegpt"])
def test_its_loader_gives_the_examples_back(
    chat: bool, corpus_of: Callable[..., Corpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer
    from transformers import GPT2Config, GPT2LMHeadModel

    from aritmo.tokens import task_tokenizer

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    corpus = corpus_of("addition", "tutorial")
    export_corpus(corpus.folder, "llama-factory", tmp_path / "data", chat)
    tokenizer = task_tokenizer()
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=512, n_embd=16, n_layer=1, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    model_args, data_args, training_args, _, _ = get_train_args(
        {
            "model_name_or_path": str(tmp_path / "model"), "stage": "sft", "do_train": True, "use_cpu": True,
            "dataset_dir": str(tmp_path / "data"), "dataset": "aritmo_addition_tutorial_train",
            "eval_dataset": "aritmo_addition_tutorial_validation", "template": "empty", "cutoff_len": 512,
            "output_dir": str(tmp_path / "out"), "finetuning_type": "full", "report_to": "none",
        }
    )  # fmt: skip
    loaded = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(loaded["tokenizer"], data_args)
    module = get_dataset(template, model_args, data_args, training_args, stage="sft", **loaded)
    for name, split in (("train_dataset", "train"), ("eval_dataset", "validation")):
        rows, examples = list(module[name]), corpus.examples(split)
        assert len(rows) == len(examples)
        assert {split_of("addition", example.meta["family"]) for example in examples} == {split}
        for row, example in zip(rows, examples, strict=True):
            learned = [
                token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != -100
            ]
            text = loaded["tokenizer"].decode(row["input_ids"])
            assert text.removesuffix("<end>").strip() == example.text.strip()
            assert loaded["tokenizer"].decode(learned).removesuffix("<end>").strip() == example.completion.strip()
