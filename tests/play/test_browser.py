"""The page in a real browser: what people see, what it fetches, and that nothing in a text is run."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="no browser is driven here: pip install selenium")
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
if not (CHROMIUM and DRIVER):
    pytest.skip(
        "the page is not opened in a browser: chromium and chromedriver are not here", allow_module_level=True
    )

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from .conftest import Served
from .test_serving import Watched, until

EVIL = "<img src=x onerror=\"document.title='owned'\">${document.title='owned'}{{this}}"
SLOW = 60
"""Seconds after which a page that shows nothing has failed; no test asks how fast it is."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync", "lang=en-GB"),
        *(
            "disable-background-networking",
            "disable-component-update",
            "disable-dev-shm-usage",
            "window-size=1100,900",
        ),
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


class Page:
    """The page in a browser, as someone uses it."""

    def __init__(self, browser: Chrome, url: str) -> None:
        self.browser = browser
        browser.get(url)
        self.wait(lambda: browser.find_elements(By.ID, "do-add_button"))

    def wait(self, true: Callable[[], Any]) -> Any:
        return WebDriverWait(self.browser, SLOW, 0.05).until(lambda _: true())

    def sheet(self, name: str) -> None:
        self.browser.find_element(By.CSS_SELECTOR, f".sheets input[value='{name}']").find_element(
            By.XPATH, "./ancestor::label"
        ).click()
        self.wait(self.browser.find_element(By.ID, f"sheet-{name}").is_displayed)

    def write(self, field: str, text: str) -> None:
        box = self.browser.find_element(By.CSS_SELECTOR, f"#field-{field} textarea, #field-{field} input")
        self.browser.execute_script(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
            box,
            text,
        )

    def ask(self, button: str) -> None:
        self.browser.find_element(By.ID, f"do-{button}").click()

    def answer(self, name: str) -> WebElement:
        return self.browser.find_element(By.ID, f"answer-{name}")

    def shows(self, name: str, text: str) -> None:
        self.wait(lambda: text in self.answer(name).text)


@pytest.fixture
def page(browser: Chrome, served: Served) -> Iterator[Page]:
    page = Page(browser, f"{served.url}/?en")
    yield page
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not severe


def test_a_sum_appears_step_by_step(page: Page) -> None:
    page.ask("add_button")
    page.wait(lambda: page.browser.find_elements(By.CSS_SELECTOR, ".verdict.writing"))
    seen = len(page.browser.find_elements(By.CSS_SELECTOR, "#answer-add li.good"))
    page.shows("add", "44 of 44 lines right")
    lines = page.browser.find_elements(By.CSS_SELECTOR, "#answer-add li")
    assert seen < len(lines) == 37
    assert all(line.get_attribute("class") == "good" for line in lines)
    result = page.browser.find_elements(By.CSS_SELECTOR, "#answer-add .result td.good")
    assert "".join(digit.text for digit in result) == "37331"


def test_a_square_fills_and_an_example_is_asked_by_one_click(page: Page) -> None:
    page.sheet("square")
    page.browser.find_element(By.XPATH, "//div[@id='sheet-square']//button[normalize-space()='263']").click()
    page.shows("square", "59 steps written")
    cells = [cell.text for cell in page.browser.find_elements(By.CSS_SELECTOR, "#answer-square .grid td.filled")]
    assert cells == ["173", "347", "269", "359", "263", "167", "257", "179", "353"]
    sums = {cell.text for cell in page.browser.find_elements(By.CSS_SELECTOR, "#answer-square .grid td.sum")}
    assert sums == {"789"}


def test_primes_tokens_and_the_judge(page: Page) -> None:
    page.sheet("prime")
    page.write("number", "7917")
    page.ask("prime_button")
    page.shows("prime", "7917 = 3 × 2639")
    page.sheet("cut")
    page.ask("cut_button")
    page.shows("cut", "4 tokens")
    page.sheet("fool")
    page.ask("fool_button")
    page.shows("fool", "not prime: 60 in row 2, column 2")


def test_nothing_in_a_text_is_run(page: Page, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def evil(*_: Any) -> Iterator[str]:
        yield f"STEP 1\n{EVIL}\n\x1b[2J"

    monkeypatch.setattr(served.desk.adders["steps"].writer.__class__, "stream", evil)
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
    assert page.browser.title == "aritmo play"
    assert not page.browser.find_elements(By.CSS_SELECTOR, ".answer img, .answer script")
    # Even where it stood in the page as HTML, the policy would not run it.
    page.browser.execute_script("document.body.insertAdjacentHTML('beforeend', arguments[0])", EVIL)
    time.sleep(0.3)
    assert page.browser.title == "aritmo play"
    assert any("Content Security Policy" in entry["message"] for entry in page.browser.get_log("browser"))


def test_the_page_fetches_only_from_its_own_server(browser: Chrome, served: Served) -> None:
    browser.get_log("performance")
    page = Page(browser, f"{served.url}/es")
    page.ask("add_button")
    page.shows("add", "44 de 44 líneas bien")
    names = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert len(names) > 10
    assert {name[: len(served.url)] for name in names if not name.startswith("data:")} == {served.url}
    log = " ".join(entry["message"] for entry in browser.get_log("performance"))
    asked = [part.split('"', 1)[0] for part in log.split('"url":"')[1:]]
    assert all(url.startswith((served.url, "data:", "chrome", "about:", "blob:")) for url in asked if "://" in url)


def test_the_language_is_switched_by_a_link(page: Page) -> None:
    page.browser.find_element(By.LINK_TEXT, "Español").click()
    page.wait(lambda: page.browser.find_elements(By.LINK_TEXT, "English"))
    page.sheet("fool")
    page.ask("fool_button")
    page.shows("fool", "no es primo: 60 en la fila 2, columna 2")
    page.browser.find_element(By.LINK_TEXT, "English").click()
    page.wait(lambda: page.browser.find_elements(By.LINK_TEXT, "Español"))


@pytest.mark.parametrize("leave", ["close", "stop"])
def test_who_leaves_or_stops_ends_the_writing(
    browser: Chrome, served: Served, monkeypatch: pytest.MonkeyPatch, leave: str
) -> None:
    writer = Watched()
    monkeypatch.setattr(served.desk.adders["steps"].writer.__class__, "stream", writer.stream)
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    page = Page(browser, f"{served.url}/?en")
    page.ask("add_button")
    page.shows("add", "STEP 1")
    assert writer.now == 1
    if leave == "close":
        browser.close()
    else:
        browser.find_element(By.ID, "stop-add_button").click()
    assert until(lambda: writer.closed == 1)
    if leave == "stop":
        browser.close()
    browser.switch_to.window(first)


def test_a_phone_shows_it_without_scrolling_sideways(page: Page, tmp_path: Path) -> None:
    page.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 780, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        page.ask("add_button")
        page.shows("add", "44 of 44 lines right")
        wide, room = page.browser.execute_script(
            "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert wide <= room == 360
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
