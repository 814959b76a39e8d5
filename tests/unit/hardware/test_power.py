"""Watts of a machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.planning import laptop, machine
from tunekit.hardware.power import load_watts, peak_watts, wall_watts
from tunekit.hardware.spec import Power


def test_two_4090_draw_a_kilowatt() -> None:
    box = machine()
    # (2 x 450 x 0.85 + 250 x 0.6) / 0.92, which the owner rounds to 1.0 kW.
    assert wall_watts(box.gpus, 250) == 995
    assert load_watts(box) == 1000
    assert load_watts(replace(box, power=None)) == 995


def test_the_peak_is_every_part_at_its_limit() -> None:
    assert peak_watts(machine()) == 2 * 450 + 250
    assert peak_watts(replace(machine(), power=Power(host_watts=300, load_watts=1, supply_watts=850))) == 1200


def test_without_cards_the_processor_works_all_the_time() -> None:
    assert load_watts(replace(laptop(), power=None)) == round(250 / 0.92)


@pytest.mark.parametrize("watts", [200, 350, 450])
def test_a_lower_power_limit_saves_watts(watts: int) -> None:
    box = machine()
    card = replace(box.gpus[0], power_watts=watts)
    assert wall_watts((card, card), 250) <= wall_watts(box.gpus, 250)
