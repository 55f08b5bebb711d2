"""Rows on safety."""

from trust.rows import Row

ROWS: list[Row] = []
