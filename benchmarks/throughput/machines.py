"""The cards and links that rows name, as the hardware the speed model takes."""

from __future__ import annotations

import re
from dataclasses import replace

from accuracy.rows import Row

from tunekit.hardware.gpu_table import known_gpus
from tunekit.hardware.spec import Disk, Gpu, Hardware, Host, Link
from tunekit.units import GB, GIB

_NAMES = {
    "a100-80": "a100_80gb",
    "a100-40": "a100_40gb",
    "a800-80": "a100_80gb",
    "h100-80": "h100_80gb",
    "h100 sxm": "h100_80gb",
    "rtx 3090": "rtx_3090",
    "rtx 4090": "rtx_4090",
    "rtx 5090": "rtx_5090",
    "rtx a5000": "rtx_a5000",
    "a6000": "rtx_a6000",
    "rtx a6000": "rtx_a6000",
    "a10g": "a10g",
    "a10": "a10",
    "l40s": "l40s",
    "l4": "l4",
    "h200": "h200",
    "v100": "v100_32gb",
    "t4": "t4",
}
_OWN = {
    "rtx_a5000": Gpu(
        name="NVIDIA RTX A5000",
        memory_bytes=24 * GIB,
        usable_bytes=23 * GIB,
        bf16_tflops=111.1,
        memory_bandwidth=768 * GB,
        compute_capability=8.6,
        power_watts=230,
    )
}
"""NVIDIA RTX A5000 data sheet."""
_NVLINK = {"a100_80gb": 300 * GB, "a100_40gb": 300 * GB, "h100_80gb": 450 * GB, "h200": 450 * GB, "v100_32gb": 150 * GB}
"""One way, bytes per second: half of the data sheet's figure."""


CARDS_OF_A_MACHINE = 8


def machine(row: Row, count: int) -> Hardware | None:
    """`count` cards as the row names them, or None where the card is not known."""
    key = _NAMES.get(row.text("gpu"))
    known = known_gpus().get(key or "")
    gpu = known.gpu if known else _OWN.get(key or "")
    if gpu is None:
        return None
    return Hardware(
        name="row",
        description=row.text("gpu"),
        gpus=(_limited(gpu, row),) * count,
        link=_link(row, key or ""),
        host=Host(cpu="", cores=32, ram_bytes=2**44, usable_ram_bytes=2**44, ram_bandwidth=100 * GB),
        disks=(Disk(name="disk", total_bytes=2**50, usable_bytes=2**50, read_rate=5 * GB, write_rate=2 * GB),),
    )


def _limited(gpu: Gpu, row: Row) -> Gpu:
    """With the power limit that the row was measured under, where it says one."""
    limit = re.search(r"(\d+) w limit", row.text("notes"))
    return replace(gpu, power_watts=int(limit.group(1))) if limit else gpu


def _link(row: Row, key: str) -> Link:
    text = row.text("interconnect")
    nvlink = key in _NVLINK and ("pcie" not in text or "nvlink" in text.replace("no nvlink", ""))
    generation = re.search(r"pcie (\d)", text)
    lanes = re.search(r"\bx(\d+)", text)
    slow = "slow lanes" in text
    # Beyond one machine every ring passes the network: 1,600 Gbit/s a machine in the tables that say so.
    several = (row.whole("n_gpus") or 1) > CARDS_OF_A_MACHINE
    return Link(
        pcie_generation=int(generation.group(1)) if generation else 3 if slow else 4,
        pcie_lanes=int(lanes.group(1)) if lanes else 8 if slow else 16,
        nvlink=nvlink,
        p2p=nvlink,
        nvlink_rate=min(_NVLINK[key], 200 * GB if several else _NVLINK[key]) if nvlink else 0,
    )
