from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tunekit.hardware.spec import Link
from tunekit.recipe.schema import WatchSection
from tunekit.units import GIB
from tunekit.watch.rules import Limits, find
from tunekit.watch.sample import DriveSample, GpuSample, HostSample, Sample
from tunekit.watch.throttling import POWER_BRAKE, POWER_CAP, SW_HEAT

LINK = Link(pcie_generation=4, pcie_lanes=8, nvlink=False, p2p=False)
WELL = GpuSample(
    index=0,
    used_bytes=17 * GIB,
    total_bytes=24 * GIB,
    utilisation=98,
    celsius=70,
    watts=440.0,
    limit_watts=450.0,
    default_watts=450.0,
    sm_clock=2600,
    max_sm_clock=3105,
    throttle=POWER_CAP,
    pcie_generation=4,
    pcie_lanes=8,
)
ROOMY = HostSample(total_bytes=96 * GIB, available_bytes=20 * GIB)


def found(
    card: dict[str, Any] | None = None,
    *,
    host: HostSample | None = ROOMY,
    drives: tuple[DriveSample, ...] = (),
    lost: dict[int, str] | None = None,
    checkpoint: int = 0,
    **watch: Any,
) -> list[Any]:
    sample = Sample(time=0.0, gpus=(dataclasses.replace(WELL, **(card or {})),), host=host, drives=drives, lost=lost)
    limits = Limits(watch=WatchSection.model_validate(watch), link=LINK, checkpoint_bytes=checkpoint)
    return list(find(sample, limits))


def test_a_card_at_its_power_limit_with_good_clocks_is_well():
    assert found() == []


def test_heat_is_named_with_the_reason_and_what_to_type():
    (finding,) = found({"throttle": SW_HEAT, "celsius": 84, "sm_clock": 1800})
    assert (finding.rule, finding.place, finding.stops) == ("throttling", "GPU 0", False)
    assert finding.text == ("GPU 0 is held back by heat (SwThermalSlowdown): 1800 of 3105 MHz, 84 °C, 440 of 450 W")
    assert "sudo nvidia-smi -i 0 -pl 350" in finding.todo


def test_heat_and_the_power_brake_are_named_at_any_clock():
    assert [finding.rule for finding in found({"throttle": SW_HEAT})] == ["throttling"]
    assert [finding.rule for finding in found({"throttle": POWER_BRAKE})] == ["throttling"]


def test_a_power_limit_is_named_where_the_clock_shows_it():
    slow = {"throttle": POWER_CAP, "sm_clock": 2000, "limit_watts": 300.0}
    (finding,) = found(slow)
    assert "its power limit (SwPowerCap)" in finding.text
    assert "-pl 450" in finding.todo
    assert found(slow, gpu_clock_percent=50) == []
    assert found(slow, gpu_clock_percent="off") == []
    assert found({**slow, "sm_clock": None}) == []


def test_an_idle_card_is_not_judged():
    resting = {"utilisation": 3, "throttle": SW_HEAT, "pcie_generation": 1, "sm_clock": 210}
    assert found(resting) == []
    assert found({**resting, "utilisation": None}) == []


def test_temperature_has_a_limit_of_its_own():
    (finding,) = found({"celsius": 88})
    assert finding.text == "GPU 0 is at 88 °C (watch.gpu_temperature is 87)"
    assert finding.todo == "sudo nvidia-smi -i 0 -pl 350"
    assert found({"celsius": 87}) == []
    assert found({"celsius": 99}, gpu_temperature="off") == []


@pytest.mark.parametrize(
    ("generation", "lanes", "named"), [(4, 4, True), (3, 8, True), (4, 8, False), (5, 4, False), (3, 16, False)]
)
def test_a_link_below_the_planned_one_is_named(generation, lanes, named):
    findings = found({"pcie_generation": generation, "pcie_lanes": lanes})
    assert [finding.rule for finding in findings] == (["pcie"] if named else [])
    if named:
        assert f"PCIe {generation}.0 x{lanes} under load; the plan reckons with 4.0 x8" in findings[0].text


def test_the_share_of_the_link_is_the_users_to_set():
    assert found({"pcie_lanes": 4}, pcie_percent=50) == []
    assert found({"pcie_lanes": 1}, pcie_percent="off") == []


def test_a_card_that_no_longer_answers_is_named():
    (finding,) = found(lost={1: "GPU is lost"})
    assert finding.text == "GPU 1 no longer answers the driver (GPU is lost)"
    assert "Xid" in finding.todo


def test_ram_and_swap_together_stop_the_run():
    (finding,) = found(host=HostSample(total_bytes=96 * GIB, available_bytes=GIB // 4))
    assert (finding.rule, finding.stops, finding.saves) == ("ram", True, True)
    assert "256 MiB of RAM and swap left in this machine of 96.0 GiB: below watch.ram_free_gib (0.5)" in finding.text
    assert "resume" not in finding.todo
    swap = HostSample(total_bytes=96 * GIB, available_bytes=GIB // 4, swap_total_bytes=8 * GIB, swap_free_bytes=GIB)
    assert found(host=swap) == []
    assert found(host=HostSample(total_bytes=96 * GIB, available_bytes=0), ram_free_gib="off") == []
    limited = HostSample(total_bytes=8 * GIB, available_bytes=0, cgroup_limit_bytes=8 * GIB)
    assert "the cgroup of 8.0 GiB" in found(host=limited)[0].text


def drive(free: int, purpose: str = "output") -> tuple[DriveSample, ...]:
    return (DriveSample(purpose=purpose, path="/runs", free_bytes=free, total_bytes=100 * GIB),)


def test_a_drive_that_holds_no_further_checkpoint_stops_the_run():
    (finding,) = found(drives=drive(3 * GIB), checkpoint=5 * GIB // 2)
    assert (finding.rule, finding.place, finding.stops, finding.saves) == ("disk", "output", True, True)
    assert (
        "3.0 GiB left on the drive of /runs (watch.disk_free_gib is 1 beside a checkpoint of 2.5 GiB)" in finding.text
    )
    assert found(drives=drive(4 * GIB), checkpoint=5 * GIB // 2) == []


def test_no_checkpoint_is_tried_where_it_does_not_fit_or_nobody_knows():
    assert not found(drives=drive(2 * GIB), checkpoint=3 * GIB)[0].saves
    assert not found(drives=drive(GIB // 2))[0].saves
    assert found(drives=drive(GIB // 2, "nvme"), checkpoint=3 * GIB)[0].saves


def test_the_swap_drive_needs_no_room_for_checkpoints():
    assert found(drives=drive(2 * GIB, "nvme"), checkpoint=5 * GIB) == []
    assert found(drives=drive(0), disk_free_gib="off") == []
