"""A run that is out of memory goes on with half as many rows a pass, and ends as if nothing had happened."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.integration import tiny
from tunekit.backends.base import Process
from tunekit.backends.local import LocalBackend
from tunekit.backends.session import order
from tunekit.ds_config.build import build_ds_config
from tunekit.errors import RunFailed
from tunekit.hub import find_shape
from tunekit.launcher.request import LaunchRequest
from tunekit.launcher.run_dir import RunDir
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Plan
from tunekit.planner.plan_json import plan_to_json
from tunekit.probes.local import probe_hardware
from tunekit.recipe.loading import LoadedRecipe, load_recipe
from tunekit.run import Run, start

pytestmark = [pytest.mark.slow, pytest.mark.train]

STEPS = 6
WORKER = Path(__file__).parent / "short_of_memory.py"


@dataclass(frozen=True)
class SmallHost:
    """The real backend; its ranks run the worker on a host that is too small."""

    straight: Path

    def start(self, request: LaunchRequest, run_dir: RunDir) -> Process:
        """The request with another script in the place of the worker's module."""
        place = request.argv.index("--module")
        argv = (*request.argv[:place], str(WORKER), str(self.straight), *request.argv[place + 2 :])
        root = str(Path(__file__).parents[2])
        return LocalBackend().start(replace(request, argv=argv, env={**request.env, "PYTHONPATH": root}), run_dir)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A run that went on after running out of memory, one that nobody disturbed, and what was said."""

    run: Run
    straight: Path
    said: str


def planned(root: Path, name: str) -> tuple[Plan, LoadedRecipe]:
    """Four rows a pass, on this machine."""
    wanted = tiny.recipe(
        root / "model",
        root / "rows.jsonl",
        root / name,
        train={
            "max_seq_length": 256,
            "micro_batch_size": 4,
            "gradient_accumulation_steps": 1,
            "global_batch_size": 8,
            "max_steps": STEPS,
            "rehearsal": "never",
        },
        output={"save_steps": 3},
        hardware="local",
    )
    loaded = load_recipe(wanted)
    return make_plan(loaded.recipe, find_shape(loaded.recipe.model.path), probe_hardware()), loaded


def write_straight(root: Path) -> None:
    """What the ranks read of the run that nobody disturbs."""
    plan, _ = planned(root, "straight")
    run_dir = RunDir(root / "straight")
    run_dir.path.mkdir()
    run_dir.plan.write_text(json.dumps(plan_to_json(plan)))
    run_dir.ds_config.write_text(json.dumps(build_ds_config(plan.recipe, plan.job, plan.model_shape)))


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """One launch that is followed by another."""
    root = tmp_path_factory.mktemp("memory")
    tiny.write_model(root / "model", vocabulary=8192)
    tiny.write_data(root / "rows.jsonl", count=400)
    write_straight(root)
    plan, loaded = planned(root, "short")
    said = io.StringIO()
    console = Console(file=said, width=200)
    try:
        run = start(order(plan, loaded), console=console, on=SmallHost(root / "straight"), on_oom="retry")
    except RunFailed as failed:
        log = (root / "short" / "logs" / "rank_1.log").read_text()[-3000:]
        raise AssertionError(f"{failed}\n{said.getvalue()}\n{log}") from failed
    run.show_result(console)
    return Ended(run=run, straight=root / "straight", said=said.getvalue())


def test_it_goes_on_from_the_checkpoint_with_half_the_rows_a_pass(ended: Ended) -> None:
    first = json.loads((ended.run.path / "attempt_1" / "plan.json").read_text())["job"]["batch"]
    second = ended.run.plan.job.batch
    assert (first["micro_batch_size"], first["gradient_accumulation_steps"]) == (4, 1)
    assert (second.micro_batch_size, second.gradient_accumulation_steps) == (2, 2)
    assert json.loads(ended.run.dir.launch.read_text())["resume_from"].endswith("checkpoint-3")
    assert [record["step"] for record in ended.run.metrics()] == list(range(1, STEPS + 1))


def test_it_ends_with_the_losses_of_a_run_that_nobody_disturbed(ended: Ended) -> None:
    losses = [record["loss"] for record in ended.run.metrics()]
    straight = tiny.metrics(ended.straight)
    assert len(straight) == STEPS
    assert losses == pytest.approx(straight, rel=2e-3)
    assert losses[:3] == pytest.approx(straight[:3], rel=1e-6)


def test_the_run_directory_tells_the_story(ended: Ended) -> None:
    one, two = ended.run.report().story
    assert (one.ending, one.step) == ("failed", 4)
    assert one.why.startswith("the host ran out of memory")
    assert two.changes == ("train.micro_batch_size=2", "train.gradient_accumulation_steps=2")
    assert (two.since, two.ending, two.step) == ("checkpoint-3", "done", STEPS)
    assert str(one) in ended.said
    assert str(two) in ended.said
    assert "Trying again from step 3 with train.micro_batch_size=2" in ended.said


def test_what_failed_is_explained_by_the_rank_that_failed(ended: Ended) -> None:
    kept = json.loads((ended.run.path / "attempt_1" / "result.json").read_text())
    assert (kept["failing_rank"], kept["fault"], kept["signature"]) == (1, "host memory", "host out of memory")
    assert kept["seen_bytes"] > 536870912
    assert kept["mends"][0]["set"].startswith("train.")
