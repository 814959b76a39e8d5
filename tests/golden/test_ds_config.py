"""What DeepSpeed is given, pinned: a sharded 4-bit job, and the fullest of the offloads."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tunekit.ds_config.build import build_ds_config
from tunekit.notebook import plan

Golden = Callable[[str, str], None]
CASES = {
    "codellama34b_qlora": ("codellama34b_qlora", ()),
    "llama31_8b_full_nvme": (
        "llama31_8b_full",
        ("zero.preset=z3_offload_nvme", "zero.nvme_path=/mnt/nvme1/tunekit", "train.micro_batch_size=1"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_built(case: str, golden: Golden) -> None:
    name, overrides = CASES[case]
    made = plan(name, overrides)
    config = build_ds_config(made.recipe, made.job, made.model_shape)
    golden(f"ds_config/{case}.json", json.dumps(config, indent=2) + "\n")
