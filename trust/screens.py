"""What hostile text does on a screen and on a page: nothing. Commands are run as a person types them."""

import io
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from aritmo.cli import main
from aritmo.cli.ask import _print_line, _print_one
from aritmo.cli.output import print_json
from aritmo.progress import Progress
from aritmo.report import write_report

ACTS = "\x1b[2J\x1b]0;owned\x07\x9b31m\x08\x7f\x00\u202e\u2028\ud800"
"""Cleared screens, titles, colours, overwritten text, text turned round, half a character."""
TAGS = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;b&gt;<a href=javascript:alert(1)>x</a>"
_TAGS = {
    "script", "iframe", "object", "embed", "base", "link", "meta", "form", "img", "textarea", "foreignobject",
}  # fmt: skip
"""Elements that act or fetch."""
_NAME = "\x1b[2J\x1b]0;owned\x07\u202e.txt"


def command(*words: object) -> tuple[str, int]:
    """Run the command in this process; return all that it printed and how it ended."""
    printed, before, handler, status = io.StringIO(), sys.argv, signal.getsignal(signal.SIGTERM), 0
    sys.argv = ["aritmo", *map(str, words)]
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            main()
    except SystemExit as error:
        status = int(error.code or 0)
    finally:
        sys.argv = before
        signal.signal(signal.SIGTERM, handler)
    return printed.getvalue(), status


def said(*words: object) -> str:
    """Return all that the command prints."""
    return command(*words)[0]


def acting(text: str) -> set[str]:
    """Return the characters of text that may act on a terminal; ends of lines are none."""
    return {c for c in text if not c.isprintable() and c != "\n"}


def printed(place: Path) -> Iterator[tuple[str, str]]:
    """Yield what commands print on hostile files, names and answers, by what was hostile."""
    named = place / _NAME
    named.write_text("17 89 71\n113 59 5\n47 29 101\n\n1 2\n3 4\n")
    (place / "tokens.txt").write_text(f"17 89 71\n113 {ACTS[:-1]} 5\n47 29 101\n")
    (place / "tokens.json").write_text(json.dumps([["\x1b[31m", 2], [3, 4]]))
    (place / f"d\x1b[31m{_NAME}").mkdir()
    for verb, what in (("check", named), ("check", place), ("stats", named)):
        yield f"{verb}: a file's name", said("squares", verb, what)
        yield f"{verb} --json: a file's name", said("squares", verb, what, "--json")
    for name in ("tokens.txt", "tokens.json", f"missing{_NAME}", f"d\x1b[31m{_NAME}"):
        yield f"check: {name!r}", said("squares", "check", place / name)
    yield "draw: a file's name", said("squares", "draw", named, "--out", place / f"{_NAME}.svg")
    record = {"index": 0, "split": "test", "task": "addition", "style": "plain", "finished": True, "tokens": 1}
    answers = [f"33{ACTS}", f"{ACTS}", f"34\n{ACTS}", f"3\x1b[2J3\n{TAGS}"]
    for number, text in enumerate(answers):
        file = place / f"answers{number}{_NAME}.jsonl"
        sample = record | {"prompt": f"16+17={ACTS[:9] if number == 3 else ''}", "text": text}
        file.write_text(json.dumps(sample) + "\n")
        yield f"judge: answer {number}", said("judge", file, "--out", place / f"v{_NAME}")
        yield f"judge --json: answer {number}", said("judge", file, "--json")
        (place / "bad.jsonl").write_text(json.dumps(sample | {"style": ACTS}) + "\n")
        yield "judge: a style", said("judge", place / "bad.jsonl")
    yield from _shown(record)
    for words in ("judge", "corpus show", "report", "train --out R --corpus"):
        yield f"{words}: a name that is not there", said(*words.split(), _NAME)
    yield "a model's name", said("sample", _NAME, "--task", "addition", "--out", place / "s.jsonl")
    yield "an option", said("run", "--set", f"{ACTS[:-1]}=1")
    yield "a word", said(f"{ACTS[:-1]}")


def _shown(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what ``ask`` prints of hostile answers, and lines of progress."""
    asked = {"problem": f"1+1{ACTS}", "text": f"2{ACTS}\n{ACTS}", "answer": f"2{ACTS}"}
    asked["verdict"] = {"valid": False, "reasons": [ACTS]}  # type: ignore[assignment]
    for print_one in (_print_one, _print_line, print_json):
        stream = io.StringIO()
        with redirect_stdout(stream):
            print_one(asked)
        yield f"ask: {print_one.__name__}", stream.getvalue()
    stream = io.StringIO()
    Progress("writing", 3, "texts", stream).say(ACTS)
    yield "a line above progress", stream.getvalue()


class _Page(HTMLParser):
    """What of a page could act: elements by kind, attributes by name, addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in (
            "script",
            "iframe",
            "object",
            "embed",
            "base",
            "link",
            "meta",
            "form",
            "img",
            "textarea",
            "foreignobject",
        ):
            self.found.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name == "srcdoc":
                self.found.append(f"{tag} {name}")
            fetches = name in ("href", "src", "xlink:href", "action")
            if fetches and not str(value).startswith(("#", "data:image/")):
                self.found.append(f"{tag} {name}={value}")


def acts_of(page: str) -> list[str]:
    """Return what of an HTML page may act or fetch, sorted."""
    parser = _Page()
    parser.feed(page)
    return sorted(parser.found)


def report(place: Path, text: str) -> str:
    """Return the report on a run all of whose words are ``text``."""
    part = place / "addition-plain"
    part.mkdir(parents=True)
    share = {"count": 1, "of": 2, "share": 0.5, "low": 0.1, "high": 0.9}
    verdict = {
        "index": 0, "split": "test", "task": "addition", "style": "plain", "prompt": f"1+1={text}",
        "text": f"3\n{text}", "finished": True, "valid": False, "answer": None,
        "reasons": [f"{text}: {text}"], "details": {"digits": [1, 1]},
    }  # fmt: skip
    group = {"samples": 2, "valid": share, "finished": share, "parsed": share, "answered": share}
    group |= {"reasons": [[text, 1]], "by_length": [[1, 1, 1, 2]]}
    summary = {"task": "addition", "style": text, "groups": {"test": group, "train": group}}
    config = {"task": "addition", "style": text, "model": text, "command": text, "device": text, text: text}
    (part / "config.yaml").write_text(json.dumps(config))
    (part / "summary.json").write_text(json.dumps(summary))
    (part / "verdicts.jsonl").write_text(json.dumps(verdict) + "\n" + json.dumps(verdict | {"valid": True}) + "\n")
    line = {
        "step": 1,
        "loss": 1.0,
        "evaluation": {"validation_loss": 1.0, "exact": 0.5, "samples": [{"text": text}]},
    }
    (part / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    (part / "corpus").mkdir()
    manifest = {"task": text, "style": text, "left_out": [text], "splits": {"train": {"count": 1, text: text}}}
    (part / "corpus" / "manifest.json").write_text(json.dumps(manifest))
    return write_report(place, [part], place / "report.html").read_text("utf-8")
