"""Runs side by side, files of verdicts by themselves, and runs made verb by verb."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aritmo.cli import main
from aritmo.files import write_json
from aritmo.judging import judge_samples, summarise
from aritmo.records import write_samples
from aritmo.report import page
from aritmo.report.given import report_on
from aritmo.report.page import Run, write_page
from aritmo.report.parts import read_part
from aritmo.tasks import TASKS

TASK = TASKS["addition"]


def samples(split: str, right: int, of: int, style: str = "plain") -> list[dict[str, object]]:
    head = {"split": split, "task": "addition", "style": style, "finished": True}
    made = []
    for index in range(of):
        problem = TASK.read_prompt(f"{index}+{10 * index}=", "plain")
        text = TASK.completion(problem, style) if index < right else "<b>7</b>\x1b[31m"
        made.append(head | {"index": index, "prompt": TASK.prompt(problem, style), "text": text})
    return made


def verdicts(file: Path, split: str, right: int, of: int, style: str = "plain") -> Path:
    write_samples(file, judge_samples(samples(split, right, of, style), None))
    return file


def trained(run: Path, rate: str, loss: float) -> Path:
    """Write what «aritmo train» leaves of a run, as far as a page reads it."""
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(
        f"task: addition\nstyle: plain\ncommand: aritmo train --lr {rate}\ncorpus: {run / 'gone'}\n"
        f"training: {{model: tiny, learning_rate: {rate}, steps: 2}}\n"
    )
    lines: list[dict[str, object]] = [{"step": step, "loss": loss / step} for step in (1, 2)]
    write_samples(
        run / "metrics.jsonl", [*lines, {"step": 2, "evaluation": {"validation_loss": loss, "exact": 0.5}}]
    )
    return run


def text_of(html: str) -> str:
    body = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def test_two_runs_stand_side_by_side(tmp_path: Path) -> None:
    first, second = trained(tmp_path / "slow", "0.001", 2.0), trained(tmp_path / "fast", "0.003", 1.0)
    verdicts(first / "verdicts.jsonl", "test", 48, 80)
    verdicts(second / "verdicts.jsonl", "test", 56, 70)
    out, lines = report_on([first, second], tmp_path / "page.html")
    html = out.read_text()
    text = text_of(html)
    assert [line.partition(":")[0] for line in lines] == ["addition plain, slow", "addition plain, fast"]
    # Newcombe's own example: 0.2 (0.0524 to 0.3339).
    assert "+20.0 points (+5.2 to +33.4)" in text
    assert "training · learning_rate 0.001 0.003" in text
    assert "training · model tiny tiny" not in text
    curve = next(part for part in html.split("<figure") if "loss on held-out problems" in part)
    assert "slow" in curve
    assert "fast" in curve
    assert "<path" in next(part for part in html.split("<figure") if "loss in training" in part)
    overview = text[text.index("fully right slow fast") :]
    assert overview.startswith("fully right slow fast addition plain 60 % 49 to 70 80 % 69.2 to 87.7")


def test_what_only_one_run_did_is_named(tmp_path: Path) -> None:
    first = verdicts(tmp_path / "plain.jsonl", "test", 1, 2)
    second = verdicts(tmp_path / "aligned.jsonl", "test", 1, 2, "aligned")
    text = text_of(report_on([first, second], tmp_path / "page.html")[0].read_text())
    assert "addition plain, plain" in text
    assert "addition aligned, aligned" in text
    assert "points (" not in text


def test_verdicts_join_the_run_before_them(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", "0.001", 2.0)
    held_out = verdicts(tmp_path / "held-out.jsonl", "test", 3, 4)
    seen = verdicts(tmp_path / "seen.jsonl", "train", 4, 4)
    out, lines = report_on([run, held_out, seen], None)
    assert out == run / "report.html"
    assert lines == [
        "addition plain: 3 of 4 held-out sums right (75 %, 95 % interval 30.1 to 95.4); "
        "4 of 4 sums seen in training (100 %)."
    ]
    assert "<path" in out.read_text()
    other = verdicts(tmp_path / "other.jsonl", "test", 1, 4, "tutorial")
    assert len(report_on([run, held_out, other], None)[1]) == 2


def test_a_file_of_verdicts_is_a_page_of_its_own(tmp_path: Path) -> None:
    file = verdicts(tmp_path / "adder.jsonl", "test", 9, 10, "aligned")
    out, _ = report_on([file], None)
    assert out == tmp_path / "adder.html"
    text = text_of(out.read_text())
    assert "9 of 10 held-out sums right" in text
    for piece in ("is not there", "Training", "How it was made"):
        assert piece not in text
    assert "&lt;b&gt;7&lt;/b&gt;" in out.read_text()
    assert "\x1b" not in out.read_text()


def test_wrong_files_are_one_sentence_and_nothing_is_written(tmp_path: Path) -> None:
    unjudged = tmp_path / "samples.jsonl"
    write_samples(unjudged, samples("test", 1, 2))
    empty, garbage = tmp_path / "empty.jsonl", tmp_path / "garbage.jsonl"
    empty.touch()
    garbage.write_text("no json\n")
    good, again = (verdicts(tmp_path / f"{name}.jsonl", "test", 1, 2) for name in ("good", "again"))
    run = trained(tmp_path / "run", "0.001", 2.0)
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_bytes(good.read_bytes() + verdicts(tmp_path / "t.jsonl", "test", 1, 2, "tutorial").read_bytes())
    bare = tmp_path / "bare"
    bare.mkdir()
    before = sorted(tmp_path.rglob("*"))
    for given, said in (
        ([tmp_path / "gone"], "gone is not there: give the folder of a run"),
        ([unjudged], "holds no verdicts: give the file that «aritmo judge --out» wrote"),
        ([empty], "is empty: give the file"),
        ([garbage], "no JSON in 'no json'"),
        ([mixed], "the verdicts mix addition plain and addition tutorial"),
        ([run, good, again], "holds verdicts on test problems, as another file of the same run does"),
        ([run, run], "is given twice"),
        ([good, again], "give --out with the page to write"),
        ([bare], "is no run"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            report_on(given, None)
    many = [Run(str(number), [read_part(run)]) for number in range(page.MAX_RUNS + 1)]
    with pytest.raises(ValueError, match="9 runs do not fit side by side: give at most 8"):
        write_page(many, tmp_path / "page.html")
    assert sorted(tmp_path.rglob("*")) == before


def test_runs_of_one_name_are_told_apart_and_names_are_escaped(tmp_path: Path) -> None:
    names = ["<script>alert(1)<", "b"]
    runs = [trained(tmp_path / name / "run", "0.001", 2.0) for name in names]
    for run in runs:
        verdicts(run / "verdicts.jsonl", "test", 1, 2)
    html = report_on(runs, tmp_path / "page.html")[0].read_text()
    assert "&lt;script&gt;alert(1)&lt;/run" in html
    assert "b/run" in html
    assert "<script" not in html


def test_a_run_made_verb_by_verb_reports_fully(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def aritmo(line: str) -> None:
        monkeypatch.setattr(sys, "argv", ["aritmo", *line.split()])
        with pytest.raises(SystemExit) as left:
            main()
        assert not left.value.code

    aritmo("corpus build --task addition --style plain --max-digits 2 --count 200 --seed 1 --out A")
    aritmo("train --model tiny --corpus A --steps 2 --context 64 --batch-size 2 --set look=0 --out RUN")
    aritmo("sample RUN --corpus A --count 4 --max-new-tokens 8 --out samples.jsonl")
    aritmo("judge samples.jsonl --corpus A --out RUN/verdicts.jsonl")
    assert json.loads(Path("RUN/summary.json").read_text())["groups"]["test"]["samples"] == 4
    Path("else.txt").touch()
    aritmo("report RUN")
    text = text_of(Path("RUN/report.html").read_text())
    assert "0 of 4 held-out sums right" in text
    assert "is not there" not in text
    assert "Their corpora hold 160 training examples." in text
    # Tokens of a training example: the corpus and the tokenizer were found.
    assert "tokens for" in text
    assert "trained for 2 steps in all" in text


def test_verdicts_without_a_summary_are_counted(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", "0.001", 2.0)
    file = verdicts(run / "verdicts.jsonl", "test", 3, 4)
    counted = read_part(run).summary
    assert counted["groups"]["test"]["valid"]["count"] == 3
    found = summarise(judge_samples(samples("test", 2, 4), None))
    write_json(run / "summary.json", found)
    assert read_part(run).summary == found
    (run / "summary.json").unlink()
    file.write_text("no json\n")
    assert read_part(run).summary == {}
    assert any("cannot be counted" in note for note in read_part(run).missing)


def test_the_command_needs_no_torch(tmp_path: Path) -> None:
    file = verdicts(tmp_path / "v.jsonl", "test", 1, 2)
    code = "import sys; from aritmo.report.given import report_on; from pathlib import Path; "
    code += f"report_on([Path({str(file)!r})], None); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_run_whose_file_is_damaged_is_one_sentence(tmp_path: Path) -> None:
    for text in ("parts: 3", "minutes: 4"):
        (tmp_path / "run.yaml").write_text(text)
        with pytest.raises(ValueError, match=r"run\.yaml is damaged .*: begin another run"):
            report_on([tmp_path], None)
