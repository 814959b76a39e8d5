"""What those who build machines at home warn each other about, as checks on a machine's numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tunekit.hardware.power import ASSUMED_HOST_WATTS, peak_watts
from tunekit.hardware.spec import Hardware
from tunekit.units import GB, GIB, format_bytes

LEAST_LANES = 8
"""Per card: below it the gathers of ZeRO-3 and every copy of offload wait for the slot (LLaMA-Factory issue 3520)."""
RAM_PER_GPU_MEMORY = 2.0
_SEEN_OF_SOLD = 0.95
"""Linux shows this much of the modules' size at least; 96 GB are twice two cards of 24 GB."""


def hardware_warnings(hardware: Hardware) -> tuple[str, ...]:
    """Everything about the machine that its owner should know before training on it."""
    return (*lane_warnings(hardware), *ram_warnings(hardware), *supply_warnings(hardware))


def lane_warnings(hardware: Hardware) -> Iterator[str]:
    """A card on fewer than 8 lanes; where the slots are uneven, how they could be shared better."""
    link = hardware.link
    if link is None or link.pcie_lanes >= LEAST_LANES:
        return
    slow = f"PCIe {link.pcie_generation}.0 x{link.pcie_lanes} carries {link.pcie_rate / GB:.1f} GB/s each way"
    if link.card_lanes:
        even = f"; x{LEAST_LANES} for each card is faster" if _could_be_even(link.card_lanes) else ""
        widths = " + ".join(f"x{lanes}" for lanes in link.card_lanes)
        yield (
            f"The cards sit on {widths}: {slow}, and the other cards wait for it{even}. Use slots that share the "
            "processor's lanes (the board's manual, setting PCIe bifurcation); slots of the chipset have few."
        )
    else:
        yield f"{slow}: offload and sharding wait for it. Check slot, riser and the BIOS setting of the slot."


def _could_be_even(lanes: tuple[int, ...]) -> bool:
    return sum(lanes) >= LEAST_LANES * len(lanes)


def ram_warnings(hardware: Hardware) -> Iterator[str]:
    """RAM below twice the cards' memory: loading, offload and merging go through it."""
    cards = sum(gpu.memory_bytes for gpu in hardware.gpus)
    seen = hardware.host.ram_bytes
    if seen < cards * RAM_PER_GPU_MEMORY * _SEEN_OF_SOLD:
        wanted = round(cards * RAM_PER_GPU_MEMORY / GIB)
        yield (
            f"{format_bytes(seen)} of RAM are less than twice the {format_bytes(cards)} of the cards: offload, loading "
            f"on every rank and merging need about {wanted} GiB to use the cards fully."
        )


def supply_warnings(hardware: Hardware) -> Iterator[str]:
    """A supply that gives less than all cards and the host may take in the same moment."""
    power, cards = hardware.power, hardware.gpus
    if power is None or power.supply_watts is None or not cards:
        return
    peak, supply = peak_watts(hardware), power.supply_watts
    if peak <= supply:
        return
    limit = (supply - power.host_watts) // len(cards) // 10 * 10
    cure = (
        f"limit the cards (nvidia-smi -pl {limit})" if limit >= cards[0].power_watts // 2 else "it needs a larger one"
    )
    yield (
        f"{len(cards)} x {cards[0].power_watts} W of cards and {power.host_watts} W of host are {peak:,} W in one "
        f"moment, the power supply gives {supply:,} W: the machine may switch off when all cards start; {cure}."
    )


def power_words(hardware: Hardware) -> str:
    """The machine's watts in one line."""
    power, peak = hardware.power, peak_watts(hardware)
    if power is None:
        return f"not recorded; peaks of {peak:,} W with {ASSUMED_HOST_WATTS} W assumed for the host"
    supply = "supply not recorded" if power.supply_watts is None else f"supply {power.supply_watts:,} W"
    return f"{power.load_watts:,} W at the wall while training, peaks of {peak:,} W, {supply}"
