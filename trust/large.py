"""Rows on size."""

from trust.rows import Row

ROWS: list[Row] = []
