"""A `Hardware` as the text of a hardware file; `profile_file` reads it back."""

from __future__ import annotations

from typing import Any

import yaml

from tunekit.hardware.spec import Disk, Gpu, Hardware, Host, Link, Measured, Power, Price
from tunekit.units import GB, GIB, MIB

_LIST_WIDTH = 10_000
"""Long texts stay on their line."""


def hardware_to_yaml(hardware: Hardware, *, head: str = "") -> str:
    """The file's text; `head` is a comment before it. Cards of several kinds are written as the smallest of them."""
    tree: dict[str, Any] = {"description": hardware.description}
    if hardware.gpus:
        card = min(hardware.gpus, key=lambda gpu: gpu.usable_bytes)
        tree["gpus"] = {"count": len(hardware.gpus), **_gpu(card)}
    if hardware.link is not None:
        tree["link"] = _link(hardware.link)
    tree["host"] = _host(hardware.host)
    tree["disks"] = [_disk(disk) for disk in hardware.disks]
    for name, section in (
        ("power", _power(hardware.power)),
        ("price", _price(hardware.price)),
        ("measured", _measured(hardware.measured)),
    ):
        if section:
            tree[name] = section
    tree["cpu_processes"] = hardware.cpu_processes
    tree["source"] = hardware.source
    comment = "".join(f"# {line}\n" for line in head.splitlines())
    return comment + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=_LIST_WIDTH)


def _gpu(card: Gpu) -> dict[str, Any]:
    return {
        "name": card.name,
        "memory_mib": _in(card.memory_bytes, MIB),
        "usable_gib": _some(card.usable_bytes, GIB),
        "bf16_tflops": card.bf16_tflops,
        "memory_bandwidth_gb": _in(card.memory_bandwidth, GB),
        "compute_capability": card.compute_capability,
        "power_watts": card.power_watts,
    }


def _link(link: Link) -> dict[str, Any]:
    rate = {"nvlink_gb": _in(link.nvlink_rate, GB)} if link.nvlink else {}
    return {
        "pcie_generation": link.pcie_generation,
        "pcie_lanes": list(link.card_lanes) or link.pcie_lanes,
        "nvlink": link.nvlink,
        **rate,
        "p2p": link.p2p,
    }


def _host(host: Host) -> dict[str, Any]:
    return {
        "cpu": host.cpu,
        "cores": host.cores,
        "vector_bits": host.vector_bits,
        "ram_gib": _in(host.ram_bytes, GIB),
        "usable_ram_gb": _some(host.usable_ram_bytes, GB),
        "ram_bandwidth_gb": _in(host.ram_bandwidth, GB),
        "memlock_unlimited": host.memlock_unlimited,
    }


def _disk(disk: Disk) -> dict[str, Any]:
    wear = {"endurance_tb": _in(disk.endurance_bytes, 1000 * GB), "price": disk.price}
    return {
        "name": disk.name,
        "total_gb": _in(disk.total_bytes, GB),
        "usable_gb": _some(disk.usable_bytes, GB),
        "read_gb": _in(disk.read_rate, GB),
        "write_gb": _in(disk.write_rate, GB),
        **{name: value for name, value in wear.items() if value is not None},
    }


def _power(power: Power | None) -> dict[str, Any]:
    if power is None:
        return {}
    supply = {} if power.supply_watts is None else {"supply_watts": power.supply_watts}
    return {"host_watts": power.host_watts, "load_watts": power.load_watts, **supply}


def _price(price: Price | None) -> dict[str, Any]:
    if price is None:
        return {}
    note = {"note": price.note} if price.note else {}
    return {"amount": price.amount, "currency": price.currency, "date": price.date, **note}


def _measured(measured: Measured | None) -> dict[str, Any]:
    if measured is None:
        return {}
    rates = {
        "matmul_tflops": None if measured.matmul_tflops is None else round(measured.matmul_tflops, 4),
        "to_gpu_gb": _in(measured.to_gpu_rate, GB),
        "from_gpu_gb": _in(measured.from_gpu_rate, GB),
        "peer_gb": _in(measured.peer_rate, GB),
        "all_gather_gb": _in(measured.all_gather_rate, GB),
        "all_reduce_gb": _in(measured.all_reduce_rate, GB),
        "adam_fp32_mparam": _in(measured.adam_fp32_rate, 1e6),
        "adam_bf16_mparam": _in(measured.adam_bf16_rate, 1e6),
        "adam": measured.adam or None,
    }
    return {"date": measured.date, **{name: value for name, value in rates.items() if value is not None}}


def _some(value: int, unit: int) -> float:
    """A little at least: a file of a machine that was full when it was measured stays one that can be read."""
    return max(_in(value, unit) or 0, 0.001)


def _in(value: float | None, unit: float) -> float | int | None:
    """In units, to a thousandth; whole numbers as such."""
    if value is None:
        return None
    rounded = round(value / unit, 3)
    return int(rounded) if rounded == int(rounded) else rounded
