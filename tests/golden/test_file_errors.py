"""Faults of what a recipe names, a DeepSpeed JSON or a model: the whole message of `tunekit plan`, and nothing written.

The network is never asked: huggingface_hub is told to stay offline and given an empty cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Golden = Callable[[str, str], None]
RECIPE = """\
model:
  path: {model}
method:
  kind: full
zero:
  {zero}
data:
  path: examples/data/finetuning_qa.jsonl
output:
  dir: runs/x
hardware: dual_rtx4090
"""
SMOLLM, OWN = "HuggingFaceTB/SmolLM2-135M-Instruct", "config: mine.json"
REMOVED_KEYS = """\
{
  "amp": {"enabled": true},
  "elasticity": {"enabled": false},
  "zero_optimization": {
    "stage": 2,
    "cpu_offload": true,
    "mics_shard_size": 8
  }
}
"""
WRONG_TYPES = """\
{
  "gradient_clipping": "x",
  "bf16": true,
  "optimizer": {"type": "AdamW", "params": {"lr": "1e-5", "betas": [0.9]}},
  "zero_optimization": {
    "stage": 3,
    "reduce_bucket_size": 5e8,
    "sub_group_size": "1e9",
    "offload_optimizer": {
      "device": "nvme",
      "nvme_path": 3,
      "ratio": "a"
    }
  }
}
"""
NO_NUMBERS = (
    '{\n  "gradient_clipping": NaN,\n  "zero_optimization": {"stage": 2,\n    "reduce_bucket_size": 1e400}\n}\n'
)
JSONS = {
    "json_removed_keys": REMOVED_KEYS,
    "json_wrong_types": WRONG_TYPES,
    "json_no_numbers": NO_NUMBERS,
    "json_no_section": '{\n  "zero_optimization": []\n}\n',
}


def refused(folder: Path, *, model: str = SMOLLM, zero: str = "preset: auto", code: int) -> str:
    """What `tunekit plan` says of a recipe in this folder; it ends with this code and leaves the folder as it was."""
    (folder / "recipe.yaml").write_text(RECIPE.format(model=model, zero=zero))
    before = sorted(folder.rglob("*"))
    ran = subprocess.run(
        [sys.executable, "-m", "tunekit", "plan", "recipe.yaml"],
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": "empty_cache"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (code, "")
    assert sorted(folder.rglob("*")) == before
    return ran.stderr


@pytest.mark.parametrize("name", JSONS)
def test_a_json_of_the_users_own(tmp_path: Path, golden: Golden, name: str) -> None:
    (tmp_path / "mine.json").write_text(JSONS[name])
    golden(f"errors/{name}.txt", refused(tmp_path, zero=OWN, code=2))


def test_a_preset_that_does_not_exist(tmp_path: Path, golden: Golden) -> None:
    golden("errors/preset_unknown.txt", refused(tmp_path, zero="preset: z3_ofload", code=2))


def test_a_json_that_does_not_exist(tmp_path: Path, golden: Golden) -> None:
    golden("errors/json_missing.txt", refused(tmp_path, zero=OWN, code=2))


def test_a_folder_that_does_not_exist(tmp_path: Path, golden: Golden) -> None:
    (tmp_path / "models").mkdir()
    message = refused(tmp_path, model="./models/mine", code=2)
    golden("errors/model_folder_missing.txt", message.replace(str(tmp_path.resolve()), "HERE"))


def test_a_hub_model_that_is_not_known_and_no_network(tmp_path: Path, golden: Golden) -> None:
    golden("errors/model_unknown_offline.txt", refused(tmp_path, model="meta-llama/Llama-3.1-8B-Instuct", code=4))


def test_a_family_that_is_not_known(tmp_path: Path, golden: Golden) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text('{"model_type": "mamba2", "hidden_size": 768}\n')
    golden("errors/model_unknown_family.txt", refused(tmp_path, model="./mine", code=2))
