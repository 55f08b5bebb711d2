"""The rows of ``make trust`` on a small scale: each holds, and a row that does not is told."""

from pathlib import Path

import pytest

from trust.rows import Figure, Row, Size
from trust.table import ROWS, check, choose, print_rows, write_table

SMALL = Size(full=False)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_holds_on_a_small_scale(row: Row) -> None:
    if row.needs:
        pytest.importorskip(row.needs)
    result = check(row, SMALL)
    assert result.figure.holds, [result.figure.shown, *result.figure.details]


def test_a_row_that_fails_to_run_does_not_hold(tmp_path: Path) -> None:
    rows = [
        Row("group", "broken", "never", lambda size: Figure(str(1 // 0), True)),
        Row("group", "sound", "always", lambda size: Figure("1 | 1", True)),
    ]
    lines: list[str] = []
    results = print_rows(rows, SMALL, lines.append)
    assert [result.figure.holds for result in results] == [False, True]
    assert any("ZeroDivisionError" in line for line in lines)
    page = write_table(tmp_path, results, SMALL).read_text()
    assert "1 of 2 rows hold" in page
    assert r"1 \| 1" in page


def test_rows_have_names_of_their_own() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert choose([]) == ROWS
    with pytest.raises(ValueError, match="no row or group 'nothing'"):
        choose(["nothing"])
