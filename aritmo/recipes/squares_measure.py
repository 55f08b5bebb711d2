"""What a trained squares model gets right, and its card.

The model is asked as ``aritmo ask`` asks it; no program checks or mends what it writes. The centres are those of
the validation and test families, which stand in no text of its training as a centre.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aritmo.asking import Line, Manner, ask
from aritmo.files import write_json, write_whole
from aritmo.numbers.randomness import Split, split_of
from aritmo.statistics import share
from aritmo.tasks.problems import ANY
from aritmo.tasks.squares_centres import centres_of
from aritmo.tasks.squares_nested import BELOW
from aritmo.tasks.squares_pool import NAME
from aritmo.tasks.squares_search import LIMIT, Search, found_by, search_for
from aritmo.workers import cores

MEASURED, CARD = "measured.json", "MODEL_CARD.md"
_TOGETHER = 4
"""Problems a core that are asked before the clock is looked at."""
_SHOWN = 8
"""So many first mistakes are kept."""
_HEAD = "| asked for | valid squares | every step right, too |\n|---|---|---|"

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Measure:
    """What is asked: centres of these ``orders``, at most ``centres`` of a split, and any square ``drawn`` times.

    None asks all centres. Each question ends after ``minutes``; who is asked first was drawn by lot.
    """

    orders: tuple[int, ...] = (3, 5, 7)
    centres: int | None = None
    drawn: int = 400
    minutes: float = 5.0


def tell(folder: Path, told: Record, measure: Measure) -> None:
    """Measure the model in a folder, unless its training was stopped, and write its card.

    What is known is written down after each question, so that a stop on the way loses little.
    """
    results: list[Record] = []
    write_whole(folder / CARD, card(told, results))
    for question in _questions(folder, measure) if told["ended"] != "stopped" else ():
        results.append(question())
        write_json(folder / MEASURED, results)
        write_whole(folder / CARD, card(told, results))


def _questions(folder: Path, measure: Measure) -> Iterator[Callable[[], Record]]:
    for order in measure.orders:
        splits: tuple[Split, ...] = ("validation", "test")
        for split in splits:
            yield partial(ask_centres, folder, order, split, measure)
    yield partial(ask_any, folder, measure)


def ask_centres(folder: Path, order: int, split: Split, measure: Measure) -> Record:
    """Return how many centres of a split get a valid square at one greedy attempt, and some first mistakes."""
    centres = centres_of(order, split)
    records = _asked(folder, list(map(str, centres[: measure.centres])), order, measure.minutes)
    mistakes = {
        record["problem"]: record["verdict"]["details"]["first_wrong"]
        for record in records
        if not record["verdict"]["valid"]
    }
    counted = {"order": order, "split": split, "there are": len(centres)} | _counted(records)
    return counted | {"mistakes": dict(list(mistakes.items())[:_SHOWN])}


def ask_any(folder: Path, measure: Measure) -> Record:
    """Return how many squares drawn at temperature 1 are valid, different, and may stand in a text of training."""
    records = _asked(folder, [ANY] * measure.drawn, 3, measure.minutes)
    squares = {
        record["verdict"]["details"]["key"]: tuple(cell for row in record["answer"] for cell in row)
        for record in records
        if record["verdict"]["details"].get("square_valid")
    }
    trained = sum(map(is_trained, squares.values()))
    return {"order": 3, "temperature": 1.0, **_counted(records), "different": len(squares), "trained": trained}


def is_trained(cells: tuple[int, ...]) -> bool:
    """Return whether a valid square of order 3 may stand in a text of training, as the first of a train centre."""
    search = search_for(cells)
    return split_of(NAME, str(search.centre)) == "train" and found_by(Search(search.centre)) == found_by(search)


def _asked(folder: Path, problems: Sequence[str], order: int, minutes: float) -> list[Record]:
    """Return the answers to as many of the problems as there is time for, one group of them at least."""
    began, many = time.monotonic(), _TOGETHER * cores()
    records: list[Record] = []
    for start in range(0, len(problems), many):
        lines = [Line("", problem) for problem in problems[start : start + many]]
        manner = Manner(seed=start)
        records += ask(NAME, lines, str(folder), "tutorial", manner, order)
        if time.monotonic() - began > 60 * minutes:
            break
    return records


def _counted(records: Sequence[Record]) -> Record:
    details = [record["verdict"]["details"] for record in records]
    valid = sum(bool(detail.get("square_valid") and detail["as_asked"]) for detail in details)
    return {
        "valid": share(valid, len(records)),
        "steps": share(sum(record["verdict"]["valid"] for record in records), len(records)),
    }


def card(told: Record, results: Sequence[Record]) -> str:
    """Return the card of a model: what it is, what trained it, and what it gets right."""
    limit = f" --minutes {told['minutes']:g}" if told["minutes"] else ""
    command = f"aritmo train --recipe squares --out RUN --seed {told['seed']} --steps {told['steps']}{limit}"
    scores = "\n".join([_HEAD, *map(_row, results)]) if results else "Not measured."
    return f"""# squares

Writes prime magic squares: asked for a centre, or for any square of order 3, it writes its whole search in small
steps and then the square: order 3 with cells below {LIMIT:,}, nested orders 5 and 7 with a centre below {BELOW:,}.
It also says whether a number below {LIMIT:,} is prime, in one token.

* **Architecture**: Llama, rotary positions; a number is two symbols, its last two digits and then the rest.
* **Data**: documents drawn while training (`aritmo/tasks/squares_drills.py`). No number of the test and validation
  families of `DESIGN.md` is the centre of any of them.
* **Command, hardware and time**: `{command}`;
  {told["device"]}, torch {told["torch"]}; {told["updates"]:,} updates, {told["tokens"]:,} tokens,
  {told["seconds"]:,.0f} s; it ended by «{told["ended"]}», with a loss of {told["loss"]:.3g}.
* **Scores**, bare model, centres never seen, greedy, with Wilson intervals of 95 %:

{scores}
"""


def _row(result: Record) -> str:
    if "split" in result:
        asked = f"order {result['order']}, {result['split']} centres ({result['there are']} there are)"
    else:
        asked = (
            f"any square, temperature 1: {result['different']} different, {result['trained']} perhaps trained on"
        )
    return f"| {asked} | {_cell(result['valid'])} | {_cell(result['steps'])} |"


def _cell(found: Record) -> str:
    low, high = (100 * found[name] for name in ("low", "high"))
    return f"{found['count']} of {found['of']} ({low:.1f} to {high:.1f} %)"
