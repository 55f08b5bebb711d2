"""Reading what a model wrote behind a few examples: where its answer ends, and the exact verdict on it.

A model goes on after its answer, so that is cut off: at the sign that ends an example, or at the first line that
is no part of an answer. Inside an answer nothing is forgiven but white space.
"""

import re
from typing import Any

from aritmo.judging import judge_samples
from aritmo.originals import Originals
from aritmo.probes.prompts import Item, Probe, find_probe
from aritmo.tasks import Verdict

Record = dict[str, Any]

_PLACE = re.compile(r"[a-z]+(?: [a-z]+)?->")
_SQUARE_LINE = re.compile(r"[0-9 ]+|(?:Rows|Columns|Diagonals):.*")


def answer_of(item: Item, text: str) -> str:
    """Return the answer in what a model wrote on a prompt, with what of it the prompt holds already.

    Where a model says the beginning of the line again, as one that chats does, that counts once.
    """
    probe = find_probe(item.probe)
    return _READERS[probe.task](item, probe, text.replace("\r\n", "\n"))


def _cut(text: str, stops: tuple[str, ...]) -> str:
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def _decomposition(item: Item, probe: Probe, text: str) -> str:
    text = text.lstrip().removeprefix(item.begun)
    first, *rest = _cut(text, probe.stops).split("\n")
    lines = [item.begun + first.strip()]
    for line in rest:
        if line.strip() and not _PLACE.match(line.strip()):
            break
        lines.append(line.strip())
    return "\n".join(line for line in lines if line)


def _one_line(item: Item, probe: Probe, text: str) -> str:
    line = _cut(text.lstrip(), probe.stops).strip()
    return line.removeprefix(item.written.strip()).strip()


def _addition(item: Item, probe: Probe, text: str) -> str:
    return _one_line(item, probe, text)


def _primality(item: Item, probe: Probe, text: str) -> str:
    return _one_line(item, probe, text).removesuffix(".").lower()


def _squares(item: Item, probe: Probe, text: str) -> str:
    text = text.lstrip().removeprefix(item.written.strip()).lstrip("\n")
    lines = []
    for line in _cut(text, probe.stops).split("\n"):
        if not _SQUARE_LINE.fullmatch(line.strip()):
            break
        lines.append(line.strip())
    return "\n".join(lines)


_READERS = {
    "decomposition": _decomposition, "addition": _addition, "primality": _primality, "squares": _squares,
}  # fmt: skip


def judged(item: Item, text: str) -> Record:
    """Return what a file of answers keeps of one: what was asked, written and read, and the exact verdict on it.

    A square is also held against the squares of its prompt, as ``aritmo judge`` holds one against training; valid
    is then what is ``right``, and not copied.
    """
    probe = find_probe(item.probe)
    answer = answer_of(item, text)
    record = {
        "probe": item.probe, "group": list(item.group), "index": item.index, "task": probe.task,
        "style": probe.style, "prompt": item.prompt, "written": text,
    }  # fmt: skip
    if probe.task == "squares":
        return record | _judged_square(item, answer)
    verdict = _without_explanation(probe.judge(item.problem, answer))
    return record | {
        "asked": item.written, "text": answer, "answer": verdict.answer, "right": verdict.valid,
        "reasons": list(verdict.reasons),
    }  # fmt: skip


def _without_explanation(verdict: Verdict) -> Verdict:
    """Leave out of the verdict on a sum that no explanation stands behind it: none was shown."""
    reasons = tuple(reason for reason in verdict.reasons if not reason.startswith("first wrong step"))
    return verdict if reasons == verdict.reasons else Verdict(not reasons, verdict.answer, reasons)


def _judged_square(item: Item, answer: str) -> Record:
    shown = Originals.from_squares(range(1, 1 + len(item.problem)), [square.array for square in item.problem])
    sample = {
        "index": item.index, "split": "test", "task": "squares", "style": "listing", "prompt": item.written,
        "text": answer, "finished": True,
    }  # fmt: skip
    (verdict,) = judge_samples([sample], shown)
    kept = {
        name: verdict[name] for name in ("text", "answer", "reasons", "details", "origin", "nearest", "unseen")
    }
    return {"asked": item.written, "right": verdict["valid"] and verdict["origin"] != "copied", **kept}
