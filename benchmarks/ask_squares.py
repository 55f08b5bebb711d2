"""The shipped squares model on a CPU: seconds a square, with and without a guess of its text, beside transformers.

Run ``python benchmarks/ask_squares.py``; times are processor seconds of one thread. With ``--generate``
transformers' ``generate`` writes the same texts one by one, and with ``--centres FILE`` the centres are read from
there, one a line. Every text must be the same token for token, and how many squares are valid is counted.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

CENTRES = (263, 839, 1913, 2557, 4999, 1607)
MOST = 5200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generate", action="store_true", help="also let transformers write")
    parser.add_argument("--centres", type=Path, help="a file with one centre a line")
    args = parser.parse_args()
    # Read by numpy when it is imported: the times are those of one thread.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    from aritmo.tasks.squares import Square, Squares, Wanted

    centres = list(map(int, args.centres.read_text().split())) if args.centres else CENTRES
    task = Squares()
    problems = [Square(0, wanted=Wanted(centre=centre)) for centre in centres]
    prompts = [task.prompt(problem, "tutorial") for problem in problems]
    right = [task.completion(problem, "tutorial") for problem in problems]
    ways = {"with a guess": open_numpy(right), "without a guess": open_numpy(None)}
    if args.generate:
        ways["transformers' generate"] = open_generate()
    print(f"{'way':<22}  {'seconds':>8}  {'a square':>8}  valid")
    texts = {}
    for name, write in ways.items():
        began = time.process_time()
        texts[name] = write(prompts)
        seconds = time.process_time() - began
        verdicts = [task.judge(*pair, "tutorial") for pair in zip(problems, texts[name], strict=True)]
        valid = sum(verdict.valid for verdict in verdicts)
        print(f"{name:<22}  {seconds:8.2f}  {seconds / len(centres):8.3f}  {valid} of {len(centres)}")
    first, *others = texts.values()
    assert all(other == first for other in others), "a way wrote another text"


def open_numpy(guesses: Sequence[str] | None) -> Callable[[Sequence[str]], list[str]]:
    from tokenizers import Tokenizer

    from aritmo.llama import Llama, Text, write_texts
    from aritmo.shipped import shipped_folder

    folder = shipped_folder("squares")
    model, tokenizer = Llama.open(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))

    def text(place: int, prompt: str) -> Text:
        known = [*tokenizer.encode(guesses[place]).ids, model.end] if guesses else []
        return Text(tokenizer.encode(prompt).ids, MOST, lambda written: known[len(written) :])

    def write(prompts: Sequence[str]) -> list[str]:
        written = write_texts(model, [text(*one) for one in enumerate(prompts)])
        return [tokenizer.decode(tokens) for tokens in written]

    return write


def open_generate() -> Callable[[Sequence[str]], list[str]]:
    import torch

    from aritmo.models import open_model

    torch.set_num_threads(1)
    model, tokenizer = open_model("squares", context=2)

    def write(prompts: Sequence[str]) -> list[str]:
        texts = []
        for prompt in prompts:
            inputs = tokenizer(prompt, return_tensors="pt")
            length = inputs.input_ids.shape[1]
            with torch.inference_mode():
                written = model.generate(**inputs, do_sample=False, max_new_tokens=MOST)
            texts.append(tokenizer.decode(written[0, length:]).removesuffix(tokenizer.eos_token))
        return texts

    return write


if __name__ == "__main__":
    main()
