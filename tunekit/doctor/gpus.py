"""Checks of the cards: CUDA, driver, free memory, kind, power. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from tunekit.doctor.case import NO_GPU, Case
from tunekit.doctor.finding import Check, Seen, blocks, not_needed, ok, unknown, warning
from tunekit.doctor.readings import Card
from tunekit.hardware.checks import supply_warnings
from tunekit.hardware.power import peak_watts
from tunekit.launcher.versions import is_older, major_of
from tunekit.planner.rules import BF16_CAPABILITY
from tunekit.units import format_bytes

DRIVER_OF_CUDA = MappingProxyType({11: "450.80", 12: "525.60", 13: "580.65"})
"""The least driver of each CUDA major version (NVIDIA's compatibility table)."""
RTX_40_DRIVER = "550.40.07"
"""Below it accelerate refuses several RTX 40 cards unless NCCL_P2P_DISABLE and NCCL_IB_DISABLE are set."""
HOT_IDLE = 60
"""Degrees Celsius of a card that does nothing; under load it would soon slow down."""


def cuda(case: Case) -> Seen:
    """torch sees every card, in a process of its own."""
    if not case.on_cards:
        return not_needed(NO_GPU)
    tried = case.tried("cuda")
    if tried is None or tried.missing.startswith("needs torch"):
        return unknown(tried.missing if tried else "not tried", "pip install 'tunekit[train]'" if tried else "")
    if tried.missing:
        return blocks(
            f"torch cannot start CUDA: {tried.missing}", "run nvidia-smi; after an update of the driver, reboot"
        )
    cards, seen = len(case.readings.cards.shown), int(tried.found.get("count", 0))
    if seen < cards:
        return blocks(
            f"the driver shows {cards} cards, torch {seen}", "run nvidia-smi; reboot, or install the driver anew"
        )
    return ok(f"torch sees {seen} card{'s' if seen != 1 else ''}, CUDA {tried.found.get('cuda')}")


def driver(case: Case) -> Seen:
    """A driver that answers, is new enough for torch's CUDA, and lets several RTX 40 cards talk."""
    cards = case.readings.cards
    if cards.driver is None:
        if cards.on_the_bus and (case.plan is None or case.wants_cards):
            found = f"{cards.on_the_bus} NVIDIA cards on the bus, but {cards.missing or 'no driver answers'}"
            return (blocks if case.wants_cards else warning)(found, "install NVIDIA's driver, then reboot")
        return not_needed(NO_GPU)
    least = DRIVER_OF_CUDA.get(major_of(case.readings.torch_cuda) or 0)
    if least and is_older(cards.driver, least) and case.on_cards:
        found = f"driver {cards.driver} is too old for torch's CUDA {case.readings.torch_cuda}"
        return blocks(found, f"install driver {least} or newer")
    pair = len(cards.shown) > 1 and any("RTX 40" in card.name for card in cards.shown)
    if pair and is_older(cards.driver, RTX_40_DRIVER):
        return warning(
            f"driver {cards.driver} promises RTX 40 cards a peer access that hangs; "
            "tunekit sets NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1",
            f"install driver {RTX_40_DRIVER} or newer",
        )
    return ok(f"driver {cards.driver}")


def gpu_memory(case: Case) -> Seen:
    """What is free now, and who holds the rest."""
    refused = case.refused("gpu_memory")
    cards = case.readings.cards.shown
    if refused is None and not case.on_cards:
        return not_needed(NO_GPU)
    held = [f"GPU {card.index}: {holder.pid} {holder.name}" for card in cards for holder in card.holders]
    orphans = [str(holder.pid) for card in cards for holder in card.holders if holder.orphan]
    if refused is not None:
        who = f" Held by {', '.join(held)}." if held else ""
        return blocks(refused.found + who, f"kill {' '.join(orphans)}" if orphans else refused.cure)
    free = ", ".join(f"{format_bytes(card.free_bytes)} of {format_bytes(card.total_bytes)}" for card in cards)
    if orphans:
        found = f"{free} free; held by processes that nobody waits for: {', '.join(_orphans(cards))}"
        return warning(found, f"kill {' '.join(dict.fromkeys(orphans))}")
    return ok(f"{free} free" + (f"; held by {', '.join(held)}" if held else ""))


def _orphans(cards: tuple[Card, ...]) -> Iterator[str]:
    for card in cards:
        for holder in card.holders:
            if holder.orphan:
                size = "" if holder.bytes is None else f" ({format_bytes(holder.bytes)})"
                yield f"{holder.pid} {holder.name} on GPU {card.index}{size}"


def gpu_models(case: Case) -> Seen:
    """Cards of one kind, with bf16."""
    cards = case.readings.cards.shown
    if not case.on_cards:
        return not_needed(NO_GPU)
    kinds = sorted({f"{card.name} ({format_bytes(card.total_bytes)})" for card in cards})
    weakest = min(card.compute_capability for card in cards)
    if len(kinds) > 1:
        return warning(f"cards differ: {', '.join(kinds)}", "name equal cards in CUDA_VISIBLE_DEVICES")
    if weakest < BF16_CAPABILITY:
        return warning(f"compute capability {weakest}: no bf16", "train.precision=fp16")
    return ok(f"{len(cards)} x {kinds[0]}, compute capability {weakest}")


def power(case: Case) -> Seen:
    """Limits against the supply, temperatures, and what the kernel has logged of the cards."""
    cards = case.readings.cards.shown
    if not case.on_cards:
        return not_needed(NO_GPU)
    xids = case.readings.surroundings.xids
    if xids:
        cure = "nvidia-smi -pl 300; one power cable per plug; seat card and riser anew"
        return warning(f"{len(xids)} errors of cards in the kernel's log since the start: {xids[-1]}", cure)
    supply = next(supply_warnings(case.hardware), None)
    if supply is not None:
        found, _, cure = supply.rpartition("; ")
        return warning(found, cure.removesuffix("."))
    hot = [card for card in cards if (card.temperature or 0) >= HOT_IDLE]
    if hot:
        found = f"GPU {hot[0].index} is at {hot[0].temperature} °C before it works"
        return warning(found, "let air in, set a fan curve, or end what keeps it busy")
    return ok(_power_words(case, cards))


def _power_words(case: Case, cards: tuple[Card, ...]) -> str:
    limits = " + ".join(f"{card.power_watts or '?'} W" for card in cards)
    degrees = ", ".join(f"{card.temperature} °C" for card in cards if card.temperature is not None)
    known = case.hardware.power is not None and case.hardware.power.supply_watts is not None
    supply = f"peaks of {peak_watts(case.hardware):,} W are within the supply" if known else "supply not recorded"
    log = (
        "the kernel's log may not be read"
        if case.readings.surroundings.xids is None
        else "no errors in the kernel's log"
    )
    return "; ".join(part for part in (f"limits {limits}", degrees, supply, log) if part)


CHECKS = (
    Check(
        name="cuda",
        group="GPUs",
        title="CUDA",
        why="Where torch cannot start CUDA, DeepSpeed trains on the processor without a word.",
        look=cuda,
        at_launch=False,
    ),
    Check(
        name="driver",
        group="GPUs",
        title="driver",
        why="Old drivers hang several RTX 40 cards, or are refused by torch.",
        look=driver,
    ),
    Check(
        name="gpu_memory",
        group="GPUs",
        title="free memory",
        why="A desktop, a notebook or a dead run on one card ends the run on all.",
        look=gpu_memory,
    ),
    Check(
        name="gpu_models",
        group="GPUs",
        title="kind",
        why="The slowest and smallest card decides, and bf16 needs compute capability 8.0.",
        look=gpu_models,
    ),
    Check(
        name="power",
        group="GPUs",
        title="power",
        why="A supply that gives in switches the machine off the moment all cards start.",
        look=power,
    ),
)
