from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.plans import CPU_BOX, DUAL_4090, make_plan, make_recipe
from tests.runs import TRACEBACK, steps, write_checkpoint, write_json, write_lines, write_run, write_safetensors
from tests.waiting import until
from tunekit.backends.processes import record_process
from tunekit.backends.recording import RecordingBackend, Script
from tunekit.backends.session import Start
from tunekit.errors import DoesNotFit, MissingError, RecipeError, RunFailed, UsageError
from tunekit.launcher.ops import write_stamp
from tunekit.launcher.outcome import Observed
from tunekit.launcher.run_dir import RunDir
from tunekit.planner.plan import Fix
from tunekit.recipe.schema import WatchSection
from tunekit.render import watch as watching
from tunekit.run import Run, find_run, resume, runs_in, start, this_machine

DONE = Script(
    files={
        "metrics.jsonl": "".join(json.dumps(record) + "\n" for record in steps(3.0, 2.0)),
        "success.json": json.dumps({"attempt": 1, "steps": 2, "seconds": 3.0}),
        "logs/rank_0.log": "step 2/10\n",
    },
    polls=2,
)


@pytest.fixture(autouse=True)
def prepared(tmp_path, monkeypatch):
    """Ops are built, nobody waits between looks, and runs/ is empty."""
    ops = tmp_path / "ops"
    (ops / "deepspeed_shm_comm").mkdir(parents=True)
    (ops / "deepspeed_shm_comm" / "deepspeed_shm_comm.so").touch()
    write_stamp(ops, "deepspeed_shm_comm")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(ops))
    monkeypatch.setattr(watching, "WATCH_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def plan(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    (model / "tokenizer.json").write_text("{}")
    write_safetensors(model / "model.safetensors")
    (tmp_path / "rows.jsonl").write_text('{"text": "words to learn"}\n')
    recipe = make_recipe(model={"path": str(model)}, data={"path": str(tmp_path / "rows.jsonl")})
    return make_plan(recipe=recipe)


@pytest.fixture
def first(plan, tmp_path):
    return Start(plan=plan, recipe_text="a: 1\n", run_dir=RunDir(tmp_path / "runs" / "tiny"))


def test_a_run_from_start_to_result(first):
    output = io.StringIO()
    console = Console(file=output, width=120)
    run = start(first, console=console, on=RecordingBackend(DONE))
    assert repr(run) == f"Run({str(first.run_dir.path)!r}: done, step 2/10, loss 2.0000)"
    assert "done, step 2/10" in run._repr_html_()
    assert [record["loss"] for record in run.metrics()] == [3.0, 2.0]
    assert run.logs() == "step 2/10\n"
    assert run.logs(rank=1) == ""
    assert run.wait().success["steps"] == 2
    assert json.loads(run.dir.result.read_text())["state"] == "done"
    run.show_result(console)
    assert "Done: 2 steps; 3 s from start to end" in output.getvalue()


def test_without_waiting_the_run_is_handed_back(first):
    run = start(first, wait=False, on=RecordingBackend(DONE))
    assert run.status().step is None
    assert run.wait().ok


def test_a_run_that_nobody_waits_for_is_looked_after(first, monkeypatch):
    monkeypatch.setattr("tunekit.run.FOLLOW_SECONDS", 0.01)
    run = start(first, wait=False, on=RecordingBackend(DONE))
    assert until(run.dir.result.exists)
    assert run.wait().ok


def test_an_address_that_is_none_is_refused_before_anything_is_started(first):
    recipe = first.plan.recipe.model_copy(update={"watch": WatchSection(notify_url="$NO_SUCH_VARIABLE")})
    backend = RecordingBackend()
    with pytest.raises(UsageError, match="NO_SUCH_VARIABLE holds no address"):
        start(replace(first, plan=replace(first.plan, recipe=recipe)), on=backend)
    assert backend.requests == []
    assert not first.run_dir.path.exists()


def test_exit_0_without_the_marker_is_raised_as_a_failure(first):
    script = Script(files={"logs/rank_1.log": TRACEBACK})
    with pytest.raises(RunFailed, match="The run failed on rank 1.") as caught:
        start(first, on=RecordingBackend(script))
    assert "ValueError: the loss is not a number" in str(caught.value)
    assert "marker is missing" in str(caught.value)
    assert Run(first.run_dir.path).status().state == "failed"


def test_a_rejected_plan_is_not_started(first, plan):
    from dataclasses import replace

    backend = RecordingBackend()
    fix = Fix(set="method.kind=qlora", saves_bytes=2**30, note="4-bit base", verdict="fits")
    rejected = replace(plan, verdict="rejected", reason="It needs 100 GiB.", fixes=(fix,))
    with pytest.raises(DoesNotFit, match="It needs 100 GiB") as caught:
        start(replace(first, plan=rejected), on=backend)
    assert "method.kind=qlora  (then it fits): 4-bit base" in str(caught.value)
    assert caught.value.plan is rejected
    assert backend.requests == []
    assert not first.run_dir.path.exists()


def test_stop_and_resume(first):
    run = start(first, wait=False, on=RecordingBackend(Script(polls=None)))
    write_lines(run.dir.metrics, steps(3.0, 2.5))
    run.stop()
    assert run.status().state == "stopped"
    assert "no complete checkpoint" in shown(run)
    with pytest.raises(UsageError, match="no complete checkpoint"):
        run.resume()
    write_checkpoint(run.dir.checkpoints, 2)
    assert "newest checkpoint is of step 2" in shown(run)

    again = Script(files={"success.json": json.dumps({"attempt": 2, "steps": 4})})
    write_lines(run.dir.metrics, [])
    backend = RecordingBackend(again)
    output = io.StringIO()
    resumed = resume(run.dir, on=backend, console=Console(file=output, width=200))
    assert output.getvalue().startswith("tiny: going on from checkpoint-2")
    assert backend.requests[0].argv[-1] == str(run.dir.checkpoints / "checkpoint-2")
    assert resumed.status().state == "done"
    assert resumed.status().attempt == 2
    assert len(resumed.metrics()) == 2, "the first attempt's steps are still told"


def test_resume_shows_how_far_the_reading_of_a_checkpoint_is(first, monkeypatch):
    def slow(folder, *, report):
        report(f"verifying {folder.name}: 1.0 GiB of 96.0 GiB read")

    monkeypatch.setattr("tunekit.run.bytes_fault", slow)
    run = start(first, wait=False, on=RecordingBackend(Script(polls=None)))
    run.stop()
    write_checkpoint(run.dir.checkpoints, 2)
    output = io.StringIO()
    again = Script(files={"success.json": json.dumps({"attempt": 2, "steps": 4})})
    resume(run.dir, on=RecordingBackend(again), console=Console(file=output, width=200))
    assert output.getvalue().startswith("[  0 s] verifying checkpoint-2 …\ntiny: going on from checkpoint-2")


def test_resume_with_changes_plans_anew_as_the_command_does(wide, monkeypatch):
    monkeypatch.setattr("tunekit.hub.find_shape", lambda *asked: wide.plan.model_shape)
    run = start(wide, wait=False, on=RecordingBackend(Script(polls=None)))
    write_lines(run.dir.metrics, steps(3.0, 2.5))
    run.stop()
    write_checkpoint(run.dir.checkpoints, 2)
    with pytest.raises(RecipeError, match=r"train\.learning_rate"):
        run.resume("train.learning_rate=1.0")
    again = Script(files={"success.json": json.dumps({"attempt": 2, "steps": 4})})
    changes = ["train.micro_batch_size=1", "train.gradient_accumulation_steps=8"]
    resumed = resume(run.dir, changes, on=RecordingBackend(again))
    assert resumed.plan.job.batch.micro_batch_size == 1
    assert resumed.plan.job.batch.global_batch_size == 16
    assert resumed.report().story[-1].changes == tuple(changes)


def shown(run):
    output = io.StringIO()
    run.show_result(Console(file=output, width=200))
    return output.getvalue()


def test_folders_with_brackets_are_named_as_they_are(tmp_path, plan):
    """rich would take what stands in them for a style, and leave it out."""
    run_dir = write_run(tmp_path / "runs" / "a[bold]", plan)
    run_dir.stop_request.touch()
    write_checkpoint(run_dir.checkpoints, 2)
    run = Run(run_dir.path)
    run.conclude(Observed(exit_code=130))
    assert "tunekit resume 'runs/a[bold]'" in shown(run)
    output = io.StringIO()
    again = Script(files={"success.json": json.dumps({"attempt": 2, "steps": 4})})
    resume(run_dir, on=RecordingBackend(again), console=Console(file=output, width=200))
    assert output.getvalue().startswith("a[bold]: going on from checkpoint-2")


def test_a_run_of_another_program_can_be_watched_and_stopped(tmp_path, plan):
    run_dir = write_run(tmp_path / "runs" / "other", plan)
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env={**os.environ, "TUNEKIT_RUN": str(run_dir.path)},
        start_new_session=True,
    )
    try:
        record_process(run_dir, process.pid, 1)
        run = Run("other")
        assert run.status().state == "preparing"
        assert run.status().unwatched_since is None
        run_dir.launcher_log.touch()
        told = json.loads(run_dir.process.read_text())
        run_dir.process.write_text(json.dumps({**told, "watcher_started": "long ago"}))
        assert run.status().unwatched_since is not None
        run.stop()
        assert until(process.poll) is not None
    finally:
        process.kill()
        process.wait()
    assert run.status().state == "stopped"
    assert run.wait().state == "stopped"


def test_a_run_whose_folder_was_moved_away_is_a_message(first):
    run = start(first, wait=False, on=RecordingBackend(Script(polls=1)))
    run.path.rename(run.path.with_name("elsewhere"))
    with pytest.raises(RunFailed, match="was moved or deleted while the run was going on"):
        run.wait()


def test_a_report_of_a_run(first):
    run = start(first, on=RecordingBackend(DONE))
    report = run.report()
    assert (report.status.state, report.status.step, report.ending) == ("done", 2, None)


def test_runs_are_found_by_folder_or_name(tmp_path, plan):
    run_dir = write_run(tmp_path / "runs" / "codellama", plan)
    assert find_run("codellama") == find_run("runs/codellama") == find_run(str(run_dir.path)) == run_dir
    with pytest.raises(UsageError, match="did you mean codellama\\?"):
        find_run("codelama")
    with pytest.raises(UsageError, match="tunekit runs"):
        find_run("zzz")


def test_runs_in_a_folder(tmp_path, plan):
    names = {write_run(tmp_path / "all" / name, plan).path.name for name in ("b", "a")}
    (tmp_path / "all" / "notes").mkdir()
    assert {run.path.name for run in runs_in(tmp_path / "all")} == names
    assert [run.path.name for run in runs_in(tmp_path / "all" / "a")] == ["a"]
    assert runs_in(tmp_path / "nowhere") == []


def test_a_plan_for_this_machine_is_not_probed_again():
    machine = this_machine(CPU_BOX)
    assert machine.hardware is CPU_BOX
    assert machine.gpu_free_bytes == {}


def test_a_plan_for_another_machine_is_held_against_this_one():
    assert this_machine(DUAL_4090).hardware.name == "local"


def test_a_stored_plan_for_this_machine_is_held_against_what_is_here_now(tmp_path, plan, monkeypatch):
    """Cards may be gone since it was made, or the run's folder was copied here."""
    monkeypatch.setattr("tunekit.probes.local.probe_hardware", lambda: replace(CPU_BOX, name="local"))
    planned = replace(plan, hardware=replace(DUAL_4090, name="local"))
    run_dir = write_run(tmp_path / "runs" / "x", planned)
    write_checkpoint(run_dir.checkpoints, 2)
    with pytest.raises(MissingError, match="this machine has no GPU"):
        resume(run_dir, on=RecordingBackend(DONE))


def test_a_damaged_plan_is_a_message(tmp_path, plan):
    run_dir = write_run(tmp_path / "runs" / "x", plan)
    write_json(run_dir.plan, {"format_version": 1})
    with pytest.raises(UsageError, match=f"^{run_dir.plan}: "):
        _ = Run("x").plan


def test_paths_are_absolute(tmp_path, plan):
    write_run(tmp_path / "runs" / "x", plan)
    assert Run("x").path == Path(tmp_path / "runs" / "x")


FULL = Script(
    files={"failure.json": json.dumps({"rank": 1, "phase": "train", "traceback": "OutOfMemoryError: no"})}, exit_code=1
)


@pytest.fixture
def wide(plan, tmp_path):
    """A plan that can be made smaller: four rows a pass."""
    from tests.planning import SMOLLM, shape_of
    from tunekit.planner.make import make_plan as plan_for_real

    train = {"max_seq_length": 2048, "micro_batch_size": 4, "global_batch_size": 16, "activation_checkpointing": True}
    recipe = make_recipe(
        model={"path": plan.recipe.model.path},
        data={"path": plan.recipe.data.path},
        train=train,
        zero={"preset": "z2"},
        output={"dir": str(tmp_path / "runs" / "tiny")},
    )
    whole = plan_for_real(recipe, shape_of(SMOLLM), CPU_BOX)
    return Start(plan=whole, recipe_text="a: 1\n", run_dir=RunDir(tmp_path / "runs" / "tiny"))


def test_out_of_memory_is_followed_by_a_smaller_plan_where_that_is_asked(wide):
    output, backend = io.StringIO(), RecordingBackend(FULL, replace_attempt(DONE, 2))
    run = start(wide, console=Console(file=output, width=200), on=backend, on_oom="retry")
    assert run.ended.ok
    assert len(backend.requests) == 2
    assert run.plan.job.batch.micro_batch_size < 4
    assert run.plan.job.batch.global_batch_size == 16
    assert "Trying again from the beginning with train.micro_batch_size=" in output.getvalue()
    kept = json.loads((run.path / "attempt_1" / "plan.json").read_text())
    assert kept["job"]["batch"]["micro_batch_size"] == 4
    run.show_result(Console(file=output, width=200))
    assert "attempt 1: failed: the card ran out of memory" in output.getvalue()
    assert [chapter.ending for chapter in run.report().story] == ["failed", "done"]


def test_out_of_memory_ends_it_where_nothing_else_is_asked(wide):
    backend = RecordingBackend(FULL, DONE)
    with pytest.raises(RunFailed, match="OutOfMemoryError"):
        start(wide, on=backend)
    assert len(backend.requests) == 1


def test_a_few_attempts_and_never_the_same_plan_twice(wide):
    backend = RecordingBackend(FULL)
    with pytest.raises(RunFailed):
        start(wide, on=backend, on_oom="retry")
    assert 2 <= len(backend.requests) <= 4
    plans = [request.files[str(wide.run_dir.plan)] for request in backend.requests]
    assert len(set(plans)) == len(plans)


def test_a_word_that_is_no_choice():
    with pytest.raises(UsageError, match="allowed are stop, retry"):
        start(None, on_oom="again")


def replace_attempt(script, number):
    success = json.dumps({**json.loads(script.files["success.json"]), "attempt": number})
    return replace(script, files={**script.files, "success.json": success})
