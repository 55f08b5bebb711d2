"""The report page, made from a run as one comes out: several experiments, some text in them hostile."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from random import Random

import numpy as np
import pytest
import yaml

from aritmo.files import write_json
from aritmo.judging import judge_samples, summarise
from aritmo.numbers.search import list_order3
from aritmo.originals import Originals
from aritmo.records import read_jsonl, write_samples
from aritmo.report import page, squares, verdict_lines, write_report
from aritmo.report.sections import SQUARE_ROWS
from aritmo.report.words import figure
from aritmo.tasks import TASKS
from aritmo.tasks.squares import Square
from aritmo.verbatim import find_repeated

HOSTILE = [
    "<script>alert('x')</script>",
    "\x1b[31mred\x1b[0m \x9b2J \u202egnorw",
    "\ud800 half a pair, \x00 and \r\n{{ 7 * 7 }} {% raw %}",
    "</pre></div><img src=http://example.com/x.png onerror=alert(1)>",
    "7" * 100_000,
]
SETTINGS = {
    "command": "aritmo run --out run --seed 7",
    "seed": 7,
    "model": {"name": "tiny\x1b[2J", "parameters": 837_120, "layers": 4},
    "device": "2 CPU cores",
    "versions": {"aritmo": "0.1.0", "python": "3.11.9", "torch": "2.13.0"},
    "sampling": {"temperature": 0.0, "max_new_tokens": 320},
}


def _spoilt(text: str, random: Random) -> str:
    """Return a text with one of its digits changed, or «no» for «yes»."""
    if not any(map(str.isdigit, text)):
        return {"yes": "no", "no": "yes"}[text]
    at = random.choice([i for i, character in enumerate(text) if character.isdigit()])
    return text[:at] + str((int(text[at]) + random.randint(1, 9)) % 10) + text[at + 1 :]


def _sample(index: int, split: str, task: str, style: str, prompt: str, text: str) -> dict[str, object]:
    head = {"index": index, "split": split, "task": task, "style": style}
    return head | {"prompt": prompt, "text": text, "finished": len(text) < 1000}


def _problem_samples(task_name: str, style: str, random: Random) -> list[dict[str, object]]:
    """Return answers that are right for short problems and for operands of like length, as in the report."""
    task = TASKS[task_name]
    samples = []
    for index in range(400):
        split = "train" if index % 4 == 0 else "test"
        digits = [random.randint(1, 5), random.randint(1, 5)]
        numbers = [random.randrange(10 ** (d - 1), 10**d) for d in digits]
        if task_name == "addition":
            problem = task.read_prompt(f"{numbers[0]}+{numbers[1]}{'=' if style == 'plain' else ''}", style)
            chance = 0.97 if split == "train" else max(0.02, 0.9 - 0.3 * abs(digits[0] - digits[1]))
        else:
            problem = numbers[0]
            chance = 0.98 if split == "train" or style == "spaced" else 0.5 / digits[0]
        text = task.completion(problem, style)
        text = text if random.random() < chance else _spoilt(text, random)
        samples.append(_sample(index, split, task_name, style, task.prompt(problem, style), text))
    for index, text in enumerate(HOSTILE):
        samples.append(_sample(400 + index, "test", task_name, style, task.prompt(problem, style), text))
    return samples


def _square_samples(random: Random) -> tuple[list[dict[str, object]], Originals]:
    """Return squares of every kind, and the training squares that some of them copy."""
    task = TASKS["squares"]
    every = list_order3(3_000)
    train = every[:400].reshape(-1, 3, 3)
    originals = Originals.from_squares(np.arange(400) * 3 + 1, train)
    samples = []
    for index in range(90):
        kind = index % 9
        cells = every[random.randrange(400) if kind < 4 else random.randrange(600, len(every))].tolist()
        if kind in (2, 3):
            cells[random.randrange(9)] += 2 * random.randint(1, 9)
        if kind > 4:
            cells = [value + 2 * random.randint(0, 5) for value in cells]
        text = task.completion(Square(index + 1, tuple(cells)), "listing")
        if kind in (1, 6):
            head, colon, claims = text.partition("Columns:")
            text = head + colon + _spoilt(claims, random)
        samples.append(_sample(index, "test", "squares", "listing", f"Matrix {index + 1}\n", text))
    for index, text in enumerate(HOSTILE):
        samples.append(_sample(90 + index, "test", "squares", "listing", f"Matrix {91 + index}\n", text))
    return samples, originals


def _metrics(random: Random) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    for step in range(1, 301):
        loss = 3.2 * 0.985**step + 0.08 + random.random() * 0.05
        lines.append({"step": step, "loss": loss, "learning_rate": 1e-3, "tokens": step * 4096})
        if step % 50 == 0:
            found = {"validation_loss": loss + 0.03, "exact": min(1.0, step / 400), "of": 64, "samples": []}
            lines.append({"step": step, "evaluation": found})
    return lines


def make_run(run: Path) -> list[Path]:
    """Write a run of six experiments, with model text of every kind in it, and return their folders."""
    parts = []
    for name in (
        "squares-listing",
        "addition-plain",
        "addition-tutorial",
        "decomposition-joined",
        "decomposition-spaced",
        "primality-plain",
    ):
        task, _, style = name.partition("-")
        random = Random(name)
        part = run / name
        (part / "corpus").mkdir(parents=True)
        samples, train = (
            _square_samples(random) if task == "squares" else (_problem_samples(task, style, random), None)
        )
        repeated = find_repeated([str(sample["text"]) for sample in samples], [str(samples[0]["text"])])
        verdicts = list(judge_samples(samples, train, repeated if task == "squares" else None))
        write_samples(part / "verdicts.jsonl", verdicts)
        write_samples(part / "metrics.jsonl", _metrics(random))
        write_json(part / "summary.json", summarise(verdicts))
        config = SETTINGS | {
            "corpus": {"task": task, "style": style, "count": 20_000},
            "seconds": {"training": 41.5},
        }
        (part / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        manifest = {
            "task": task,
            "style": style,
            "splits": {"train": {"count": 16_000}},
            "sha256": {"train.parquet": "ab" * 32},
        }
        write_json(part / "corpus" / "manifest.json", manifest)
        parts.append(part)
    return parts


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def html(parts: list[Path]) -> str:
    out = write_report(parts[0].parent, parts, parts[0].parent / "report.html")
    return out.read_text(encoding="utf-8")


class _Page(HTMLParser):
    """Checks that elements nest and close; gathers tags, links, text, and what cells are marked."""

    VOID = frozenset({"meta", "br", "img", "link", "hr", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.cells: list[tuple[str, str]] = []
        self.words: list[str] = []
        self._cell: str | None = None
        self._in_square = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "table":
            self._in_square = ("class", "square") in attrs
        self._cell = dict(attrs).get("class") or "" if tag == "td" and self._in_square else None
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._cell is not None:
            self.cells.append((data, self._cell))
            self._cell = None

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def _naive_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


def test_page_is_whole_and_self_contained(html: str) -> None:
    read = _Page(html)
    assert read.open == []
    assert not read.tags & {"script", "img", "link", "iframe", "object", "form", "base"}
    assert all(value.startswith("#") for name, value in read.attributes if name in ("href", "src", "xlink:href"))
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    assert "url(" not in html
    assert "@import" not in html
    assert len(html.encode()) < page.MAX_BYTES


def test_hostile_text_is_shown_and_cannot_act(html: str) -> None:
    assert "<script" not in html
    assert "&lt;script&gt;alert(&#39;x&#39;)" in html
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", html)
    assert "\ufffd[31mred" in html
    assert "{{ 7 * 7 }} {% raw %}" in html
    assert "7" * 25_000 not in html


def test_verdict_lines_say_what_the_summaries_hold(parts: list[Path], html: str) -> None:
    text = _Page(html).text
    lines = verdict_lines(parts)
    assert len(lines) == len(parts)
    for part, line in zip(parts, lines, strict=True):
        summary = json.loads((part / "summary.json").read_text("utf-8"))
        valid = summary["groups"]["test"]["valid"]
        assert line.startswith(f"{summary['task']} {summary['style']}: ")
        assert f"({100 * valid['share']:.1f}".removesuffix(".0") in line
        assert line.split(": ", 1)[1] in text
        assert "\n" not in line


def test_squares_line_is_spelled_out(tmp_path: Path) -> None:
    def part(count: int, of: int) -> dict[str, object]:
        return {"count": count, "of": of, "share": count / of, "low": 0.005, "high": 0.043}

    counts = {"copied": 12, "near_copy": 5, "invented": 183}
    table = {name: part(count, 200) for name, count in counts.items()} | {"cells_prime": part(1282, 1800)}
    group = {"samples": 200, "valid": part(3, 200), "squares": table}
    write_json(tmp_path / "summary.json", {"task": "squares", "style": "listing", "groups": {"test": group}})
    assert verdict_lines([tmp_path]) == [
        "squares listing: 200 written, 3 valid (1.5 %, 95 % interval 0.5 to 4.3), 12 copied, 5 near copies, "
        "183 invented; 71.2 % of the cells are prime, beside 80.55 % in the source report."
    ]


def test_tables_show_the_counts_of_the_summary(parts: list[Path], html: str) -> None:
    text = _Page(html).text
    group = json.loads((parts[0] / "summary.json").read_text("utf-8"))["groups"]["test"]
    for name, title in SQUARE_ROWS:
        row = group["valid"] if name == "valid" else group["squares"][name]
        assert f"{title} {row['count']:,} of {row['of']:,} {figure(row['share'])} %" in text
    for part in parts[1:]:
        summary = json.loads((part / "summary.json").read_text("utf-8"))
        for *_, of in summary["groups"]["test"]["by_length"]:
            assert f"of {of}" in text


def test_what_is_new_stands_beside_the_source_report_and_what_is_repeated_is_told(
    parts: list[Path], html: str
) -> None:
    text = _Page(html).text
    squares = json.loads((parts[0] / "summary.json").read_text("utf-8"))["groups"]["test"]["squares"]
    assert squares["different"] > 0
    assert f"{squares['different']:,} of the valid squares are different" in text
    verbatim = squares["verbatim"]
    assert 0 < verbatim["count"] < verbatim["of"]
    told = (
        f"Of the {verbatim['of']:,} words written, {figure(verbatim['share'])} % stand in training texts in runs"
    )
    assert f"{told} of 8 or more, at most {verbatim['longest']} in a row." in text
    for name, title in SQUARE_ROWS:
        if name.startswith("valid"):
            row = group_row(text, title)
            assert row.endswith("none")
    assert "80.55 % (29 of 36)" in group_row(text, "cells that are prime")


def group_row(text: str, title: str) -> str:
    """Return the first row of the table that begins with a title, up to what the source report had."""
    found = re.search(rf"{re.escape(title)} [\d,]+ of [\d,]+ .*?(none of 4|none|29 of 36\))", text)
    assert found
    return found[0]


def test_a_summary_of_an_earlier_version_is_shown_without_them(parts: list[Path], tmp_path: Path) -> None:
    summary = json.loads((parts[0] / "summary.json").read_text("utf-8"))
    for name in ("verbatim", "different", "valid_new_nest", "valid_unseen_family", "valid_unseen_pattern"):
        del summary["groups"]["test"]["squares"][name]
    write_json(tmp_path / "summary.json", summary)
    text = _Page(write_report(tmp_path, [tmp_path], tmp_path / "report.html").read_text("utf-8")).text
    assert "valid and not copied" in text
    assert "stand in training texts" not in text
    assert "pattern (u, a)" not in text


def test_exactly_the_composites_are_marked(html: str) -> None:
    cells = [(int(text), marks.split()) for text, marks in _Page(html).cells]
    assert len(cells) > 500
    assert {_naive_prime(value) for value, _ in cells} == {True, False}
    for value, marks in cells:
        assert ("composite" in marks) == (not _naive_prime(value)), value


def test_copies_stand_beside_their_training_example(parts: list[Path]) -> None:
    verdicts = list(read_jsonl(parts[0] / "verdicts.jsonl"))
    shown = squares.gallery(verdicts, 5)
    totals = {group.name: group.total for group in shown.groups}
    copies = [verdict for verdict in verdicts if verdict["origin"] == "copied"]
    assert totals[squares.GROUPS["copied"]] == len(copies) > 5
    assert sum(totals.values()) + shown.unread == len(verdicts)
    group = next(group for group in shown.groups if group.name == squares.GROUPS["near copy"])
    assert len(group.cards) == 5
    near = [verdict for verdict in verdicts if verdict["origin"] == "near copy" and not verdict["valid"]]
    for card, verdict in zip(group.cards, near, strict=False):
        assert card.twin is not None
        assert card.twin_number == verdict["nearest"]["index"]
        for grid in (card.grid, card.twin):
            marked = [cell for cells, _ in grid.rows for cell in cells if "changed" in cell.marks]
            assert len(marked) == verdict["nearest"]["changed"] == card.changed > 0


def test_every_kind_of_square_can_be_chosen_without_a_script(parts: list[Path], html: str) -> None:
    css = (Path(page.__file__).parent.parent / "templates" / "report.css").read_text("utf-8")
    shown = re.findall(r'<div class="kind" data-kind="([a-z-]+)"', html)
    chosen = re.findall(r'<input type="radio" name="show-1" value="([a-z-]+)"', html)
    assert chosen == ["all", *shown]
    assert len(shown) >= 4
    for kind in [*(name.replace(" ", "-") for name in squares.GROUPS), "unread"]:
        assert f'.browse:has(input[value="{kind}"]:checked) .kind:not([data-kind="{kind}"])' in css
    body = html[html.index("</style>") :]
    near = body[body.index('data-kind="near-copy"') :]
    near = near[: near.index('data-kind="invented"')]
    assert re.search(r'class="(composite )?changed">\d+<span class="vh"> (not prime, )?beside it \d+</span>', near)


def test_missing_pieces_are_said(tmp_path: Path) -> None:
    bare, broken = tmp_path / "addition-plain", tmp_path / "squares-listing"
    bare.mkdir()
    broken.mkdir()
    (broken / "summary.json").write_text('{"task": "squares", "style"', encoding="utf-8")
    (broken / "config.yaml").write_text("task: squares\nstyle: [\n", encoding="utf-8")
    (broken / "metrics.jsonl").write_text("{}\nno json\n", encoding="utf-8")
    gone = tmp_path / "gone"
    out = write_report(tmp_path, [bare, broken, gone], tmp_path / "report.html")
    text = _Page(out.read_text("utf-8")).text
    for name in ("config.yaml", "summary.json", "metrics.jsonl", "corpus/manifest.json"):
        assert f"{name} is not there" in text
    assert "squares-listing/summary.json cannot be read" in text
    assert verdict_lines([gone]) == ["gone: nothing was judged."]


def test_each_experiment_may_lack_any_one_piece(parts: list[Path], tmp_path: Path) -> None:
    for name in ("config.yaml", "summary.json", "metrics.jsonl", "verdicts.jsonl"):
        run = tmp_path / name
        for part in parts:
            (run / part.name).mkdir(parents=True)
            for file in part.glob("*.*"):
                if file.name != name:
                    (run / part.name / file.name).write_bytes(file.read_bytes())
        text = _Page(write_report(run, sorted(run.iterdir()), run / "report.html").read_text("utf-8")).text
        # A summary that is not there is counted from the verdicts.
        assert (f"addition-plain/{name} is not there" in text) == (name != "summary.json")


def test_no_experiments_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no experiments to report"):
        write_report(tmp_path, [], tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_same_run_gives_the_same_bytes(parts: list[Path], html: str, tmp_path: Path) -> None:
    again = write_report(parts[0].parent, parts, tmp_path / "again.html")
    assert again.read_text("utf-8") == html


def test_a_page_too_large_shows_fewer_squares(
    parts: list[Path], html: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MAX_BYTES", len(html.encode()) - 1)
    smaller = write_report(parts[0].parent, parts, tmp_path / "smaller.html").read_text("utf-8")
    assert len(smaller) < len(html)
    assert "more not shown" in smaller
