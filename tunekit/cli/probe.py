"""`tunekit hardware probe`: measures this machine within a minute, and writes it as a hardware file."""

from __future__ import annotations

import json as json_text
import os
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunekit.backends.probing import run_probe
from tunekit.cli.hardware import as_json
from tunekit.cli.status_line import progress
from tunekit.errors import UsageError
from tunekit.hardware.checks import hardware_warnings
from tunekit.hardware.probing import Outcome, measured_hardware
from tunekit.hardware.profile_text import hardware_to_yaml
from tunekit.hardware.profiles import LOCAL, profile_names
from tunekit.hardware.spec import Hardware
from tunekit.launcher.caller import this_caller
from tunekit.probes.gpus import GpuReport, read_gpus
from tunekit.probes.host import drive_of
from tunekit.probes.local import probe_hardware
from tunekit.probes.user_folder import machines_folder, with_own_figures
from tunekit.render.probe_text import missing_lines, outcomes_as_json, probe_table
from tunekit.units import format_seconds

if TYPE_CHECKING:
    from rich.console import Console

HEAD = """\
Measured by `tunekit hardware probe` on {date}. What it cannot measure is assumed: power, price and endurance_tb are
yours to write (tunekit/hardware/README.md). Usable memory is what was free then.
"""


def probe_machine(*, write: str | None, json: bool) -> None:
    """Measure this machine, print what was found, write it to a file. UsageError: the file cannot be written."""
    path = None if write is None else target_path(write, machines_folder())
    console, started, today = _console(), time.monotonic(), date.today().isoformat()
    machine = with_own_figures(probe_hardware(), machines_folder())
    caller = this_caller()
    with progress(console, quiet=json) as report:
        outcomes = run_probe(machine, caller, report=report)
    drive = drive_of(caller.cache_dir, tuple(disk.name for disk in machine.disks))
    measured = measured_hardware(machine, outcomes, date=today, drive=drive)
    if path is not None:
        write_profile(measured, path, today)
    if json:
        print(json_text.dumps(_as_json(measured, outcomes, path), indent=2))
        return
    _print(console, measured, read_gpus(), outcomes, seconds=time.monotonic() - started)
    _print_written(console, path)


def target_path(given: str, folder: Path) -> Path:
    """The file that `--write` names: a path, or a name in the user's own folder, where `local` is measured anew.

    UsageError for a shipped name, and for any other file that is there.
    """
    if "/" in given or given.endswith((".yaml", ".yml")):
        path = Path(given).expanduser()
    elif given in profile_names():
        raise UsageError(f"--write {given}: a profile of that name is shipped; choose another, or {LOCAL}.")
    else:
        path = folder / f"{given}.yaml"
    if path.exists() and path != folder / f"{LOCAL}.yaml":
        raise UsageError(f"--write {given}: {path} exists and is not overwritten; choose another name, or {LOCAL}.")
    return path


def write_profile(machine: Hardware, path: Path, today: str) -> None:
    """Write the machine as a hardware file. UsageError: the file cannot be written."""
    text = hardware_to_yaml(replace(machine, description=_described(machine)), head=HEAD.format(date=today))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--write {path}: cannot be written ({error.strerror}); name another file.") from error


def _described(machine: Hardware) -> str:
    return machine.description.removeprefix("this machine: ")


def _as_json(machine: Hardware, outcomes: list[Outcome], path: Path | None) -> dict[str, Any]:
    return {
        "hardware": as_json(machine),
        "measurements": outcomes_as_json(outcomes),
        "warnings": list(hardware_warnings(machine)),
        "written": str(path) if path is not None else None,
    }


def _print(console: Console, machine: Hardware, report: GpuReport, outcomes: list[Outcome], *, seconds: float) -> None:
    console.print(f"[bold]this machine[/bold]  {_described(machine)}", highlight=False)
    console.print(probe_table(report, outcomes), highlight=False)
    left_out = missing_lines(outcomes)
    rest = f"; left out of {len(outcomes)}: {'; '.join(left_out)}" if left_out else ""
    console.print(f"Measured in {format_seconds(seconds)}{rest}.", highlight=False)
    for line in (*busy_words(os.getloadavg()[0], os.cpu_count() or 1), *hardware_warnings(machine)):
        console.print(f"Warning: {line}", style="yellow", highlight=False, markup=False)


def busy_words(load: float, threads: int) -> tuple[str, ...]:
    """Whether other programs took a part of the machine; the probe's own threads count as well."""
    if load <= 1.5 * threads:
        return ()
    return (f"{load:.1f} programs wanted {threads} threads: the rates are higher on a quiet machine. Probe again.",)


def _print_written(console: Console, path: Path | None) -> None:
    if path is None:
        console.print(f"Keep it: tunekit hardware probe --write {LOCAL} (plans for {LOCAL} then use it), or FILE.")
    elif path == machines_folder() / f"{LOCAL}.yaml":
        console.print(
            f"Written to {path}: plans for {LOCAL} use these rates and say so.", highlight=False, markup=False
        )
    else:
        name = path.stem if path.parent == machines_folder() else path
        console.print(f"Written to {path}. Plan for it: tunekit plan RECIPE --on {name}", highlight=False)


def _console() -> Console:
    from rich.console import Console

    return Console(soft_wrap=False)
