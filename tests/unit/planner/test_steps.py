from __future__ import annotations

import json
import re
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from planning import LLAMA_8B, machine, recipe_for, shape_of

from tunekit.notebook import fit
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan
from tunekit.planner.steps import expected_steps, few_steps
from tunekit.recipe.data_length import read_lengths


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """400 samples of about 60 tokens: 12 rows of 2,048."""
    path = tmp_path / "short.jsonl"
    row = {"instruction": "What?", "output": "word " * 20}
    path.write_text("".join(json.dumps(row) + "\n" for _ in range(400)), encoding="utf-8")
    return path


def planned(data: Path, **keys: Any) -> Plan:
    keys = {"data__path": str(data), "train__micro_batch_size": 2, "train__global_batch_size": 16, **keys}
    return make_plan(recipe_for(LLAMA_8B, "lora", **keys), shape_of(LLAMA_8B), machine())


def test_packing_short_samples_leaves_few_steps_and_the_plan_says_so(data: Path) -> None:
    plan = planned(data, data__packing=True, train__global_batch_size=8)
    (text,) = [each for each in plan.warnings if "optimizer step" in each]
    assert text == few_steps(*_asked(plan))
    assert expected_steps(*_asked(plan)) == 2
    assert "about 2 optimizer steps in all" in text
    assert "400 samples packed into" in text
    for way in ("train.num_epochs=5 ", "data.packing=false makes 50 steps", "train.global_batch_size=4 "):
        assert way in text


def test_what_it_says_helps(data: Path) -> None:
    assert expected_steps(*_asked(planned(data, data__packing=True, train__num_epochs=10))) == 10
    assert expected_steps(*_asked(planned(data, data__packing=False))) == ceil(400 / 16) == 25
    more = expected_steps(*_asked(planned(data, data__packing=True, train__global_batch_size=4)))
    assert more is not None
    assert more > 1
    assert few_steps(*_asked(planned(data, data__packing=False))) == ""


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"train__global_batch_size": None}, " train.gradient_accumulation_steps=1 steps more often"),
        ({}, " train.gradient_accumulation_steps=1 train.global_batch_size=4 steps more often"),
    ],
)
def test_a_smaller_batch_is_named_by_the_keys_that_are_written(data: Path, written: dict[str, Any], said: str) -> None:
    """One of them alone would contradict the other."""
    plan = planned(data, data__packing=True, train__gradient_accumulation_steps=4, **written)
    assert said in few_steps(*_asked(plan))
    typed = dict(word.split("=") for word in said.split()[:-3])
    keys = {key.replace(".", "__"): int(value) for key, value in typed.items()}
    assert planned(data, data__packing=True, **{**written, **keys}).job.batch.global_batch_size == 4


def test_the_epochs_that_are_named_are_enough_where_all_rows_are_less_than_a_batch(data: Path) -> None:
    keys = {"data__packing": True, "train__global_batch_size": 64}
    refused = planned(data, **keys)
    assert expected_steps(*_asked(refused)) == 0
    (epochs,) = re.findall(r"train\.num_epochs=(\d+) goes", few_steps(*_asked(refused)))
    mended = planned(data, **keys, train__num_epochs=int(epochs))
    assert (expected_steps(*_asked(mended)) or 0) >= 10


def test_single_samples_are_no_remedy_where_they_make_no_more_steps(data: Path) -> None:
    plan = planned(data, data__packing=False, train__num_epochs=0.1)
    assert 0 < (expected_steps(*_asked(plan)) or 0) < 10
    assert "data.packing" not in few_steps(*_asked(plan))
    full = planned(data, data__packing=True, train__max_seq_length=64)
    rare = planned(data, data__packing=True, train__max_seq_length=64, train__num_epochs=0.01)
    assert "data.packing" not in few_steps(*_asked(rare))
    assert few_steps(*_asked(full)) == ""


def _asked(plan: Plan) -> tuple[Any, Any, Any]:
    return plan.recipe, plan.job, read_lengths(plan.recipe.data, plan.model_shape.vocab_size)


def test_where_steps_are_given_or_no_data_are_here_nothing_is_said(data: Path, tmp_path: Path) -> None:
    assert few_steps(*_asked(planned(data, data__packing=True, train__max_steps=3))) == ""
    gone = planned(tmp_path / "not_there.jsonl")
    assert few_steps(*_asked(gone)) == ""
    assert gone.expected_steps is None


def test_of_more_samples_than_are_looked_at_the_size_tells(data: Path, tmp_path: Path) -> None:
    many = tmp_path / "many.jsonl"
    many.write_text(data.read_text(encoding="utf-8") * 30, encoding="utf-8")
    plan = planned(many, data__packing=False)
    assert plan.expected_steps == pytest.approx(12_000 / 16, rel=0.02)
    assert few_steps(*_asked(plan)) == ""


def test_text_that_is_packed_goes_on_in_the_next_row(tmp_path: Path) -> None:
    long = tmp_path / "long.jsonl"
    long.write_text("".join(json.dumps({"text": "word " * 20_000}) + "\n" for _ in range(16)), encoding="utf-8")
    packed, cut = (planned(long, data__packing=each) for each in (True, False))
    assert packed.expected_steps == pytest.approx(16 * 25_000 / 2048 / 16, abs=1)
    assert cut.expected_steps == 1


def test_less_than_one_step_is_refused_by_a_launch_and_said_so(tmp_path: Path) -> None:
    five = tmp_path / "five.jsonl"
    five.write_text(json.dumps({"instruction": "What?", "output": "word"}) * 1 + "\n", encoding="utf-8")
    five.write_text(five.read_text(encoding="utf-8") * 5, encoding="utf-8")
    plan = planned(five, data__packing=False, train__num_epochs=3)
    assert plan.expected_steps == 0
    (text,) = (each for each in plan.warnings if "would refuse" in each)
    assert "about 5 rows x 3 epochs of 2,048 tokens are less than one optimizer step of 16 rows" in text


def test_rows_kept_for_evaluation_are_not_learned_from(data: Path) -> None:
    found = expected_steps(*_asked(planned(data, data__packing=False, data__eval_fraction=0.5)))
    assert found == ceil(200 / 16)


def test_a_search_says_it_of_the_data_that_was_named_and_not_of_the_example(data: Path) -> None:
    named = fit(LLAMA_8B, ("data.packing=true",), on="dual_rtx4090", method="lora", data=str(data)).plan
    stand_in = fit(LLAMA_8B, ("data.packing=true",), on="dual_rtx4090", method="lora").plan
    assert named is not None
    assert stand_in is not None
    assert any("optimizer step" in each for each in named.warnings)
    assert not any("optimizer step" in each for each in stand_in.warnings)
