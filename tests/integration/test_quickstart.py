"""The first thing a person runs: real weights, real data, two real processes; the loss falls and answers change."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import mean

import pytest

STEPS = 24


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a shortened quickstart."""
    folder = tmp_path_factory.mktemp("quickstart")
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "tunekit", "launch", "recipes/quickstart.yaml"),
            *(f"output.dir={folder}/run", f"train.max_steps={STEPS}", "output.sample_tokens=12"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "read as messages" in ran.stdout
    assert "before" in ran.stdout
    assert "after" in ran.stdout
    return folder / "run"


@pytest.mark.slow
@pytest.mark.train
def test_the_loss_falls(run: Path) -> None:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if "loss" in record]
    assert len(losses) == STEPS
    assert mean(losses[-6:]) < 0.9 * mean(losses[:6])


@pytest.mark.slow
@pytest.mark.train
def test_deepspeed_processes_trained_an_adapter(run: Path) -> None:
    success = json.loads((run / "success.json").read_text())
    measured = json.loads((run / "measured.json").read_text())
    engine = success["engine"]
    assert (engine["engine"], engine["stage"]) == ("DeepSpeedEngine", 2)
    # Two processes where there is no GPU, else one for each.
    assert [rank["rank"] for rank in measured["ranks"]] == list(range(engine["world_size"]))
    assert (run / "final/adapter_model.safetensors").stat().st_size > 1_000_000


@pytest.mark.slow
@pytest.mark.train
def test_the_answers_change(run: Path) -> None:
    samples = json.loads((run / "success.json").read_text())["samples"]
    assert samples
    assert all(sample["before"] and sample["after"] and sample["before"] != sample["after"] for sample in samples)
