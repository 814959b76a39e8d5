"""A model that ZeRO-3 has cut up is saved file by file: what DeepSpeed gathers, in files that transformers loads."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration import tiny
from tunekit.launcher.ports import choose_port

pytestmark = [pytest.mark.slow, pytest.mark.train]

FILE_BYTES = 100_000
HEADER_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Saved:
    """The folder that two ranks wrote, and what rank 0 saw."""

    folder: Path
    tied: bool
    found: dict[str, Any]


@pytest.fixture(scope="module", params=[False, True], ids=["head of its own", "tied head"])
def saved(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Saved:
    """A tiny model, trained for a step and saved by two processes."""
    root = tmp_path_factory.mktemp("saved")
    source, target = tiny.write_model(root / "model", tied=request.param), root / "final"
    script = str(Path(__file__).parent / "save_sharded.py")
    argv = [sys.executable, script, str(source), str(target), str(FILE_BYTES)]
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(choose_port(str(root)))}
    with (root / "rank_1.log").open("wb") as log:
        other = subprocess.Popen(argv, env=tiny.environment(**world, RANK="1", LOCAL_RANK="1"), stdout=log, stderr=log)
        env = tiny.environment(**world, RANK="0", LOCAL_RANK="0")
        first = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300, check=False)
        assert other.wait(timeout=60) == 0
    lines = [line for line in first.stdout.splitlines() if line.startswith("RESULTS ")]
    assert lines, first.stderr[-3000:]
    return Saved(folder=target, tied=request.param, found=json.loads(lines[0].removeprefix("RESULTS ")))


def test_it_is_what_deepspeed_gathers(saved: Saved) -> None:
    assert saved.found["different"] == []
    assert saved.found["alone"] == (["lm_head.weight"] if saved.tied else [])


def test_training_goes_on_after_a_save(saved: Saved) -> None:
    before, after, later = saved.found["losses"]
    assert after == before
    assert later < before


def test_a_file_is_as_small_as_asked_unless_a_single_tensor_is_larger(saved: Saved) -> None:
    from safetensors import safe_open

    paths = sorted(saved.folder.glob("*.safetensors"))
    assert len(paths) > 2
    for path in paths:
        with safe_open(path, framework="pt") as file:
            assert path.stat().st_size < FILE_BYTES + HEADER_BYTES or len(file.keys()) == 1


def test_transformers_loads_it_whole(saved: Saved) -> None:
    from transformers import AutoModelForCausalLM

    _, found = AutoModelForCausalLM.from_pretrained(saved.folder, device_map="meta", output_loading_info=True)
    assert not any(found.values()), found
    index = json.loads((saved.folder / "model.safetensors.index.json").read_text())
    assert {path.name for path in saved.folder.glob("*.safetensors")} == set(index["weight_map"].values())
    assert (saved.folder / "tokenizer.json").exists()
    assert not (saved.folder / ".part").exists()
