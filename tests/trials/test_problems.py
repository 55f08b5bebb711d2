"""The problems of experiments: different ones, of their split, whichever process draws them."""

import subprocess
import sys

from aritmo.numbers.randomness import split_of
from aritmo.trials.plans import Subject
from aritmo.trials.problems import draw
from aritmo.workers import Workers

SUMS = Subject("addition", "tutorial", 3, (20,), 4, 10)
NUMBERS = Subject("decomposition", "joined", 2, (20,), 4, 10)


def test_problems_are_different_and_of_their_split() -> None:
    with Workers(0) as workers:
        train, test = (draw(SUMS, 0, split, 200, workers) for split in ("train", "test"))
        assert len({problem.prompt for problem in train}) == 200
        for problems, split in ((train, "train"), (test, "test")):
            for problem in problems:
                a, b = sorted(map(int, problem.prompt.strip().split("+")))
                assert split_of("addition", f"{a}+{b}") == split
                assert sorted(problem.lengths) == sorted((len(str(a)), len(str(b))))
        everything = draw(NUMBERS, 0, "test", 1_000, workers)
    right = {n for n in range(100) if split_of("decomposition", str(n)) == "test"}
    assert {int(problem.prompt.split()[1]) for problem in everything} == right


def test_problems_are_the_same_however_many_processes_draw_them() -> None:
    with Workers(0) as here, Workers(2) as there:
        assert draw(SUMS, 3, "train", 50, here) == draw(SUMS, 3, "train", 50, there)


def test_a_process_that_draws_needs_no_torch() -> None:
    code = "import sys, aritmo.trials.problems; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
