"""A pool of worker processes that gives results in order, holds little, and never outlives its parent."""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

J = TypeVar("J")
R = TypeVar("R")


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """Map a function over jobs in ``count`` processes (0: in this one). Use as a context manager.

    Results come in the order of the jobs, and only a few jobs more than there are processes are in
    flight, so that memory stays bounded however long the iterable is.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool = (
            ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_begin_worker)
            if count
            else None
        )

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, function: Callable[[J], R], jobs: Iterable[J]) -> Iterator[R]:
        """Yield ``function(job)`` for each job, in order. A caller may stop early."""
        if self._pool is None:
            yield from map(function, jobs)
            return
        flying: deque[Future[R]] = deque()
        try:
            for job in jobs:
                flying.append(self._pool.submit(function, job))
                if len(flying) > 2 * self._count:
                    yield flying.popleft().result()
            while flying:
                yield flying.popleft().result()
        finally:
            for future in flying:
                future.cancel()


def _begin_worker() -> None:
    """Leave Ctrl-C and SIGTERM to the parent, and end when the parent does."""
    for stop in (signal.SIGINT, signal.SIGTERM):  # both may be sent to a whole group of processes
        signal.signal(stop, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
