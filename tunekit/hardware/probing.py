"""What a probe of this machine found, and the machine with these figures in place of assumed ones. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

from tunekit.hardware.spec import Disk, Hardware, Link, Measured

Result: TypeAlias = dict[str, Any]
"""Rates by name, in bytes, operations or parameters per second; `note` says how they were measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a measurement may use: about how long it may take, cores, bytes of RAM, a folder to write in."""

    seconds: float = 1.0
    cores: int = 1
    ranks: int = 2
    free_bytes: int = 2**28
    folder: Path = Path()
    adam_op: str = ""
    """The library of DeepSpeed's CPU Adam, where it is built."""
    plan: Path = Path()
    """The plan.json of a recipe whose data are read."""
    ops: str = ""
    """Libraries that are loaded, with commas between."""

    def argv(self) -> tuple[str, ...]:
        """The same as arguments of a command line."""
        words = [f"--seconds={self.seconds}", f"--cores={self.cores}", f"--ranks={self.ranks}"]
        words += [f"--free-bytes={self.free_bytes}", f"--folder={self.folder}"]
        words += [f"--adam-op={self.adam_op}", f"--plan={self.plan}", f"--ops={self.ops}"]
        return tuple(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one measurement found, or why it found nothing."""

    title: str
    found: Mapping[str, Any]
    """Rates by the names of `Measured`, and `ram_bandwidth`, `read_rate`, `write_rate`, `links`, `p2p`, `note`."""
    missing: str = ""
    seconds: float = 0.0


def measured_hardware(hardware: Hardware, outcomes: Sequence[Outcome], *, date: str, drive: str | None) -> Hardware:
    """The machine as it was measured on `date`; what was not measured stands as it was. `drive` is the drive's name."""
    found = {name: value for outcome in outcomes for name, value in outcome.found.items() if name != "note"}
    names = {field.name for field in fields(Measured)} - {"date"}
    rates = {name: _as_kind(name, found[name]) for name in names & set(found)}
    before = hardware.measured
    measured = replace(before, date=date, **rates) if before else Measured(date=date, **rates)
    host = replace(hardware.host, ram_bandwidth=int(found.get("ram_bandwidth", hardware.host.ram_bandwidth)))
    return replace(
        hardware,
        host=host,
        link=None if hardware.link is None else _link(hardware.link, found),
        disks=tuple(_disk(disk, found) if disk.name == drive else disk for disk in hardware.disks),
        measured=measured if rates else before,
        source=f"{_without_assumptions(hardware.source, found)}; measured by tunekit hardware probe, {date}",
    )


ASSUMED = "; assumed until measured"
"""Where the source of a probed machine says what was only assumed: rates of RAM and drives."""


def _without_assumptions(source: str, found: Mapping[str, Any]) -> str:
    return source.partition(ASSUMED)[0] if "ram_bandwidth" in found and "read_rate" in found else source


def _as_kind(name: str, value: Any) -> Any:
    whole = name.endswith("_rate") and not name.startswith("adam")
    return round(value) if whole else value


def _link(link: Link, found: Mapping[str, Any]) -> Link:
    """The links as they were while they carried something."""
    states: Sequence[Sequence[int]] = found.get("links") or ()
    link = replace(link, p2p=bool(found.get("p2p", link.p2p)))
    if not states:
        return link
    lanes = tuple(lanes for _, lanes in states)
    return replace(
        link,
        pcie_generation=min(generation for generation, _ in states),
        pcie_lanes=min(lanes),
        card_lanes=lanes if len(set(lanes)) > 1 else (),
    )


def _disk(disk: Disk, found: Mapping[str, Any]) -> Disk:
    read, write = (int(found.get(name, getattr(disk, name))) for name in ("read_rate", "write_rate"))
    return replace(disk, read_rate=read, write_rate=write)
