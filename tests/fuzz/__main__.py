"""`python -m fuzz [--loads N] [--plans N] [--first SEED]` from `tests/`: so many recipes, and what came of them.

Every case has a number; a case that is found is printed with it, and `--loads 1 --plans 0 --first NUMBER` repeats it.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from random import Random

from fuzz.judging import JUDGES, Found
from fuzz.mutating import Case, tame, wild

MEMORY_BYTES = 4 * 2**30
"""A recipe that makes the process larger than this is found too."""
_SHOWN = 20


def main() -> int:
    """0: every case was refused clearly or planned."""
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("--loads", type=int, default=100_000)
    parser.add_argument("--plans", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    faults = run("loader", wild, range(asked.first, asked.first + asked.loads))
    faults += run("planner", tame, range(asked.first, asked.first + asked.plans))
    return 1 if faults else 0


def run(judge: str, make: Callable[[Random], Case], seeds: range) -> int:
    """The number of cases found, after one line that counts what came of all."""
    outcomes: Counter[str] = Counter()
    started, slowest = time.monotonic(), (0.0, -1)
    for seed in seeds:
        case = make(Random(seed))
        before = time.monotonic()
        try:
            outcomes[JUDGES[judge](case)] += 1
        except Found as found:
            outcomes["FOUND"] += 1
            if outcomes["FOUND"] <= _SHOWN:
                print(f"{judge}, case {seed}: {str(found)[:3000]}", file=sys.stderr, flush=True)
        slowest = max(slowest, (time.monotonic() - before, seed))
    if seeds:
        said = ", ".join(f"{count:,} {name}" for name, count in sorted(outcomes.items()))
        seconds = time.monotonic() - started
        worst = f"slowest {slowest[0]:.2f} s (case {slowest[1]})"
        print(f"{judge}: {len(seeds):,} cases from {seeds[0]}: {said}; {seconds:.0f} s, {worst}", flush=True)
    return outcomes["FOUND"]


if __name__ == "__main__":
    raise SystemExit(main())
