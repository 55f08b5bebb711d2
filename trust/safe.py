"""Rows on safety: nothing that a user is given runs, leads elsewhere, swells, or acts on a screen or a page."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from trust import planted, screens
from trust.planted import Case
from trust.rows import Figure, Row, Size


def _refused(what: str, case: Callable[[], object]) -> str | None:
    """Run a case; return what is wrong with how it was refused, None where it was not or in one sentence."""
    try:
        case()
    except (ValueError, OSError) as error:
        return None if "\n" not in str(error).strip() else f"{what}: more than a sentence: {error}"[:300]
    except Exception as error:
        return f"{what}: {type(error).__name__}: {error}"[:300]
    return None


def _untouched(cases: Callable[[Path, Path], Iterator[Case]]) -> Figure:
    """Run cases with a trap each; none may go off but that of the control."""
    wrong: list[str] = []
    count = 0
    with tempfile.TemporaryDirectory() as place:
        folder, sprung = Path(place) / "planted", Path(place) / "sprung"
        folder.mkdir()
        for what, case in cases(folder, sprung):
            if what == "control":
                case()
                assert sprung.exists(), "the trap itself does not go off"
                sprung.unlink()
                continue
            count += 1
            if told := _refused(what, case):
                wrong.append(told)
            if sprung.exists():
                wrong.append(f"{what}: it ran")
                sprung.unlink()
    return Figure(f"{count} planted; {len(wrong)} ran or ended in no sentence", not wrong, tuple(wrong))


def _pickles(size: Size) -> Figure:
    return _untouched(planted.pickles)


def _remote_code(size: Size) -> Figure:
    return _untouched(planted.remote_code)


def _names(size: Size) -> Figure:
    wrong: list[str] = []
    count = 0
    with tempfile.TemporaryDirectory() as place:
        folder, outside = Path(place) / "work", Path(place) / "outside"
        folder.mkdir()
        outside.mkdir()
        (outside / "mine").write_text("17 89 71\n113 59 5\n47 29 101\n")
        for what, case in planted.names(folder, outside):
            count += 1
            try:
                case()
                wrong.append(f"{what}: it was not refused")
            except ValueError:
                pass
        for _, case in planted.links(folder, outside):
            count += 1
            case()
        left = sorted(path.name for path in outside.iterdir())
        if left != ["mine", "model.safetensors"] or not (outside / "mine").read_text().startswith("17 89 71"):
            wrong.append(f"outside there is now {left}")
    return Figure(f"{count} names and links; {len(wrong)} led out of their folder", not wrong, tuple(wrong))


def run_module(module: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run ``python -m module`` in a process of its own, with one thread, so that it may fork."""
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=Path(__file__).parents[1], env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def _bombs(size: Size) -> Figure:
    done = run_module("trust.bombs", *size.of(["--small"], []))
    if not done.stdout.strip():
        raise RuntimeError(done.stderr[-2000:])
    found = json.loads(done.stdout.strip().splitlines()[-1])
    shown = f"{found['bombs']} refused, {found['peak_mib']:,.0f} MiB more at most; {len(found['wrong'])} not"
    return Figure(shown, not found["wrong"], tuple(found["wrong"]))


def _screen(size: Size) -> Figure:
    with tempfile.TemporaryDirectory() as place:
        outputs = list(screens.printed(Path(place)))
    wrong = [
        f"{what}: {sorted(map(hex, map(ord, acts)))}" for what, text in outputs if (acts := screens.acting(text))
    ]
    silent = [f"{what}: nothing was printed" for what, text in outputs if not text.strip()]
    wrong += [f"{what}: a traceback" for what, text in outputs if "Traceback" in text]
    return Figure(
        f"{len(outputs)} outputs; {len(wrong)} could act on a terminal", not wrong + silent, (*wrong, *silent)
    )


def _pages(size: Size) -> Figure:
    with tempfile.TemporaryDirectory() as place:
        harmless, hostile = (
            screens.report(Path(place) / name, text)
            for name, text in (("a", "word"), ("b", screens.TAGS + screens.ACTS))
        )
    more = [act for act in screens.acts_of(hostile) if act not in screens.acts_of(harmless)]
    wrong = [f"on the page: {act}" for act in more]
    wrong += [f"in the page: {hex(ord(c))}" for c in screens.acting(hostile) - screens.acting(harmless)]
    if "&lt;script&gt;" not in hostile:
        wrong.append("the hostile text is not shown at all, so nothing is known")
    return Figure(f"a report made of tags and escapes; {len(wrong)} of them act", not wrong, tuple(wrong))


ROWS = [
    Row("safe", "no pickle is loaded", "none of the planted pickles runs", _pickles),
    Row("safe", "no code of a model's", "no code beside a model runs", _remote_code),
    Row("safe", "names and links", "no name or link leads out of its folder", _names),
    Row("safe", "files that swell", "each refused, in under 600 MiB and a minute", _bombs),
    Row("safe", "the screen", "nothing that a terminal obeys is printed", _screen),
    Row("safe", "the report's page", "no tag, script or escape of a run's acts", _pages),
]
