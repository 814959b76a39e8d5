from __future__ import annotations

from planning import LLAMA_8B, laptop, machine, recipe_for, shape_of

from tunekit.hardware.spec import Hardware
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan


def planned(hardware: Hardware | None = None, **overrides: object) -> Plan:
    return make_plan(recipe_for(LLAMA_8B, "lora", **overrides), shape_of(LLAMA_8B), hardware or machine())


def test_a_plan_knows_its_speed():
    speed = planned().speed
    assert speed is not None
    assert speed.run is None
    assert 1000 < speed.tokens_per_second.expected < 6000


def test_hours_are_known_where_the_steps_are():
    speed = planned(train__max_steps=1000).speed
    assert speed is not None
    assert speed.run is not None
    assert speed.run.steps == 1000
    assert speed.run.hours.expected == 1000 * speed.step_seconds.expected / 3600


def test_cpu_processes_have_none():
    assert planned(laptop()).speed is None
