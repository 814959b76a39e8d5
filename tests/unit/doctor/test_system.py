from __future__ import annotations

from dataclasses import replace

from tests.examining import CALLER, healthy, with_readings
from tunekit.doctor.readings import Surroundings
from tunekit.doctor.system import accelerator, surroundings, versions
from tunekit.launcher.preflight import Fault


def test_versions_that_work():
    seen = versions(healthy())
    assert (seen.state, seen.found) == ("ok", "Python 3.11.7, torch 2.13.0, transformers 5.23.0, deepspeed 0.19.8")


def test_packages_that_are_not_installed():
    seen = versions(with_readings(healthy(plan=False), missing_modules=("torch", "trl")))
    assert (seen.state, seen.cure) == ("blocks", "pip install 'tunekit[train]'")
    assert "torch, trl" in seen.found


def test_versions_that_are_too_old_with_and_without_a_recipe():
    old = with_readings(healthy(plan=False), version_faults=("trl 1.0 is older than 1.16; pip install 'trl>=1.16'.",))
    assert (versions(old).state, versions(old).cure) == ("blocks", "pip install 'trl>=1.16'")
    fault = Fault(kind="missing", check="versions", text="deepspeed 0.19.2 is older; pip install it.")
    assert versions(healthy(faults=(fault,))).found == "deepspeed 0.19.2 is older"


def test_what_trains():
    assert accelerator(healthy()).found == "2 x NVIDIA GeForce RTX 4090"
    two = healthy(plan=False, cards=False)
    alone = replace(two, hardware=replace(two.hardware, cpu_processes=1))
    assert accelerator(alone).found == "no GPU: 1 CPU process, to try small models"
    assert accelerator(healthy(cards=False)).found == "no GPU: 2 CPU processes train, as planned"
    assert "to try small models" in accelerator(healthy(cards=False, plan=False)).found


def test_a_plan_for_another_machine():
    fault = Fault(kind="missing", check="accelerator", text="planned for two cards; set hardware=local.")
    assert accelerator(healthy(faults=(fault,))).state == "blocks"


def test_a_torch_of_the_wrong_kind():
    no_cuda = with_readings(healthy(), torch_cuda=None)
    assert accelerator(no_cuda).state == "blocks"
    assert "built without CUDA" in accelerator(no_cuda).found
    cuda_on_cpu = accelerator(with_readings(healthy(cards=False), torch_cuda="12.8"))
    assert cuda_on_cpu.state == "warning"
    assert "whl/cpu" in cuda_on_cpu.cure
    assert accelerator(replace(no_cuda, caller=replace(CALLER, versions={}))).state == "ok"


def test_where_the_command_runs():
    assert surroundings(healthy()).found == "a shell on the machine itself"
    here = Surroundings(container="docker", notebook=True, ssh=True)
    seen = surroundings(with_readings(healthy(), surroundings=here))
    assert seen.state == "ok"
    assert seen.found.startswith("a container (docker); a notebook")
    assert "SSH without tmux" in seen.found
    assert "SSH" not in surroundings(with_readings(healthy(), surroundings=replace(here, multiplexer=True))).found


def test_wsl_locks_little_memory_for_cards():
    wsl = Surroundings(wsl=True)
    seen = surroundings(with_readings(healthy(), surroundings=wsl))
    assert (seen.state, "zero.pin_memory=false" in seen.cure) == ("warning", True)
    assert surroundings(with_readings(healthy(cards=False), surroundings=wsl)).state == "ok"
