from __future__ import annotations

from dataclasses import replace

import pytest

from tests.examining import ROWS, healthy, with_trial, without_trials
from tests.plans import make_recipe
from tunekit.doctor.case import Refusal
from tunekit.doctor.recipe import CHECKS, batch, combinations, ds_config, memory, output, rehearsal, steps, time
from tunekit.launcher.preflight import Fault
from tunekit.planner.plan import Fix
from tunekit.speed.terms import Band, SpeedEstimate

SPEED = SpeedEstimate(
    tokens_per_second=Band(low=100, expected=200, high=300),
    step_seconds=Band(low=30, expected=60, high=90),
    tokens_per_step=1000,
    positions_per_step=1000,
    useful_share=Band(low=1, expected=1, high=1),
    terms=(),
)


def planned(case=None, **changes):
    case = case or healthy()
    return replace(case, plan=replace(case.plan, **changes))


def with_recipe(**sections):
    return healthy(job={"recipe": make_recipe(**sections)})


def refused(check):
    return replace(healthy(plan=False), refusal=Refusal(check=check, text="because"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_recipe_without_a_plan_can_tell_nothing_more(check):
    assert check.of_recipe
    assert check.look(refused("model_files")).state == "cannot tell"


def test_steps():
    assert steps(healthy()).found == "25 optimizer steps, 1 of them warm up"
    assert steps(with_recipe(train={"max_steps": 7})).found.startswith("7 optimizer steps")
    assert steps(without_trials(healthy())).state == "cannot tell"
    assert steps(with_trial(healthy(), "rows", {**ROWS, "cut_short": True})).state == "cannot tell"
    few = steps(with_trial(healthy(), "rows", {**ROWS, "num_rows": 1}))
    assert few.state == "blocks"


@pytest.mark.parametrize(
    ("section", "key"), [("output", "save_steps"), ("train", "eval_steps"), ("train", "logging_steps")]
)
def test_what_is_never_reached(section, key):
    seen = steps(with_recipe(**{section: {key: 100}}))
    assert (seen.state, seen.cure) == ("warning", f"{section}.{key}=12")
    assert f"{section}.{key}=100 is never reached" in seen.found


def test_steps_that_only_warm_up():
    one = steps(with_recipe(train={"max_steps": 1}))
    assert (one.state, one.cure) == ("blocks", "train.warmup_ratio=0")
    assert steps(with_recipe(train={"max_steps": 1, "warmup_ratio": 0.0})).state == "ok"
    few = healthy(job={"recipe": make_recipe(train={"max_steps": 3, "warmup_ratio": 0.9})})
    assert (steps(few).state, "all 3 steps warm up" in steps(few).found) == ("warning", True)
    whole = healthy(job={"recipe": make_recipe(train={"max_steps": 1}), "adapter": None})
    assert steps(whole).state == "warning"


def test_the_batch():
    assert batch(healthy()).found == "4 rows a step = 1 micro x 2 accumulation x 2 ranks; no auto is left"


def test_deepspeeds_configuration():
    assert ds_config(healthy()).found == "preset z2"
    assert ds_config(with_recipe(zero={"config": "mine.json"})).found.startswith("every key of mine.json")
    assert ds_config(refused("ds_config")).state == "blocks"


def test_memory():
    assert memory(healthy()).found == "GPU: at most 22.0 GiB of 23.0 GiB; step 20.0 GiB"
    assert memory(healthy(cards=False)).found == "RAM: at most 4.4 GiB of 20.0 GiB; step 4.0 GiB"
    tight = memory(planned(verdict="tight", reason="It is close."))
    assert (tight.state, tight.found) == ("warning", "It is close. Peaks: step 20.0 GiB")


def test_memory_that_is_too_little():
    fix = Fix(set="train.max_seq_length=128", saves_bytes=1, note="", verdict="fits")
    seen = memory(planned(verdict="rejected", reason="Too much.", fixes=(fix,)))
    assert (seen.state, seen.found, seen.cure) == ("blocks", "Too much.", "train.max_seq_length=128")
    assert memory(planned(verdict="rejected", reason="Too much.")).cure == "tunekit plan RECIPE shows what would help"


def test_combinations():
    assert combinations(healthy()).state == "ok"
    doubted = combinations(planned(warnings=("fp16 for a bf16 model",)))
    assert (doubted.state, doubted.found) == ("warning", "fp16 for a bf16 model")
    assert combinations(refused("combinations")).state == "blocks"


def test_what_is_never_reached_is_said_once():
    never = "output.save_steps is 100 and train.max_steps 24: no checkpoint is written before the final model."
    case = planned(with_recipe(output={"save_steps": 100}), warnings=(never, "fp16 for a bf16 model."))
    assert "output.save_steps=100" in steps(case).found
    assert combinations(case).found == "fp16 for a bf16 model"


def test_the_output():
    assert output(healthy()).found == "runs/tiny is free"
    fault = Fault(kind="usage", check="output", text="runs/tiny holds a run; set output.dir=runs/tiny-2.")
    assert (output(healthy(faults=(fault,))).state, output(healthy(faults=(fault,))).cure) == (
        "blocks",
        "set output.dir=runs/tiny-2",
    )


def test_the_rehearsal():
    assert rehearsal(healthy()).found == "the launch tries a step of 256 tokens a row and a save first"
    assert rehearsal(healthy(cards=False)).state == "not needed"
    assert rehearsal(with_recipe(train={"rehearsal": "never"})).state == "not needed"


def test_time():
    assert time(healthy()).state == "cannot tell"
    fast = planned(speed=SPEED)
    assert time(fast).found.startswith("1 min 00 s a step, 25 min 00 s for 25 steps, ")
    assert time(without_trials(fast)).found.endswith("known once the data is read")
    saving = planned(with_recipe(output={"save_steps": 10}), speed=SPEED)
    assert "a checkpoint every 10 min 00 s" in time(saving).found


def test_steps_that_the_size_of_the_data_tells():
    case = without_trials(healthy())
    assert steps(case).state == "cannot tell"
    told = replace(case, plan=replace(case.plan, expected_steps=188))
    assert (steps(told).state, steps(told).found) == ("ok", "about 188 optimizer steps, by the size of the data")


def test_a_long_run_without_checkpoints():
    seen = time(planned(with_recipe(train={"max_steps": 600}), speed=SPEED))
    assert (seen.state, seen.cure) == ("warning", "output.save_steps=20")
    assert "a stop loses everything" in seen.found
