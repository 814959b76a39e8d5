from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from planning import laptop, machine, shape_of
from plans import make_job, make_recipe

from tunekit.errors import Problem
from tunekit.hardware.spec import Hardware
from tunekit.planner.json_rules import CUDA_ONLY, JSON_RULES
from tunekit.recipe.job import Quantization

SMOLLM = "HuggingFaceTB/SmolLM2-135M-Instruct"


def broken(folder: Path, zero: dict[str, Any], hardware: Hardware, **job: Any) -> list[Problem]:
    path = folder / "ds.json"
    path.write_text(json.dumps({"zero_optimization": {"stage": 3, **zero}}))
    recipe, made = make_recipe(zero={"config": str(path)}), make_job(hardware, zero={"preset": str(path)}, **job)
    return [problem for rule in JSON_RULES for problem in rule(recipe, made, shape_of(SMOLLM), hardware)]


@pytest.mark.parametrize(
    "zero",
    [
        {"zero_quantized_weights": True},
        {"zero_quantized_gradients": True},
        {"offload_optimizer": {"device": "cpu", "super_offload": True}},
    ],
)
def test_kernels_of_cuda_are_refused_without_cards(tmp_path: Path, zero: dict[str, Any]) -> None:
    (problem,) = broken(tmp_path, zero, laptop())
    assert problem.key in CUDA_ONLY
    assert problem.found == "found true, but laptop runs CPU processes"
    assert (problem.where, problem.hint) == (str(tmp_path / "ds.json"), "delete it")
    assert broken(tmp_path, zero, machine()) == []


def test_a_packed_base_is_not_quantised_again(tmp_path: Path) -> None:
    packed = Quantization(kind="nf4", double_quant=True)
    (problem,) = broken(tmp_path, {"zero_quantized_weights": True}, machine(), quantization=packed)
    assert problem.found == "found true, but the base is packed in nf4 already"
    assert broken(tmp_path, {"zero_quantized_gradients": True}, machine(), quantization=packed) == []


def test_a_recipe_without_a_json_breaks_none() -> None:
    recipe, job = make_recipe(), make_job(laptop())
    assert [problem for rule in JSON_RULES for problem in rule(recipe, job, shape_of(SMOLLM), laptop())] == []
