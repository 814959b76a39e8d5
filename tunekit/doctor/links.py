"""Checks of the links: PCIe, exchange between cards, IOMMU. Pure."""

from __future__ import annotations

from tunekit.doctor.case import NO_GPU, Case
from tunekit.doctor.finding import Check, Seen, blocks, not_needed, ok, unknown, warning
from tunekit.hardware.checks import lane_warnings
from tunekit.hardware.probing import measured_hardware
from tunekit.launcher.environment import needs_no_p2p
from tunekit.units import GB

ONE_CARD = "one card has nobody to exchange with"
PASSED_THROUGH = "iommu=pt"
HARDER = "NCCL_DEBUG=INFO tells where; a newer driver, or iommu=pt on the kernel's command line"


def pcie(case: Case) -> Seen:
    """Generation and lanes, under load where copies were made."""
    link = case.hardware.link
    if link is None or not case.on_cards:
        return not_needed(NO_GPU)
    copies = case.tried("copies")
    found = {} if copies is None else copies.found
    seen = case.hardware if copies is None else measured_hardware(case.hardware, [copies], date="", drive=None)
    narrow = next(lane_warnings(seen), None)
    if narrow is not None:
        return warning(narrow.rstrip("."), "another slot, or the BIOS setting of this one; an idle card may show fewer")
    link = seen.link or link
    lanes = " + ".join(f"x{lanes}" for lanes in link.card_lanes) or f"x{link.pcie_lanes}"
    if found.get("to_gpu_rate"):
        rates = f"{found['to_gpu_rate'] / GB:.1f} GB/s to and {found['from_gpu_rate'] / GB:.1f} GB/s from each card"
        return ok(f"PCIe {link.pcie_generation}.0 {lanes} under load, {rates}")
    if copies is not None:
        return unknown(f"PCIe {link.pcie_generation}.0 {lanes} as the driver says; copies: {copies.missing}")
    return ok(f"PCIe {link.pcie_generation}.0 {lanes} as the driver says")


def peers(case: Case) -> Seen:
    """Whether tensors get from one card to the others at all, and how fast."""
    cards = case.readings.cards
    if not case.on_cards or len(cards.shown) < 2:
        return not_needed(NO_GPU if not case.on_cards else ONE_CARD)
    tried = case.tried("collectives")
    if tried is None:
        return unknown("not tried")
    variables = "NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1 set" if needs_no_p2p(case.hardware) else "peer access on"
    if tried.missing.startswith("not done"):
        return blocks(
            f"an all-reduce of {len(cards.shown)} cards hangs ({tried.missing}; {variables})",
            HARDER if needs_no_p2p(case.hardware) else f"export NCCL_P2P_DISABLE=1 NCCL_IB_DISABLE=1; {HARDER}",
        )
    if tried.missing:
        return blocks(f"an all-reduce of {len(cards.shown)} cards fails: {tried.missing}", "NCCL_DEBUG=INFO says more")
    reduce, gather = (tried.found[f"all_{name}_rate"] / GB for name in ("reduce", "gather"))
    rates = f"all-reduce {reduce:.1f} GB/s, all-gather {gather:.1f} GB/s"
    if cards.peers and any("RTX 40" in card.name for card in cards.shown):
        return warning(
            f"{rates}; the driver promises RTX 40 cards peer access, which they do not have: a patched driver",
            "keep NCCL_P2P_DISABLE=1, which tunekit sets",
        )
    return ok(f"{rates}, {variables}")


def iommu(case: Case) -> Seen:
    """An IOMMU that translates between cards makes peer access hang or crawl."""
    if not case.on_cards or len(case.readings.cards.shown) < 2:
        return not_needed(NO_GPU if not case.on_cards else ONE_CARD)
    here = case.readings.surroundings
    if not here.iommu_groups:
        return ok("the IOMMU is off")
    if PASSED_THROUGH in here.kernel_command_line:
        return ok(f"{here.iommu_groups} IOMMU groups, passed through ({PASSED_THROUGH})")
    if needs_no_p2p(case.hardware):
        return ok(f"{here.iommu_groups} IOMMU groups; the cards exchange through RAM, so it does not matter")
    return warning(
        f"{here.iommu_groups} IOMMU groups and no {PASSED_THROUGH}: peer access may hang or be slow",
        f"put {PASSED_THROUGH} on the kernel's command line, or turn IOMMU and ACS off in the BIOS",
    )


CHECKS = (
    Check(
        name="pcie",
        group="links",
        title="PCIe",
        why="Offload and sharding wait for the narrowest slot.",
        look=pcie,
    ),
    Check(
        name="peers",
        group="links",
        title="exchange",
        why="A peer access that is promised but not there hangs the first step for ever.",
        look=peers,
        at_launch=False,
    ),
    Check(
        name="iommu",
        group="links",
        title="IOMMU",
        why="An IOMMU or ACS between cards makes NCCL hang or crawl.",
        look=iommu,
    ),
)
