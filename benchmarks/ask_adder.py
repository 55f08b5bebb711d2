"""The shipped adder's own decoder (numpy) beside transformers' ``generate`` of the same model, on a CPU or a GPU.

Run ``python benchmarks/ask_adder.py``, and with ``--wall`` for the seconds that pass on an idle machine, with all
cores at work. Without it times are processor seconds of one thread. The best of the repeats is shown. ``generate``
knows no coupled position ids, so a subclass hands them to it; sums of like length stand in one batch for both.
Each text that is not the right one is counted. With ``--gpu`` both write on a GPU in fp32, ours by
``aritmo.sampling``, which is what ``aritmo sample`` uses there; a first, short call of each is not timed.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

SETS = ((1, 20, 5), (100, 20, 3), (1000, 20, 2), (8, 200, 2), (4, 1000, 1))
"""How many sums, of how many digits, how often."""
GPU_SETS = ((1000, 20, 2), (1000, 200, 2), (500, 1000, 1))
BATCH = 250
COMMAND = [sys.executable, "-m", "aritmo", "ask", "addition", "82923242342343243242+29039432432432432432"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wall", action="store_true", help="measure time that passes, on every core")
    parser.add_argument("--gpu", action="store_true", help="write on a GPU")
    args = parser.parse_args()
    wall = args.wall or args.gpu
    # Read by numpy when it is imported: rows are shared out among threads, not the products of one.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    import torch

    from aritmo.workers import cores

    clock = time.perf_counter if wall else time.process_time
    used = cores() if wall else 1
    torch.set_num_threads(used)
    product = open_on_gpu() if args.gpu else open_product(used)
    generate = open_generate("cuda" if args.gpu else "cpu")
    where = torch.cuda.get_device_name() if args.gpu else f"{used} threads"
    print(f"{'seconds that pass' if wall else 'processor seconds'}, {where}, torch {torch.__version__}")
    print(f"{'work':<28}  {'aritmo':>8}  {'generate':>8}  ratio")
    for count, digits, repeats in GPU_SETS if args.gpu else SETS:
        sums = draw(count, digits)
        for write in (product, generate) if args.gpu else ():
            write(sums[:20])
        times: dict[str, float] = {}
        for name, write in (("aritmo", product), ("generate", generate)):
            times[name] = min(measure(write, sums, clock) for _ in range(repeats))
        work = f"{count:,} sums of {digits:,} digits"
        ours, theirs = times["aritmo"], times["generate"]
        print(f"{work:<28}  {ours:8.3f}  {theirs:8.3f}  {theirs / ours:5.2f}")
    if args.gpu:
        return
    began = time.perf_counter()
    subprocess.run(COMMAND, check=True, capture_output=True)
    print(f"aritmo ask, one sum of 20 digits, start to end: {time.perf_counter() - began:.2f} s pass")


def draw(count: int, digits: int) -> list[tuple[int, int]]:
    rng = random.Random(f"{count}:{digits}")
    least, end = 10 ** (digits - 1), 10**digits
    return [(rng.randrange(least, end), rng.randrange(least, end)) for _ in range(count)]


def measure(
    write: Callable[[Sequence[tuple[int, int]]], list[str]],
    sums: Sequence[tuple[int, int]],
    clock: Callable[[], float],
) -> float:
    began = clock()
    texts = write(sums)
    seconds = clock() - began
    wrong = sum(text != str(a + b)[::-1] for text, (a, b) in zip(texts, sums, strict=True))
    if wrong:
        print(f"  {wrong} of {len(sums)} wrong")
    return seconds


def open_product(threads: int) -> Callable[[Sequence[tuple[int, int]]], list[str]]:
    from tokenizers import Tokenizer

    from aritmo.gpt2 import Gpt2, Text, write_greedily
    from aritmo.positions import lay_out
    from aritmo.shipped import shipped_folder

    folder = shipped_folder("adder")
    model, tokenizer = Gpt2.open(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))

    def write(sums: Sequence[tuple[int, int]]) -> list[str]:
        texts = []
        for a, b in sums:
            prompt = f"${a}+{b}="
            layout = lay_out(prompt, len(prompt), model.table, model.ids_a_place)
            texts.append(Text(tokenizer.encode(prompt).ids, layout, len(prompt)))
        return [tokenizer.decode(tokens) for tokens in write_greedily(model, texts, threads)]

    return write


def open_on_gpu() -> Callable[[Sequence[tuple[int, int]]], list[str]]:
    from aritmo.choosing import SamplingConfig
    from aritmo.models import open_model
    from aritmo.sampling import write as write_texts

    model, tokenizer = open_model("adder", context=2, device="cuda")

    def write(sums: Sequence[tuple[int, int]]) -> list[str]:
        prompts = [f"${a}+{b}=" for a, b in sums]
        config = SamplingConfig(max_new_tokens=2 + max(len(str(a + b)) for a, b in sums), batch_size=1_000)
        return [text.text for text in write_texts(model, tokenizer, prompts, config, progress=False)]

    return write


def open_generate(device: str) -> Callable[[Sequence[tuple[int, int]]], list[str]]:
    import torch
    from transformers import GPT2LMHeadModel

    from aritmo.models import open_model
    from aritmo.positions import lay_out

    class Coupled(GPT2LMHeadModel):  # type: ignore[misc]
        """Gives ``generate`` the position ids of the prompts, and from then on each row's next ones."""

        ids: torch.Tensor

        def prepare_inputs_for_generation(self, input_ids: torch.Tensor, **kwargs: object) -> dict[str, object]:
            inputs: dict[str, object] = super().prepare_inputs_for_generation(input_ids, **kwargs)
            ahead = input_ids.shape[1] - self.ids.shape[1]
            inputs["position_ids"] = self.ids if ahead == 0 else self.ids[:, -1:] + 3 * ahead
            return inputs

    model, tokenizer = open_model("adder", context=2, device=device)
    model.__class__ = Coupled

    def write(sums: Sequence[tuple[int, int]]) -> list[str]:
        texts: list[str] = []
        for start in range(0, len(sums), BATCH):
            prompts = [f"${a}+{b}=" for a, b in sums[start : start + BATCH]]
            places = [lay_out(p, len(p), model.config.n_positions, 3).ids for p in prompts]
            model.ids = torch.tensor(places, device=device)
            inputs = tokenizer(prompts, return_tensors="pt").to(device)
            length = inputs.input_ids.shape[1]
            with torch.inference_mode():
                written = model.generate(**inputs, do_sample=False, max_new_tokens=length)
            rows = tokenizer.batch_decode(written[:, length:])
            texts += [row.partition(tokenizer.eos_token)[0] for row in rows]
        return texts

    return write


if __name__ == "__main__":
    main()
