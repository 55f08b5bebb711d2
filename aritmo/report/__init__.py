"""The report: one self-contained HTML page on what runs did, what they learned and what they copied."""

from aritmo.report.page import Run, named, write_page, write_report
from aritmo.report.words import verdict_line, verdict_lines

__all__ = ["Run", "named", "verdict_line", "verdict_lines", "write_page", "write_report"]
