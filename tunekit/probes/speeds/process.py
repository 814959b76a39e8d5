"""One measurement as a process: what it is told, and the JSON that it leaves behind. Imports no torch."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tunekit.hardware.probing import Options, Result


def run_measurement(
    argv: Sequence[str], measurements: Mapping[str, Callable[[Options], Result]], *, module: str
) -> int:
    """Measure what the command line names and write its JSON; 0, or 1 with one line on stderr that says why not."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("name", choices=sorted(measurements))
    parser.add_argument("--result", required=True, help="where the JSON is written; empty for ranks that write none")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--free-bytes", type=int, default=2**28)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--adam-op", default="")
    parser.add_argument("--plan", type=Path, default=Path())
    parser.add_argument("--ops", default="")
    given = vars(parser.parse_args(argv))
    name, result = given.pop("name"), given.pop("result")
    try:
        found = measurements[name](Options(**given))
    except Exception as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", file=sys.stderr)
        return 1
    if result:
        Path(result).write_text(json.dumps(found), encoding="utf-8")
    return 0
