from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedModel

from aritmo import export as exporting
from aritmo.adapters import add_adapter
from aritmo.config import save_config
from aritmo.export import export
from aritmo.files import write_json
from aritmo.models import open_model
from aritmo.records import write_samples
from aritmo.statistics import share
from aritmo.tokens import digit_tokenizer

TOKENIZER = digit_tokenizer(("ones", "tens"))
PROMPTS = ["57\n###\n", "2249\n###\n", "8\n###\n"]


def base(folder: Path) -> Path:
    torch.manual_seed(1)
    config = GPT2Config(vocab_size=len(TOKENIZER), n_positions=48, n_embd=16, n_layer=2, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def shake(model: PreTrainedModel) -> PreTrainedModel:
    """Give an adapter something to say: it begins as no change at all."""
    torch.manual_seed(2)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter.data, std=0.3)
    return model


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    base(folder / "checkpoints" / "step-000020")
    settings = {"model": "tiny", "init": "pretrained", "seed": 7, "rank": 16}
    save_config(
        folder / "config.yaml",
        {"command": "aritmo train --model tiny", "task": "decomposition", "style": "joined", "data": "ab12",
         "device": "CPU, 2 threads", "training": settings},
    )  # fmt: skip
    write_samples(folder / "samples.jsonl", [{"prompt": prompt} for prompt in PROMPTS])
    write_samples(
        folder / "metrics.jsonl", [{"step": step, "loss": 1.0, "seconds": 10.0 * step} for step in (19, 20)]
    )
    return folder


def test_a_checkpoint_comes_back_exactly_with_its_card(run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("aritmo.export.newest_model", lambda name: str(run / "checkpoints" / "step-000020"))
    summary = {"groups": {"test": {"samples": 40, "valid": share(30, 40)}}}
    write_json(run / "summary.json", summary)
    made = export(str(run), tmp_path / "out")
    assert made.prompts >= len(PROMPTS)
    assert made.difference == 0
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    source, _ = open_model(str(run / "checkpoints" / "step-000020"), context=48)
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
        torch.testing.assert_close(again(ids).logits, source(ids).logits, rtol=0, atol=0)
    assert again.generation_config.eos_token_id == tokenizer.eos_token_id
    assert again.generation_config.pad_token_id == tokenizer.pad_token_id
    card = (tmp_path / "out" / "README.md").read_text()
    for said in ("tiny", "decomposition, joined", "ab12", "aritmo train --model tiny", "| Step | 20 |", "200 s",
                 "CPU, 2 threads", "| Seed | 7 |", "| test | 40 | 75",
                 "differ from the source's by at most 0 on"):  # fmt: skip
        assert said in card
    assert "59.8 to 85.8" in card, "the Wilson interval of 30 in 40"


def test_a_card_says_where_there_are_no_scores(run: Path, tmp_path: Path) -> None:
    export(str(run / "checkpoints" / "step-000020"), tmp_path / "out")
    assert "None: the run has no summary.json" in (tmp_path / "out" / "README.md").read_text()
    export(str(tmp_path / "out"), tmp_path / "again")
    card = (tmp_path / "again" / "README.md").read_text()
    assert "| Data hash | not recorded |" in card


def test_an_adapter_is_merged_into_its_base(tmp_path: Path) -> None:
    model, tokenizer = open_model(str(base(tmp_path / "base")), context=48)
    before = model(torch.arange(12)[None]).logits
    shake(add_adapter(model, 4, str(tmp_path / "base"), 3)).save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    adapted = open_model(str(tmp_path / "adapter"), context=48)[0](torch.arange(12)[None]).logits
    made = export(str(tmp_path / "adapter"), tmp_path / "out")
    assert not (tmp_path / "out" / "adapter_config.json").exists()
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()(torch.arange(12)[None]).logits
    torch.testing.assert_close(merged, adapted, rtol=1e-4, atol=1e-5)
    assert (merged - before).abs().max() > 0.01
    assert made.difference < 1e-4 * float(adapted.detach().abs().max()) * 2
    assert "LoRA of rank" in (tmp_path / "out" / "README.md").read_text()


def test_what_differs_is_not_exported(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(AutoModelForCausalLM):  # type: ignore[misc]
        @staticmethod
        def from_pretrained(*given: Any, **named: Any) -> Any:
            model = AutoModelForCausalLM.from_pretrained(*given, **named)
            with torch.no_grad():
                model.transformer.ln_f.bias[0] += 1e-3
            return model

    monkeypatch.setattr(exporting, "AutoModelForCausalLM", Wrong)
    with pytest.raises(ValueError, match=r"logits differ from the source's by .*, so nothing was exported"):
        export(str(run / "checkpoints" / "step-000020"), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_what_cannot_be_exported(tmp_path: Path, run: Path) -> None:
    with pytest.raises(ValueError, match="there is no run or model folder nowhere"):
        export("nowhere", tmp_path / "out")
    with pytest.raises(ValueError, match="a run without a whole checkpoint"):
        export(str(run), tmp_path / "out")
    with pytest.raises(ValueError, match="a folder that is not empty"):
        export(str(run / "checkpoints" / "step-000020"), run)
