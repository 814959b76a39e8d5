from __future__ import annotations

from dataclasses import replace

import pytest

from tests.examining import BOX, CARD, CARDS, healthy, with_readings, with_trial, without_trials
from tunekit.doctor.gpus import CHECKS, cuda, driver, gpu_memory, gpu_models, power
from tunekit.doctor.readings import Cards, Holder, Surroundings
from tunekit.launcher.preflight import Fault
from tunekit.units import GIB

FULL = Fault(kind="missing", check="gpu_memory", text="GPU 1 has 2.0 GiB free, the plan needs 20.0 GiB; end it.")


def with_cards(case, **changes):
    return with_readings(case, cards=replace(CARDS, **changes))


def with_first(case, **changes):
    return with_cards(case, shown=(replace(CARD, **changes), replace(CARD, index=1)))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_without_a_card_none_is_needed(check):
    for case in (healthy(cards=False), healthy(cards=False, plan=False)):
        seen = check.look(case)
        assert (seen.state, seen.found) == ("not needed", "no GPU here")


def test_cuda_starts():
    assert cuda(healthy()).found == "torch sees 2 cards, CUDA 12.8"
    assert cuda(without_trials(healthy())).state == "cannot tell"
    assert cuda(with_trial(healthy(), "cuda", missing="needs torch, which is not installed")).state == "cannot tell"


def test_cuda_does_not_start_or_sees_less():
    broken = cuda(with_trial(healthy(), "cuda", missing="RuntimeError: no CUDA-capable device"))
    assert (broken.state, "no CUDA-capable device" in broken.found, "reboot" in broken.cure) == ("blocks", True, True)
    fewer = cuda(with_trial(healthy(), "cuda", {"count": 1, "cuda": "12.8"}))
    assert (fewer.state, fewer.found) == ("blocks", "the driver shows 2 cards, torch 1")
    assert cuda(with_trial(healthy(), "cuda", missing="not done after 60 s")).state == "blocks"


def test_the_driver():
    assert driver(healthy()).found == "driver 580.65.06"
    old = driver(with_cards(healthy(), driver="535.183.01"))
    assert (old.state, old.cure) == ("warning", "install driver 550.40.07 or newer")
    assert "NCCL_P2P_DISABLE=1" in old.found
    alone = with_cards(healthy(), driver="535.183.01", shown=(CARD,))
    assert driver(alone).state == "ok"


def test_a_driver_too_old_for_torch():
    seen = driver(with_readings(healthy(), torch_cuda="13.0", cards=replace(CARDS, driver="570.10")))
    assert (seen.state, seen.cure) == ("blocks", "install driver 580.65 or newer")


def test_cards_on_the_bus_without_a_driver():
    dead = Cards(missing="no NVIDIA driver answers", on_the_bus=2)
    idle = driver(with_readings(healthy(cards=False, plan=False), cards=dead))
    assert (idle.state, "2 NVIDIA cards on the bus" in idle.found) == ("warning", True)
    assert driver(with_readings(healthy(), cards=dead)).state == "blocks"
    assert driver(with_readings(healthy(cards=False), cards=dead)).state == "not needed"


def test_free_memory():
    assert gpu_memory(healthy()).found == "23.0 GiB of 24.0 GiB, 23.0 GiB of 24.0 GiB free"
    mine = with_first(healthy(), holders=(Holder(pid=7, name="Xorg", bytes=GIB),))
    assert gpu_memory(mine).found.endswith("; held by GPU 0: 7 Xorg")
    assert gpu_memory(mine).state == "ok"


def test_orphans_hold_a_card():
    case = with_first(healthy(), holders=(Holder(pid=7, name="python3", bytes=2 * GIB, orphan=True),))
    seen = gpu_memory(case)
    assert (seen.state, seen.cure) == ("warning", "kill 7")
    assert seen.found.endswith("nobody waits for: 7 python3 on GPU 0 (2.0 GiB)")
    refused = gpu_memory(replace(case, faults=(FULL,)))
    assert (refused.state, refused.cure) == ("blocks", "kill 7")
    assert refused.found.endswith("Held by GPU 0: 7 python3.")
    assert gpu_memory(healthy(faults=(FULL,))).cure == "end it"


def test_cards_of_one_kind():
    assert gpu_models(healthy()).found == "2 x NVIDIA GeForce RTX 4090 (24.0 GiB), compute capability 8.9"
    mixed = gpu_models(with_first(healthy(), name="NVIDIA GeForce RTX 3090"))
    assert (mixed.state, "RTX 3090" in mixed.found) == ("warning", True)
    old = replace(CARD, compute_capability=7.5)
    turing = gpu_models(with_cards(healthy(), shown=(old, replace(old, index=1))))
    assert (turing.state, turing.cure) == ("warning", "train.precision=fp16")


def test_power():
    fine = power(healthy())
    assert (fine.state, fine.found.split("; ")[0]) == ("ok", "limits 450 W + 450 W")
    assert "35 °C" in fine.found
    assert "within the supply" in fine.found
    unknown = power(healthy(hardware=replace(BOX, power=None)))
    assert "supply not recorded" in unknown.found
    hidden = power(with_readings(healthy(), surroundings=Surroundings(xids=None)))
    assert "may not be read" in hidden.found


def test_power_that_is_too_little_or_has_failed():
    small = replace(BOX, power=replace(BOX.power, supply_watts=1000))
    seen = power(healthy(hardware=small))
    assert (seen.state, "gives 1,000 W" in seen.found, "nvidia-smi -pl" in seen.cure) == ("warning", True, True)
    fallen = Surroundings(xids=("NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus",))
    seen = power(with_readings(healthy(), surroundings=fallen))
    assert (seen.state, "Xid" in seen.found) == ("warning", True)
    hot = power(with_first(healthy(), temperature=71))
    assert (hot.state, hot.found) == ("warning", "GPU 0 is at 71 °C before it works")
