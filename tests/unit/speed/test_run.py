from dataclasses import replace

import pytest
from memory_jobs import job
from speed_jobs import box, seven

from tunekit.hardware.spec import Power, Price
from tunekit.speed.estimate import estimate_speed
from tunekit.speed.run import life_words, run_cost, steps_write, wear_words


def test_hours_and_energy_follow_from_steps():
    machine = replace(box(), power=Power(host_watts=250, load_watts=1000))
    speed = estimate_speed(job(), seven(), machine)
    assert speed is not None
    found = run_cost(speed, 3600, machine)
    assert found.hours.expected == pytest.approx(speed.step_seconds.expected)
    assert found.kwh.expected == pytest.approx(found.hours.expected)
    assert found.kwh.low < found.kwh.expected < found.kwh.high
    assert (found.nvme_bytes, found.nvme_life) == (0, None)


def test_a_thousand_steps_of_7b_take_a_share_of_the_drive():
    """facts: 1000 steps of 7B write 108 TB, 9 % of a drive rated for 1200 TB."""
    plain = box()
    machine = replace(plain, disks=(replace(plain.disks[0], endurance_bytes=1200 * 10**12),))
    speed = estimate_speed(job(zero={"stage": 3, "offload_optimizer": "nvme"}), seven(), machine)
    assert speed is not None
    found = run_cost(speed, 1000, machine)
    assert found.nvme_bytes == pytest.approx(108e12, rel=0.01)
    assert found.nvme_life == pytest.approx(0.09, rel=0.01)
    assert run_cost(speed, 1000, plain).nvme_life is None
    spare = replace(plain.disks[0], name="spare", endurance_bytes=1, write_rate=1)
    assert run_cost(speed, 1000, replace(machine, disks=(spare, *machine.disks))).nvme_life == found.nvme_life


def test_wear_is_told_per_step_and_in_the_terabytes_of_a_data_sheet():
    speed = estimate_speed(job(zero={"stage": 3, "offload_optimizer": "nvme"}), seven(), box())
    assert speed is not None
    assert wear_words(speed).startswith("every step writes 100.4 GiB to it, 1,000 steps 107.8 TB")
    assert steps_write(100, run_cost(speed, 100, box()).nvme_bytes) == "100 steps 10.8 TB"


def test_what_is_worn_off_the_drive_is_a_share_of_its_price_in_energy():
    """1,200 TB of endurance; 850 CNY at 0.56 CNY a kWh, or a thousand kWh where nobody said a price."""
    plain = box()
    drive = replace(plain.disks[0], endurance_bytes=1200 * 10**12)
    speed = estimate_speed(job(zero={"stage": 3, "offload_optimizer": "nvme"}), seven(), plain)
    assert speed is not None
    bought = Price(amount=40_000, currency="CNY", date="2026-11")
    priced = replace(plain, disks=(replace(drive, price=850.0),), price=bought)
    found = run_cost(speed, 1000, priced)
    assert found.nvme_life is not None
    assert found.nvme_kwh == pytest.approx(found.nvme_life * 850 / 0.56)
    assert run_cost(speed, 1000, replace(plain, disks=(drive,))).nvme_kwh == pytest.approx(found.nvme_life * 1000)
    assert run_cost(speed, 1000, plain).nvme_kwh == 0.0
    assert life_words(found) == f", {found.nvme_life:.1%} of what the drive is rated for"
    assert life_words(run_cost(speed, 1000, plain)) == ""
