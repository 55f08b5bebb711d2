"""The page: gradio's components, in each language, wired to the desk. Nothing is decided here."""

import os
import secrets
from collections.abc import Callable, Iterator
from inspect import isgeneratorfunction
from pathlib import Path
from time import monotonic
from typing import Any

from aritmo.play.desk import MOST, ORDERS, Desk
from aritmo.play.views import note
from aritmo.play.words import WORDS

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")

import gradio as gr

AT_ONCE = 2
"""Texts that are written at once."""
WAITING = 8
"""Questions that wait before the page says that it is busy."""

_GRACE_S = 2.0
"""Seconds in which a page that has asked begins to listen."""

Listening = Callable[[str], bool]
"""Says whether an open page listens to a session's answers."""

SUMS = ("8292+29039", "9+71421", "999999+1", "90807060504+12345678901")
CENTRES = ("263", "1607", "2411")
NUMBERS = ("7919", "7917", "9409", "57")
CUTS = ("2249", "71421", "1000000007")
SQUARES = {
    "valid_square": "17 89 71\n113 59 5\n47 29 101",
    "composite_square": "17 89 71\n113 60 5\n47 29 101",
    "swapped_square": "89 17 71\n113 59 5\n47 29 101",
    "nested_square": "1601 1481 1301 1931 1721\n1307 1187 1787 1847 1907\n1217 2267 1607 947 1997\n"
    "2417 1367 1427 2027 797\n1493 1733 1913 1283 1613",
}


def build(desk: Desk, listening: Listening) -> gr.Blocks:
    """Return the page in both languages: English at the root, Spanish at ``es``."""
    with gr.Blocks(analytics_enabled=False, title="aritmo play") as blocks:
        _Page(desk, listening, "en").lay_out()
    with blocks.route("Español", "es"):
        _Page(desk, listening, "es").lay_out()
    blocks.queue(max_size=WAITING, default_concurrency_limit=AT_ONCE, api_open=False)
    return blocks


def theme() -> gr.Theme:
    """Return a theme that fetches nothing: its letters are those of the reader's machine."""
    sans = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Liberation Sans", "sans-serif"]
    mono = ["ui-monospace", "SF Mono", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"]
    return gr.themes.Base(
        primary_hue=gr.themes.colors.blue, neutral_hue=gr.themes.colors.stone, font=sans, font_mono=mono
    )


def style() -> Path:
    return Path(__file__).parent / "page.css"


class _Page:
    """The page in one language."""

    def __init__(self, desk: Desk, listening: Listening, language: str) -> None:
        self._desk, self._listening, self._language, self._w = desk, listening, language, WORDS[language]

    def lay_out(self) -> None:
        w = self._w
        gr.Navbar(visible=False)
        gr.HTML(
            f'<header lang="{w["code"]}"><h1>{w["title"]}</h1><a href="{w["other_page"]}">{w["other"]}</a>'
            f"<p>{w['lede']}</p></header>",
            js_on_load=None,
        )
        sheets = {
            "add": self._add,
            "square": self._square,
            "prime": self._prime,
            "cut": self._cut,
            "fool": self._fool,
        }
        chosen = gr.Radio(
            [(w[name], name) for name in sheets], value="add", label=w["sheets"], elem_classes="sheets"
        )
        # All sheets are there; which one is seen is the browser's own affair.
        chosen.change(None, chosen, None, js="(name) => { document.body.dataset.sheet = name }", queue=False)
        for name, lay_out in sheets.items():
            with gr.Column(elem_id=f"sheet-{name}", elem_classes="sheet"):
                lay_out()

    def _add(self) -> None:
        w = self._w
        with gr.Row(elem_classes="asking"):
            asked = self._field("sum", "8292+29039", scale=3)
            hows = [(self._desk.named if how == "model" else w[how], how) for how in self._desk.adders]
            how = gr.Radio(hows, value=hows[0][1], label=w["how"], scale=2)
        view = self._answer("add")

        def add(text: str, how: str, request: gr.Request) -> Iterator[str]:
            yield from self._desk.add(self._language, text, how, self._wanted(request))

        self._buttons("add_button", add, [asked, how], view, asked, SUMS)

    def _square(self) -> None:
        w = self._w
        kinds = [kind for kind in ORDERS if self._desk.squares.style == "tutorial" or kind.endswith("3")]
        with gr.Row(elem_classes="asking"):
            kind = gr.Radio([(w[name], name) for name in kinds], value=kinds[0], label=w["kind"], scale=3)
            centre = self._field("centre", "1607", scale=1)
        view = self._answer("square")

        def search(kind: str, centre: str, request: gr.Request) -> Iterator[str]:
            seed = secrets.randbelow(2**32)
            yield from self._desk.search(self._language, kind, centre, seed, self._wanted(request))

        self._buttons("search_button", search, [kind, centre], view, centre, CENTRES)

    def _prime(self) -> None:
        with gr.Row(elem_classes="asking"):
            number = self._field("number", "7919")
        view = self._answer("prime")

        def ask(text: str, request: gr.Request) -> Iterator[str]:
            yield from self._desk.ask_prime(self._language, text, self._wanted(request))

        self._buttons("prime_button", ask, [number], view, number, NUMBERS)

    def _cut(self) -> None:
        with gr.Row(elem_classes="asking"):
            text = self._field("cut", "2249", "number")
        view = self._answer("cut")

        def cut(text: str) -> str:
            return self._desk.cut(self._language, text)

        self._buttons("cut_button", cut, [text], view, text, CUTS)

    def _fool(self) -> None:
        w = self._w
        with gr.Row(elem_classes="asking"):
            pasted = self._field("paste", SQUARES["composite_square"], lines=7)
        nested = gr.Checkbox(False, label=w["nested"], container=False)
        view = self._answer("fool")

        def judge(text: str, nested: bool) -> str:
            return self._desk.judge(self._language, text, nested)

        examples = [(w[name], text) for name, text in SQUARES.items()]
        self._buttons("fool_button", judge, [pasted, nested], view, pasted, examples)

    def _field(self, name: str, value: str, label: str = "", scale: int = 1, lines: int = 1) -> gr.Textbox:
        """Return a field for a text, its label and the hint below it named by ``label`` where not by ``name``."""
        return gr.Textbox(
            value, label=self._w[label or name], info=self._w[f"{name}_hint"], max_length=MOST[name], lines=lines,
            max_lines=max(1, 2 * lines), scale=scale, elem_id=f"field-{name}",
        )  # fmt: skip

    def _answer(self, name: str) -> gr.HTML:
        return gr.HTML(
            note(self._w[f"waiting_{name}"]),
            elem_id=f"answer-{name}",
            elem_classes="answer",
            render=False,
            js_on_load=None,
        )

    def _buttons(
        self, name: str, answer: Callable[..., Any], inputs: list[Any], view: gr.HTML, field: gr.Textbox,
        examples: Any,
    ) -> None:  # fmt: skip
        """Lay out the buttons of a tab, with what can be tried, and its answer below."""
        with gr.Row(elem_classes="doing"):
            go = gr.Button(self._w[name], variant="primary", scale=0, elem_id=f"do-{name}")
            streams = isgeneratorfunction(answer)
            stop = gr.Button(self._w["stop"], scale=0, elem_id=f"stop-{name}") if streams else None
            gr.HTML(f'<span class="try">{self._w["examples"]}</span>', js_on_load=None)
            tries = [pair if isinstance(pair, tuple) else (pair, pair) for pair in examples]
            shown = [
                (gr.Button(label, size="sm", scale=0, elem_classes="example"), value) for label, value in tries
            ]
        view.render()
        quiet: dict[str, Any] = {
            "api_visibility": "private", "show_progress": "hidden", "concurrency_id": "asking",
            "concurrency_limit": AT_ONCE,
        }  # fmt: skip
        triggers = [go.click] + ([field.submit] if field.lines == 1 else [])
        event = gr.on(triggers, answer, inputs, view, trigger_mode="once", **quiet)
        for button, value in shown:
            # The field is filled in the browser, and only then is the server asked.
            button.click(None, None, field, js=f"() => {value!r}", api_visibility="private").then(
                answer, inputs, view, **quiet
            )
        if stop:
            stop.click(None, None, None, cancels=[event], api_visibility="private")

    def _wanted(self, request: gr.Request) -> Callable[[], bool]:
        """Return what says whether the page that asks is still open; it begins to listen after it has asked."""
        session, begun = request.session_hash or "", monotonic()
        return lambda: self._listening(session) or monotonic() - begun < _GRACE_S
