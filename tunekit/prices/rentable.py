"""A rented machine as a `Hardware`: the card is known, the rest is assumed where the price list does not say."""

from __future__ import annotations

from dataclasses import dataclass

from tunekit.hardware.gpu_table import KnownGpu, known_gpus
from tunekit.hardware.power import wall_watts
from tunekit.hardware.spec import Disk, Hardware, Host, Link, Power
from tunekit.prices.offers import Offer
from tunekit.units import GB, GIB, format_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HostShare:
    """What a provider gives with each card: the least that is common, so that a plan that fits really fits."""

    cores: int
    ram_bytes: int
    ram_bandwidth: int
    watts: int


SOLDERED = HostShare(cores=10, ram_bytes=120 * GIB, ram_bandwidth=35 * GB, watts=400)
"""SXM boards: 120 GB and 22 threads a card at Verda, 144 GiB at AWS (p4de), 200 GiB at Nebius."""
IN_SLOTS = HostShare(cores=4, ram_bytes=40 * GIB, ram_bandwidth=20 * GB, watts=150)
"""Cards in slots: 41 GB and 6 threads of an RTX 4090 at RunPod, 32 GiB of an L40S at Nebius."""
DISK_BYTES = 500 * GB
"""Volumes are rented apart; this much costs cents an hour."""
DISK_READ, DISK_WRITE = GB, GB // 2
_USABLE_RAM = 0.95


def machine_of(offer: Offer) -> Hardware | None:
    """The machine that an offer rents; None where its card is not in `hardware/gpus.yaml`."""
    if offer.card is None:
        return None
    known = known_gpus()[offer.card]
    share = _share(known)
    gpu, count = known.gpu, offer.count
    return Hardware(
        name=f"{count}x_{offer.card}",
        description=f"{count} x {gpu.name}, rented from {offer.provider}",
        gpus=(gpu,) * count,
        link=_link(known, count),
        host=_host(offer, share),
        disks=(
            Disk(
                name="volume",
                total_bytes=DISK_BYTES,
                usable_bytes=DISK_BYTES * 9 // 10,
                read_rate=DISK_READ,
                write_rate=DISK_WRITE,
            ),
        ),
        source=f"data sheet of the card; {assumptions(offer)}",
        power=Power(host_watts=share.watts * count, load_watts=wall_watts((gpu,) * count, share.watts * count)),
    )


def assumptions(offer: Offer) -> str:
    """What is assumed of a rented machine, in words."""
    known = known_gpus()[offer.card] if offer.card else None
    if known is None:
        return f"{offer.gpu} is not in tunekit/hardware/gpus.yaml"
    host = _host(offer, _share(known))
    given = [name for name, value in (("cores", offer.cores), ("RAM", offer.ram_bytes)) if value is not None]
    stated = f" ({' and '.join(given)} of the price list)" if given else ""
    link = _link(known, offer.count)
    road = "NVLink" if link.nvlink else f"PCIe {link.pcie_generation}.0 x16 without peer access"
    return (
        f"assumed: {host.cores} cores and {format_bytes(host.ram_bytes)} of RAM{stated}, {road}, "
        f"RAM of {host.ram_bandwidth // GB} GB/s, "
        f"a volume of {DISK_BYTES // GB} GB at {DISK_READ // GB} GB/s"
    )


def _share(known: KnownGpu) -> HostShare:
    return SOLDERED if known.soldered else IN_SLOTS


def _link(known: KnownGpu, count: int) -> Link:
    nvlink = known.soldered and count > 1
    return Link(
        pcie_generation=known.pcie_generation,
        pcie_lanes=16,
        nvlink=nvlink,
        p2p=nvlink,
        nvlink_rate=known.nvlink_rate if nvlink else 0,
    )


def _host(offer: Offer, share: HostShare) -> Host:
    ram = share.ram_bytes * offer.count if offer.ram_bytes is None else offer.ram_bytes
    return Host(
        cpu="rented",
        cores=share.cores * offer.count if offer.cores is None else offer.cores,
        ram_bytes=ram,
        usable_ram_bytes=int(ram * _USABLE_RAM),
        ram_bandwidth=share.ram_bandwidth * offer.count,
    )
