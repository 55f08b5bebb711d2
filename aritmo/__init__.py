"""aritmo teaches language models numbers and proves whether they learned or copied."""

__version__ = "0.1.0"
