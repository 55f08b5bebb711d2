"""The report: one self-contained HTML page on what a run did, what it learned and what it copied."""

from aritmo.report.page import write_report
from aritmo.report.words import verdict_lines

__all__ = ["verdict_lines", "write_report"]
