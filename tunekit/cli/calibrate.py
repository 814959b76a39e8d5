"""`tunekit calibrate`: what finished runs measured on this machine, for later plans of it."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tunekit.errors import UsageError
from tunekit.hardware.calibration import MEANINGS, Calibration
from tunekit.hardware.spec import NO_GPU
from tunekit.launcher.calibrating import MeasuredRun, calibrate
from tunekit.launcher.json_lines import read_record
from tunekit.launcher.state import read_plan
from tunekit.memory.figures import MARGINS, own_figure
from tunekit.probes.calibration_file import calibration_path, forget_calibration, read_calibration, write_calibration
from tunekit.probes.local import probe_hardware
from tunekit.render.plan_parts import format_figure
from tunekit.render.summary import short_path
from tunekit.run import find_run

if TYPE_CHECKING:
    from rich.table import Table


def calibrate_machine(names: Sequence[str], *, show: bool, reset: bool, json: bool) -> None:
    """Take over what `names` measured, or show or forget what is known. UsageError: nothing to do, or a bad run."""
    if sum((bool(names), show, reset)) != 1:
        raise UsageError(
            "Name finished runs (`tunekit calibrate runs/a runs/b`), or type one of --show and --reset; "
            "`tunekit runs` lists the runs."
        )
    machine, path = probe_hardware().parts, calibration_path()
    if reset:
        _forget(machine, path)
        return
    known = read_calibration(machine, path)
    found = known if show else calibrate([_read(name) for name in names], machine=machine, known=known, today=_today())
    if found is not None and not show:
        write_calibration(found, path)
    if json:
        typer.echo(jsonlib.dumps(_as_json(machine, path, found), indent=2))
        return
    _print(machine, path, known, found, written=not show)


def _forget(machine: str, path: Path) -> None:
    forgotten = forget_calibration(machine, path)
    typer.echo(f"{machine}: {'what was measured is forgotten' if forgotten else 'nothing was calibrated'} ({path}).")


def _read(name: str) -> MeasuredRun:
    run_dir = find_run(name)
    measured = read_record(run_dir.measured)
    if measured is None:
        raise UsageError(f"{name} has no measured.json: only a run that finished has measured itself to its end.")
    plan = read_plan(run_dir)
    return MeasuredRun(
        name=short_path(run_dir.path),
        measured=measured,
        world_size=plan.job.batch.world_size,
        packing=plan.job.packing,
        usable_bytes=min((gpu.usable_bytes for gpu in plan.hardware.gpus), default=0),
    )


def _today() -> str:
    return date.today().isoformat()


def _as_json(machine: str, path: Path, found: Calibration | None) -> dict[str, object]:
    about = {"date": found.date, "runs": list(found.runs)} if found is not None else {}
    return {"machine": machine, "file": str(path), "figures": found.figures if found is not None else {}, **about}


def _print(machine: str, path: Path, known: Calibration | None, found: Calibration | None, *, written: bool) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    if found is None:
        console.print(
            f"{machine}: nothing is calibrated yet; `tunekit calibrate RUN` does it after a run.", markup=False
        )
        return
    console.print(machine, style="bold", markup=False)
    console.print(_table(known if written else None, found))
    console.print(f"From {', '.join(found.runs)} ({found.date}), in {path}", markup=False)
    console.print("Plans for this machine (hardware: local) use these figures and say so; --reset forgets them.")


def _table(known: Calibration | None, found: Calibration) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), header_style="dim")
    for heading in ("figure", "tunekit's own", "before", "now"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for name in found.figures:
        own = _own(name, on_cpu=found.machine.startswith(NO_GPU))
        table.add_row(MEANINGS[name], own, format_figure(name, known), format_figure(name, found))
    return table


def _own(name: str, *, on_cpu: bool) -> str:
    return f"{MARGINS[name]:.1%}" if name in MARGINS else own_figure(name, on_cpu=on_cpu).text
