"""What the answers of a model come to: right with their intervals, by length, and by how the numbers were cut."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from aritmo.judging import summarise
from aritmo.numbers.primes import is_prime
from aritmo.probes.cuts import name_of
from aritmo.probes.prompts import PROBES
from aritmo.statistics import share

Record = dict[str, Any]

WAYS = ("greedy", "sampled")
"""The likeliest text, and one drawn."""
_BELOW = 1000


def summary_of(answers: Iterable[Record]) -> Record:
    """Return by probe and way what the answers come to; only what was asked is there.

    ``right`` is a share with its Wilson interval. ``by_length`` is ``[[digits, ..., right, of], ...]`` and
    ``by_cut`` ``[[[digits, ...], way of cutting, right, of], ...]``, for answers whose cut is known. Squares have
    in their place the table of ``aritmo judge`` under ``squares``, with the prompt's squares as training; right is
    there what is valid and not copied from the prompt. Primality also has ``same``, the share of the answer yes or
    no that was given most often, and ``rule``, what is right by the last digit alone.
    """
    found = by_probe(answers)
    return {
        probe: {way: _group(probe, found[probe, way]) for way in WAYS if (probe, way) in found}
        for probe in PROBES
        if any((probe, way) in found for way in WAYS)
    }


def by_probe(answers: Iterable[Record]) -> dict[tuple[str, str], list[Record]]:
    """Return answers by probe and way, in their order."""
    found: dict[tuple[str, str], list[Record]] = {}
    for answer in answers:
        found.setdefault((answer["probe"], answer["way"]), []).append(answer)
    return found


def _group(probe: str, answers: Sequence[Record]) -> Record:
    right = sum(answer["right"] for answer in answers)
    group: Record = {"right": share(right, len(answers))}
    if probe == "squares":
        (told,) = summarise(map(_as_verdict, answers), _BELOW)["groups"].values()
        return group | {"squares": told["squares"] | {name: told[name] for name in ("parsed", "valid")}}
    group["parsed"] = share(sum(answer["answer"] is not None for answer in answers), len(answers))
    group["by_length"] = [[*length, *counts] for length, counts in _counts(answers, _length)]
    group["by_cut"] = [
        [list(length), cut, *counts]
        for (length, cut), counts in _counts([one for one in answers if one.get("cut")], _length_and_cut)
    ]
    if probe == "primality":
        group |= _without_idea(answers)
    return group


def _as_verdict(answer: Record) -> Record:
    return answer | {
        "valid": not answer["reasons"], "task": "squares", "split": "test", "finished": True,
    }  # fmt: skip


def _length(answer: Record) -> tuple[int, ...]:
    return tuple(answer["group"])


def _length_and_cut(answer: Record) -> tuple[tuple[int, ...], str]:
    return _length(answer), name_of(answer["cut"])


def _counts(answers: Sequence[Record], key: Any) -> list[tuple[Any, tuple[int, int]]]:
    of, right = Counter(map(key, answers)), Counter(key(one) for one in answers if one["right"])
    return [(name, (right[name], of[name])) for name in sorted(of)]


def _without_idea(answers: Sequence[Record]) -> Record:
    """Return how far one gets with no idea of primes: saying the same always, or looking at the last digit."""
    said = Counter(answer["answer"] for answer in answers if answer["answer"] is not None)
    asked = [int("".join(filter(str.isdigit, answer["asked"]))) for answer in answers]
    ruled = sum((number % 10 in (1, 3, 7, 9)) == is_prime(number) for number in asked)
    return {"same": share(max(said.values(), default=0), len(answers)), "rule": share(ruled, len(answers))}
