"""Where this user's own machines and what was measured on them are kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from tunekit.errors import UsageError
from tunekit.hardware.probing import ASSUMED
from tunekit.hardware.profiles import LOCAL, load_profile
from tunekit.hardware.spec import Disk, Hardware


def config_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """`${XDG_CONFIG_HOME:-~/.config}/tunekit`; it may not exist."""
    return Path(environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "tunekit"


def read_own_notices(environ: Mapping[str, str] = os.environ) -> tuple[Path, dict[str, Any]]:
    """The user's `notify.yaml`, which holds `command` and `url`, and its path; nothing where there is none.

    UsageError: it cannot be read.
    """
    path = config_folder(environ) / "notify.yaml"
    if not path.is_file():
        return path, {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read: {type(error).__name__}; it holds `command:` and `url:`.") from None
    return path, found if isinstance(found, dict) else {"": found}


def machines_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's own hardware files: `NAME.yaml` is known as NAME, `local.yaml` is what was measured here."""
    return config_folder(environ) / "hardware"


def with_own_figures(hardware: Hardware, folder: Path) -> Hardware:
    """This machine with the figures of the user's `local.yaml`: measured rates, power, price, endurance.

    What is free now stays as it was probed. A file about other parts is not used, and `source` says so. RecipeError:
    every fault of the file.
    """
    path = folder / f"{LOCAL}.yaml"
    if not path.is_file():
        return hardware
    own = load_profile(str(path))
    if own.parts != hardware.parts:
        return replace(hardware, source=f"{hardware.source}; {path} is about another machine ({own.parts}): not used")
    return replace(
        hardware,
        link=own.link if hardware.link is not None else None,
        host=replace(hardware.host, ram_bandwidth=own.host.ram_bandwidth),
        disks=tuple(_with_rates(disk, own.disks) for disk in hardware.disks),
        power=own.power,
        price=own.price,
        measured=own.measured,
        source=f"{hardware.source.partition(ASSUMED)[0]}; rates of {path}",
    )


def _with_rates(disk: Disk, own: tuple[Disk, ...]) -> Disk:
    # The first drive is named after the working folder, another drive by where it is mounted.
    same = [known for known in own if known.total_bytes // 10**9 == disk.total_bytes // 10**9]
    named = [known for known in own if known.name == disk.name] or same
    if not named:
        return disk
    known = named[0]
    return replace(
        disk,
        read_rate=known.read_rate,
        write_rate=known.write_rate,
        endurance_bytes=known.endurance_bytes,
        price=known.price,
    )
