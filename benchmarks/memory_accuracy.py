"""How accurate the memory model is: published measurements against it and against other tools, row by row.

    python benchmarks/memory_accuracy.py --data FILE [--json] [--verbose] [--no-peers]

FILE has the columns of a table of measurements (row_id, framework, model, method, …; one measurement a row). Each row
becomes a job, which is estimated in the way its figure was read. Rows that cannot be mapped are listed with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from accuracy.estimating import estimate
from accuracy.figures import Result
from accuracy.mapping import map_row
from accuracy.peers import peer_estimates
from accuracy.report import as_json, as_text
from accuracy.rows import read_rows
from accuracy.setting import Setting, Unmapped


def measure(path: Path, *, peers: bool = True) -> tuple[list[Result], list[Unmapped]]:
    """Every row of the file, estimated or with the reason why not."""
    mapped = [map_row(row) for row in read_rows(path)]
    settings: list[Setting] = [each for each in mapped if isinstance(each, Setting)]
    others = peer_estimates(settings) if peers else [{} for _ in settings]
    results = [
        Result(setting=setting, estimate=estimate(setting), peers=said)
        for setting, said in zip(settings, others, strict=True)
    ]
    return results, [each for each in mapped if isinstance(each, Unmapped)]


def main() -> None:
    """Print the table, or the same as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a CSV file of measurements")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--verbose", action="store_true", help="every row by itself")
    parser.add_argument("--no-peers", action="store_true", help="without the other tools, which is faster")
    options = parser.parse_args()
    if not options.data.is_file():
        parser.error(f"there is no file {options.data}")
    results, unmapped = measure(options.data, peers=not options.no_peers)
    if options.json:
        print(json.dumps(as_json(results, unmapped), indent=2))
    else:
        print(as_text(results, unmapped, verbose=options.verbose))


if __name__ == "__main__":
    main()
