from __future__ import annotations

from planning import machine, recipe_for

from tunekit.memory.tracing import ALL_LINEAR
from tunekit.planner.shapeless import request_without_shape

CONFIG = {"model_type": "granite", "num_hidden_layers": 2}


def test_what_the_recipe_says_is_traced() -> None:
    recipe = recipe_for("some/model", "qlora", train__micro_batch_size=3, train__max_seq_length=512, method__rank=4)
    asked, _ = request_without_shape(recipe, CONFIG, machine())
    assert (asked.micro_batch_size, asked.max_seq_length, asked.accelerator) == (3, 512, "cuda")
    assert asked.base == "nf4"
    assert asked.adapter is not None
    assert (asked.adapter.rank, asked.adapter.alpha, asked.adapter.target_modules) == (4, 8, ALL_LINEAR)


def test_what_it_leaves_open_is_said() -> None:
    asked, assumed = request_without_shape(recipe_for("some/model", "full"), CONFIG, machine())
    assert asked.adapter is None
    (line,) = assumed
    assert "train.micro_batch_size=1" in line
    assert "model.attention=sdpa" in line
    assert "data.packing=false" in line


def test_modules_named_by_the_recipe_are_taken() -> None:
    recipe = recipe_for("some/model", "lora", method__target_modules=["q_proj"])
    asked, _ = request_without_shape(recipe, CONFIG, machine())
    assert asked.adapter is not None
    assert asked.adapter.target_modules == ("q_proj",)
