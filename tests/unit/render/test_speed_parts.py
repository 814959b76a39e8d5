from __future__ import annotations

from dataclasses import replace

import pytest
from planning import LLAMA_8B, machine, recipe_for, shape_of

from tunekit.hardware.spec import Hardware, Measured
from tunekit.launcher.history import MeasuredBefore
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan
from tunekit.render.speed_parts import NO_ESTIMATE, PROBE, format_step, speed_lines, term_lines, told_first, truth_line
from tunekit.units import format_seconds


def planned(kind: str = "lora", hardware: Hardware | None = None, **overrides: object) -> Plan:
    return make_plan(recipe_for(LLAMA_8B, kind, **overrides), shape_of(LLAMA_8B), hardware or machine())


def test_the_lines_say_tokens_costs_and_time():
    made = planned(train__max_steps=100)
    assert made.speed is not None
    rate, samples, costs, run, truth = speed_lines(made)
    assert samples.startswith("samples of 256 tokens on average are assumed")
    assert rate.startswith(f"{made.speed.tokens_per_second.expected:,.0f} tokens/s on all 2 GPUs (")
    assert costs.count("%") == 3
    assert made.speed.largest[0].name in costs
    assert run.startswith("100 steps: ")
    assert "kWh at" in run
    assert PROBE in truth


@pytest.mark.parametrize(
    ("differs", "rate", "shown"),
    [
        ((), 348.2, "348 tokens/s, as the same job measured"),
        ((), None, NO_ESTIMATE),
        (("train.max_seq_length=512",), 348.2, NO_ESTIMATE),
    ],
)
def test_without_an_estimate_the_same_job_tells(differs: tuple[str, ...], rate: float | None, shown: str) -> None:
    before = MeasuredBefore(run="runs/a", date="2026-11-22", peaks=(), differs=differs, tokens_per_second=rate)
    assert speed_lines(replace(planned(), speed=None), before) == (shown,)


def test_without_steps_a_million_tokens_are_told():
    assert speed_lines(planned())[3].startswith("1 M tokens: ")


def test_going_through_the_data_is_told_where_it_makes_steps_enough():
    made = replace(planned(train__num_epochs=3), expected_steps=1234)
    (line,) = (each for each in speed_lines(made) if " steps: " in each)
    assert line.startswith("3 epochs, about 1,234 steps: ")
    assert made.speed is not None
    assert format_seconds(1234 * made.speed.step_seconds.expected) in line
    assert "1 epoch, about 10 steps" in str(speed_lines(replace(planned(), expected_steps=10)))
    assert "epoch" not in str(speed_lines(replace(planned(), expected_steps=9)))
    assert "epoch" not in str(speed_lines(planned()))


def test_without_an_estimate_the_steps_are_told_alone():
    made = replace(planned(), speed=None, expected_steps=188)
    assert speed_lines(made) == (NO_ESTIMATE, "1 epoch, about 188 steps")


def test_a_headline_tells_the_epochs_where_their_steps_are_known():
    made = replace(planned(), expected_steps=188)
    assert made.speed is not None
    what, hours, _ = told_first(made, made.speed)
    assert what == "1 epoch, about 188 steps"
    assert hours.expected == pytest.approx(188 * made.speed.step_seconds.expected / 3600)
    assert told_first(planned(), made.speed)[0] == "1 M tokens"


def test_padding_and_wear_are_said_where_there_are_any():
    padded = planned(data__packing=False, train__micro_batch_size=4)
    assert any("padding" in line for line in speed_lines(padded))
    assert not any("padding" in line for line in speed_lines(planned()))
    swapped = planned("full", zero__preset="z3_offload_nvme", zero__nvme_path="/nvme")
    (wear,) = (line for line in speed_lines(swapped) if "to the drive" in line)
    assert wear.startswith("written to the drive: 1,000 steps 14")


def test_the_plan_says_once_what_was_not_measured():
    made = planned()
    assert sum(PROBE in line for line in speed_lines(made)) == 1
    probed = replace(machine(), measured=Measured(date="2026-11-01", matmul_tflops=160.0))
    told = truth_line(planned(hardware=probed))
    assert "measured here" in told
    assert "2026-11-01" in told
    assert "%" in told


def test_cpu_processes_say_that_there_is_no_estimate():
    assert speed_lines(replace(planned(), speed=None)) == (NO_ESTIMATE,)


def test_every_cost_has_its_formula():
    made = planned()
    assert made.speed is not None
    term = made.speed.largest[0]
    seconds, name, known, formula = term_lines(term, made.speed.step_seconds.expected)
    assert seconds.endswith("%")
    assert name == term.name
    assert known.startswith("default; ")
    assert formula == f"{term.formula}\n{term.source}"


def test_seconds_keep_two_digits():
    assert [format_step(each) for each in (0.194, 4.21, 49.4, 185.0)] == ["0.19 s", "4.2 s", "49 s", "3 min 05 s"]


def test_long_runs_are_told_without_powers_of_ten():
    lines = str(speed_lines(planned(train__max_steps=1_000_000)))
    assert "e+" not in lines
    made = planned(train__max_steps=1_000_000)
    assert made.speed is not None
    assert made.speed.run is not None
    assert f"{made.speed.run.kwh.expected:,.0f} kWh at" in lines
