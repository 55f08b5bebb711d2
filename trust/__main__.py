"""Print the table of what aritmo promises: ``python -m trust [--small] [--out FOLDER] [ROW...]``."""

import argparse
import sys
from pathlib import Path

from aritmo.workers import cores
from trust.rows import Size
from trust.table import choose, print_rows, total_of, write_table


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m trust",
        description="Check what aritmo promises, row by row. Exit code 1: one does not hold.",
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows or groups to check; all where none is named")
    parser.add_argument("--small", action="store_true", help="the same checks on a small scale, in seconds")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write the table there, too, in a dated file")
    parser.add_argument("--workers", type=int, default=cores(), help="processes at once (all cores)")
    parser.add_argument("--seed", type=int, default=0, help="draws the cases")
    parser.add_argument("--list", action="store_true", help="name the rows and what they aim at, check nothing")
    given = parser.parse_args()
    try:
        rows = choose(given.rows)
    except ValueError as error:
        print(f"trust: {error}", file=sys.stderr)
        return 2
    if given.list:
        print("\n".join(f"{row.group}: {row.name}: {row.aim}" for row in rows))
        return 0
    size = Size(not given.small, given.workers, given.seed)
    results = print_rows(rows, size, lambda line: print(line, flush=True))
    failed = [result.row.name for result in results if not result.figure.holds]
    print(f"\n{len(results) - len(failed)} of {len(results)} rows hold; {total_of(results)}")
    if given.out:
        print(write_table(given.out, results, size))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
