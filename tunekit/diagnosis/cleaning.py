"""What others put around the lines of a log: colours of terminals, and the times of those who collect output."""

from __future__ import annotations

import re

_UNSEEN = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])?"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
"""Escape sequences of ECMA-48 (colours, cursor, titles), and control characters other than tab, newline and return."""
_COLLECTED = re.compile(
    r"(?:(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?[+-]\d\d:?\d\d)"
    r" \S+ [\w./@+-]+(?:\[\d+\])?:"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,9}(?:Z|[+-]\d\d:\d\d))(?: |$)"
)
"""`Nov 23 08:00:01 box python[123]: ` of journalctl, or an ISO time; `2026-11-23T08:00:01.123456789Z ` of docker."""


def plain(text: str) -> str:
    """A text without what a terminal would not show but obey."""
    return _UNSEEN.sub("", text)


def as_written(line: str) -> str:
    """A line as its program wrote it, without the time that journalctl or `docker logs -t` puts before it."""
    match = _COLLECTED.match(line)
    return line if match is None else line[match.end() :]
