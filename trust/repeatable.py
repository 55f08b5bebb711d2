"""Repeatable: the same words give the same bytes, whatever the process, the Python or the order of things."""

from trust.rows import Row

ROWS: list[Row] = []
