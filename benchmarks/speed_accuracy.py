"""How accurate the speed model is: published measurements against it, row by row.

    python benchmarks/speed_accuracy.py --data FILE [--json] [--verbose]

FILE has the columns of a table of speeds (id, category, model, method, gpu, …; one measurement a row). Each row becomes
a job on its machine, in the habits of its program. Rows that cannot be mapped are listed with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from accuracy.setting import Unmapped
from throughput.figures import Result, estimate
from throughput.mapping import map_row
from throughput.report import as_json, as_text
from throughput.rows import read_speed_rows
from throughput.setting import Setting


def measure(path: Path) -> tuple[list[Result], list[Unmapped]]:
    """Every row of the file, estimated or with the reason why not."""
    mapped = [map_row(row) for row in read_speed_rows(path)]
    results = [estimate(each) for each in mapped if isinstance(each, Setting)]
    return results, [each for each in mapped if isinstance(each, Unmapped)]


def main() -> None:
    """Print the table, or the same as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a CSV file of measurements")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--verbose", action="store_true", help="every row by itself")
    options = parser.parse_args()
    if not options.data.is_file():
        parser.error(f"there is no file {options.data}")
    results, unmapped = measure(options.data)
    if options.json:
        print(json.dumps(as_json(results, unmapped), indent=2))
    else:
        print(as_text(results, unmapped, verbose=options.verbose))


if __name__ == "__main__":
    main()
