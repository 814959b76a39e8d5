"""A DeepSpeed JSON of the user's own: adopted where the recipe is open, refused where the two differ."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.plans import make_recipe
from tunekit.ds_config.user_file import adopt_user_config, load_user_config, normalised
from tunekit.errors import RecipeError

CONFIG: dict[str, Any] = {
    "train_micro_batch_size_per_gpu": 4,
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": 0.5,
    "bf16": {"enabled": True},
    "zero_optimization": {"stage": 3, "max_live_parameters": 5e8, "reduce_bucket_size": "auto"},
}


def write(tmp_path: Path, config: Any) -> str:
    path = tmp_path / "mine.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config, indent=2), encoding="utf-8")
    return str(path)


def problems(path: str, **sections: dict[str, Any]) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        adopt_user_config(make_recipe(zero={"config": path}, **sections))
    return [str(problem) for problem in caught.value.problems]


def test_what_the_recipe_leaves_open_is_adopted(tmp_path: Path) -> None:
    recipe = adopt_user_config(make_recipe(zero={"config": write(tmp_path, CONFIG)}))
    assert (recipe.train.micro_batch_size, recipe.train.max_grad_norm) == (4, 0.5)
    assert recipe.train.gradient_accumulation_steps is None
    assert (recipe.zero.stage, recipe.zero.max_live_parameters, recipe.zero.reduce_bucket_size) == (
        3,
        500_000_000,
        None,
    )
    assert recipe.train.precision == "bf16"


def test_the_same_value_twice_is_no_conflict(tmp_path: Path) -> None:
    path = write(tmp_path, CONFIG)
    recipe = make_recipe(zero={"config": path, "stage": 3}, train={"micro_batch_size": 4, "max_grad_norm": 0.5})
    assert adopt_user_config(recipe).zero.stage == 3


def test_a_recipe_without_a_file_is_left_alone() -> None:
    recipe = make_recipe()
    assert adopt_user_config(recipe) is recipe


def test_every_conflict_shows_both_values_and_the_line(tmp_path: Path) -> None:
    path = write(tmp_path, CONFIG)
    said = problems(
        path,
        train={"micro_batch_size": 2, "max_grad_norm": 1.0, "precision": "fp16"},
    )
    assert len(said) == 3
    assert said[0] == (
        f"{path}:2: train.micro_batch_size: the recipe says 2, {path} says 4 (train_micro_batch_size_per_gpu); "
        f'one value, given once; delete train.micro_batch_size from the recipe, or write "auto" in {path}'
    )
    assert "the recipe says 1.0" in said[1]
    assert "the recipe says fp16" in said[2]


def test_an_offload_that_the_file_does_not_have_is_a_conflict(tmp_path: Path) -> None:
    path = write(tmp_path, CONFIG)
    with pytest.raises(RecipeError) as caught:
        adopt_user_config(make_recipe(zero={"config": path, "offload_optimizer": "cpu", "stage": 2}))
    said = str(caught.value)
    assert "the recipe says cpu" in said
    assert "says none (zero_optimization.offload_optimizer.device)" in said
    assert "the recipe says 2" in said
    assert f"or change zero_optimization.stage in {path}" in said


def test_a_missing_file() -> None:
    assert problems("nowhere/ds.json") == [
        "zero.config: there is no file nowhere/ds.json; zero.preset names a shipped one; zero.config is a path"
    ]


def test_text_that_is_no_json(tmp_path: Path) -> None:
    path = write(tmp_path, '{\n  "bf16": {"enabled": true},,\n}')
    (said,) = problems(path)
    assert re.match(re.escape(path) + r":2:\d+: this is not JSON", said)


def test_faults_of_the_file_come_with_their_lines(tmp_path: Path) -> None:
    config = {
        "elasticity": {},
        "gradient_cliping": 1,
        "scheduler": {"type": "WarmupLR", "params": {}},
        "tensor_parallel": {"autotp_size": 2},
        "optimizer": {"type": "OneBitAdam", "params": {}},
        "zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}},
    }
    path = write(tmp_path, config)
    with pytest.raises(RecipeError) as caught:
        load_user_config(path)
    places = {problem.key: problem.where for problem in caught.value.problems}
    assert [problem.where for problem in caught.value.problems] == sorted(places.values(), key=_line)
    assert places == {
        "elasticity": f"{path}:2",
        "gradient_cliping": f"{path}:3",
        "zero_optimization.offload_param": f"{path}:17",
        "scheduler": f"{path}:4",
        "tensor_parallel": f"{path}:8",
        "optimizer.type": f"{path}:12",
    }


def _line(where: str) -> int:
    return int(where.rpartition(":")[2])


def test_a_file_must_state_its_stage(tmp_path: Path) -> None:
    assert "zero_optimization.stage: no stage" in problems(write(tmp_path, {"bf16": {"enabled": True}}))[0]


def test_a_key_that_is_wrong_and_cannot_be_used_is_told_once(tmp_path: Path) -> None:
    config = {"scheduler": 3, "optimizer": {"type": 3}, "zero_optimization": []}
    said = problems(write(tmp_path, config))
    assert [line.partition(": ")[2] for line in said] == [
        "scheduler: cannot be used with tunekit; delete it and set train.scheduler and train.warmup_ratio; "
        "the recipe owns the schedule",
        "optimizer.type: found 3; AdamW, Adam, Lion or SGD",
        "zero_optimization: found []; allowed: a section { ... }",
    ]


def test_whole_numbers_written_as_powers_are_taken(tmp_path: Path) -> None:
    config = {"zero_optimization": {"stage": 3.0, "sub_group_size": 1e9, "reduce_bucket_size": 5e8}}
    recipe = adopt_user_config(make_recipe(zero={"config": write(tmp_path, config)}))
    sizes = (recipe.zero.stage, recipe.zero.sub_group_size, recipe.zero.reduce_bucket_size)
    assert sizes == (3, 10**9, 500_000_000)
    assert all(isinstance(size, int) for size in sizes)


def test_a_key_under_both_of_its_names(tmp_path: Path) -> None:
    zero = {"stage": 3, "max_live_parameters": 1, "stage3_max_live_parameters": 2}
    config = {"bf16": {"enabled": True}, "bfloat16": {"enabled": False}, "zero_optimization": zero}
    bf16, live = problems(write(tmp_path, config))
    assert bf16.endswith("bfloat16: another name of bf16, which stands here too")
    assert "another name of zero_optimization.stage3_max_live_parameters" in live


def test_one_name_per_key() -> None:
    config = normalised({"bfloat16": {"enabled": True}, "zero_optimization": {"stage": 3, "max_reuse_distance": 1}})
    assert config == {"bf16": {"enabled": True}, "zero_optimization": {"stage": 3, "stage3_max_reuse_distance": 1}}


def test_a_shipped_file_may_be_named_by_its_path() -> None:
    assert load_user_config("ds_configs/z2.json")["zero_optimization"]["stage"] == 2
