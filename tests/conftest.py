"""Settings for all tests: one profile, so that the same examples run everywhere."""

import os

from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
settings.register_profile("aritmo", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("aritmo")
