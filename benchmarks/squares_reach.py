"""How many different squares the shipped squares model may be expected to write when it may write any.

    python -m benchmarks.squares_reach --samples 200000 --right 0.99

A text for any square begins by naming a search: a centre, a start, and how many squares are passed over. For each
of the 15,817 squares below 10,000 the probability that the bare model, at temperature 1, names the search that
finds it is read off the model, exactly. From these follows how many different ones N texts name on average; with
``--right``, the share of texts that end in a valid square (``benchmarks.squares_novelty any``), how many they
write. Searches that find a square and begin elsewhere than ``search_for`` has it are left out, so both are a
little too low. Prints one JSON object.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aritmo.models import open_model
from aritmo.numbers.search import list_order3
from aritmo.recipes.squares_measure import is_trained
from aritmo.tasks.squares_documents import Document
from aritmo.tasks.squares_search import LIMIT, SYMBOLS, Search, search_for

BATCH = 1_024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="squares", help="a shipped model, or a folder")
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 200_000])
    parser.add_argument("--right", type=float, default=1.0, help="share of texts that end in a valid square")
    args = parser.parse_args()
    print(json.dumps(reach(args.model, args.samples, args.right), indent=1))


def reach(model: str | Path, samples: Sequence[int], right: float) -> dict[str, Any]:
    """Return what is named with which probability, in all and in numbers of squares."""
    squares = [tuple(square.ravel().tolist()) for square in list_order3(LIMIT)]
    searches = [search_for(square) for square in squares]
    # There are words for the first few squares to be passed over only; the rest cannot be named.
    words = {"0x", *(symbol.strip() for symbol in SYMBOLS)}
    there = torch.tensor([f"{search.skip}x" in words for search in searches])
    named = torch.zeros(len(squares), dtype=torch.float64)
    named[there] = probabilities(str(model), [search for search, has in zip(searches, there, strict=True) if has])
    new = named[torch.tensor([not is_trained(square) for square in squares])]
    return {
        "squares": len(squares),
        "named_squares": round(named.sum().item(), 5),
        "named_new_squares": round(new.sum().item(), 5),
        "more_often_than_once_in_a_million": int((named > 1e-6).sum()),
        "different": {count: round(float(-(-count * right * named).expm1().sum()), 1) for count in samples},
        "right": right,
    }


@torch.inference_mode()
def probabilities(model: str, searches: Sequence[Search]) -> Tensor:
    """Return for each search the probability (float64) that a text for any square asks for it, and for no more."""
    opened, _ = open_model(model, context=16)
    found = torch.zeros(len(searches), dtype=torch.float64)
    for start in range(0, len(searches), BATCH):
        documents = [request_of(search) for search in searches[start : start + BATCH]]
        longest = max(map(len, documents))
        tokens = torch.tensor([[*one, *[one[-1]] * (longest - len(one))] for one in documents])
        said = opened(tokens[:, :-1]).logits.double().log_softmax(-1)
        each = said.gather(-1, tokens[:, 1:, None]).squeeze(-1)
        asked = torch.arange(1, longest) < torch.tensor(list(map(len, documents)))[:, None]
        asked[:, 0] = False  # «Any» is given.
        found[start : start + len(documents)] = (each * asked).sum(1).exp()
    return found


def request_of(search: Search) -> list[int]:
    """Return the tokens that ask for a search, and the one that says that nothing more is asked."""
    document = Document()
    document.put("Any")
    document.ask(search)
    document.put("Twice")
    return document.symbols


if __name__ == "__main__":
    main()
