"""The page in a real browser: the filter and the steps work by keyboard, nothing is fetched, a phone holds it."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aritmo.judging import judge_samples
from aritmo.numbers.search import list_order3
from aritmo.originals import Originals
from aritmo.records import write_samples
from aritmo.report.given import report_on
from aritmo.tasks import TASKS
from aritmo.tasks.addition import Sum
from aritmo.tasks.squares import Square

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="playwright is not installed"),
]
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def _page(folder: Path) -> Path:
    """Write a page with two squares of each of three kinds, and a wrong sum."""
    squares = list_order3(2_000)[:6]
    cells = [squares[0], squares[1], [*squares[2][:8], squares[2][8] + 2], [*squares[3][:8], 9999], *squares[4:]]
    head = {"split": "test", "finished": True}
    task = TASKS["squares"]
    samples = [
        head
        | {"index": i, "task": "squares", "style": "listing", "prompt": f"Matrix {i + 1}\n"}
        | {"text": task.completion(Square(i + 1, tuple(map(int, nine))), "listing")}
        for i, nine in enumerate(cells)
    ]
    train = Originals.from_squares([0, 1, 2, 3], squares[:4].reshape(-1, 3, 3))
    write_samples(folder / "squares.jsonl", judge_samples(samples, train))
    text = TASKS["addition"].completion(Sum(45, 981), "tutorial").replace("tens->4+8=12", "tens->4+8=13")
    wrong = head | {"index": 0, "task": "addition", "style": "tutorial", "prompt": "45+981\n\n", "text": text}
    write_samples(folder / "sums.jsonl", judge_samples([wrong], None))
    return report_on([folder / "squares.jsonl", folder / "sums.jsonl"], folder / "page.html")[0]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    file = _page(tmp_path_factory.mktemp("page"))
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(file.as_uri())
        yield page
        browser.close()


def _visible(page: Any) -> list[str]:
    kinds = page.locator(".kind")
    return [one.get_attribute("data-kind") for one in kinds.all() if one.is_visible()]


def test_the_filter_works_by_keyboard(page: Any) -> None:
    assert _visible(page) == ["valid", "copied", "near-copy"]
    page.locator('input[value="all"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert _visible(page) == ["copied"]
    page.get_by_label("near copies").check()
    assert _visible(page) == ["near-copy"]
    assert page.locator(".kind td.changed:visible").count() == 4


def test_the_first_wrong_step_is_open_and_others_open(page: Any) -> None:
    shown = page.locator(".steps pre:visible")
    assert shown.count() == 2
    marked = page.locator(".steps mark:visible").all_inner_texts()
    assert [text.strip() for text in marked] == ["tens->4+8=13", "tens->4+8=12"]
    page.locator(".steps .right summary").first.focus()
    page.keyboard.press("Enter")
    assert shown.count() == 3


def test_a_phone_holds_it_and_nothing_is_fetched(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert [url for url in page.asked if not url.startswith("file:")] == []
    assert page.said == []


def test_dark_and_print_change_the_paper(page: Any) -> None:
    def paper() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = paper()
    page.emulate_media(color_scheme="dark")
    assert paper() != light
    assert page.locator("nav").is_visible()
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("nav").is_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(31, 30, 28)"
    page.emulate_media(media="screen", color_scheme="light")
