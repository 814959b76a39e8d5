from __future__ import annotations

from dataclasses import replace

from tests.examining import healthy, with_environ, with_readings
from tunekit.doctor.case import Refusal
from tunekit.doctor.readings import Cards
from tunekit.launcher.preflight import Fault


def test_a_recipe_that_was_refused_is_a_recipe_too():
    assert healthy().has_recipe
    assert not healthy(plan=False).has_recipe
    assert replace(healthy(plan=False), refusal=Refusal(check="combinations", text="no")).has_recipe


def test_who_trains():
    assert (healthy().on_cards, healthy(cards=False).on_cards) == (True, False)
    assert (healthy(plan=False).on_cards, healthy(plan=False, cards=False).on_cards) == (True, False)
    elsewhere = with_readings(healthy(), cards=Cards())
    assert (elsewhere.on_cards, elsewhere.wants_cards, healthy(plan=False).wants_cards) == (False, True, False)
    assert (healthy().ranks, healthy(plan=False).ranks) == (2, 2)


def test_ops_that_are_needed_and_those_to_build():
    case = healthy(cards=False)
    assert (case.ops, case.ops_to_build) == (("deepspeed_shm_comm",), ())
    bare = with_readings(case, ops=replace(case.readings.ops, built=("cpu_adam",)))
    assert bare.ops_to_build == ("deepspeed_shm_comm",)
    assert healthy(plan=False).ops == ("cpu_adam",)
    assert healthy(plan=False, cards=False).ops == ("deepspeed_shm_comm", "cpu_adam")
    assert healthy(job={"zero": {"offload_optimizer": "cpu"}}).ops == ("cpu_adam",)


def test_faults_of_preflight_are_findings():
    faults = (
        Fault(kind="missing", check="disks", text="one is full; empty it."),
        Fault(kind="missing", check="disks", text="two is full; empty it."),
        Fault(kind="missing", check="ram", text="too little; buy."),
    )
    seen = healthy(faults=faults).refused("disks")
    assert (seen.state, seen.found, seen.cure) == ("blocks", "one is full\ntwo is full", "empty it")
    assert healthy(faults=faults).refused("shm") is None


def test_paths_as_people_type_them():
    case = with_environ(healthy(), HOME="/home/user")
    assert case.short("/home/user/.cache/x") == "~/.cache/x"
    assert case.short("/data/x") == "/data/x"
    assert case.short("/home/user2/x") == "/home/user2/x"
