"""What can be wrong with training: one plain sentence, exit code 2, and what was saved stands."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from aritmo import checkpoints
from aritmo.tokens import digit_tokenizer

Command = Callable[..., Any]
SHORT = ["--context", "64", "--batch-size", "2", "--save-every", "2", "--set", "look=0"]


@pytest.fixture
def corpus(command: Command) -> Path:
    assert command("corpus", "build", "--task", "decomposition", "--count", "60", "--out", "C").status == 0
    return Path("C")


def train(command: Command, out: str, *words: object) -> Any:
    return command("train", "--corpus", "C", "--out", out, *SHORT, *words)


def refused(ended: Any, *sentences: str) -> None:
    last = ended.err.splitlines()[-1]
    assert ended.status == 2
    assert last.startswith("aritmo: ")
    assert "Traceback" not in ended.err
    for sentence in sentences:
        assert sentence in last


def model(folder: str, tokenizer: Any, positions: int = 64) -> Path:
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=positions,
        n_embd=8,
        n_layer=1,
        n_head=1,
        bos_token_id=1,
        eos_token_id=1,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("corpus", "offline")
def test_models_that_cannot_be_had(command: Command) -> None:
    refused(train(command, "R", "--model", "gtp2-xl"), "there is no model 'gtp2-xl'", "did you mean gpt2-xl")
    refused(train(command, "R", "--model", "nobody/nothing"), "could not be had from the Hub", "give a folder")
    pickled = model("pickled", digit_tokenizer(())) / "model.safetensors"
    pickled.rename(pickled.with_name("pytorch_model.bin"))
    refused(train(command, "R", "--model", "pickled"), "holds only pickled weights (pytorch_model.bin)")
    (pickled.parent / "pytorch_model.bin").unlink()
    refused(train(command, "R", "--model", "pickled"), "holds no *.safetensors weights")
    assert not Path("R").exists()


@pytest.mark.usefixtures("corpus")
def test_sequences_longer_than_the_model_takes(command: Command) -> None:
    model("short", digit_tokenizer(()), positions=48)
    refused(train(command, "R", "--model", "short"), "takes 48 tokens at once, not 64", "lower training.context")


@pytest.mark.usefixtures("corpus")
def test_a_corpus_that_the_tokenizer_cannot_write(command: Command) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(WordLevel({"?": 0, "<end>": 1, "0": 2}, unk_token="?"))
    backend.pre_tokenizer = Split("", "isolated")
    poor = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="?", eos_token="<end>")
    model("poor", poor)
    refused(train(command, "R", "--model", "poor"), "the tokenizer cannot write", "choose another tokenizer")


@pytest.mark.usefixtures("corpus")
def test_a_checkpoint_of_another_config_tokenizer_or_corpus(command: Command) -> None:
    assert train(command, "R", "--steps", 2).status == 0
    saved = Path("R/checkpoints/step-000002")
    refused(train(command, "R", "--steps", 4, "--resume", "--lr", 0.5), "begun with learning_rate 0.001, not 0.5")
    refused(train(command, "R", "--steps", 4, "--resume", "--numbers", "pairs"), "is of another model")
    assert command("corpus", "build", "--task", "primality", "--count", "60", "--out", "D").status == 0
    other = command("train", "--corpus", "D", "--out", "R", *SHORT, "--steps", 4, "--resume")
    refused(other, "was begun with data", "resume with what it was begun with")
    checkpoints.verify(saved)
    assert train(command, "R", "--steps", 4, "--resume").status == 0


@pytest.mark.usefixtures("corpus")
def test_a_full_disk_keeps_the_last_checkpoint(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(command, "R", "--steps", 2).status == 0

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "save_file", full)
        refused(
            train(command, "R", "--steps", 4, "--resume"),
            "the disk is full, so the checkpoint of step 4 was not written and the earlier ones stand",
            "free some space and run the same command again",
        )
    checkpoints.verify(Path("R/checkpoints/step-000002"))
    assert train(command, "R", "--steps", 4, "--resume").status == 0


@pytest.mark.usefixtures("corpus")
def test_a_loss_that_is_no_number_stops_before_the_update(command: Command) -> None:
    wild = ["--steps", 8, "--save-every", 1, "--set", "training.warmup=0", "--lr", 1e30]
    ended = train(command, "R", *wild)
    refused(ended, "so training stopped before that update (checkpoint step-0000", "lower training.learning_rate")
    last = checkpoints.latest(Path("R"))
    assert last is not None
    assert f"checkpoint {last.name} stands" in ended.err
