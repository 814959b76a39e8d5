from __future__ import annotations

from dataclasses import replace

import pytest

from tests.examining import BOX, CARDS, TRIALS, healthy, with_readings, with_trial, without_trials
from tunekit.doctor.links import CHECKS, iommu, pcie, peers
from tunekit.doctor.readings import Surroundings
from tunekit.hardware.spec import Gpu

PEERS = replace(
    BOX,
    gpus=tuple(replace(card, name="NVIDIA A100") for card in BOX.gpus),
    link=replace(BOX.link, p2p=True),
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_without_a_card_none_is_needed(check):
    assert check.look(healthy(cards=False)).found == "no GPU here"


@pytest.mark.parametrize("look", [peers, iommu])
def test_one_card_has_nobody_to_exchange_with(look):
    alone = with_readings(healthy(), cards=replace(CARDS, shown=CARDS.shown[:1]))
    assert look(alone).state == "not needed"


def test_lanes():
    assert isinstance(BOX.gpus[0], Gpu)
    assert pcie(healthy()).found == "PCIe 4.0 x8 under load, 12.7 GB/s to and 13.1 GB/s from each card"
    assert pcie(without_trials(healthy())).found == "PCIe 4.0 x8 as the driver says"
    failed = pcie(with_trial(healthy(), "copies", missing="not done after 60 s"))
    assert (failed.state, "not done" in failed.found) == ("cannot tell", True)


def test_a_link_that_is_narrow_under_load():
    narrow = pcie(with_trial(healthy(), "copies", {**TRIALS["copies"], "links": [[4, 8], [3, 4]]}))
    assert narrow.state == "warning"
    assert "x8 + x4" in narrow.found
    thin = replace(BOX, link=replace(BOX.link, pcie_lanes=4))
    assert pcie(without_trials(healthy(hardware=thin))).state == "warning"


def test_cards_exchange():
    seen = peers(healthy())
    assert seen.found == "all-reduce 5.0 GB/s, all-gather 4.0 GB/s, NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1 set"
    assert peers(healthy(hardware=PEERS)).found.endswith("peer access on")
    assert peers(without_trials(healthy())).state == "cannot tell"


def test_an_exchange_that_hangs_or_fails():
    hangs = peers(with_trial(healthy(), "collectives", missing="not done after 60 s"))
    assert (hangs.state, "hangs" in hangs.found, "iommu=pt" in hangs.cure) == ("blocks", True, True)
    assert "P2P" not in hangs.cure
    direct = peers(with_trial(healthy(hardware=PEERS), "collectives", missing="not done after 60 s"))
    assert direct.cure.startswith("export NCCL_P2P_DISABLE=1")
    fails = peers(with_trial(healthy(), "collectives", missing="the ranks ended with 1, 1"))
    assert (fails.state, "fails: the ranks ended" in fails.found) == ("blocks", True)


def test_a_patched_driver():
    seen = peers(with_readings(healthy(), cards=replace(CARDS, peers=True)))
    assert (seen.state, "patched driver" in seen.found) == ("warning", True)


def test_the_iommu():
    on = Surroundings(iommu_groups=30, kernel_command_line="quiet")
    assert iommu(healthy()).found == "the IOMMU is off"
    assert "through RAM" in iommu(with_readings(healthy(), surroundings=on)).found
    between = with_readings(healthy(hardware=PEERS), surroundings=on)
    assert (iommu(between).state, "iommu=pt" in iommu(between).cure) == ("warning", True)
    through = replace(on, kernel_command_line="quiet amd_iommu=on iommu=pt")
    assert iommu(with_readings(between, surroundings=through)).state == "ok"
