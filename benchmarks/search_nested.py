"""Measure the search for prime magic squares on one core, beside OR-tools CP-SAT on the same jobs.

Run: python benchmarks/search_nested.py. CP-SAT (``pip install ortools``) takes part where it is installed. It gets
the same job as a model: cells from the primes that may stand there, all different, all lines of every nested
square of the right sum; one worker, a few seconds, once with a new seed for every square and once going on from
square to square, so that neighbours have most cells in common. Of order 3 it gets one centre, aritmo all.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aritmo.cli.output import print_table
from aritmo.numbers.cores import draw_cores
from aritmo.numbers.primes import primes_below
from aritmo.numbers.rings import draw_odd, offsets, surround
from aritmo.numbers.search import count_order3
from aritmo.numbers.squares import canonical_many, check_square
from aritmo.progress import rate

Squares = NDArray[np.int64]

_CENTRE = 5_003
_LARGER = 30_011
_PAIR_SUM = 10_000
_BELOW = 100_000
_REPEATS = 3
_CHECKED = 500
_SECONDS = 5.0
_LARGE = "from aritmo.numbers.rings import draw_odd; draw_odd(700_001, 101, 1, 1)"


def _cp_model() -> Any:
    return import_module("ortools.sat.python.cp_model")


def _order6(count: int, seed: int) -> Squares:
    return surround(_PAIR_SUM, draw_cores(_PAIR_SUM, count, seed, core=True), 6, count, seed)


def _on_ready_cores(cores: Squares, count: int, seed: int) -> Squares:
    return surround(_PAIR_SUM, cores, 6, count, seed)


def _nested(centre: int, order: int, count: int, seed: int) -> Squares:
    return draw_odd(centre, order, count, seed)


def _plain4(below: int, count: int, seed: int) -> Squares:
    return draw_cores(_PAIR_SUM, count, seed, below=below)


def _checked(squares: Squares, nested: bool) -> int:
    """Return how many squares differ up to symmetry, after a look at some of them."""
    assert all(check_square(square, nested=nested).valid for square in squares[:_CHECKED])
    flat = canonical_many(squares).reshape(len(squares), -1)
    return len(np.unique(np.ascontiguousarray(flat).view(f"V{flat.shape[1] * 8}")))


def _ours(draw: Callable[[int, int], Squares], count: int, nested: bool) -> float:
    """Return different squares a second of processor time, the best of a few draws."""
    draw(10, 0)  # compiles, or loads what was compiled before
    best = 0.0
    for seed in range(1, _REPEATS + 1):
        began = time.process_time()
        squares = draw(count, seed)
        seconds = time.process_time() - began
        best = max(best, _checked(squares, nested) / seconds)
    return best


def _model(order: int, values: list[int], total: int, nested: bool) -> tuple[Any, list[Any]]:
    """Return a CP-SAT model of a square, nested or plain, and its cells."""
    cp_model = _cp_model()
    model = cp_model.CpModel()
    domain = cp_model.Domain.from_values(values)
    cells = [model.new_int_var_from_domain(domain, f"cell{i}") for i in range(order * order)]
    grid = np.array(cells, dtype=object).reshape(order, order)
    model.add_all_different(cells)
    core = 4 - order % 2
    for size in range(core, order + 1, 2) if nested else [order]:
        low = (order - size) // 2
        inner = grid[low : low + size, low : low + size]
        lines = [*inner, *inner.T, np.diagonal(inner), np.diagonal(inner[:, ::-1])]
        for line in lines:
            model.add(sum(line.tolist()) * order == total * size)
    return model, cells


def _solver(seed: int) -> Any:
    solver = _cp_model().CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    solver.parameters.max_time_in_seconds = _SECONDS
    return solver


def _reseeded(model: Any, cells: list[Any]) -> float:
    """Return squares a second, each from a new seed and with random branching."""
    found: set[tuple[int, ...]] = set()
    began = time.perf_counter()
    seed = 0
    while time.perf_counter() - began < _SECONDS:
        seed += 1
        solver = _solver(seed)
        solver.parameters.randomize_search = True
        if solver.status_name(solver.solve(model)) in ("OPTIMAL", "FEASIBLE"):
            found.add(tuple(solver.value(cell) for cell in cells))
    return len(found) / (time.perf_counter() - began)


def _enumerated(model: Any, cells: list[Any]) -> float:
    """Return squares a second of one search that goes on from each square to the next."""

    class Count(_cp_model().CpSolverSolutionCallback):  # type: ignore[misc]
        found = 0

        def on_solution_callback(self) -> None:
            self.found += 1

    solver, count = _solver(1), Count()
    solver.parameters.enumerate_all_solutions = True
    began = time.perf_counter()
    solver.solve(model, count)
    return count.found / (time.perf_counter() - began)


def _peer(order: int, values: list[int], total: int, nested: bool = True) -> tuple[str, str]:
    """Return what CP-SAT reaches, reseeded and enumerating, as text."""
    try:
        _cp_model()
    except ImportError:
        return "not installed", "not installed"
    model, cells = _model(order, values, total, nested)
    return rate(_reseeded(model, cells)), rate(_enumerated(model, cells))


def _cells(half: int) -> list[int]:
    found = offsets(half)
    return sorted([*(half - found).tolist(), *(half + found).tolist()])


def _large() -> float:
    """Return the seconds of a process that draws one square of order 101, compiled code on disk."""
    subprocess.run([sys.executable, "-c", _LARGE], check=True)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _LARGE], check=True)
    return time.perf_counter() - began


def _order3() -> float:
    """Return squares a second of an exhaustive count."""
    count_order3(1_000)
    began = time.process_time()
    squares = count_order3(_BELOW)
    return squares / (time.process_time() - began)


def main() -> None:
    prime = primes_below(2 * _PAIR_SUM).tolist()
    odd = [*_cells(_CENTRE), _CENTRE]
    rows = [(f"order 3, all below {_BELOW:,}, counted", rate(_order3()), *_peer(3, odd, 3 * _CENTRE))]
    for order, count in ((5, 300_000), (7, 200_000), (9, 100_000), (11, 50_000)):
        ours = _ours(partial(_nested, _CENTRE, order), count, True)
        rows.append((f"order {order}, centre {_CENTRE:,}", rate(ours), *_peer(order, odd, order * _CENTRE)))
    ours = _ours(partial(_nested, _LARGER, 25), 2_000, True)
    rows.append((f"order 25, centre {_LARGER:,}", rate(ours), "", ""))
    below = [p for p in prime if p < _PAIR_SUM]
    ours = _ours(partial(_plain4, _PAIR_SUM), 100_000, False)
    rows.append(
        (
            f"order 4, pair sum {_PAIR_SUM:,}, cells below it",
            rate(ours),
            *_peer(4, below, 2 * _PAIR_SUM, nested=False),
        )
    )
    ours = _ours(partial(_plain4, 0), 100_000, False)
    rows.append((f"order 4, pair sum {_PAIR_SUM:,}, any cells", rate(ours), "", ""))
    rows.append(
        (f"order 6, pair sum {_PAIR_SUM:,}", rate(_ours(_order6, 100_000, True)), *_peer(6, below, 3 * _PAIR_SUM))
    )
    ready = draw_cores(_PAIR_SUM, 20_000, 1, core=True)
    ours = _ours(partial(_on_ready_cores, ready), 300_000, True)
    rows.append((f"order 6, pair sum {_PAIR_SUM:,}, on 20,000 ready cores", rate(ours), "", ""))
    print_table(("job", "aritmo", "CP-SAT reseeded", "CP-SAT enumerating"), rows)
    print(f"one square of order 101, a process of its own: {_large():.2f} s")


if __name__ == "__main__":
    main()
