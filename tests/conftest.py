"""Settings for all tests: one profile, so that the same examples run everywhere."""

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.copies import Copies

os.environ.setdefault("HF_HUB_OFFLINE", "1")
settings.register_profile("aritmo", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("aritmo")

# What torch, transformers and three thousand tests hold would be gone through at each collection, a tenth of all
# time: there are fewer, and they pass over what stood before the first test.
gc.set_threshold(20_000, 20, 20)

# A shell that starts the tests with "&" lets them ignore Ctrl-C, and what they start would, too: a program that is
# told to stop by Ctrl-C has to hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copies]:
    """Return what begins programs that need torch at once, as copies of one process for all tests here."""
    copies = Copies(tmp_path_factory.mktemp("copies"))
    yield copies
    copies.close()
