"""What the shipped squares model writes at temperature 1: how much is valid, and how much of that is new.

    python -m benchmarks.squares_novelty any --count 10000 --out NOVELTY
    python -m benchmarks.squares_novelty test --count 1000 --out NOVELTY

``any`` asks for any square; ``test`` for the centres of the test families, all for which a square exists, one
after another and again. The bare model writes, as ``aritmo ask`` lets it. Texts are added to a file in the
folder, block after block, each block with a seed of its own, and the same command goes on behind the last whole
one; what there is is then judged, and printed as one JSON object. A process uses one thread.

New is judged against every square of order 3 that may stand in a text of training
(``squares_measure.is_trained``), which is more than what was drawn. The share of verbatim text is against
``--documents`` texts that the recipe draws anew: training drew more, and others, so it is a lower bound.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aritmo.originals import Originals

BLOCK = 50
"""Texts that are written, and saved, together."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("asked", choices=("any", "test"))
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--out", type=Path, required=True, help="a folder for the texts")
    parser.add_argument("--minutes", type=float, default=600, help="write no longer than this")
    parser.add_argument("--documents", type=int, default=20_000, help="training texts to compare words with")
    parser.add_argument("--processes", type=int, default=0, help="that write beside each other, 0: this one alone")
    args = parser.parse_args()
    # Read by numpy when it is imported.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    args.out.mkdir(parents=True, exist_ok=True)
    file: Path = args.out / f"squares-{args.asked}.jsonl"
    seconds = write(args.asked, args.count, file, args.minutes, args.processes)
    print(json.dumps(judge(file, args.documents) | {"processor_seconds": round(seconds, 1)}, indent=1))


def write(asked: str, count: int, file: Path, minutes: float, processes: int) -> float:
    """Write what is missing, and return how many processor seconds that took."""
    from aritmo.files import write_whole
    from aritmo.records import read_jsonl, write_samples
    from aritmo.workers import Workers

    done = len(list(read_jsonl(file))) // BLOCK * BLOCK if file.exists() else 0
    if file.exists():
        write_whole(file, "".join(json.dumps(record) + "\n" for record in islice(read_jsonl(file), done)))
    began, spent = time.monotonic(), 0.0
    jobs = ((asked, start, min(start + BLOCK, count)) for start in range(done, count, BLOCK))
    with Workers(processes) as workers:
        for records, seconds in workers.map(_block, jobs):
            write_samples(file, records)
            spent += seconds
            if time.monotonic() - began > 60 * minutes:
                break
    return spent


def _block(job: tuple[str, int, int]) -> tuple[list[dict[str, Any]], float]:
    """Return what the model writes on the questions of a block, and the processor seconds that it took."""
    from aritmo import asking
    from aritmo.tasks import find_task
    from aritmo.tasks.problems import read_square

    asked, start, stop = job
    setattr(asking, "cores", lambda: 1)  # noqa: B010
    task, style = find_task("squares", "tutorial")
    problems = questions(asked)
    spent = time.process_time()
    lines = [asking.Line("", problems[place % len(problems)]) for place in range(start, stop)]
    answers = asking.ask("squares", lines, "squares", style, asking.Manner(1.0, start))
    records = [
        {
            "index": index, "split": "test", "task": task.name, "style": style,
            "prompt": task.prompt(read_square(answer["problem"], 6), style),
            "text": answer["text"], "finished": answer["answer"] is not None,
        }
        for index, answer in enumerate(list(answers), start)
    ]  # fmt: skip
    return records, time.process_time() - spent


def judge(file: Path, documents: int) -> dict[str, Any]:
    """Return the summary of what was written, and what of it is new."""
    from aritmo.judging import judge_samples, summarise
    from aritmo.records import read_jsonl
    from aritmo.statistics import share
    from aritmo.verbatim import find_repeated

    texts = (record["text"] for record in read_jsonl(file))
    repeated = find_repeated(texts, drawn(documents)) if documents else None
    verdicts = list(judge_samples(read_jsonl(file), trained(), repeated))
    summary: dict[str, Any] = summarise(verdicts)["groups"]["test"]
    details = [verdict["details"] for verdict in verdicts]
    good = [verdict for verdict in verdicts if is_good(verdict)]
    new = [verdict for verdict in good if verdict["unseen"]["K1"]]
    first = [str(detail["first_wrong"]).partition(":")[0] for detail in details if detail["first_wrong"]]
    return {
        "valid_squares": share(len(good), len(verdicts)),
        "different": len({verdict["details"]["key"] for verdict in good}),
        "centres": len({verdict["answer"][1][1] for verdict in good}),
        "of_valid": new_shares([verdict["unseen"] for verdict in good]),
        "near_copies_of_new": sum(verdict["origin"] == "near copy" for verdict in new),
        "first_wrong": {name: first.count(name) for name in sorted(set(first))},
        "documents": documents,
        "summary": summary,
    }


def questions(asked: str) -> list[str]:
    """Return what is asked in turn, as people write it."""
    from aritmo.tasks.squares_centres import centres_of

    return ["any"] if asked == "any" else list(map(str, centres_of(3, "test")))


def is_good(verdict: dict[str, Any]) -> bool:
    """Return whether the square of a text is valid and the one that was asked for, whatever its steps."""
    details = verdict["details"]
    return bool(details.get("square_valid") and details.get("as_asked", True))


def new_shares(unseen: Sequence[dict[str, bool]]) -> dict[str, Any]:
    """Return which share of valid squares training lacks, by each key."""
    from aritmo.statistics import share

    return {
        name: share(sum(one[name] for one in unseen), len(unseen)) for name in ("K1", "K2", "family", "pattern")
    }


@cache
def trained() -> "Originals":
    """Return every square that may stand in a text of training."""
    from aritmo.numbers.search import list_order3
    from aritmo.originals import Originals
    from aritmo.recipes.squares_measure import is_trained
    from aritmo.tasks.squares_search import LIMIT

    squares = [square for square in list_order3(LIMIT) if is_trained(tuple(square.ravel().tolist()))]
    return Originals.from_squares(range(len(squares)), [square.reshape(3, 3) for square in squares])


def drawn(documents: int) -> Iterator[str]:
    """Yield training texts as the recipe draws them."""
    from tokenizers import Tokenizer

    from aritmo.recipes.squares import FULL
    from aritmo.shipped import shipped_folder
    from aritmo.tasks.squares_documents import Draws
    from aritmo.tasks.squares_drills import draw_document

    tokenizer = Tokenizer.from_file(str(shipped_folder("squares") / "tokenizer.json"))
    draws = Draws("squares", "documents", 0, 0)
    for _ in range(documents):
        yield tokenizer.decode(
            list(draw_document(draws, FULL.asked, FULL.nested).symbols), skip_special_tokens=False
        )


if __name__ == "__main__":
    main()
