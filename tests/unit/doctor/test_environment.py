from __future__ import annotations

from dataclasses import replace

import pytest

from tests.examining import CALLER, healthy, with_environ, with_readings
from tests.plans import make_recipe
from tunekit.doctor.environment import rendezvous, stray_environment, trackers, visible_devices
from tunekit.doctor.readings import Surroundings, Told
from tunekit.launcher.preflight import Fault


def test_the_port_and_files_about_other_machines():
    assert rendezvous(healthy()).found.startswith("first free port from ")
    assert rendezvous(healthy(plan=False)).found == "ports are free"
    hosts = rendezvous(with_readings(healthy(), surroundings=Surroundings(hostfile=True)))
    assert (hosts.state, "/job/hostfile is there" in hosts.found) == ("ok", True)
    env = rendezvous(with_readings(healthy(), surroundings=Surroundings(deepspeed_env="/home/user/.deepspeed_env")))
    assert (env.state, env.cure) == ("warning", "export them in the shell instead")
    fault = Fault(kind="usage", check="rendezvous", text="port 29500 is in use; try 29501.")
    assert rendezvous(healthy(faults=(fault,))).cure == "try 29501"


def test_cards_that_are_shown():
    assert visible_devices(healthy(cards=False)).found == "no GPU here"
    set_on_cpu = visible_devices(with_environ(healthy(cards=False), CUDA_VISIBLE_DEVICES="0"))
    assert set_on_cpu.found == "no GPU here, and CUDA_VISIBLE_DEVICES='0' is not passed on"
    assert visible_devices(healthy()).found == "CUDA_VISIBLE_DEVICES is not set: all cards"
    by_uuid = visible_devices(with_environ(healthy(), CUDA_VISIBLE_DEVICES="GPU-b,0"))
    assert by_uuid.found.endswith("--include localhost:0,1 instead")


@pytest.mark.parametrize("value", ["7", "MIG-1", "GPU-x", "", "-1", "a,b"])
def test_odd_values_of_the_variable_block(value):
    seen = visible_devices(with_environ(healthy(plan=False), CUDA_VISIBLE_DEVICES=value))
    assert seen.state == "blocks"
    assert seen.cure


def test_cards_that_preflight_refuses():
    fault = Fault(kind="missing", check="visible_devices", text="shows one; name 2 cards in it.")
    assert visible_devices(healthy(faults=(fault,))).cure == "name 2 cards in it"


def test_what_other_launchers_left():
    assert stray_environment(healthy()).found == "none of other launchers"
    left = stray_environment(with_environ(healthy(), RANK="0", OMPI_COMM="1", CUDA_VISIBLE_DEVICES="0"))
    assert (left.state, left.found) == ("ok", "left of another launcher and not passed to the ranks: OMPI_COMM, RANK")


@pytest.mark.parametrize(
    ("name", "value"),
    [("DEEPSPEED_TIMEOUT", "10"), ("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:64"), ("NCCL_P2P_DISABLE", "0")],
)
def test_variables_that_stand_and_hurt(name, value):
    seen = stray_environment(with_environ(healthy(), **{name: value}))
    assert (seen.state, seen.cure) == ("warning", f"unset {name}")
    assert name in seen.found


def test_variables_that_do_not_hurt():
    fine = {"DEEPSPEED_TIMEOUT": "60", "PYTORCH_ALLOC_CONF": "expandable_segments:True", "NCCL_P2P_DISABLE": "1"}
    assert stray_environment(with_environ(healthy(), **fine)).state == "ok"
    assert stray_environment(with_environ(healthy(cards=False), PYTORCH_ALLOC_CONF="x")).state == "ok"


def test_trackers():
    assert trackers(healthy()).found == "tensorboard; ranks ask nothing"
    assert trackers(healthy(plan=False)).found == "no tracker; ranks ask nothing"
    case = healthy(job={"recipe": make_recipe(tracking=["wandb"])})
    assert (trackers(case).state, "wandb login" in trackers(case).cure) == ("warning", True)
    assert trackers(with_environ(case, WANDB_MODE="offline")).state == "ok"
    assert trackers(replace(case, caller=replace(CALLER, wandb_logged_in=True))).state == "ok"


def test_notices_that_would_reach_nobody():
    gone = trackers(with_readings(healthy(), told=Told(missing=("my-notifier",))))
    assert (gone.state, "my-notifier is not found" in gone.found) == ("warning", True)
    case = healthy(job={"recipe": make_recipe(tracking=["wandb"])})
    both = trackers(with_readings(case, told=Told(missing=("my-notifier",))))
    assert "my-notifier" in both.found
    assert "wandb login" in both.cure
    refused = trackers(with_readings(healthy(), told=Told(fault="watch.notify_url: it is no address")))
    assert (refused.state, refused.found) == ("blocks", "watch.notify_url: it is no address")
