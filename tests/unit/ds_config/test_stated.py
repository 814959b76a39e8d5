"""What a configuration states, in the recipe's words."""

from __future__ import annotations

from typing import Any

import pytest

from tunekit.ds_config.stated import dig, stated_values
from tunekit.recipe.keys import all_keys

FULL = {
    "train_micro_batch_size_per_gpu": 2,
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": 0.5,
    "bf16": {"enabled": True},
    "optimizer": {"type": "Adam", "params": {"lr": 2e-5, "weight_decay": "auto"}},
    "zero_optimization": {
        "stage": 3,
        "reduce_bucket_size": 5e8,
        "overlap_comm": False,
        "offload_optimizer": {"device": "nvme", "nvme_path": "/fast", "pin_memory": False},
    },
}


def stated(config: dict[str, Any]) -> dict[str, Any]:
    return {value.recipe_key: value.value for value in stated_values(config)}


def test_values_under_the_recipes_keys() -> None:
    assert stated(FULL) == {
        "zero.stage": 3,
        "zero.offload_optimizer": "nvme",
        "zero.offload_param": "none",
        "zero.offload_ratio": 1.0,
        "zero.bf16_states": False,
        "zero.nvme_path": "/fast",
        "zero.pin_memory": False,
        "train.micro_batch_size": 2,
        "train.max_grad_norm": 0.5,
        "train.learning_rate": 2e-5,
        "zero.overlap_comm": False,
        "zero.reduce_bucket_size": 500_000_000,
        "train.precision": "bf16",
        "train.optimizer": "adamw",
    }


def test_every_key_is_one_of_the_recipe() -> None:
    assert set(stated(FULL)) <= set(all_keys())


def test_each_value_knows_where_it_stands() -> None:
    for value in stated_values(FULL):
        if value.recipe_key in ("train.learning_rate", "zero.nvme_path", "train.precision"):
            assert dig(FULL, value.json_key) is not None


@pytest.mark.parametrize(
    ("config", "precision"),
    [
        ({"fp16": {"enabled": True}}, "fp16"),
        ({"fp16": {"enabled": False}, "bf16": {"enabled": False}}, "fp32"),
        ({"bf16": {"enabled": "auto"}}, None),
        ({}, None),
    ],
)
def test_precision(config: dict[str, Any], precision: str | None) -> None:
    assert stated(config).get("train.precision") == precision


def test_whole_numbers_written_as_powers_are_whole() -> None:
    value = stated(FULL)["zero.reduce_bucket_size"]
    assert isinstance(value, int)
