"""Training by two processes on the CPU, started as torchrun does, beside training by one."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.utils import DistributedType
from safetensors.torch import load_file
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from transformers import AutoModelForCausalLM, BloomConfig, GPT2Config, GPTJConfig, PreTrainedModel

from aritmo.choosing import SamplingConfig
from aritmo.distributed import blank_like, check_launch, leave, place, tell
from aritmo.engine import Engine
from aritmo.experiment import sample_problems
from aritmo.packing import pack
from aritmo.records import read_jsonl
from aritmo.tasks import TaskOptions
from aritmo.tokens import digit_tokenizer
from aritmo.training import TrainingConfig, TrainingResult, train
from tests.copies import Copies

TOKENIZER = digit_tokenizer(("STEP",))
ROWS = pack(TOKENIZER, [(f"{a}+{b}=", f"{a + b}") for a in range(12) for b in range(11)], 32)
HELD_OUT = pack(TOKENIZER, [("99+1=", "100")] * 14, 32)
SIZES = {"vocab_size": len(TOKENIZER), "bos_token_id": 0, "eos_token_id": 0, "n_positions": 32, "n_embd": 32}
WAYS = [(sharding, precision) for sharding in ("none", "full") for precision in ("no", "bf16")]


def make(dropout: float = 0.0) -> PreTrainedModel:
    torch.manual_seed(1)
    drops = dict.fromkeys(("attn_pdrop", "resid_pdrop", "embd_pdrop"), dropout)
    return AutoModelForCausalLM.from_config(GPT2Config(**SIZES, **drops, n_layer=2, n_head=2))


def run(folder: Path, batch: int, die_at: int = 0, dropout: float = 0.0, **given: Any) -> TrainingResult:
    def look(model: PreTrainedModel, step: int) -> dict[str, Any]:
        if step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        with torch.no_grad():
            return {"exact": float(model(torch.ones(1, 3, dtype=torch.long)).logits.float().std()), "of": 1}

    resume = given.pop("resume", False)
    settings = {"precision": "no", "learning_rate": 5e-3, "gradient_accumulation": 2} | given
    config = TrainingConfig(
        context=32, batch_size=batch, warmup=2, steps=6, save_every=3, evaluate_every=2, keep=9, **settings
    )
    return train(make(dropout), TOKENIZER, ROWS, HELD_OUT, config, folder, evaluate=look, resume=resume)


def launch(part: str, folder: Path) -> None:
    """Have two copies of this process do a part of ``work``, as torchrun starts them."""
    two = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=2, run_id=part, rdzv_backend="c10d", rdzv_endpoint="localhost:0",
        max_restarts=0, monitor_interval=0.1, start_method="fork",
    )  # fmt: skip
    elastic_launch(two, member)(part, folder)


def main(folder: Path) -> None:
    """Train by two processes until one is killed, then go on with what each run had before its end."""
    # Told is the first failure that is seen: of the one that was killed, or of the other, which misses it.
    with pytest.raises(ChildFailedError):
        launch("first", folder)
    assert not (folder / "killed" / "checkpoints" / "step-000004").exists()
    for name in ("killed-by-data", "killed-by-one-again"):
        shutil.copytree(folder / "killed", folder / name, symlinks=True)
    for name, *_ in RESUMED:
        shutil.copytree(folder / name, folder / f"{name}-again", symlinks=True)
        for late in ("step-000004", "step-000006"):
            shutil.rmtree(folder / f"{name}-again" / "checkpoints" / late, ignore_errors=True)
    launch("again", folder)


def member(part: str, folder: Path) -> None:
    try:
        work(part, folder)
    finally:
        leave()


def work(part: str, folder: Path) -> None:
    """Do what a process does of a part; ``first`` ends in one being killed."""
    if part == "first":
        for sharding, precision in WAYS:
            run(folder / f"{sharding}-{precision}", 2, sharding=sharding, precision=precision)
        run(folder / "dropout", 2, dropout=0.1, sharding="full", precision="bf16")
        refusals = [refusal(folder / "none-no", sharding=sharding) for sharding in ("none", "full")]
        refusals += [refusal(None, **given) for given in REFUSED]
        if place().is_main_process:
            (folder / "refusals.json").write_text(json.dumps(refusals))
        run(folder / "killed", 2, die_at=4, sharding="full")
    for name, sharding, precision in RESUMED:
        dropout = 0.1 if name == "dropout" else 0.0
        run(folder / f"{name}-again", 2, dropout=dropout, sharding=sharding, precision=precision, resume=True)
    sample(folder, 5)
    sample(folder, 1)


def sample(folder: Path, count: int) -> dict[str, Any]:
    """Write so many samples, each a text of its own at temperature 1, and return the account."""
    sampling = SamplingConfig(temperature=1.0, max_new_tokens=8, seed=2)
    out = folder / f"samples-{count}-by-{place().num_processes}.jsonl"
    given = ("addition", "plain", "test", count, TaskOptions(max_digits=2), sampling, out)
    return sample_problems(str(folder / "one"), None, *given)


RESUMED = [("killed", "full", "no"), ("killed-by-data", "none", "no"), ("one", "full", "no"),
           ("one-bf16", "full", "bf16"), ("dropout", "full", "bf16")]  # fmt: skip
REFUSED: list[dict[str, Any]] = [
    {"precision": "fp16"}, {"precision": "bf16", "optimizer": "lean"}, {"precision": "bf16", "own": True}
]  # fmt: skip


def refusal(folder: Path | None, **given: Any) -> str:
    """Return why a run, resumed with other sequences an update, or the engine refuses to go on."""
    try:
        if folder:
            run(folder, 3, resume=True, **given)
        else:
            model = make()
            if given.pop("own", False):
                bloom = BloomConfig(vocab_size=99, hidden_size=16, n_layer=2, n_head=2)
                model = AutoModelForCausalLM.from_config(bloom)
            Engine(model, TrainingConfig(context=32, sharding="full", **given), ROWS, HELD_OUT)
    except ValueError as error:
        return str(error)
    return ""


def lines(folder: Path) -> list[tuple[int, list[float]]]:
    """Return the steps of all lines of metrics, each with its figures."""
    found = []
    for line in read_jsonl(folder / "metrics.jsonl"):
        figures = line.get("evaluation") or {"loss": line["loss"]}
        found.append((line["step"], [figure for figure in figures.values() if figure is not None]))
    return found


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    last = folder / "checkpoints" / "step-000006"
    return load_file(last / "model.safetensors") | load_file(last / "optimizer.safetensors")


def alike(folder: Path, other: Path, near: float) -> None:
    one, two = lines(folder), lines(other)
    assert [step for step, _ in one] == [step for step, _ in two]
    for (_, figures), (_, others) in zip(one, two, strict=True):
        assert figures == pytest.approx(others, rel=near, abs=near)
    first, second = tensors(folder), tensors(other)
    assert {name: (part.shape, part.dtype) for name, part in first.items()} == {
        name: (part.shape, part.dtype) for name, part in second.items()
    }


def identical(folder: Path, other: Path) -> None:
    assert lines(folder) == lines(other)
    first, second = tensors(folder), tensors(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(part, second[name]) for name, part in first.items())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, copies: Copies) -> Path:
    """Return a folder with runs of one process, of two, and of two of which one was killed, then resumed."""
    folder = tmp_path_factory.mktemp("runs")
    run(folder / "one", 4)
    run(folder / "one-bf16", 4, precision="bf16")
    done = copies.run("tests.test_distributed", str(folder))
    assert done.returncode == 0, done.stderr
    run(folder / "killed-by-one-again", 4, resume=True)
    return folder


@pytest.mark.parametrize(("sharding", "precision"), WAYS)
def test_two_processes_learn_what_one_does(folder: Path, sharding: str, precision: str) -> None:
    one = "one" if precision == "no" else "one-bf16"
    assert len(HELD_OUT) % 4 == 1, "one process has a batch of held-out rows more than the other"
    assert lines(folder / one)[-1][1][0] < lines(folder / one)[0][1][0] - 0.3, "something is learned"
    alike(folder / f"{sharding}-{precision}", folder / one, 1e-4 if precision == "no" else 2e-2)


def test_what_was_killed_goes_on_to_the_bit(folder: Path) -> None:
    identical(folder / "killed-again", folder / "full-no")
    identical(folder / "dropout-again", folder / "dropout")
    assert lines(folder / "dropout") != lines(folder / "full-bf16")


@pytest.mark.parametrize(
    ("resumed", "whole"),
    [("killed-by-data-again", "full-no"), ("killed-by-one-again", "full-no"), ("one-again", "one")],
)
def test_it_goes_on_with_other_processes(folder: Path, resumed: str, whole: str) -> None:
    alike(folder / resumed, folder / whole, 1e-4)
    parts = tensors(folder / whole)
    for name, part in tensors(folder / resumed).items():
        torch.testing.assert_close(part, parts[name], atol=2e-3, rtol=2e-3)


def test_weights_in_bf16_go_on_from_their_masters(folder: Path) -> None:
    alike(folder / "one-bf16-again", folder / "one-bf16", 2e-2)
    for name in ("one-bf16-again", "full-bf16"):
        parts = tensors(folder / name)
        masters = {
            name.removeprefix("master:"): part for name, part in parts.items() if name.startswith("master:")
        }
        assert masters
        for parameter, master in masters.items():
            assert torch.equal(master.bfloat16(), parts[parameter])
            assert not torch.equal(master.bfloat16().float(), master)


@pytest.mark.parametrize("count", [5, 1])
def test_two_processes_write_the_samples_of_one(folder: Path, count: int) -> None:
    assert sample(folder, count)["samples"] == count
    alone, shared = (list(read_jsonl(folder / f"samples-{count}-by-{by}.jsonl")) for by in (1, 2))
    assert alone == shared
    assert len({record["text"] for record in alone}) == count


def test_refusals(folder: Path) -> None:
    said = json.loads((folder / "refusals.json").read_text())
    assert len(said) == 5
    assert "was begun with sequences an update 8, not 12" in said[0]
    assert said[1] == said[0]
    assert "full computes in fp32, or in bf16 with GPT-2, GPT-J and models like Llama" in said[2]
    assert "full is for whole models with plain AdamW" in said[3]
    assert said[4] == said[2]
    with pytest.raises(ValueError, match="over several processes, and there is one: start it with torchrun"):
        Engine(make(), TrainingConfig(context=32, sharding="full"), ROWS, HELD_OUT)


def test_ways_to_start_that_would_go_wrong() -> None:
    def asked(kind: DistributedType, accumulation: int = 1, stage: int = 2) -> None:
        state = SimpleNamespace(deepspeed_plugin=SimpleNamespace(zero_stage=stage))
        check_launch(SimpleNamespace(distributed_type=kind, state=state), accumulation)  # type: ignore[arg-type]

    asked(DistributedType.MULTI_GPU, 4)
    asked(DistributedType.DEEPSPEED)
    with pytest.raises(ValueError, match="accelerate was told to use fsdp: launch with --multi_gpu"):
        asked(DistributedType.FSDP)
    with pytest.raises(ValueError, match="gradient_accumulation is 2, and under DeepSpeed must be 1"):
        asked(DistributedType.DEEPSPEED, 2)
    with pytest.raises(ValueError, match="stage 3 cannot be saved whole: use stage 2"):
        asked(DistributedType.DEEPSPEED, 1, 3)


def test_a_process_alone_is_the_main_one() -> None:
    assert (place().num_processes, place().is_main_process) == (1, True)
    assert tell({"step": 3}) == {"step": 3}


def test_a_blank_twin_has_the_models_shapes_and_buffers() -> None:
    model = AutoModelForCausalLM.from_config(GPTJConfig(**SIZES, n_layer=1, n_head=2, rotary_dim=8))
    twin = blank_like(model)
    assert type(twin) is type(model)
    assert twin.config.to_dict() == model.config.to_dict()
    assert {name: part.shape for name, part in twin.named_parameters()} == {
        name: part.shape for name, part in model.named_parameters()
    }
    buffers = dict(twin.named_buffers())
    assert buffers
    for name, buffer in model.named_buffers():
        assert torch.equal(buffers[name], buffer)
    tied = blank_like(make())
    assert tied.get_input_embeddings().weight is tied.get_output_embeddings().weight


if __name__ == "__main__":
    main(Path(sys.argv[1]))
