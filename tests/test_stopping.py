from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from aritmo import checkpoints
from aritmo.packing import pack
from aritmo.stopping import Best, evaluation_line
from aritmo.tokens import digit_tokenizer
from aritmo.trackers import Trackers
from aritmo.training import TrainingConfig, TrainingResult, train
from aritmo.utilisation import flops_per_token, mfu

TOKENIZER = digit_tokenizer(())
ROWS = pack(TOKENIZER, [(f"{a}+{b}=", f"{a + b}") for a in range(9) for b in range(9)], 32)


def model() -> PreTrainedModel:
    torch.manual_seed(1)
    size = {"vocab_size": len(TOKENIZER), "bos_token_id": 1, "eos_token_id": 1}
    return GPT2LMHeadModel(GPT2Config(n_positions=32, n_embd=8, n_layer=1, n_head=1, **size))


def run(folder: Path, exact: dict[int, float], resume: bool = False, **given: Any) -> TrainingResult:
    settings = {"context": 32, "batch_size": 2, "steps": 12, "save_every": 100, "evaluate_every": 2} | given

    def look(_: PreTrainedModel, step: int) -> dict[str, Any]:
        return {"exact": exact.get(step, 0.0), "of": 4, "samples": []}

    config = TrainingConfig(**settings)
    return train(model(), TOKENIZER, ROWS, ROWS, config, folder, evaluate=look, resume=resume)


def test_the_best_is_by_exact_match_then_by_loss_and_the_first_of_equals() -> None:
    best = Best()
    told = [(None, None), (0.1, 2.0), (0.1, 2.0), (0.1, 1.9), (0.0, 0.1), (None, 0.1), (0.2, None)]
    assert [best.note(step, *figures) for step, figures in enumerate(told, 1)] == [
        False, True, False, True, False, False, True,
    ]  # fmt: skip
    assert (best.step, best.exact, best.since) == (7, 0.2, 0)
    assert Best(**best.as_dict()) == best


def test_training_ends_when_nothing_gets_better_and_keeps_the_best(tmp_path: Path) -> None:
    result = run(tmp_path, {4: 0.5}, patience=2, keep=1)
    assert (result.reason, result.step, result.best) == ("patience", 8, 4)
    best = tmp_path / "checkpoints" / "best"
    assert best.readlink() == Path("step-000004")
    checkpoints.verify(best)
    assert {path.name for path in best.parent.iterdir()} == {"best", "step-000004", "step-000008"}
    assert checkpoints.latest(tmp_path) == best.parent / "step-000008"


def test_a_resumed_run_remembers_the_best(tmp_path: Path) -> None:
    run(tmp_path, {2: 0.5}, patience=3, steps=4, schedule="constant")
    result = run(tmp_path, {}, patience=3, steps=12, schedule="constant", resume=True)
    assert (result.reason, result.step, result.best) == ("patience", 8, 2)


def test_an_evaluation_is_one_line() -> None:
    found = {"validation_loss": 0.25, "exact": 0.5, "of": 1200, "samples": []}
    assert evaluation_line(3000, found) == "step 3,000, validation loss 0.2500, exact 50.0% of 1,200"
    assert evaluation_line(1, {"validation_loss": None}) == "step 1"


def test_utilisation_is_against_the_peak_of_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    small = model()
    # 6 for each weight of 12 matrices of 8 x 8 and of the embedding, and 12 x layers x width x context.
    assert flops_per_token(small, 32) == 6 * (12 * 64 + 8 * len(TOKENIZER)) + 12 * 8 * 32
    assert mfu(small, 32, torch.device("cpu")) is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    share = mfu(small, 32, torch.device("cuda"))
    assert share == pytest.approx(flops_per_token(small, 32) / 989e12)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some Card")
    assert mfu(small, 32, torch.device("cuda")) is None


def test_trackers_get_the_numbers_of_updates_and_evaluations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[int, dict[str, Any]]] = []

    class Kept:
        requires_logging_directory = False

        def __init__(self, name: str) -> None:
            self.name = name

        def store_init_configuration(self, values: dict[str, Any]) -> None:
            told.append((0, values))

        def log(self, values: dict[str, Any], step: int) -> None:
            told.append((step, values))

        def finish(self) -> None:
            print("ended")
            told.append((-1, {}))

    monkeypatch.setattr("aritmo.trackers.find_spec", lambda name: object())
    monkeypatch.setitem(__import__("aritmo.trackers", fromlist=["x"]).LOGGER_TYPE_TO_CLASS, "wandb", Kept)
    run(tmp_path, {2: 0.5}, steps=2, trackers=("wandb",))
    assert "ended" not in capsys.readouterr().out
    assert [step for step, _ in told] == [0, 1, 2, 2, -1]
    assert told[0][1]["model"] == "tiny"
    assert told[1][1]["loss"] > 0
    assert "step" not in told[1][1]
    assert told[3][1]["evaluation/exact"] == 0.5
    assert "evaluation/samples" not in told[3][1]


def test_a_missing_tracker_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aritmo.trackers.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"names wandb, which is not installed: run «pip install 'aritmo\[wandb\]'»"
    ):
        Trackers(("wandb",), tmp_path)
