"""The judge: nothing wrong is taken for right, nothing right for wrong, and no text makes it fail or hang."""

from trust.rows import Row

ROWS: list[Row] = []
