"""A whole probe: every answer kept, an interrupted one goes on, models side by side on one page."""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from aritmo.cli import app
from aritmo.probes.page import write_page
from aritmo.probes.prompts import PROBES, Item
from aritmo.probes.run import Asking, model_folders, probe_model
from aritmo.records import read_jsonl
from aritmo.statistics import wilson
from aritmo.tasks import find_task
from aritmo.tokens import task_tokenizer


class Fake:
    """A model that is right where its index is even, and copies every other square; it may stop midway."""

    def __init__(self, name: str, cut: str | None = "pairs", stop_after: int | None = None) -> None:
        self.name, self.left = name, stop_after
        self.tokenizer = task_tokenizer(cut) if cut else None

    def account(self) -> dict[str, Any]:
        return {"kind": "fake", "parameters": 7}

    def write(self, items: Sequence[Item], temperature: float, seed: int) -> Iterator[str]:
        for item in items:
            if self.left == 0:
                raise ValueError("the endpoint is down")
            self.left = None if self.left is None else self.left - 1
            yield self.text(item)

    def text(self, item: Item) -> str:
        if item.probe == "squares":
            task, style = find_task("squares", "listing")
            copy = task.completion(item.problem[0], style)
            return copy if item.index % 2 else copy.replace(str(item.problem[0].cells[4]), "<b>", 1)
        return item.right if item.index % 2 == 0 else "<script>7\n"


ASKING = Asking(items=25)
TOTAL = 2 * (25 * 4 + 5)


def answers_of(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in one.items() if k != "seconds"} for one in read_jsonl(folder / "answers.jsonl")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("probe")
    probe_model(Fake("a/whole"), ASKING, out)
    return out


def test_every_answer_is_kept_and_counted(whole: Path) -> None:
    (folder,) = model_folders(whole)
    assert folder.name == "a-whole"
    answers = answers_of(folder)
    assert len(answers) == TOTAL
    summary = json.loads((folder / "summary.json").read_text())
    for probe in PROBES:
        for way in ("greedy", "sampled"):
            mine = [one for one in answers if (one["probe"], one["way"]) == (probe, way)]
            right = sum(one["right"] for one in mine)
            told = summary["probes"][probe][way]
            assert told["right"]["count"] == right
            assert told["right"]["of"] == len(mine)
            assert (told["right"]["low"], told["right"]["high"]) == wilson(right, len(mine))
            if probe == "squares":
                assert told["squares"]["copied"]["count"] == 2
                assert told["squares"]["parsed"]["count"] == 2
                continue
            for key in ("by_length", "by_cut"):
                assert sum(row[-1] for row in told[key]) == len(mine)
                assert sum(row[-2] for row in told[key]) == right
    cuts = {(row[0][0], row[1]) for row in summary["probes"]["joined"]["greedy"]["by_cut"]}
    assert cuts == {(2, "one token"), (3, "two tokens"), (4, "two tokens"), (5, "three tokens")}
    primes = summary["probes"]["primality"]["greedy"]
    assert primes["same"]["count"] <= primes["right"]["of"]
    assert primes["rule"]["count"] > primes["right"]["of"] / 2


@pytest.mark.parametrize("stop", [0, 40, TOTAL - 1])
def test_an_interrupted_probe_goes_on_to_the_same_answers(whole: Path, tmp_path: Path, stop: int) -> None:
    with pytest.raises(ValueError, match="the endpoint is down"):
        probe_model(Fake("a/whole", stop_after=stop), ASKING, tmp_path)
    (folder,) = model_folders(tmp_path)
    assert (len(answers_of(folder)) if stop else 0) == stop
    with (folder / "answers.jsonl").open("ab") as file:
        file.write(b'{"probe": "joi')  # what a kill in the middle of a line leaves
    more = Fake("a/whole", stop_after=TOTAL - stop)
    assert probe_model(more, ASKING, tmp_path)["answers"] == TOTAL
    assert more.left == 0
    assert answers_of(folder) == answers_of(model_folders(whole)[0])


def test_more_problems_are_added_to_those_answered(tmp_path: Path) -> None:
    probe_model(Fake("m"), Asking(("joined",), items=8), tmp_path)
    again = Fake("m", stop_after=8)
    assert probe_model(again, Asking(("joined",), items=12), tmp_path)["answers"] == 24
    assert again.left == 0


def test_answers_to_other_problems_are_not_mixed(tmp_path: Path) -> None:
    probe_model(Fake("m"), Asking(("joined",), items=8), tmp_path)
    with pytest.raises(ValueError, match=r"holds answers with seed 0, not 1: give another --out"):
        probe_model(Fake("m"), Asking(("joined",), items=8, seed=1), tmp_path)
    probe_model(Fake("else/m"), Asking(("joined",), items=8), tmp_path)
    probe_model(Fake("./m"), Asking(("joined",), items=8), tmp_path)
    assert len(model_folders(tmp_path)) == 3  # m, else-m, and one for ./m
    lines = (tmp_path / "m" / "answers.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "m" / "answers.jsonl").write_bytes(b"".join(lines[1:]))
    with pytest.raises(ValueError, match="answers are missing before it"):
        probe_model(Fake("m"), Asking(("joined",), items=8), tmp_path)


def test_the_page_sets_models_side_by_side_and_runs_nothing(whole: Path, tmp_path: Path) -> None:
    for fake in (Fake("a/whole"), Fake("b/digits", "digits"), Fake("c/unknown", None)):
        probe_model(fake, Asking(items=25, temperature=0), tmp_path)
    page, summaries = write_page(tmp_path)
    html = page.read_text("utf-8")
    assert [summary["settings"]["label"] for summary in summaries] == ["a/whole", "b/digits", "c/unknown"]
    for label in ("a/whole", "b/digits", "c/unknown"):
        assert html.count(label) > 5
    assert "default-src 'none'" in html
    assert not re.search(r"<script|<img|<link|https?://", html)
    assert "&lt;script&gt;7" in html
    assert "GPT-J in the source report, two digits" in html
    assert "digit by digit" in html
    with pytest.raises(ValueError, match="holds no answers yet: name a model to ask, or another --out"):
        write_page(tmp_path / "nothing")


# The command.


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["probe", *words])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gpt2", "--probe", "sums"], "there is no probe 'sums'"),
        (["gpt2", "--temperature", "-1"], "temperature: got -1, give a number from 0 upwards"),
        (["gpt2", "--bits", "5"], "bits: got 5, allowed 32, 16, 8 and 4"),
        (["gone.gguf"], "there is no file gone.gguf"),
        (["nowhere-model"], "there is no model 'nowhere-model'"),
        (["http://u:p@h/v1"], "holds a password"),
        ([], "holds no answers yet"),
    ],
    ids=["probe", "temperature", "bits", "file", "name", "password", "nothing"],
)
def test_wrong_use_is_one_sentence_and_leaves_nothing(words: list[str], said: str, tmp_path: Path) -> None:
    out = tmp_path / "OUT"
    result = run(*words, "--out", str(out))
    assert isinstance(result.exception, ValueError)
    assert said in str(result.exception)
    assert not out.exists()


def test_what_stopped_it_is_told_where_nothing_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aritmo.probes.run.check_local", lambda name, tokenizer: None)
    monkeypatch.setattr("aritmo.probes.run.Local", lambda name, *rest: Fake(name, stop_after=0))
    result = run("a/short", "--out", str(tmp_path / "OUT"))
    assert str(result.exception) == "the endpoint is down"


def test_the_command_asks_an_address_keeps_what_it_said_and_goes_on(tmp_path: Path) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    known = {
        item.prompt: item.right
        for group, count in PROBES["joined"].counts(8).items()
        for item in PROBES["joined"].items(0, group, count)
    }
    state = {"left": 3}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state["left"] -= 1
            content = json.dumps({"choices": [{"text": known[body["prompt"]]}]}).encode()
            self.send_response(200 if state["left"] >= 0 else 500)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/v1#M"
    words = [address, "--probe", "joined", "--items", "8", "--temperature", "0", "--parallel", "1"]
    words += ["--retries", "0", "--out", str(tmp_path / "OUT")]
    try:
        result = run(*words)
        assert "answers 500 Internal Server Error, after one try: what was answered is kept" in str(
            result.exception
        )
        (folder,) = model_folders(tmp_path / "OUT")
        assert len(answers_of(folder)) == 3
        assert (tmp_path / "OUT" / "probe.html").is_file()
        state["left"] = 5
        result = run(*words, "--json")
        assert result.exit_code == 0
        (model,) = json.loads(result.stdout)["models"]
        assert model["probes"]["joined"]["greedy"]["right"]["count"] == 8
        assert state["left"] == 0
        result = run("--out", str(tmp_path / "OUT"))
        assert result.exit_code == 0
        assert "100 %" in result.stdout
    finally:
        server.shutdown()
        server.server_close()
