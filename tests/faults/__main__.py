"""`python -m tests.faults`: plays the fault matrix for real and writes what became of it into tests/README.md.

Each fault is played in a process of its own, several at once with --lanes. `--only TEXT` plays those whose name or
group holds the text, and changes no table; `--through CMD` puts a command in front of each play, such as one that waits
for a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from tests.faults.fault import Fault, Outcome
from tests.faults.matrix import FAULTS, TYPED, find
from tests.faults.place import commit, make_place, slug
from tests.faults.playing import suffer
from tests.faults.report import told, written_into
from tests.faults.together import went_on

PAGE = Path(__file__).parent.parent / "README.md"
LIMIT_SECONDS = 300


def main(argv: Sequence[str]) -> int:
    """0: every fault that was played was held; 1: some were lost."""
    options = read_options(argv)
    if options.play is not None:
        fault = find(options.play)
        waits = options.together and fault.name not in TYPED
        keep(suffer(fault, make_place(options.place), waits=waits), options.place)
        return 0
    if options.finish:
        for outcome in went_on(outcomes_of(options), make_place(options.place)):
            keep(outcome, options.place)
        return 0
    if options.table:
        PAGE.write_text(written_into(PAGE.read_text(), outcomes_of(options)))
        return 0
    if options.list:
        print("\n".join(f"{fault.group:12s}{fault.name}" for fault in FAULTS))
        return 0
    with tempfile.TemporaryDirectory(prefix="tunekit-faults-") as folder:
        options.place = (options.place or Path(folder)).absolute()
        return play_all(options)


def play_all(options: argparse.Namespace) -> int:
    """Play what was asked for; write the table when all was."""
    results = options.place / "results"
    results.mkdir(parents=True, exist_ok=True)
    make_place(options.place)
    with ThreadPoolExecutor(options.lanes) as lanes:
        outcomes = list(lanes.map(lambda fault: played(fault, options), chosen(options)))
    if options.together:
        subprocess.run([*shlex.split(options.through), *this_command(options), "--finish"], check=False)
        outcomes = outcomes_of(options)
    if not options.only:
        PAGE.write_text(written_into(PAGE.read_text(), outcomes))
    lost = [outcome for outcome in outcomes if outcome.problems]
    print(f"{len(outcomes)} faults, {len(lost)} lost")
    return 1 if lost else 0


def played(fault: Fault, options: argparse.Namespace) -> Outcome:
    """One fault in a process of its own; one that was played already is read where --resume says so."""
    path = result_path(options.place, fault.name)
    if not (options.resume and path.exists()):
        path.unlink(missing_ok=True)
        together = ["--together"] if options.together else []
        argv = [*this_command(options), "--play", fault.name, *together]
        subprocess.run([*shlex.split(options.through), *argv], check=False)
    outcome = read_outcome(path) if path.exists() else never(fault)
    print(
        f"{'LOST' if outcome.problems else 'held'} {outcome.seconds:5.0f} s  {outcome.name}: {outcome.seen}", flush=True
    )
    if outcome.problems:
        print(f"     {told(outcome)}", flush=True)
    return outcome


def this_command(options: argparse.Namespace) -> list[str]:
    """This program, on the same place."""
    return [sys.executable, "-m", "tests.faults", "--place", str(options.place), "--only", options.only]


def keep(outcome: Outcome, place: Path) -> None:
    """Write an outcome where it is read again."""
    result_path(place, outcome.name).write_text(json.dumps(asdict(outcome)))


def chosen(options: argparse.Namespace) -> list[Fault]:
    """What was asked for."""
    return [fault for fault in FAULTS if options.only in f"{fault.group}: {fault.name}: {fault.after}"]


def outcomes_of(options: argparse.Namespace) -> list[Outcome]:
    """What became of them, as it was kept."""
    paths = ((fault, result_path(options.place, fault.name)) for fault in chosen(options))
    return [read_outcome(path) if path.exists() else never(fault) for fault, path in paths]


def never(fault: Fault) -> Outcome:
    """What is said of a play that broke."""
    return Outcome(
        name=fault.name,
        group=fault.group,
        code=None,
        seen="",
        after=fault.after,
        problems=("not played",),
        seconds=0,
        commit=commit(),
        run="",
    )


def read_outcome(path: Path) -> Outcome:
    """An outcome as it was written."""
    record = json.loads(path.read_text())
    lists = {name: tuple(record[name]) for name in ("problems", "rows")}
    return replace(Outcome(**{**record, **lists}), rows=tuple(map(tuple, record["rows"])))


def result_path(place: Path, name: str) -> Path:
    """Where the outcome of a fault is kept."""
    return place / "results" / f"{slug(name)}.json"


def read_options(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", default="", help="part of a fault's `group: name: then`")
    parser.add_argument("--lanes", type=int, default=1, help="faults that are played at the same time")
    parser.add_argument("--through", default="", help="command in front of each play")
    parser.add_argument("--place", type=Path, help="folder to work in and to keep; without it a temporary one")
    parser.add_argument("--resume", action="store_true", help="do not play again what --place has results of")
    parser.add_argument("--together", action="store_true", help="let most runs go on in one launch at the end")
    parser.add_argument("--table", action="store_true", help="write the tables of what --place has, and play none")
    parser.add_argument("--list", action="store_true", help="print the faults and play none")
    parser.add_argument("--play", help=argparse.SUPPRESS)
    parser.add_argument("--finish", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
