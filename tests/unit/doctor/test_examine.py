from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import groupby
from typing import get_args

import pytest

from tests.examining import healthy, with_environ, with_readings
from tunekit.doctor.case import Refusal
from tunekit.doctor.examine import CHECKS, examine, exit_code, launch_warnings
from tunekit.launcher import preflight
from tunekit.launcher.preflight import Fault
from tunekit.launcher.toolchain import Toolchain


def test_there_are_forty_checks_each_with_a_name_and_a_reason_of_its_own():
    assert len(CHECKS) == 40
    for field in ("name", "title", "why", "look"):
        assert not [value for value, count in Counter(getattr(check, field) for check in CHECKS).items() if count > 1]
    assert all(check.why.endswith(".") for check in CHECKS)


def test_groups_stand_together():
    groups = [check.group for check in CHECKS]
    assert list(dict.fromkeys(groups)) == [group for group, _ in groupby(groups)]
    assert len(set(groups)) == 9


@pytest.mark.parametrize("cards", [True, False])
def test_a_healthy_machine_has_nothing_to_warn_of(cards):
    findings = examine(healthy(cards=cards))
    assert len(findings) == 40
    assert {finding.state for finding in findings} <= {"ok", "not needed", "cannot tell"}
    assert [finding.check for finding in findings if finding.state == "cannot tell"] == ["time"]
    assert exit_code(findings) == 0


def test_without_a_recipe_only_the_machine_is_examined():
    findings = examine(healthy(plan=False))
    assert 20 < len(findings) < 30
    assert {finding.group for finding in findings}.isdisjoint({"model and data", "recipe"})


def test_a_refused_recipe_blocks_in_one_place():
    findings = examine(replace(healthy(plan=False), refusal=Refusal(check="combinations", text="no"), trials={}))
    assert [finding.check for finding in findings if finding.blocks] == ["combinations"]
    assert exit_code(findings) == 4


@pytest.mark.parametrize("name", get_args(preflight.Check))
def test_whatever_a_launch_refuses_blocks_here(name):
    fault = Fault(kind="missing", check=name, text="this is wrong; do that.")
    case = healthy(faults=(fault,), job={"attention": "flash_attention_2"})
    assert [(finding.check, finding.found) for finding in examine(case) if finding.blocks] == [(name, "this is wrong")]


def test_a_launch_says_its_doubts_and_only_those():
    assert launch_warnings(healthy()) == ()
    doubts = launch_warnings(with_environ(healthy(), DEEPSPEED_TIMEOUT="5"))
    assert [finding.check for finding in doubts] == ["stray_variables"]
    tight = healthy()
    tight = replace(tight, plan=replace(tight.plan, verdict="tight"))
    assert launch_warnings(tight) == ()
    bare = with_readings(healthy(cards=False), toolchain=Toolchain(compiler=None, standard="c++20"))
    assert launch_warnings(with_readings(bare, ops=replace(bare.readings.ops, built=()))) == ()
