"""How fast the commands that start nothing answer: wall time of fresh processes, median of several, as a table.

    python benchmarks/startup.py [--runs 7] [--json]

Budgets: `import tunekit` 0.1 s, `--help` 0.3 s, `plan` of the 34B recipe 1 s, on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

CASES: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("python -c pass", ("-c", "pass"), 0.1),
    ("import tunekit", ("-c", "import tunekit"), 0.1),
    ("tunekit --help", ("-m", "tunekit", "--help"), 0.3),
    ("tunekit recipes", ("-m", "tunekit", "recipes"), 1.0),
    ("tunekit hardware", ("-m", "tunekit", "hardware"), 1.0),
    ("tunekit plan codellama34b_qlora", ("-m", "tunekit", "plan", "codellama34b_qlora"), 1.0),
    ("tunekit plan codellama34b_qlora --json", ("-m", "tunekit", "plan", "codellama34b_qlora", "--json"), 1.0),
    ("tunekit plan codellama34b_full", ("-m", "tunekit", "plan", "codellama34b_full"), 1.0),
    (
        "tunekit launch codellama34b_qlora --dry-run",
        ("-m", "tunekit", "launch", "codellama34b_qlora", "--dry-run"),
        1.5,
    ),
)


def main() -> None:
    """Measure and print; exit 1 when a median is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [(name, budget, *measured(argv, options.runs)) for name, argv, budget in CASES]
    if options.json:
        print(json.dumps([dict(zip(("name", "budget", "median", "best"), row, strict=True)) for row in rows], indent=2))
    else:
        print_table(rows, options.runs)
    sys.exit(any(median > budget for _, budget, median, _ in rows))


def measured(argv: tuple[str, ...], runs: int) -> tuple[float, float]:
    """Median and best wall seconds of fresh processes, after one that warms the file cache."""
    seconds = [once(argv) for _ in range(runs + 1)][1:]
    return statistics.median(seconds), min(seconds)


def once(argv: tuple[str, ...]) -> float:
    """Wall seconds of one process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - start


def print_table(rows: list[tuple[str, float, float, float]], runs: int) -> None:
    """The rows as a Markdown table."""
    print(f"Wall seconds of {runs} fresh processes, Python {sys.version.split()[0]}, {os.cpu_count()} cores\n")
    print("| command | median | best | budget |\n|---|--:|--:|--:|")
    for name, budget, median, best in rows:
        print(f"| `{name}` | {median:.3f} | {best:.3f} | {budget:.1f}{' EXCEEDED' if median > budget else ''} |")


if __name__ == "__main__":
    main()
