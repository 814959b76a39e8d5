from __future__ import annotations

from dataclasses import replace

import pytest

from tests.plans import DUAL_4090, make_plan
from tunekit.launcher.progress import Progress
from tunekit.render.machine_lines import machine_lines
from tunekit.units import GIB
from tunekit.watch.sample import DriveSample, GpuSample, HostSample, Sample
from tunekit.watch.throttling import POWER_CAP, SW_HEAT

CARD = GpuSample(
    index=1,
    used_bytes=17 * GIB,
    total_bytes=24 * GIB,
    utilisation=97,
    celsius=71,
    watts=380.4,
    limit_watts=450.0,
    sm_clock=2600,
    throttle=POWER_CAP,
    pcie_generation=4,
    pcie_lanes=8,
)
HOST = HostSample(total_bytes=96 * GIB, available_bytes=40 * GIB)


@pytest.fixture
def plan():
    return make_plan(hardware=DUAL_4090)


def lines(plan, **parts):
    return machine_lines(Progress(sample=Sample(time=1.0, **parts)), plan)


def test_nothing_before_the_first_look(plan):
    assert machine_lines(Progress(), plan) == []
    assert lines(plan) == []


def test_a_card_beside_its_plan(plan):
    (line,) = lines(plan, gpus=(CARD,))
    assert line.startswith("GPU 1 plan ")
    assert line.endswith(" | now 17.0 GiB of 24.0 GiB  97 %  71 °C  380 of 450 W  2600 MHz  PCIe 4.0 x8")


def test_a_card_that_is_held_back_and_a_link_below_the_plan(plan):
    (line,) = lines(plan, gpus=(replace(CARD, throttle=SW_HEAT, pcie_lanes=4),))
    assert line.endswith("PCIe 4.0 x4 (plan 4.0 x8)  held back by heat (SwThermalSlowdown)")
    (resting,) = lines(plan, gpus=(replace(CARD, utilisation=0, pcie_generation=1),))
    assert resting.endswith("PCIe 1.0 x8")


def test_what_a_card_does_not_tell_is_left_out(plan):
    (line,) = lines(plan, gpus=(GpuSample(index=0, used_bytes=GIB, total_bytes=24 * GIB),))
    assert line.endswith("| now 1.0 GiB of 24.0 GiB")


def test_ram_and_drives_on_one_line(plan):
    drive = DriveSample(purpose="output", path="/runs", free_bytes=50 * GIB, total_bytes=99 * GIB)
    (line,) = lines(plan, host=HOST, drives=(drive,))
    assert line.startswith("RAM plan ")
    assert line.endswith("| now 56.0 GiB of 96.0 GiB in use   output drive 50.0 GiB free")


def test_a_cgroup_and_swap_are_said(plan):
    host = replace(HOST, cgroup_limit_bytes=96 * GIB, swap_total_bytes=8 * GIB, swap_free_bytes=6 * GIB)
    (line,) = lines(plan, host=host)
    assert line.startswith("cgroup plan ")
    assert line.endswith("in use, 2.0 GiB of swap")
