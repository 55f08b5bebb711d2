"""How soon a first step of each kind of question comes in the playground, and the last one.

Run ``python benchmarks/playground.py``. Seconds that pass, and processor seconds, of what the server does: the
page is sent a view as soon as there is one. What many clients at once cost is a row of ``make trust``.
"""

import os
import time

FIRST = (
    ("8292+29039, step by step", "add", ("8292+29039", "steps")),
    ("1,000 digits + 1, at once", "add", ("9" * 1000 + "+1", "long")),
    ("3 x 3 around 263", "search", ("centre_3", "263", 1)),
    ("3 x 3, any", "search", ("any_3", "", 1)),
    ("nested 5 x 5 around 1607", "search", ("centre_5", "1607", 1)),
    ("nested 7 x 7 around 1607", "search", ("centre_7", "1607", 1)),
    ("is 7919 prime", "ask_prime", ("7919",)),
)


def first_views() -> None:
    """Print how long each kind of question takes until its first view, and until its last."""
    from aritmo.play.desk import Desk

    began = time.perf_counter()
    desk = Desk()
    print(f"models opened in {time.perf_counter() - began:.2f} s")
    print(f"{'question':<28}  {'first, s':>8}  {'processor':>9}  {'all, s':>7}  {'processor':>9}")
    for name, method, words in FIRST:
        wall, used = time.perf_counter(), time.process_time()
        views = getattr(desk, method)("en", *words, lambda: True)
        next(views)
        first = time.perf_counter() - wall, time.process_time() - used
        for _ in views:
            pass
        whole = time.perf_counter() - wall, time.process_time() - used
        print(f"{name:<28}  {first[0]:8.3f}  {first[1]:9.3f}  {whole[0]:7.2f}  {whole[1]:9.2f}")


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read by numpy when it is imported
    first_views()
