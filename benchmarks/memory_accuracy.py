"""How accurate the memory model is: published measurements against it and against other tools, row by row.

    python benchmarks/memory_accuracy.py --data FILE [--json] [--verbose] [--no-peers] [--write-page [PAGE]]

FILE has the columns of a table of measurements (row_id, framework, model, method, …; one measurement a row). Each row
becomes a job, which is estimated in the way its figure was read. Rows that cannot be mapped are listed with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from accuracy.estimating import estimate
from accuracy.figures import Result
from accuracy.mapping import map_row
from accuracy.page import as_markdown
from accuracy.peers import peer_estimates
from accuracy.report import as_json, as_text
from accuracy.rows import read_rows
from accuracy.setting import Setting, Unmapped
from pages import MEMORY_PAGE, put

ROWS_AT_ONCE = 16


def measure(path: Path, *, peers: bool = True) -> tuple[list[Result], list[Unmapped]]:
    """Every row of the file, estimated or with the reason why not."""
    mapped = [map_row(row) for row in read_rows(path)]
    settings: list[Setting] = [each for each in mapped if isinstance(each, Setting)]
    with ProcessPoolExecutor() as pool:
        # DeepSpeed takes its time to start, and rows of one table follow each other and share replays.
        asked = pool.submit(peer_estimates, settings if peers else [])
        estimates = list(pool.map(estimate, settings, chunksize=ROWS_AT_ONCE))
        others = asked.result() if peers else [{} for _ in settings]
    results = [
        Result(setting=setting, estimate=guess, peers=said)
        for setting, guess, said in zip(settings, estimates, others, strict=True)
    ]
    return results, [each for each in mapped if isinstance(each, Unmapped)]


def main() -> None:
    """Print the table, or the same as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a CSV file of measurements")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--verbose", action="store_true", help="every row by itself; with --json all figures")
    parser.add_argument("--no-peers", action="store_true", help="without the other tools, which is faster")
    parser.add_argument("--write-page", type=Path, nargs="?", const=MEMORY_PAGE, help="put the table into the page")
    options = parser.parse_args()
    if not options.data.is_file():
        parser.error(f"there is no file {options.data}")
    results, unmapped = measure(options.data, peers=not options.no_peers)
    if options.json:
        print(json.dumps(as_json(results, unmapped, verbose=options.verbose), indent=2))
    else:
        print(as_text(results, unmapped, verbose=options.verbose))
    if options.write_page:
        today = date.today().isoformat()
        put(options.write_page, "accuracy", as_markdown(results, unmapped, data=options.data.name, date=today))


if __name__ == "__main__":
    main()
