"""The command line that both benchmarks share: run what is not in the file yet, then compare all that is."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from trials.case import Case
from trials.grids import GRIDS, grid
from trials.report import compare, show
from trials.rows import Origin, append, case_name, read_file, rows_of
from trials.running import run_case
from tunekit.hardware.spec import Hardware
from tunekit.probes.local import probe_hardware

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "transformers", "trl", "peft", "deepspeed", "bitsandbytes", "accelerate")


def run(script: str, *, about: str, prefix: str, accelerator: str, grids: Sequence[str]) -> None:
    """Parse, run, write, compare. SystemExit 4 where cards are asked for and none is here."""
    options = _parser(about, script, accelerator, grids).parse_args()
    # Ended from outside, the ranks of the case in work are ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    here = machine_of(options.accelerator)
    cases = tuple(case for name in options.grid for case in grid(name, here))
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    if options.list:
        for case in cases:
            console.print(case.name)
        return
    origin = origin_of(script, prefix, here)
    if not options.report:
        run_missing(cases, origin, options.out, console, timeout=60 * options.minutes, folder=options.folder)
    show(*compare(read_file(options.out), cases, here), console)


def machine_of(accelerator: str) -> Hardware:
    """This machine. SystemExit 4: it has no card although one is wanted."""
    here = probe_hardware()
    if accelerator == "cpu":
        return replace(here, gpus=(), link=None)
    if not here.gpus:
        print(
            f"No CUDA GPU here ({here.source}): GPU memory cannot be measured.\n"
            "On a machine with one, the same command runs it; `--accelerator cpu --grid tiny` tries every other part.",
            file=sys.stderr,
        )
        raise SystemExit(4)
    return here


def run_missing(
    cases: Sequence[Case], origin: Origin, out: Path, console: Console, *, timeout: float, folder: Path | None = None
) -> None:
    """Run each case that has no rows in `out` yet, and write its rows at once: what was interrupted goes on."""
    done = {case_name(row) for row in read_file(out)}
    missing = [case for case in cases if case.name not in done]
    console.print(f"{len(cases) - len(missing)} of {len(cases)} cases are in {out} already")
    with ExitStack() as stack:
        workshop = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trials-")))
        bar = stack.enter_context(_progress(console))
        task = bar.add_task("", total=len(missing))
        for case in missing:
            bar.update(task, description=case.name)
            trial = run_case(case, origin.hardware, workshop, timeout=timeout)
            append(out, rows_of(trial, origin, first=len(read_file(out)) + 1))
            bar.console.print(f"{trial.outcome:8} {trial.seconds:6.1f} s  {case.name}  {trial.error}", markup=False)
            bar.advance(task)


def origin_of(script: str, prefix: str, here: Hardware) -> Origin:
    """Revision, day, machine and versions of today."""
    asked = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return Origin(
        prefix=prefix,
        script=f"benchmarks/{script}",
        revision=asked.stdout.strip(),
        date=date.today().isoformat(),
        hardware=here,
        versions={name: _version(name) for name in PACKAGES},
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _progress(console: Console) -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    return Progress(*columns, console=console)


def _parser(about: str, script: str, accelerator: str, grids: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ROOT / "benchmarks" / "data" / f"{Path(script).stem}.csv"
    parser.add_argument("--grid", nargs="+", choices=GRIDS, default=list(grids), help=f"default: {' '.join(grids)}")
    parser.add_argument("--accelerator", choices=("cuda", "cpu"), default=accelerator)
    parser.add_argument(
        "--out", type=Path, default=default, help="rows are added to this CSV file; default: %(default)s"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="time limit of a case")
    parser.add_argument("--folder", type=Path, help="keep the models here instead of in a folder that is removed")
    parser.add_argument("--report", action="store_true", help="run nothing, compare what the file holds")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and run nothing")
    return parser
