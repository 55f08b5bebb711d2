"""aritmo teaches language models numbers and proves whether they learned or copied."""

import sys
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Show verifiers, which loads environments and tasksets by the name of a package, what it looks for here."""
    if name == "load_environment":
        from aritmo.bridges.verifiers import load_environment

        return load_environment
    if name == "AritmoTaskset":
        from aritmo.bridges.verifiers_taskset import AritmoTaskset

        return AritmoTaskset
    if name == "__all__" and "verifiers.v1" in sys.modules:
        return ["AritmoTaskset"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
