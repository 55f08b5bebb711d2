"""Judging what a model wrote: right or wrong and why, copied or invented, and what it comes to in all."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from aritmo.numbers.randomness import SPLITS
from aritmo.originals import Originals, origin_of
from aritmo.statistics import chance_levels, share
from aritmo.tasks import Verdict, find_task
from aritmo.verbatim import RUN, Repeated

Record = dict[str, Any]

_FIELDS = {
    "index": int, "split": str, "task": str, "style": str, "prompt": str, "text": str, "finished": bool,
}  # fmt: skip
_UNSEEN = {"valid_new_nest": "K2", "valid_unseen_family": "family", "valid_unseen_pattern": "pattern"}
"""The shares of valid squares by what of them training lacks; ``valid_new`` is what it lacks of K1."""


def judge_samples(
    samples: Iterable[Record],
    train: Originals | None,
    repeated: Iterable[Repeated] | None = None,
    start: int = 0,
) -> Iterator[Record]:
    """Yield the verdict record of each sample: the sample with valid, answer, reasons and details.

    Squares also get ``origin`` and ``nearest``, both None where no square could be read or ``train`` is
    None; the details of a copy say ``copied_how``. Valid squares get ``unseen``: whether training lacks
    the square in all its orientations (``K1``), and what ``Originals.unseen`` says. Each sample gets its count in
    ``repeated``, one a sample, as ``verbatim``. The first ``start`` samples are passed over. A prompt that asks no
    problem is a verdict too.
    Raises ValueError for a record that is no sample, or names an unknown task or style.
    """
    counted = None if repeated is None else islice(repeated, start, None)
    for number, sample in enumerate(islice(samples, start, None), start=start + 1):
        _check(sample, number)
        verdict = _judge(sample)
        record = sample | {
            "valid": verdict.valid,
            "answer": verdict.answer,
            "reasons": list(verdict.reasons),
            "details": dict(verdict.details),
        }
        if sample["task"] == "squares":
            record |= {"origin": None, "nearest": None, "unseen": None}
            if train is not None and isinstance(verdict.answer, list):
                _compare(record, train)
        if counted is not None:
            record["verbatim"] = next(counted)._asdict()
        yield record


def _check(sample: Record, number: int) -> None:
    for name, kind in _FIELDS.items():
        if type(sample.get(name)) is not kind:
            raise ValueError(
                f"sample {number}: {name} must be {kind.__name__}, not {sample.get(name)!r:.60}; "
                "give the file that aritmo sample wrote"
            )
    if sample["split"] not in SPLITS:
        raise ValueError(f"sample {number}: split must be train, validation or test, not {sample['split']!r:.60}")


def _judge(sample: Record) -> Verdict:
    task, style = find_task(sample["task"], sample["style"])
    try:
        problem = task.read_prompt(sample["prompt"], style)
    except ValueError as error:
        return Verdict(False, None, (f"prompt: {error}",))
    return task.judge(problem, sample["text"], style)


def _compare(record: Record, train: Originals) -> None:
    """Say in the record whether its square stands in the training corpus."""
    nearest = train.nearest(record["answer"])
    record["origin"] = origin_of(nearest)
    if nearest is not None:
        record["nearest"] = nearest.record()
        if record["origin"] == "copied":
            record["details"]["copied_how"] = "rotated or reflected" if nearest.turned else "exact"
    if record["details"]["square_valid"]:
        record["unseen"] = {"K1": record["origin"] != "copied"} | train.unseen(record["answer"])


def summarise(verdicts: Iterable[Record], below: int = 10_000) -> Record:
    """Return the summary of verdict records, in one pass that keeps only counts.

    ``below`` bounds the cells of the chance levels beside squares. Shares are of all samples of a group,
    unread ones included, but for ``cells_prime``, which is of the cells read; where nothing was compared
    with a corpus the shares of origin are of 0. A reason counts once for each verdict that has its kind.
    ``different`` counts valid squares that are not the same (K1); the share of words that stand verbatim in
    training has no interval, since words in a row depend on each other.
    Raises ValueError where the verdicts mix tasks or styles.
    """
    task = style = None
    groups: dict[str, _Group] = {}
    for verdict in verdicts:
        if task is None:
            task, style = verdict["task"], verdict["style"]
        if (task, style) != (verdict["task"], verdict["style"]):
            raise ValueError(
                f"the verdicts mix {task} {style} and {verdict['task']} {verdict['style']}: "
                "summarise one task and style at a time"
            )
        groups.setdefault(verdict["split"], _Group()).add(verdict)
    return {
        "task": task,
        "style": style,
        "groups": {split: groups[split].summary(task == "squares", below) for split in SPLITS if split in groups},
    }


class _Group:
    """The counts of one group of verdicts."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._lengths: Counter[tuple[int, ...]] = Counter()
        self._valid_lengths: Counter[tuple[int, ...]] = Counter()
        self._different: set[str] = set()
        self._longest = 0

    def add(self, verdict: Mapping[str, Any]) -> None:
        details = verdict["details"]
        valid, read = verdict["valid"], verdict["answer"] is not None
        flags = {
            "samples": True,
            "finished": verdict["finished"],
            "parsed": read,
            "answered": details.get("answered", False),
            "valid": valid,
        }
        self._counts.update(name for name, flag in flags.items() if flag)
        self._reasons.update({reason.partition(":")[0] for reason in verdict["reasons"]})
        if "digits" in details:
            digits = details["digits"]
            length = tuple(digits) if isinstance(digits, list) else (digits,)
            self._lengths[length] += 1
            self._valid_lengths[length] += valid
        if "cells" in details:
            self._add_square(verdict)
        if verbatim := verdict.get("verbatim"):
            self._counts.update(words=verbatim["words"], repeated=verbatim["repeated"])
            self._longest = max(self._longest, verbatim["longest"])

    def _add_square(self, verdict: Mapping[str, Any]) -> None:
        details, origin = verdict["details"], verdict["origin"]
        self._counts["cells"] += details["cells"]
        self._counts["primes"] += details["primes"]
        flags = {
            "all_prime": details["primes"] == details["cells"],
            "sums_equal": details["sums_equal"],
            "distinct": details["distinct"],
            "claims_right": details["wrong_claims"] == 0,
            "compared": origin is not None,
            "copied": origin == "copied",
            "near_copy": origin == "near copy",
            "invented": origin == "invented",
            "valid_new": verdict["valid"] and origin in ("near copy", "invented"),
        }
        unseen = verdict.get("unseen") or {}
        flags |= {name: verdict["valid"] and unseen.get(key, False) for name, key in _UNSEEN.items()}
        self._counts.update(name for name, flag in flags.items() if flag)
        if verdict["valid"]:
            self._different.add(details["key"])

    def summary(self, squares: bool, below: int) -> Record:
        names = ["finished", "parsed", "valid"] if squares else ["finished", "parsed", "answered", "valid"]
        samples = self._counts["samples"]
        group: Record = {"samples": samples} | {name: share(self._counts[name], samples) for name in names}
        group["reasons"] = [list(item) for item in sorted(self._reasons.items(), key=lambda r: (-r[1], r[0]))]
        if squares:
            group["squares"] = self._squares(below)
        else:
            group["by_length"] = [
                [*length, self._valid_lengths[length], of] for length, of in sorted(self._lengths.items())
            ]
        return group

    def _squares(self, below: int) -> Record:
        counts = self._counts
        compared = counts["samples"] if counts["compared"] else 0
        table: Record = {"cells_prime": share(counts["primes"], counts["cells"])}
        for name in ("all_prime", "sums_equal", "distinct", "claims_right"):
            table[name] = share(counts[name], counts["samples"])
        for name in ("copied", "near_copy", "invented", "valid_new", *_UNSEEN):
            table[name] = share(counts[name], compared)
        words, repeated = counts["words"], counts["repeated"]
        if words:
            share_of = {"count": repeated, "of": words, "share": repeated / words}
            table["verbatim"] = {"run": RUN, "longest": self._longest} | share_of
        return table | {"different": len(self._different), "chance": chance_levels(below)}
