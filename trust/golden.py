"""Hashes of what the same words must always give: corpora, what shipped models write, verdicts.

``python -m trust.golden`` prints them; ``--renew`` writes them to tests/golden.json, where a change of them shows.
Texts are hashed, not the numbers behind them, which the libraries of another machine may round otherwise. Nothing
here needs torch: shipped models answer in numpy, in float32.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from aritmo.asking import Line, Manner, ask
from aritmo.corpus import Corpus, CorpusConfig, build_corpus
from aritmo.files import write_json
from aritmo.judging import judge_samples, summarise
from aritmo.numbers.randomness import SPLITS
from aritmo.verdicts import training_squares
from trust.cases import STYLES, draw_random, right_cases, wrong_cases

KEPT = Path(__file__).parents[1] / "tests" / "golden.json"
COUNT = 300
"""Examples of each corpus, and verdicts."""

Asked = tuple[str, list[str], dict[str, Any]]
CORPORA: dict[str, dict[str, Any]] = {
    **{f"{task} {style}": {"task": task, "style": style} for task, style in STYLES},
    "addition in chunks": {"task": "addition", "count": 12_000},
    "squares of many orders": {"task": "squares", "order": "3,4,5", "ask": "sum,any", "below": 3_000},
    "squares, each nest once": {"task": "squares", "order": 5, "ask": "centre", "distinct": "K2", "below": 3_000},
}
SAMPLES: dict[str, Asked] = {
    "adder": ("addition", ["9+71421", "8292+29039", f"{'9' * 30}+1", f"{'7' * 200}+{'8' * 50}"], {}),
    "tutor": ("addition", ["9+71421", "67677+92471"], {"style": "tutorial"}),
    "tutor, joined": ("decomposition", ["57", "80959", "1234567"], {"style": "joined"}),
    "tutor, spaced": ("decomposition", ["57", "80959", "1234567"], {"style": "spaced"}),
    "squares": ("squares", ["263"], {}),
    "squares, by a seed": ("squares", ["any"], {"manner": Manner(seed=7)}),
    "squares of order 5": ("squares", ["1607"], {"order": 5}),
    "squares, primality": ("primality", ["2", "91", "7919", "9999"], {}),
}


def hashes(workers: int) -> dict[str, str]:
    """Return the hash of each thing by its name. Corpora of several chunks are built by so many processes."""
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, told in CORPORA.items():
            config = CorpusConfig(**{"count": COUNT, "seed": 5, **told})
            corpus = build_corpus(config, Path(folder) / name, workers if config.count > COUNT else 0)
            found[f"corpus {name}"] = _hash(_examples(corpus))
            if told.get("style") is not None:
                found[f"verdicts {name}"] = _hash(_verdicts(corpus))
    for name, (task, lines, told) in SAMPLES.items():
        found[f"samples {name}"] = _hash(ask(task, [Line("", line) for line in lines], **told))
    return found


def _hash(records: Iterable[Any]) -> str:
    """Return the sha256 of records as JSON; what only stands in a certain order in a dict is sorted."""
    hasher = sha256()
    for record in records:
        hasher.update(json.dumps(record, sort_keys=True).encode() + b"\n")
    return hasher.hexdigest()


def _examples(corpus: Corpus) -> Iterable[Any]:
    """Yield the examples of a corpus and its account; the files hang on the version of the library, too."""
    for split in SPLITS:
        yield from corpus.table(split).to_pylist()
    yield corpus.manifest["splits"]


def _verdicts(corpus: Corpus) -> Iterable[Any]:
    """Yield verdicts on right and changed answers, held against the corpus, and their summary."""
    task, style = corpus.task.name, corpus.style
    random = draw_random("golden", task, style)
    cases = wrong_cases(right_cases(task, style, random, 20), task, style, random)
    samples = [
        {"index": index, "split": "test", "task": task, "style": style, "prompt": case.prompt, "text": case.text}
        | {"finished": True}
        for index, case in enumerate(islice(cases, COUNT))
    ]
    verdicts = list(judge_samples(samples, training_squares(corpus)))
    yield from verdicts
    yield summarise(verdicts)


def kept() -> dict[str, str]:
    """Return the hashes that are kept in the tests."""
    golden: dict[str, str] = json.loads(KEPT.read_text())
    return golden


def differences(found: dict[str, str], golden: dict[str, str]) -> list[str]:
    """Return the names under which two sets of hashes differ."""
    return sorted(name for name in found.keys() | golden.keys() if found.get(name) != golden.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(description="Print hashes of what the same words must always give, as JSON.")
    parser.add_argument("--workers", type=int, default=0, help="processes that build corpora (0: this one)")
    parser.add_argument("--cores", type=int, help="processor cores that this process may use")
    parser.add_argument("--renew", action="store_true", help=f"write them to {KEPT.parent.name}/{KEPT.name}")
    given = parser.parse_args()
    if given.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
    found = hashes(given.workers)
    say: Callable[[str], Any] = print
    if given.renew:
        changed = differences(found, kept()) if KEPT.is_file() else sorted(found)
        write_json(KEPT, found)
        say(f"{len(changed)} of {len(found)} hashes are new: {', '.join(changed) or 'none'}")
    else:
        say(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
