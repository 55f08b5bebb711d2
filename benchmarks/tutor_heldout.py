"""The shipped tutor on held-out problems: every number below 10^6 that it was not trained on, and fresh sums.

    python -m benchmarks.tutor_heldout joined --out research/logs/held-out
    python -m benchmarks.tutor_heldout spaced --out research/logs/held-out
    python -m benchmarks.tutor_heldout tutorial --count 20000 --seed 1 --out research/logs/held-out

A problem counts as right where the model, reading the right text, has each next token of it, the end included,
as its likeliest one. That is the same as writing greedily and writing the right text, since the first token that
differs is the same in both; but a text is read in one go, which costs a fifth. Where a token differs the model
writes the whole text freely, and the exact judge has the word. So it has on ``--freely`` problems of each kind,
whatever they are, as a check of this way of counting.

Numbers come in an order drawn from sha256, so that what is done when the work is stopped is a sample of all. Each
line of the file is a block of problems; the same command goes on behind the last line. One thread is used.
"""

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

BELOW = 10**6
BLOCK = {"joined": 2_000, "spaced": 2_000, "tutorial": 200}
"""Problems of a line in the file."""
TOGETHER = 1_536
"""Tokens that are read at once: what they compute stays in the processor's cache."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("style", choices=("joined", "spaced", "tutorial"))
    parser.add_argument("--out", type=Path, required=True, help="a folder for the file of results")
    parser.add_argument("--count", type=int, default=20_000, help="sums; numbers are all that there are")
    parser.add_argument("--seed", type=int, default=1, help="of the sums")
    parser.add_argument("--freely", type=int, default=300, help="problems that are also written freely")
    parser.add_argument("--minutes", type=float, default=600, help="stop after so long")
    args = parser.parse_args()
    # Read by numpy when it is imported.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    from aritmo.records import read_jsonl, write_samples

    args.out.mkdir(parents=True, exist_ok=True)
    seeded = f"-seed-{args.seed}" if args.style == "tutorial" else ""
    file: Path = args.out / f"tutor-{args.style}{seeded}.jsonl"
    tutor, done = Tutor(args.style), len(list(read_jsonl(file))) if file.exists() else 0
    problems = sums(args.count, args.seed) if args.style == "tutorial" else numbers(args.style)
    began = time.monotonic()
    size = BLOCK[args.style]
    for start in range(done * size, len(problems), size):
        block = problems[start : start + size]
        started = time.process_time()
        wrong = tutor.wrong(block)
        write_samples(file, [{
            "of": len(block), "right": len(block) - len(wrong), "wrong": wrong,
            "processor_seconds": round(time.process_time() - started, 1),
        }])  # fmt: skip
        if time.monotonic() - began > 60 * args.minutes:
            break
    lines = list(read_jsonl(file))
    tell(lines, len(problems))
    if sum(line["of"] for line in lines) == len(problems) and args.freely:
        texts = tutor.write(problems[: args.freely])
        right = sum(tutor.judge(*pair)["valid"] for pair in zip(problems, texts, strict=False))
        print(f"written freely: {right} of {min(args.freely, len(problems))}")


def tell(lines: Sequence[dict[str, Any]], there_are: int) -> None:
    from aritmo.statistics import wilson

    of, right = (sum(line[name] for line in lines) for name in ("of", "right"))
    low, high = wilson(right, of)
    seconds = sum(line["processor_seconds"] for line in lines)
    print(f"{right:,} of {of:,} right ({100 * low:.4f} to {100 * high:.4f} %), {there_are:,} there are,")
    print(f"{seconds:,.0f} processor seconds, {of / seconds:.1f} problems a second")


def numbers(style: str) -> list[int]:
    """Return every number of the validation and test families below 10^6, in a drawn order."""
    from aritmo.numbers.randomness import digest, split_of

    held_out = [n for n in range(BELOW) if split_of("decomposition", str(n)) != "train"]
    return sorted(held_out, key=lambda n: digest("held out", style, n))


def sums(count: int, seed: int) -> list[Any]:
    """Return different sums of test families; the 144 pairs of lengths to 12 digits are as likely as each
    other."""
    from aritmo.tasks import TASKS, TaskOptions

    drawn = TASKS["addition"].problems("test", seed, 0, 2 * count, TaskOptions(max_digits=12))
    return list(dict.fromkeys(drawn))[:count]


class Tutor:
    """The shipped tutor in one style."""

    def __init__(self, style: str) -> None:
        from tokenizers import Tokenizer

        from aritmo.gpt2 import Gpt2
        from aritmo.shipped import shipped_folder
        from aritmo.tasks import TASKS

        folder = shipped_folder("tutor")
        self._model = Gpt2.open(folder)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._task, self._style = TASKS["addition" if style == "tutorial" else "decomposition"], style

    def wrong(self, problems: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the verdict on each problem that does not come out right."""
        failed = [problems[place] for place in self._differing(problems)]
        judged = (self.judge(*pair) for pair in zip(failed, self.write(failed), strict=True))
        return [verdict for verdict in judged if not verdict["valid"]]

    def judge(self, problem: Any, text: str) -> dict[str, Any]:
        """Return what the exact judge says of a text that was written freely."""
        verdict = self._task.judge(problem, text, self._style)
        return {"problem": self._task.key(problem), "valid": verdict.valid, "reasons": list(verdict.reasons)}

    def write(self, problems: Sequence[Any]) -> list[str]:
        """Return what the model writes freely, the likeliest token each time."""
        from aritmo.gpt2 import Text, write_greedily
        from aritmo.positions import lay_out

        texts = []
        for tokens, told in map(self._encoded, problems):
            layout = lay_out("", len(tokens), self._model.table)
            texts.append(Text(tokens, layout, min(layout.room, len(told) + 8)))
        return [self._tokenizer.decode(text) for text in write_greedily(self._model, texts)]

    def _encoded(self, problem: Any) -> tuple[list[int], list[int]]:
        """Return the tokens of the prompt and of the right text with its end."""
        parts = self._task.prompt(problem, self._style), self._task.completion(problem, self._style)
        prompt, told = (encoded.ids for encoded in self._tokenizer.encode_batch(list(parts)))
        return prompt, [*told, self._model.end]

    def _differing(self, problems: Sequence[Any]) -> Iterator[int]:
        """Yield the place of each problem where some token of the right text is not the likeliest one."""
        encoded = [self._encoded(problem) for problem in problems]

        def shape(place: int) -> tuple[int, int]:
            return len(encoded[place][0]), len(encoded[place][1])

        for (prompt, told), places in groupby(sorted(range(len(encoded)), key=shape), key=shape):
            alike, many = list(places), max(1, TOGETHER // (prompt + told))
            for some in (alike[start : start + many] for start in range(0, len(alike), many)):
                rows = [encoded[place][0] + encoded[place][1] for place in some]
                for place, right in zip(some, self._read(rows, told), strict=True):
                    if not right:
                        yield place

    def _read(self, rows: Sequence[Sequence[int]], told: int) -> list[bool]:
        """Return for each row whether each of its last ``told`` tokens is the likeliest one to follow."""
        import numpy as np

        from aritmo.gpt2 import Cache

        tokens = np.array(rows)
        length = tokens.shape[1] - 1
        cache = Cache(self._model, np.zeros(len(rows), dtype=np.int64), length)
        logits = self._model.read(tokens[:, :-1], np.arange(length)[None], cache, asked=told)
        right: list[bool] = (logits.argmax(-1) == tokens[:, -told:]).all(axis=1).tolist()
        return right


if __name__ == "__main__":
    main()
