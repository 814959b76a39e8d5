from __future__ import annotations

from dataclasses import replace

import pytest

from tests.examining import CALLER, READINGS, healthy, with_environ, with_readings, with_trial, without_trials
from tests.plans import CPU_BOX, make_plan, make_recipe
from tunekit.doctor.host import bytes_to_pin, cores, pinned, ram, shm
from tunekit.launcher.preflight import Fault
from tunekit.memory.terms import MemoryTerm
from tunekit.units import GIB, MIB

OFFLOADED = {"zero": {"offload_optimizer": "cpu", "pin_memory": True}}


def with_memory(case, **changes):
    return with_readings(case, memory=replace(READINGS.memory, **changes))


def locking(case):
    """The case with 4 GiB of gradients that are page-locked."""
    term = MemoryTerm(
        name="gradients in RAM", phases=("step",), host_bytes=4 * GIB, formula="", source="", kind="exact"
    )
    return replace(case, plan=replace(case.plan, memory=replace(case.plan.memory, terms=(term,))))


def test_shared_memory():
    assert shm(healthy()).found == "48.0 GiB free, 1.0 GiB needed"
    assert shm(healthy(cards=False)).found == "48.0 GiB free, 132 MiB needed"
    fault = Fault(kind="missing", check="shm", text="/dev/shm has 64 MiB free; in a container --shm-size=16g.")
    assert shm(healthy(faults=(fault,))).state == "blocks"


def test_shared_memory_of_the_machine_itself():
    for cards, needed in ((True, "1.0 GiB"), (False, "132 MiB")):
        case = with_memory(healthy(plan=False, cards=cards), shm_free=64 * MIB)
        assert (shm(case).state, f"need {needed}" in shm(case).found) == ("blocks", True)
        assert shm(healthy(plan=False, cards=cards)).state == "ok"
    alone = replace(healthy(plan=False, cards=False), hardware=replace(CPU_BOX, cpu_processes=1))
    assert shm(with_memory(alone, shm_free=0)).state == "ok"


def test_ram():
    seen = ram(with_memory(healthy(), limit=92 * GIB, memlock=8 * MIB))
    assert seen.state == "ok"
    assert seen.found == (
        "90.0 GiB of 96.0 GiB free, 4.0 GiB planned, cgroup limit 92.0 GiB, no swap, 8 MiB may be locked"
    )
    fault = Fault(kind="missing", check="ram", text="this machine has 3.0 GiB; end what holds the rest.")
    assert ram(healthy(faults=(fault,))).state == "blocks"


def test_swap_in_use():
    seen = ram(with_memory(healthy(), swap_total=8 * GIB, swap_free=GIB))
    assert (seen.state, "swap 8.0 GiB" in seen.found) == ("warning", True)
    assert ram(with_memory(healthy(), swap_total=8 * GIB, swap_free=7 * GIB)).state == "ok"


@pytest.mark.parametrize(
    ("watch", "state"),
    [
        ({"ram_free_gib": 91}, "blocks"),
        ({"ram_free_gib": 89}, "ok"),
        ({"ram_free_gib": "off"}, "ok"),
        ({"ram_free_gib": 91, "every_seconds": "off"}, "ok"),
    ],
)
def test_ram_below_the_limit_of_the_watch_would_stop_the_run_at_once(watch, state):
    case = healthy()
    assert case.plan is not None
    seen = ram(replace(case, plan=replace(case.plan, recipe=make_recipe(watch=watch))))
    assert (seen.state, "below watch.ram_free_gib (91)" in seen.found) == (state, state == "blocks")
    assert (
        ram(
            with_memory(
                replace(case, plan=replace(case.plan, recipe=make_recipe(watch=watch))),
                swap_total=8 * GIB,
                swap_free=8 * GIB,
            )
        ).state
        == "ok"
    )


def test_ram_that_is_little_for_the_cards():
    case = healthy(plan=False)
    small = replace(case, hardware=replace(case.hardware, host=replace(case.hardware.host, ram_bytes=32 * GIB)))
    assert (ram(case).state, ram(small).state) == ("ok", "warning")
    assert "less than twice" in ram(small).found


def test_page_locking():
    assert pinned(healthy(cards=False)).state == "not needed"
    assert pinned(healthy()).found == "nothing large is page-locked"
    case = locking(healthy(job=OFFLOADED))
    assert pinned(case).found == "4.0 GiB page-locked by DeepSpeed's own allocator in 1.5 s"
    torchs = replace(case, caller=replace(CALLER, memlock_unlimited=False))
    assert "by torch's allocator" in pinned(torchs).found
    part = pinned(with_trial(case, "pinned", {"bytes": GIB, "seconds": 20.0}))
    assert part.found.startswith("1.0 GiB of 4.0 GiB page-locked")
    assert pinned(without_trials(case)).state == "cannot tell"


def test_page_locking_that_fails():
    seen = pinned(with_trial(locking(healthy(job=OFFLOADED)), "pinned", missing="CUDA error: invalid argument"))
    assert (seen.state, seen.cure) == ("blocks", "zero.pin_memory=false, or ulimit -l unlimited")
    assert "invalid argument" in seen.found


def test_what_is_page_locked():
    assert bytes_to_pin(locking(healthy(job=OFFLOADED)).plan) == 4 * GIB
    assert bytes_to_pin(locking(healthy()).plan) == 0
    assert bytes_to_pin(make_plan()) == 0


def test_cores():
    two = healthy(plan=False, cards=False)
    alone = replace(two, hardware=replace(two.hardware, cpu_processes=1))
    assert cores(alone).found == "2 physical cores, threads of the one rank: 2"
    assert cores(healthy()).found == "12 physical cores, threads of each of 2 ranks: 6"
    assert cores(healthy(plan=False, cards=False)).found == "2 physical cores, threads of each of 2 ranks: 1"
    assert cores(healthy(job=OFFLOADED)).found.endswith("bound to cores of its own")


def test_cores_that_are_not_used():
    unbound = cores(replace(healthy(job=OFFLOADED), caller=replace(CALLER, has_numactl=False)))
    assert (unbound.state, unbound.cure) == ("warning", "apt install numactl")
    one = cores(with_environ(healthy(job=OFFLOADED), OMP_NUM_THREADS="1"))
    assert (one.state, one.cure) == ("warning", "unset OMP_NUM_THREADS")
    assert cores(with_environ(healthy(), OMP_NUM_THREADS="1")).state == "ok"


def test_a_limit_on_what_a_process_may_map():
    seen = ram(with_memory(healthy(), address_space=64 * GIB))
    assert (seen.state, seen.cure.startswith("ulimit -v unlimited")) == ("warning", True)
    assert "each process may map 64.0 GiB (ulimit -v), and CUDA" in seen.found
    both = ram(with_memory(healthy(cards=False), address_space=64 * GIB, swap_total=8 * GIB, swap_free=GIB))
    assert "half of the swap is in use; each process may map" in both.found
    assert "CUDA" not in both.found
