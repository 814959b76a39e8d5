"""`tunekit hardware`: the machines that plans can be made for, and this one."""

from __future__ import annotations

import json as json_text
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunekit.cli.new_file import write_new
from tunekit.errors import UsageError
from tunekit.hardware.checks import hardware_warnings, power_words
from tunekit.hardware.profiles import LOCAL, own_names, profile_names, profile_text
from tunekit.hardware.spec import Disk, Hardware, Measured
from tunekit.probes.user_folder import machines_folder
from tunekit.render.plain import without_trailing_spaces
from tunekit.render.probe_text import measured_words
from tunekit.source import find_hardware
from tunekit.units import GB, GIB

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


FOOTER = "Usable sizes. tunekit hardware show NAME prints one; a YAML file is one too."


def list_hardware(*, json: bool) -> None:
    """Print every profile, shipped and of the user's own, and this machine, one a line."""
    machines = tuple(find_hardware(name) for name in (*profile_names(), *own_names(machines_folder()), LOCAL))
    if json:
        print(json_text.dumps([as_json(machine) for machine in machines], indent=2))
        return
    console = _console()
    with without_trailing_spaces(console):
        console.print(hardware_table(machines), soft_wrap=True)
        console.print(FOOTER, highlight=False)


def show_hardware(name: str, *, json: bool) -> None:
    """Print one machine with all its numbers: a shipped profile, a YAML file, or `local`."""
    from rich.text import Text

    machine = find_hardware(name)
    if json:
        print(json_text.dumps(as_json(machine), indent=2))
        return
    console = _console()
    with without_trailing_spaces(console):
        console.print(Text(machine.name, "bold").append(f"  {machine.description}", "not bold"), highlight=False)
        console.print(_details(machine))
        for line in hardware_warnings(machine):
            console.print(f"Warning: {line}", style="yellow", highlight=False, markup=False)
        console.print(f"Source: {machine.source}", style="dim", highlight=False, markup=False)
        console.print(f"Plan for it: tunekit plan RECIPE --on {name}", highlight=False, markup=False, soft_wrap=True)


def copy_hardware(name: str, file: Path) -> None:
    """Write a shipped profile to a new file; raises UsageError and changes nothing when the file exists."""
    if name == LOCAL:
        raise UsageError(f"local is this machine: tunekit hardware probe --write {shlex.quote(str(file))} writes it.")
    text = profile_text(name)
    target = file / f"{name}.yaml" if file.is_dir() else file
    folder = write_new(target, text)
    print(f"Copied {name} to {target}{folder}. Next: tunekit plan RECIPE --on {shlex.quote(str(target))}")


def hardware_table(machines: tuple[Hardware, ...]) -> Table:
    """Machines side by side, usable memory in GiB; fits a terminal of 80 columns."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading in ("name", "cards"):
        table.add_column(heading, no_wrap=True)
    for heading in ("GiB each", "PCIe", "NVLink", "RAM GiB", "disk TB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for machine in machines:
        table.add_row(*_row(machine))
    return table


def _row(machine: Hardware) -> tuple[str, ...]:
    cards, link = machine.gpus, machine.link
    return (
        machine.name,
        f"{len(cards)} x {cards[0].name.removeprefix('NVIDIA ').removeprefix('GeForce ')}" if cards else "none",
        f"{min(card.usable_bytes for card in cards) / GIB:.1f}" if cards else "-",
        f"{link.pcie_generation}.0 x{link.pcie_lanes}" if link else "-",
        ("yes" if link.nvlink else "no") if link else "-",
        f"{machine.host.usable_ram_bytes / GIB:.0f}",
        f"{sum(disk.usable_bytes for disk in machine.disks) / 1000 / GB:.1f}",
    )


def _details(machine: Hardware) -> Table:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in _lines(machine):
        table.add_row(name, value)
    return table


def _lines(machine: Hardware) -> Iterator[tuple[str, str]]:
    for index, card in enumerate(machine.gpus):
        yield f"GPU {index}", card.name
        yield "", f"{_gib(card.memory_bytes)} reported, {_gib(card.usable_bytes)} usable"
        yield "", f"{card.bf16_tflops:g} TFLOPS bf16, {card.memory_bandwidth // GB:,} GB/s, {card.power_watts} W"
    if machine.gpus:
        yield "Links", _link_words(machine)
    else:
        count = machine.cpu_processes
        yield "GPU", f"none: {count} CPU process{'es train' if count > 1 else ' trains'}"
    host = machine.host
    yield "Host", f"{host.cpu}, {host.cores} cores, vectors of {host.vector_bits} bits"
    yield "RAM", f"{_gib(host.ram_bytes)} seen, {_gib(host.usable_ram_bytes)} usable, {host.ram_bandwidth // GB} GB/s"
    for disk in machine.disks:
        yield "Drive", _drive_words(disk)
    yield "Power", power_words(machine)
    if machine.price is not None:
        price = machine.price
        note = f", {price.note}" if price.note else ""
        yield "Price", f"{price.amount:,.0f} {price.currency} ({price.date}{note})"
    yield from _measured_lines(machine.measured)


def _drive_words(disk: Disk) -> str:
    wear = "" if disk.endurance_bytes is None else f", rated for {disk.endurance_bytes // GB // 1000:,} TB written"
    return (
        f"{disk.name}: {disk.total_bytes // GB:,} GB, {disk.usable_bytes // GB:,} GB usable, "
        f"reads {disk.read_rate / GB:.3g} GB/s, writes {disk.write_rate / GB:.3g} GB/s{wear}"
    )


def _measured_lines(measured: Measured | None) -> Iterator[tuple[str, str]]:
    """What was measured there; where nothing was, how it can be."""
    if measured is None:
        yield "Measured", "nothing yet: rates come from data sheets; on the machine, tunekit hardware probe measures"
        return
    yield "Measured", f"{measured_words(measured)} ({measured.date})"


def _link_words(machine: Hardware) -> str:
    link = machine.link
    if link is None:
        return "-"
    lanes = " + ".join(f"x{lanes}" for lanes in link.card_lanes) or f"x{link.pcie_lanes}"
    nvlink = f", NVLink {link.nvlink_rate / GB:g} GB/s each way"
    peers = "" if len(machine.gpus) < 2 else nvlink if link.nvlink else ", peer access" if link.p2p else ", no peers"
    return f"PCIe {link.pcie_generation}.0 {lanes}{peers}"


def _gib(count: int) -> str:
    return f"{count / GIB:,.1f} GiB"


def as_json(machine: Hardware) -> dict[str, Any]:
    """Every number of a machine, bytes and bytes per second."""
    return {**asdict(machine), "world_size": machine.world_size}


def _console() -> Console:
    from rich.console import Console

    console = Console()
    # A narrower terminal wraps the lines: a name that is cut cannot be typed.
    console.width = max(console.width, 80)
    return console
