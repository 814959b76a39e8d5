"""The file that keeps what runs measured on this user's machines: one entry per machine, plain YAML, safe to edit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from tunekit.errors import UsageError
from tunekit.hardware.calibration import BOUNDS, Calibration, fault_of
from tunekit.hardware.spec import Hardware
from tunekit.probes.user_folder import config_folder

HEADER = """\
# What runs measured on your machines, written by `tunekit calibrate`; plans for `local` use it and say so.
# Bytes per GPU or per rank; margins are shares of what the allocator holds. Delete an entry to forget it.
"""
_ABOUT = ("date", "runs")


def calibration_path(environ: Mapping[str, str] = os.environ) -> Path:
    """`${XDG_CONFIG_HOME:-~/.config}/tunekit/calibration.yaml`; it may not exist."""
    return config_folder(environ) / "calibration.yaml"


def calibrated_hardware(hardware: Hardware, path: Path | None = None) -> Hardware:
    """The machine with what was measured on it, if anything. Raises UsageError for a file that cannot be used."""
    return replace(hardware, calibration=read_calibration(hardware.parts, path or calibration_path()))


def read_calibration(machine: str, path: Path) -> Calibration | None:
    """The entry of `machine`, or None. Raises UsageError, with the faulty line's key, for a file that is broken."""
    entry = _read_entries(path).get(machine)
    return None if entry is None else _calibration(machine, entry, path)


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Replace the entry of the calibration's machine; those of other machines stay. UsageError: cannot be written."""
    about = {"date": calibration.date, "runs": list(calibration.runs)}
    _write_entries({**_read_entries(path), calibration.machine: {**calibration.figures, **about}}, path)


def forget_calibration(machine: str, path: Path) -> bool:
    """Remove the entry of `machine`; whether there was one. A file that cannot be read is removed as a whole."""
    try:
        entries = _read_entries(path)
    except UsageError:
        path.unlink()
        return True
    if machine not in entries:
        return False
    _write_entries({name: entry for name, entry in entries.items() if name != machine}, path)
    return True


def _read_entries(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _broken(path, " ".join(str(error).split())) from error
    if tree is None:
        return {}
    if not isinstance(tree, dict) or not isinstance(tree.get("machines"), dict):
        raise _broken(path, "it has no `machines:` section")
    return dict(tree["machines"])


def _calibration(machine: str, entry: Any, path: Path) -> Calibration:
    if not isinstance(entry, dict):
        raise _broken(path, f"{machine}: {entry!r} is no list of figures")
    figures = {str(name): value for name, value in entry.items() if name not in _ABOUT}
    faults = [fault for name, value in figures.items() if (fault := fault_of(name, value))]
    if faults:
        raise _broken(path, f"{machine}: " + "; ".join(faults))
    runs = entry.get("runs") or ()
    return Calibration(
        machine=machine,
        date=str(entry.get("date", "an unknown day")),
        runs=tuple(map(str, runs if isinstance(runs, list) else (runs,))),
        **{name: figures[name] for name in BOUNDS if name in figures},
    )


def _write_entries(entries: Mapping[str, Any], path: Path) -> None:
    text = HEADER + yaml.safe_dump({"machines": dict(entries)}, sort_keys=False, width=120, allow_unicode=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written ({error.strerror}); set XDG_CONFIG_HOME to a folder of your own."
        ) from error


def _broken(path: Path, what: str) -> UsageError:
    return UsageError(f"{path}: {what}. Mend it, or type `tunekit calibrate --reset` to forget what was measured.")
