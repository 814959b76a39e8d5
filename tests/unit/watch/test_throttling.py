from __future__ import annotations

import pytest

from tunekit.watch.sample import GpuSample
from tunekit.watch.throttling import HW_HEAT, HW_SLOWDOWN, POWER_BRAKE, POWER_CAP, SW_HEAT, cooler_watts, cure, reasons

IDLE, APPLICATION_CLOCKS, DISPLAY = 0x1, 0x2, 0x100


def card(throttle: int = 0, *, limit: float | None = 450.0, default: float | None = 450.0) -> GpuSample:
    return GpuSample(
        index=1, used_bytes=0, total_bytes=1, throttle=throttle, limit_watts=limit, default_watts=default, watts=300.0
    )


def test_an_idle_card_and_chosen_clocks_are_no_trouble():
    assert reasons(IDLE | APPLICATION_CLOCKS | DISPLAY) == ()


def test_every_trouble_has_its_name():
    assert reasons(SW_HEAT | POWER_CAP) == ("heat (SwThermalSlowdown)", "its power limit (SwPowerCap)")
    assert len(reasons(SW_HEAT | HW_HEAT | HW_SLOWDOWN | POWER_BRAKE | POWER_CAP)) == 4
    assert reasons(HW_SLOWDOWN) == ("heat or power (HwSlowdown)",)


def test_a_hot_4090_is_set_to_350_watts():
    assert cooler_watts(card()) == 350
    assert cure(card(SW_HEAT)).startswith("sudo nvidia-smi -i 1 -pl 350")


def test_the_power_brake_is_a_matter_of_cables():
    assert cure(card(POWER_BRAKE)).startswith("one power cable per plug")
    assert cure(card(POWER_BRAKE | HW_SLOWDOWN)).startswith("one power cable per plug"), "the driver sets both"
    assert cure(card(HW_SLOWDOWN)).endswith("more air, or one power cable per plug")


@pytest.mark.parametrize(
    ("limit", "text"),
    [(300.0, "sudo nvidia-smi -i 1 -pl 450 gives"), (450.0, "nothing to type"), (None, "nothing to type")],
)
def test_a_limit_that_somebody_lowered_can_be_given_back(limit, text):
    assert cure(card(POWER_CAP, limit=limit)).startswith(text)
