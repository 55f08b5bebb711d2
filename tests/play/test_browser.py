"""The page in a real browser: what people see, what it fetches, and that nothing in a text is run."""

import importlib.util
import re
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Served
from .test_serving import Watched, until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="playwright is not installed"),
]
QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
EVIL = "<img src=x onerror=\"document.title='owned'\">${document.title='owned'}{{this}}"
SLOW = 60_000
"""Milliseconds after which a page that shows nothing has failed; no test asks how fast it is."""


@pytest.fixture(scope="module")
def browser(served: Served) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def visitor(browser: Any) -> Any:
    """Return one who comes with a keyboard again and again, and so has the page's files by now."""
    return browser.new_context(viewport={"width": 1100, "height": 900}, locale="en-GB")


class Page:
    """The page in a browser, as someone uses it. ``said`` and ``asked`` are what it logs and fetches."""

    def __init__(self, opener: Any, url: str, **settings: Any) -> None:
        self.tab = opener.new_page(**settings)
        self.tab.set_default_timeout(SLOW)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.goto(url)
        self.tab.locator("#do-add_button").wait_for()

    def sheet(self, name: str) -> None:
        self.tab.locator(f".sheets label:has(input[value={name}])").click()
        self.tab.locator(f"#sheet-{name}").wait_for()

    def write(self, field: str, text: str) -> None:
        self.tab.locator(f"#field-{field} textarea, #field-{field} input").fill(text)

    def ask(self, button: str) -> None:
        self.tab.locator(f"#do-{button}").click()

    def shows(self, name: str, text: str) -> None:
        self.tab.locator(f"#answer-{name}").get_by_text(text).first.wait_for()

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.tab.locator(selector).all_inner_texts()
        return found


@pytest.fixture
def page(visitor: Any, served: Served) -> Iterator[Page]:
    page = Page(visitor, f"{served.url}/?en")
    yield page
    page.tab.close()
    assert page.said == []


def test_a_sum_appears_step_by_step(page: Page) -> None:
    page.ask("add_button")
    page.tab.locator(".verdict.writing").wait_for()
    seen = page.tab.locator("#answer-add li.good").count()
    page.shows("add", "44 of 44 lines right")
    assert (
        seen < page.tab.locator("#answer-add li").count() == page.tab.locator("#answer-add li.good").count() == 36
    )
    assert "".join(page.texts("#answer-add .result td.good")) == "37331"


def test_a_square_fills_and_an_example_is_asked_by_one_click(page: Page) -> None:
    page.sheet("square")
    page.tab.locator("#sheet-square").get_by_role("button", name="263").click()
    page.shows("square", "59 steps written")
    assert page.texts("#answer-square .grid td.filled") == [
        "173",
        "347",
        "269",
        "359",
        "263",
        "167",
        "257",
        "179",
        "353",
    ]
    assert set(page.texts("#answer-square .grid td.sum")) == {"789"}


def test_primes_tokens_and_the_judge(page: Page) -> None:
    page.sheet("prime")
    page.write("number", "7917")
    page.tab.keyboard.press("Enter")
    page.shows("prime", "7917 = 3 × 2639")
    page.sheet("cut")
    page.ask("cut_button")
    page.shows("cut", "4 tokens")
    page.sheet("fool")
    page.ask("fool_button")
    page.shows("fool", "not prime: 60 in row 2, column 2")


def test_nothing_in_a_text_is_run(visitor: Any, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def evil(*_: Any) -> Iterator[str]:
        yield f"STEP 1\n{EVIL}\n\x1b[2J"

    monkeypatch.setattr(served.desk.adders["steps"].writer.__class__, "stream", evil)
    page = Page(visitor, f"{served.url}/?en")
    page.ask("add_button")
    page.shows("add", "onerror")
    page.shows("add", "\\x1b[2J")
    page.sheet("cut")
    page.write("cut", EVIL)
    page.ask("cut_button")
    page.shows("cut", "tokens")
    page.sheet("fool")
    page.write("paste", EVIL)
    page.ask("fool_button")
    page.shows("fool", "is no number")
    time.sleep(0.3)  # so that what would be run, had the time
    assert page.tab.title() == "aritmo play"
    assert page.tab.locator(".answer img, .answer script").count() == 0
    assert page.said == []
    # Even where it stood in the page as HTML, the policy would not run it.
    page.tab.evaluate("text => document.body.insertAdjacentHTML('beforeend', text)", EVIL)
    time.sleep(0.3)
    assert page.tab.title() == "aritmo play"
    assert any("Content Security Policy" in line for line in page.said)
    page.tab.close()


def test_the_page_fetches_only_from_its_own_server(browser: Any, served: Served) -> None:
    page = Page(browser, served.url, locale="es-ES")
    assert page.tab.url == f"{served.url}/es"
    page.ask("add_button")
    page.shows("add", "44 de 44 líneas bien")
    assert len(page.asked) > 10
    assert [url for url in page.asked if not url.startswith((f"{served.url}/", "data:"))] == []
    page.tab.close()


def test_the_language_is_switched_by_a_link(page: Page) -> None:
    page.tab.get_by_role("link", name="Español").click()
    page.tab.get_by_role("link", name="English").wait_for()
    page.sheet("fool")
    page.ask("fool_button")
    page.shows("fool", "no es primo: 60 en la fila 2, columna 2")
    page.tab.get_by_role("link", name="English").click()
    page.tab.get_by_role("link", name="Español").wait_for()


@pytest.mark.parametrize("leave", ["close", "stop"])
def test_who_leaves_or_stops_ends_the_writing(
    visitor: Any, served: Served, monkeypatch: pytest.MonkeyPatch, leave: str
) -> None:
    writer = Watched()
    monkeypatch.setattr(served.desk.adders["steps"].writer.__class__, "stream", writer.stream)
    page = Page(visitor, f"{served.url}/?en")
    page.ask("add_button")
    page.shows("add", "STEP 1")
    assert writer.now == 1
    if leave == "close":
        page.tab.close()
    else:
        page.tab.locator("#stop-add_button").click()
    assert until(lambda: writer.closed == 1)
    if leave == "stop":
        page.tab.close()


def test_one_who_comes_when_all_are_busy_is_told_so(
    visitor: Any, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.playground.blocks._queue, "max_size", 0)
    page = Page(visitor, f"{served.url}/?en")
    page.ask("add_button")
    page.tab.get_by_text(re.compile("busy")).first.wait_for()
    page.tab.close()


def test_a_phone_shows_it_without_scrolling_sideways(browser: Any, served: Served) -> None:
    page = Page(browser, f"{served.url}/?en", viewport={"width": 360, "height": 780}, color_scheme="dark")
    page.ask("add_button")
    page.shows("add", "44 of 44 lines right")
    assert page.tab.evaluate("document.documentElement.scrollWidth") == 360
    paper = page.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(23, 24, 26)"
    page.tab.close()
