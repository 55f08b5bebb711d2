"""Do an experiment of aritmo.trials where only torch, transformers, tokenizers and numpy are installed.

    python -m research.tokenizer_trial --out OUT --minutes 9 --vocabulary FOLDER
    python -m research.tokenizer_trial --out OUT --show

FOLDER holds GPT-2's vocab.json and merges.txt (or encoder.json and vocab.bpe). The same command again goes on with
what is left. --only does some of the subjects, so that one process a subject shares a GPU. --show only prints.
"""

import argparse
import json
import sys
from pathlib import Path

from aritmo.trials.plans import PLANS, plan_of
from aritmo.trials.tables import seen_table, table
from aritmo.trials.trial import begin, do, results_of


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--experiment", choices=sorted(PLANS), default="tokenizer")
    p.add_argument("--size", choices=["small", "full"], default="full")
    p.add_argument("--minutes", type=float)
    p.add_argument("--vocabulary", type=Path)
    p.add_argument("--workers", type=int, default=4)
    p.add_argument("--only", nargs="*", default=[])
    p.add_argument("--show", action="store_true")
    args = p.parse_args()
    if not args.show:
        plan = plan_of(args.experiment, args.size)
        begin(plan, args.out)
        done = do(
            plan, args.out, lambda line: print(line, flush=True), vocabulary=args.vocabulary,
            minutes=args.minutes, processes=args.workers, only=args.only,
        )  # fmt: skip
        print("all done" if done else "the same command goes on with what is left", file=sys.stderr)
    results = results_of(args.out)
    print(table(results))
    print(seen_table(results))
    tokens = sum(line["tokens"] for line in results)
    seconds = sum(line["seconds"] / line["together"] for line in results)
    print(json.dumps({"trainings": len(results), "tokens": tokens, "training seconds": round(seconds, 1)}))


if __name__ == "__main__":
    main()
