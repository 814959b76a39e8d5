"""A rented machine as hardware."""

from __future__ import annotations

from typing import Any

import pytest

from tunekit.hardware.checks import lane_warnings
from tunekit.hardware.gpu_table import known_gpus
from tunekit.hardware.profiles import load_profile
from tunekit.notebook import plan
from tunekit.prices.loading import load_prices
from tunekit.prices.offers import Offer
from tunekit.prices.rentable import assumptions, machine_of
from tunekit.units import GIB


def offer(gpu: str, count: int, **changes: Any) -> Offer:
    known: dict[str, Any] = {"provider": "Vast", "on_demand": 1.0, "spot": None, "source": "s", "date": ""}
    return Offer(gpu=gpu, count=count, **{**known, **changes})


def test_soldered_cards_are_joined_by_nvlink() -> None:
    box = machine_of(offer("H100 SXM", 8))
    assert box is not None
    assert box.link is not None
    assert (box.link.nvlink, box.link.nvlink_rate, box.link.pcie_generation) == (True, 450 * 10**9, 5)
    assert box.host.ram_bytes == 960 * GIB
    alone = machine_of(offer("H100 SXM", 1))
    assert alone is not None
    assert alone.link is not None
    assert (alone.link.nvlink, alone.link.nvlink_rate) == (False, 0)


def test_cards_in_slots_have_no_peers() -> None:
    box = machine_of(offer("RTX 4090", 2))
    assert box is not None
    assert box.name == "2x_rtx_4090"
    assert box.gpus == (known_gpus()["rtx_4090"].gpu,) * 2
    assert box.link is not None
    assert (box.link.nvlink, box.link.p2p, box.link.pcie_lanes) == (False, False, 16)
    assert box.price is None
    assert list(lane_warnings(box)) == []


def test_what_the_list_says_is_taken_before_what_is_assumed() -> None:
    stated = offer("L40S", 1, cores=8, ram_bytes=32 * GIB)
    box = machine_of(stated)
    assert box is not None
    assert (box.host.cores, box.host.ram_bytes) == (8, 32 * GIB)
    assert "8 cores and 32.0 GiB of RAM (cores and RAM of the price list)" in assumptions(stated)
    assert "4 cores and 40.0 GiB of RAM, PCIe 4.0 x16 without peer access" in assumptions(offer("L40S", 1))
    assert "RAM of 80 GB/s" in assumptions(offer("L40S", 4))
    assert assumptions(offer("L40S", 1)) in (machine_of(offer("L40S", 1)) or box).source


def test_an_unknown_card_is_no_machine() -> None:
    assert machine_of(offer("MI300X", 8)) is None
    assert assumptions(offer("MI300X", 8)) == "MI300X is not in tunekit/hardware/gpus.yaml"


@pytest.mark.parametrize("entry", load_prices(), ids=lambda entry: f"{entry.provider}-{entry.gpu}-{entry.count}")
def test_every_shipped_offer_of_a_known_card_is_a_machine(entry: Offer) -> None:
    box = machine_of(entry)
    assert (box is None) == (entry.card is None)
    if box is not None:
        assert len(box.gpus) == entry.count
        assert box.host.usable_ram_bytes < box.host.ram_bytes


def test_a_recipe_plans_on_it() -> None:
    box = machine_of(offer("RTX 4090", 2))
    assert plan("llama2_7b_qlora", on=box).verdict == "fits"


@pytest.mark.parametrize("count", [1, 8])
def test_a_rented_machine_draws_what_a_profile_of_the_same_parts_draws(count: int) -> None:
    """Cards at 85 % of their limit and the host at 60 % of its peak, by the supply's efficiency."""
    rented, profile = machine_of(offer("A100-80 PCIe", count)), load_profile("a100_80gb")
    assert rented is not None
    assert profile.power is not None
    assert rented.power is not None
    assert rented.power.load_watts == pytest.approx(count * profile.power.load_watts, rel=2e-3)
