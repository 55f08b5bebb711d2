"""Whole runs, small: every file there, the page written, resumed after a stop, and mistakes in one sentence."""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from aritmo.cli import main
from aritmo.runs import SUITE, free_folder, plan_run
from tests.copies import Copies

SMALL = ["--set", "training.steps=3", "--set", "samples=8", "--set", "look=2", "--set", "corpus.count=120"]
MATRICES = "\n\n".join(
    ["17 89 71\n113 59 5\n47 29 101", "37 79 103\n139 73 7\n43 67 109", "41 89 83\n113 71 29\n59 53 101"]
)


def aritmo(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["aritmo", *words])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("task", "style"), [("squares", "listing"), ("addition", "plain")])
def test_one_experiment_leaves_everything_a_reader_needs(
    task: str, style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert aritmo("run", "--task", task, "--style", style, "--out", str(out), *SMALL, monkeypatch=monkeypatch) == 0
    part = out / f"{task}-{style}"
    samples, verdicts = lines(part / "samples.jsonl"), lines(part / "verdicts.jsonl")
    assert [verdict | sample for sample, verdict in zip(samples, verdicts, strict=True)] == verdicts
    summary = json.loads((part / "summary.json").read_text())
    assert sum(group["samples"] for group in summary["groups"].values()) == len(samples)
    config = yaml.safe_load((part / "config.yaml").read_text())
    assert config["trained"]["steps"] == 3
    assert set(config["seconds"]) == {"corpus", "training", "sampling", "judging"}
    assert len(config["data"]) == 64
    evaluation = lines(part / "metrics.jsonl")[-1]["evaluation"]
    assert evaluation["of"] == 2
    page = (out / "report.html").read_text()
    assert "</html>" in page
    printed = capsys.readouterr().out
    assert f"report: {out / 'report.html'}" in printed
    assert "3 of 3" not in printed
    assert aritmo("report", str(out), "--out", str(tmp_path / "again.html"), monkeypatch=monkeypatch) == 0
    assert (tmp_path / "again.html").read_text() == page
    assert aritmo("judge", str(part / "samples.jsonl"), "--json", monkeypatch=monkeypatch) == 0


def test_a_run_on_own_matrices_lists_what_it_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.txt").write_text(MATRICES + "\n\n1 2 3\n4 5 6\n7 8 9\n")
    words = ["run", "--from", str(tmp_path / "m.txt"), "--out", str(tmp_path / "run"), *SMALL]
    assert aritmo(*words, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "left out: " in printed
    assert "not prime: 1 in row 1, column 1" in printed
    samples = lines(tmp_path / "run" / "squares-listing" / "samples.jsonl")
    assert len({sample["prompt"] for sample in samples}) == 8


def test_without_arguments_the_whole_suite_is_planned() -> None:
    parts = plan_run(None, ["samples=5"], {"training.seed": 3, "corpus.task": None})
    assert list(parts) == list(SUITE)
    assert all(config.samples == 5 and config.training.seed == 3 for config in parts.values())


def test_a_file_configures_a_part_and_overrides_win(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("corpus: {task: addition, style: tutorial, count: 50}\nsamples: 7\n")
    (part,) = plan_run(tmp_path / "c.yaml", ["corpus.count=60"], {}).items()
    assert part[0] == "addition-tutorial"
    assert (part[1].corpus.count, part[1].samples, part[1].corpus.style) == (60, 7, "tutorial")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "--task", "sums"], "task: got 'sums'"),
        (["run", "--task", "addition", "--style", "listing"], "style: got 'listing'"),
        (["run", "--set", "training.stepz=3"], "training.stepz: there is no such key, did you mean steps?"),
        (["run", "--task", "addition", "--model", "gtp2", "--set", "corpus.count=99"], "did you mean gpt2"),
        (["run", "--resume"], "--resume needs --out"),
        (["run", "--from", "missing.txt"], "missing.txt"),
        (["run", "--config", "missing.yaml"], "missing.yaml"),
        (
            ["run", "--task", "addition", "--style", "plain", "--set", "training.context=12", *SMALL],
            "no example fits",
        ),
        (["report", "."], "is no run"),
        (["judge", "missing.jsonl"], "missing.jsonl"),
        (["sample", "tiny", "--out", "s.jsonl"], "nothing says what to ask"),
        (["sample", "tiny", "--task", "addition", "--split", "exam", "--out", "s.jsonl"], "split: got 'exam'"),
        (["corpus", "show", "."], "is no corpus"),
        (["train", "--corpus", ".", "--out", "R"], "is no corpus"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert aritmo(*words, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.startswith("aritmo: ")
    assert "Traceback" not in error


def test_a_model_writes_on_a_corpus_and_on_fresh_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, run = str(tmp_path / "c"), str(tmp_path / "run")
    build = ["corpus", "build", "--task", "decomposition", "--count", "100", "--out", corpus]
    assert aritmo(*build, monkeypatch=monkeypatch) == 0
    train = ["train", "--model", "tiny", "--corpus", corpus, "--steps", "2", "--context", "64", "--out", run]
    assert aritmo(*train, monkeypatch=monkeypatch) == 0
    assert aritmo(*train, monkeypatch=monkeypatch) == 2
    assert aritmo(*train, "--resume", monkeypatch=monkeypatch) == 0
    for name, words in (("a", ["--corpus", corpus]), ("b", ["--task", "decomposition", "--seed", "3"])):
        out = str(tmp_path / f"{name}.jsonl")
        sample = ["sample", run, *words, "--count", "5", "--max-new-tokens", "8", "--out", out]
        assert aritmo(*sample, monkeypatch=monkeypatch) == 0
        assert aritmo("judge", out, "--corpus", corpus, monkeypatch=monkeypatch) == 0
        assert aritmo(*sample, monkeypatch=monkeypatch) == 2
    assert "is there already" in capsys.readouterr().err
    other = ["sample", run, "--corpus", corpus, "--task", "addition", "--out", str(tmp_path / "x.jsonl")]
    assert aritmo(*other, monkeypatch=monkeypatch) == 2
    assert "holds decomposition joined" in capsys.readouterr().err


def test_folders_are_numbered(tmp_path: Path) -> None:
    assert free_folder(tmp_path).name == "001"
    (tmp_path / "007").mkdir()
    assert free_folder(tmp_path).name == "008"


def test_a_run_that_is_stopped_goes_on_where_it_was(tmp_path: Path, copies: Copies) -> None:
    out = tmp_path / "run"
    settings = ["training.steps=60", "corpus.count=300", "samples=5", "look=0", "training.batch_size=1"]
    words = ["run", "--task", "decomposition", "--style", "spaced", "--no-budget", "--out", str(out)]
    child = copies.begin("aritmo", *words, *(word for setting in settings for word in ("--set", setting)))
    metrics = out / "decomposition-spaced" / "metrics.jsonl"
    deadline = time.monotonic() + 90
    while not (metrics.exists() and len(metrics.read_text().splitlines()) >= 3):
        assert child.poll() is None, child.errors
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.send(signal.SIGINT)
    assert child.wait(90) == 130
    assert "to go on: aritmo run --resume" in child.errors
    assert not (out / "report.html").exists()
    again = copies.run("aritmo", "run", "--resume", "--out", str(out))
    assert again.returncode == 0, again.stderr
    steps = [line["step"] for line in lines(metrics) if "loss" in line]
    assert steps == list(range(1, 61))
    assert (out / "report.html").exists()
