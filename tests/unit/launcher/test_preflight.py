from __future__ import annotations

from dataclasses import replace

import pytest

from tests.plans import CPU_BOX, DUAL_4090, HOST, make_plan
from tunekit.errors import MissingError, UsageError
from tunekit.launcher.preflight import (
    Facts,
    Fault,
    Machine,
    Mount,
    Need,
    check,
    find_faults,
    is_for_another_machine,
    refuse,
    shared_memory_needed,
)
from tunekit.units import GIB, MIB

HERE = Machine(hardware=CPU_BOX)
BOX = Machine(hardware=DUAL_4090, gpu_free_bytes={0: 23 * GIB, 1: 23 * GIB})
OUTPUT = Mount(path="/data/runs", device=1, free_bytes=10 * GIB)
CACHE = Mount(path="/home/cache", device=2, free_bytes=100 * GIB)


def texts(plan, **facts):
    return [fault.text for fault in find_faults(plan, Facts(machine=facts.pop("machine", HERE), **facts))]


def test_all_is_well():
    check(make_plan(), Facts(machine=HERE))
    check(make_plan(DUAL_4090, device_bytes=20 * GIB), Facts(machine=BOX))


def test_planned_for_two_cards_on_a_laptop():
    with pytest.raises(MissingError) as caught:
        check(make_plan(DUAL_4090), Facts(machine=HERE))
    text = str(caught.value)
    assert "planned for dual_rtx4090 (2 x NVIDIA GeForce RTX 4090), but this machine has no GPU" in text
    assert text.endswith("set hardware=local to plan and run on this machine.")


def test_one_card_is_not_two():
    one = Machine(hardware=replace(DUAL_4090, gpus=DUAL_4090.gpus[:1]), gpu_free_bytes={0: 23 * GIB})
    assert "but this machine has 1 GPU;" in texts(make_plan(DUAL_4090), machine=one)[0]


def test_a_full_card_is_named():
    busy = replace(BOX, gpu_free_bytes={2: 23 * GIB, 3: 5 * GIB})
    found = texts(make_plan(DUAL_4090, device_bytes=20 * GIB), machine=busy)
    assert found == [
        "GPU 3 has 5.0 GiB free, the plan needs 20.0 GiB: another program holds the rest; "
        "end it (nvidia-smi shows which)."
    ]


def test_small_shared_memory_matters_to_several_processes_only():
    (text,) = texts(make_plan(DUAL_4090), machine=BOX, shm_free_bytes=64 * MIB)
    assert text.startswith("/dev/shm has 64 MiB free, 2 processes need 1.0 GiB to exchange tensors; ")
    assert text.endswith("--shm-size=16g.")
    assert "need 132 MiB" in texts(make_plan(), shm_free_bytes=64 * MIB)[0]
    assert texts(make_plan(), shm_free_bytes=132 * MIB) == []
    alone = replace(CPU_BOX, cpu_processes=1)
    assert texts(make_plan(alone), machine=replace(HERE, hardware=alone), shm_free_bytes=0) == []
    assert shared_memory_needed(make_plan(alone)) == 0


def test_missing_packages():
    assert texts(make_plan(), missing_modules=("torch", "trl")) == [
        "packages that training needs are not installed: torch, trl; pip install 'tunekit[train]'."
    ]
    assert "pip install wandb" in texts(make_plan(), missing_modules=("wandb",))[0]


def test_needs_on_one_drive_add_up():
    needs = (
        Need(what="checkpoints and result", setting="output.dir", mount=OUTPUT, bytes=6 * GIB),
        Need(what="model download", setting="HF_HOME", mount=replace(OUTPUT, path="/data/cache"), bytes=5 * GIB),
        Need(what="compiled ops", setting="TORCH_EXTENSIONS_DIR", mount=CACHE, bytes=GIB),
    )
    assert texts(make_plan(), needs=needs) == [
        "the drive of /data/runs has 10.0 GiB free, the run writes 11.0 GiB "
        "(checkpoints and result 6.0 GiB + model download 5.0 GiB); free space, or set output.dir or HF_HOME to "
        "another drive."
    ]
    apart = (needs[0], replace(needs[1], mount=CACHE), needs[2])
    assert texts(make_plan(), needs=apart) == []
    assert texts(make_plan(), needs=(replace(needs[0], bytes=11 * GIB), needs[2]))[0].endswith(
        "(checkpoints and result 11.0 GiB); free space, or set output.dir to another drive."
    )


def test_all_faults_at_once_and_usage_decides_the_exit_code():
    facts = Facts(machine=HERE, output_fault="output.dir is taken", missing_modules=("trl",), nvme_fault="no nvme")
    with pytest.raises(UsageError) as caught:
        check(make_plan(DUAL_4090), facts)
    lines = str(caught.value).splitlines()
    assert lines[0] == "output.dir is taken"
    assert lines[-1] == "4 things stand in the way; nothing was started."
    assert len(lines) == 5
    with pytest.raises(MissingError):
        check(make_plan(), replace(facts, output_fault=None))


@pytest.mark.parametrize(
    ("name", "check_name"),
    [
        ("nvme_fault", "nvme"),
        ("build_fault", "compiler"),
        ("port_fault", "rendezvous"),
        ("output_fault", "output"),
        ("attention_fault", "flash_attention"),
    ],
)
def test_gathered_faults_are_passed_on(name, check_name):
    (fault,) = find_faults(make_plan(), Facts(machine=HERE, **{name: "the reason"}))
    assert (fault.text, fault.check) == ("the reason", check_name)


@pytest.mark.parametrize(
    ("name", "check_name"), [("data_faults", "data"), ("cache_faults", "disks"), ("version_faults", "versions")]
)
def test_gathered_lists_are_passed_on(name, check_name):
    found = list(find_faults(make_plan(), Facts(machine=HERE, **{name: ("one", "two")})))
    assert [(fault.text, fault.check) for fault in found] == [("one", check_name), ("two", check_name)]


def test_a_fault_ends_with_what_to_type():
    fault = Fault(kind="missing", check="ram", text="too little; too much else; end what holds it.")
    assert (fault.found, fault.cure) == ("too little; too much else", "end what holds it")
    assert (replace(fault, text="no way out").found, replace(fault, text="no way out").cure) == ("no way out", "")
    several = replace(fault, text="line 1: bad\nline 2: bad; nothing was started.")
    assert (several.found, several.cure) == (several.text, "")


@pytest.mark.parametrize(
    ("plan", "facts"),
    [
        (make_plan(DUAL_4090), {}),
        (make_plan(DUAL_4090, device_bytes=20 * GIB), {"machine": replace(BOX, gpu_free_bytes={0: 0, 1: 0})}),
        (make_plan(), {"missing_modules": ("trl",)}),
        (make_plan(), {"shm_free_bytes": 0}),
        (make_plan(), {"needs": (Need(what="model", setting="HF_HOME", mount=OUTPUT, bytes=99 * GIB),)}),
        (make_plan(), {"machine": replace(HERE, hardware=replace(CPU_BOX, host=replace(HOST, usable_ram_bytes=0)))}),
    ],
)
def test_every_fault_says_what_to_do(plan, facts):
    found = list(find_faults(plan, Facts(machine=facts.pop("machine", HERE), **facts)))
    assert found
    assert all(fault.cure for fault in found)


def test_hidden_cards_are_told_in_the_place_of_missing_ones():
    hidden = Fault(kind="missing", check="visible_devices", text="CUDA_VISIBLE_DEVICES shows one")
    assert texts(make_plan(DUAL_4090), devices_fault=hidden) == ["CUDA_VISIBLE_DEVICES shows one"]


def test_memory_that_others_hold():
    def here(**changes):
        return replace(HERE, hardware=replace(CPU_BOX, host=replace(CPU_BOX.host, usable_ram_bytes=3 * GIB), **changes))

    told = "this machine has 3.0 GiB of RAM to use now, the plan needs 4.0 GiB; "
    elsewhere = f"{told}end what holds the rest, or set hardware=this_box to plan for what is here."
    assert texts(make_plan(), machine=here(name="this_box")) == [elsewhere]
    assert texts(make_plan(), machine=here()) == [f"{told}end what holds the rest."], "it is planned for already"


def test_memory_that_nobody_can_give_back():
    host = replace(CPU_BOX.host, usable_ram_bytes=2 * GIB, ram_bytes=3 * GIB)
    (text,) = texts(make_plan(), machine=replace(HERE, hardware=replace(CPU_BOX, host=host)))
    assert text.endswith("more than its 3.0 GiB in all: `tunekit plan` with --on local says what would fit.")


def test_nothing_to_refuse():
    refuse(())


def test_what_is_for_another_machine():
    assert is_for_another_machine(make_plan(DUAL_4090), HERE)
    assert not is_for_another_machine(make_plan(DUAL_4090), BOX)
    assert not is_for_another_machine(make_plan(), BOX)
