"""Bridges to the tools that people already train and measure with; each is an extra of its own.

What stands outside aritmo gets its problems from here, by the same splits, and its scores, by the same judge.
"""

from importlib.util import find_spec

_EXTRAS = {
    "datasets": "datasets",
    "gguf": "gguf",
    "inspect_ai": "inspect",
    "lm_eval": "lm-eval",
    "reasoning_gym": "reasoning-gym",
    "trl": "trl",
    "verifiers": "verifiers",
}


def need(package: str, what: str) -> None:
    """Raise ValueError, naming the extra that brings it, unless a package is installed; ``what`` needs it."""
    if find_spec(package) is None:
        raise ValueError(f"{what} needs {_remedy(package)}")


def missing(package: str, otherwise: str = "") -> ImportError:
    """Return the error, one sentence, that a bridge raises when it is imported and its package is not there.

    Where the package is there, ``otherwise`` says why it does not serve.
    """
    if otherwise and find_spec(package):
        return ImportError(otherwise)
    return ImportError(f"this bridge needs {_remedy(package)}")


def _remedy(package: str) -> str:
    return f"{package}, which is not installed: run «pip install 'aritmo[{_EXTRAS[package]}]'»"
