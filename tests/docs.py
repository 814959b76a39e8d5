"""Blocks in README.md that follow `<!-- output: COMMAND -->` are the command's own output; this script writes them.

`| first N lines, then from TEXT` after the command shows the beginning, and all from the line that starts with TEXT.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"<!-- output: (?P<command>.+?) -->\n```(?P<language>\w*)\n(?P<text>.*?)```", re.DOTALL)
SHORTENED = re.compile(r" \| first (\d+) lines, then from (.+)$")


@dataclass(frozen=True, slots=True)
class Block:
    """One block of output in a page."""

    command: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    for match in BLOCK.finditer(page):
        yield Block(match["command"], match["text"])


def output_of(command: str) -> str:
    """What the command prints on a page of 80 columns, shortened where it says so."""
    short = SHORTENED.search(command)
    words = SHORTENED.sub("", command).split()
    assert words[0] == "tunekit", command
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    ran = subprocess.run(
        [sys.executable, "-m", "tunekit", *words[1:]],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode in (0, 3), ran.stderr
    lines = [line.rstrip() for line in ran.stdout.splitlines()]
    if short:
        again = next(number for number, line in enumerate(lines) if line.startswith(short[2]))
        lines = [*lines[: int(short[1])], "", "…", "", *lines[again:]]
    return "".join(f"{line}\n" for line in lines)


def rewritten(page: str) -> str:
    """The page with every block written anew."""

    def fill(match: re.Match[str]) -> str:
        text = output_of(match["command"])
        return f"<!-- output: {match['command']} -->\n```{match['language']}\n{text}```"

    return BLOCK.sub(fill, page)


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text(encoding="utf-8")), encoding="utf-8")
