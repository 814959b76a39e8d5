"""The failures that the rules prevent, by the real libraries: engines in one process, DeepSpeed's own reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from contract.rules.reproduced import CONFIGS, ENGINES, SILENT

from tunekit.launcher.caller import this_caller
from tunekit.launcher.environment import extensions_dir, path_with_environment_first

pytestmark = pytest.mark.train
OPS = ("deepspeed_shm_comm", "cpu_adam", "cpu_lion")
Parse = Callable[[dict[str, Any]], tuple[Any, set[str]]]


@pytest.fixture(scope="module")
def seen() -> dict[str, dict[str, Any]]:
    """What happened in every case."""
    pytest.importorskip("deepspeed")
    caller = this_caller()
    world = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    env = {**os.environ, **world, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    env |= {"PATH": path_with_environment_first(caller), "TORCH_EXTENSIONS_DIR": str(extensions_dir(caller))}
    # A case may take half a minute, which an op takes to compile.
    build = f"from tunekit.worker.prepare import build_missing; build_missing({OPS!r})"
    subprocess.run([sys.executable, "-c", build], env=env, check=True, timeout=590)
    script = Path(__file__).with_name("happening.py")
    run = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True, timeout=590)
    lines = [line for line in run.stdout.splitlines() if line.startswith("RESULTS ")]
    assert lines, run.stdout[-2000:] + run.stderr[-4000:]
    found: dict[str, dict[str, Any]] = json.loads(lines[-1].removeprefix("RESULTS "))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_what_happens_without_the_rule(seen: dict[str, dict[str, Any]], name: str) -> None:
    expected, found = ENGINES[name], seen[name]
    if isinstance(expected, str):
        assert expected in found.get("error", ""), found
    else:
        assert expected.items() <= found.get("value", {}).items(), found


@pytest.mark.slow
def test_the_corruption_is_no_rounding(seen: dict[str, dict[str, Any]]) -> None:
    """Without an error or a warning, the layer gives other numbers."""
    assert seen["four_bits_stored_as_another_float"]["value"]["moved"] > 0.1


@pytest.mark.slow
def test_no_case_is_left_out(seen: dict[str, dict[str, Any]]) -> None:
    assert set(seen) - {"flash_attention_in_fp32"} == set(ENGINES)


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Parse:
    from contract.ds_config.conftest import reader

    return reader(monkeypatch)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_deepspeeds_own_reader_refuses(parse: Parse, name: str) -> None:
    config, words = CONFIGS[name]
    with pytest.raises(Exception, match=words):
        parse({"train_micro_batch_size_per_gpu": 1, **config})


@pytest.mark.parametrize("name", SILENT)
def test_what_deepspeed_takes_without_a_word(parse: Parse, name: str) -> None:
    config, where, in_force = SILENT[name]
    read, _ = parse({"train_micro_batch_size_per_gpu": 1, **config})
    assert reduce(getattr, where.split("."), read) == in_force
