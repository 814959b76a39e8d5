"""Every preset trains with plain DeepSpeed, without tunekit: real engines, one CPU process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tunekit.ds_config.presets import load_preset, preset_facts, preset_names
from tunekit.launcher.caller import this_caller
from tunekit.launcher.environment import extensions_dir, path_with_environment_first
from tunekit.launcher.ops import remove_stale_locks

pytestmark = [pytest.mark.slow, pytest.mark.train]


@pytest.fixture(scope="module")
def results(repository: Path) -> dict[str, dict[str, Any]]:
    """What plain DeepSpeed made of each preset."""
    pytest.importorskip("deepspeed")
    # A build that was killed leaves a lock for which plain DeepSpeed would wait for ever.
    remove_stale_locks(extensions_dir(this_caller()))
    script = Path(__file__).with_name("plain_deepspeed.py")
    files = [str(repository / "ds_configs" / f"{name}.json") for name in preset_names()]
    run = subprocess.run(
        [sys.executable, str(script), *files], env=_environment(), capture_output=True, text=True, timeout=590
    )
    lines = [line for line in run.stdout.splitlines() if line.startswith("RESULTS ")]
    assert lines, run.stdout[-2000:] + run.stderr[-4000:]
    found: dict[str, dict[str, Any]] = json.loads(lines[-1].removeprefix("RESULTS "))
    return found


def _environment() -> dict[str, str]:
    """One process of a world of one, with tunekit's folder of compiled ops."""
    caller = this_caller()
    return {
        **os.environ,
        "PATH": path_with_environment_first(caller),
        "TORCH_EXTENSIONS_DIR": str(extensions_dir(caller)),
        "DS_ACCELERATOR": "cpu",
        "OMP_NUM_THREADS": "1",
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",
    }


def test_all_were_trained(results: dict[str, dict[str, Any]]) -> None:
    assert sorted(results) == list(preset_names())
    for name, result in results.items():
        assert result["stage"] == preset_facts(load_preset(name)).stage
        assert result["steps"] == 2


def test_deepspeed_builds_the_cpu_optimizer_where_it_steps_in_ram(results: dict[str, dict[str, Any]]) -> None:
    for name, result in results.items():
        facts = preset_facts(load_preset(name))
        expected = "ZenFlowCPUAdam" if facts.zenflow else "DeepSpeedCPUAdam"
        assert result["optimizer"] == (expected if facts.offload_optimizer != "none" else "AdamW")


def test_only_bf16_presets_keep_moments_in_bf16(results: dict[str, dict[str, Any]]) -> None:
    moments = {name: result["moments"] for name, result in results.items()}
    assert moments["z2_offload_bf16"] == moments["z3_offload_bf16"] == "torch.bfloat16"
    assert moments["z2_offload"] == moments["z3_offload"] == moments["z1"] == "torch.float32"


def test_all_start_from_the_weights_they_were_given_but_zenflow(results: dict[str, dict[str, Any]]) -> None:
    """When ZenFlow passes too, DeepSpeed has repaired it: take `ZENFLOW_FAULT` out and name the release."""
    scrambled = [name for name, result in results.items() if not result["weights_kept"]]
    assert scrambled == ["z2_zenflow"]
