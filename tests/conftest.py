"""Settings for all tests: one profile, so that the same examples run everywhere."""

import os
import signal

from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
settings.register_profile("aritmo", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("aritmo")

# A shell that starts the tests with "&" lets them ignore Ctrl-C, and what they start would, too: a program that is
# told to stop by Ctrl-C has to hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
