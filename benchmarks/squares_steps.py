"""How often each kind of step of a search is right at centres that the squares model never saw.

    python -m benchmarks.squares_steps --split test

For every centre of a split that has a square of order 3, 5 or 7 the model reads the right text; a symbol counts as
right where it is the likeliest one, given what stands before it. Prints two tables: of the texts of each order
those that are right as a whole, and each kind of step with its mistakes. On the CPU this takes about five minutes.
"""

import argparse
from collections import Counter
from typing import cast

import torch
from transformers import LlamaForCausalLM

from aritmo.models import open_model
from aritmo.numbers.randomness import Split
from aritmo.tasks.squares_centres import centres_of
from aritmo.tasks.squares_documents import KINDS, Document
from aritmo.tasks.squares_nested import all_steps
from aritmo.tasks.squares_search import Search


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="squares", help="a shipped model, or a folder")
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    args = parser.parse_args()
    opened, _ = open_model(args.model, context=2)
    model = cast(LlamaForCausalLM, opened)
    print("| order | texts | right as a whole | kinds of steps with mistakes: wrong of so many symbols |")
    print("|---|---|---|---|")
    whole: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for order in (3, 5, 7):
        written, missed, texts, right = Counter[str](), Counter[str](), 0, 0
        for centre in centres_of(order, cast(Split, args.split)):
            kinds, good = read(model, text_of(centre, order))
            written += Counter(kinds)
            missed += Counter(kind for kind, same in zip(kinds, good, strict=True) if not same)
            texts, right = texts + 1, right + all(good)
        listed = ", ".join(f"{kind} {count} of {written[kind]:,}" for kind, count in missed.most_common())
        print(f"| {order} | {texts} | {right} | {listed or 'none'} |", flush=True)
        whole, wrong = whole + written, wrong + missed
    print("\n| kind of step | symbols | wrong | right, % |\n|---|---|---|---|")
    for kind, count in whole.most_common():
        print(f"| {kind} | {count:,} | {wrong[kind]} | {100 - 100 * wrong[kind] / count:.4f} |")


def text_of(centre: int, order: int) -> Document:
    """Return the request for a square around a centre, and the right search for it."""
    search, document = Search(centre, order=order), Document()
    document.ask(search)
    document.write(all_steps(search), 10**6)
    document.end()
    return document


@torch.inference_mode()
def read(model: LlamaForCausalLM, document: Document) -> tuple[list[str], list[bool]]:
    """Return for each symbol that is asked the kind of its step, and whether it is the likeliest."""
    symbols = torch.tensor(document.symbols)
    likeliest = model(symbols[None, :-1]).logits[0].argmax(-1)
    good = [False, *(likeliest == symbols[1:]).tolist()]
    asked = [place for place, kind in enumerate(document.kinds) if kind]
    return [KINDS[document.kinds[place]] for place in asked], [good[place] for place in asked]


if __name__ == "__main__":
    main()
