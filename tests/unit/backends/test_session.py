from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.plans import CPU_BOX, DUAL_4090, make_plan, make_recipe
from tests.runs import steps, write_lines, write_run
from tunekit.backends import session
from tunekit.backends.recording import RecordingBackend
from tunekit.backends.session import Start, dry_run, order, start_run
from tunekit.errors import MissingError, RunFailed, UsageError
from tunekit.launcher.ports import choose_port
from tunekit.launcher.preflight import Machine
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.state import read_plan
from tunekit.recipe.loading import LoadedRecipe

HERE = Machine(hardware=CPU_BOX)


def begin(start, caller, machine=HERE):
    backend, said = RecordingBackend(), []
    start_run(start, caller=caller, machine=machine, backend=backend, report=said.append)
    return backend.requests[0], said


def test_a_warm_start_prepares_nothing(first, caller):
    request, said = begin(first, caller)
    assert said == ["looking at this machine", "starting deepspeed"]
    assert first.run_dir.recipe.read_text() == "model: {}\n"
    assert json.loads(first.run_dir.launch.read_text())["argv"] == list(request.argv)
    assert first.run_dir.launch_script.stat().st_mode & 0o111
    assert request.env["TUNEKIT_ATTEMPT"] == "1"


@pytest.mark.parametrize("secret", ["format_version", '"verdict"', "00000000"])
def test_a_secret_that_is_also_a_word_of_the_plan_does_not_break_it(first, caller, monkeypatch, secret):
    begin(first, caller)
    before = read_plan(first.run_dir)
    monkeypatch.setenv("MY_TOKEN", secret)
    shutil.rmtree(first.run_dir.path)
    begin(first, caller)
    assert read_plan(first.run_dir) == before


def test_missing_ops_are_built_before_the_start(first, caller, monkeypatch):
    calls = []
    monkeypatch.setattr(session, "prepare", lambda *args, **more: calls.append((args, more)))
    shutil.rmtree(caller.environ["TORCH_EXTENSIONS_DIR"])
    begin(first, caller)
    ((request, argv, run_dir), more) = calls[0]
    assert argv[-3:] == ("tunekit.worker.prepare", "--plan", str(first.run_dir.plan))
    assert run_dir.plan.exists(), "the preparation reads the plan"
    assert "deepspeed_shm_comm" in more["what"]
    assert request.env["TORCH_EXTENSIONS_DIR"]


def test_a_preparation_that_fails_leaves_its_ending_and_the_folder_free(first, caller, monkeypatch):
    def fail(*args, **more):
        raise RunFailed("no compiler")

    with monkeypatch.context() as patch:
        patch.setattr(session, "prepare_what_is_missing", fail)
        with pytest.raises(RunFailed):
            begin(first, caller)
    kept = json.loads(first.run_dir.result.read_text())
    assert (kept["state"], kept["cause"]) == ("failed", ["no compiler"])
    request, _ = begin(first, caller)
    assert request.env["TUNEKIT_ATTEMPT"] == "2"
    assert RunDir(first.run_dir.attempt(1)).plan.exists()


def test_faults_are_raised_before_anything_is_written(first, caller):
    write_lines(write_run(first.run_dir.path, first.plan).metrics, steps(2.0))
    before = sorted(path.name for path in first.run_dir.path.iterdir())
    with pytest.raises(UsageError, match="already holds a run"):
        begin(first, caller)
    assert sorted(path.name for path in first.run_dir.path.iterdir()) == before


def test_a_model_that_is_not_here_is_fetched(first, caller, monkeypatch):
    fetched = []
    monkeypatch.setattr(session.hub, "local_model_dir", lambda path, revision: None)
    monkeypatch.setattr(session.hub, "gguf_source", lambda path: None)
    monkeypatch.setattr(session.hub, "fetch_model", lambda path, revision, allow_pickle, say: fetched.append(path))
    _, said = begin(first, caller)
    assert fetched == [first.plan.recipe.model.path]
    assert f"fetching {fetched[0]}" in said


def test_a_user_port_that_is_taken(first, caller, monkeypatch):
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(UsageError, match="is in use"):
            begin(replace(first, wanted_port=listener.getsockname()[1]), caller)
    assert not first.run_dir.path.exists()


def test_dry_run_writes_nothing_and_says_what_is_missing(first, caller):
    shutil.rmtree(caller.environ["TORCH_EXTENSIONS_DIR"])
    request, before, faults = dry_run(first, caller, HERE)
    assert faults == ()
    assert str(before.first_port) == request.argv[request.argv.index("--master_port") + 1]
    assert dry_run(replace(first, wanted_port=choose_port("x")), caller, HERE)[1].first_port is None
    assert not first.run_dir.path.exists()
    assert before.ops == ("deepspeed_shm_comm",)
    assert (before.fetch_bytes, before.convert) == (0, None)
    assert dry_run(first, caller, HERE)[0] == request, "it is the same every time"


def test_dry_run_of_a_model_on_the_hub(caller):
    start = Start(plan=make_plan(), recipe_text="", run_dir=RunDir(Path("/nowhere")))
    assert dry_run(start, caller, HERE)[1].fetch_bytes == 2 * make_plan().model_shape.num_parameters


def test_a_real_start_is_the_dry_run_but_for_the_port(first, caller):
    shown, _, _ = dry_run(first, caller, HERE)
    started, _ = begin(first, caller)
    port = shown.argv.index("--master_port") + 1
    assert (*started.argv[:port], *started.argv[port + 1 :]) == (*shown.argv[:port], *shown.argv[port + 1 :])
    assert started.env == shown.env


def test_an_order_is_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    loaded = LoadedRecipe(recipe=make_plan().recipe, text="a: 1\n", path=None, overrides=("a=2",), file={})
    found = order(make_plan(), loaded, wanted_port=1)
    assert found.run_dir.path == tmp_path / "runs" / "tiny"
    assert "a=2" in found.recipe_text


def test_a_machine_without_the_planned_cards(first, caller):
    plan = make_plan(DUAL_4090, recipe=first.plan.recipe)
    with pytest.raises(MissingError, match="set hardware=local"):
        begin(Start(plan=plan, recipe_text="", run_dir=first.run_dir), caller)


def test_a_dry_run_for_another_machine_says_why_it_is_not_started_here(first, caller):
    plan = make_plan(DUAL_4090, recipe=first.plan.recipe)
    _, before, faults = dry_run(replace(first, plan=plan), caller, HERE)
    assert faults == ()
    assert before.not_here[0].startswith("planned for dual_rtx4090 (2 x NVIDIA GeForce RTX 4090), but this machine has")


def test_a_dry_run_returns_what_this_machine_lacks_and_raises_what_was_typed_wrong(first, caller):
    missing = replace(HERE, hardware=replace(CPU_BOX, host=replace(CPU_BOX.host, usable_ram_bytes=0)))
    _, before, faults = dry_run(first, caller, missing)
    assert (before.not_here, [fault.kind for fault in faults]) == ((), ["missing"])
    with pytest.raises(UsageError, match="allowed are 1024 to 65535"):
        dry_run(replace(first, wanted_port=1), caller, HERE)


def test_a_dry_run_takes_the_cards_and_the_attempt_that_a_start_would_take(first, caller, monkeypatch):
    monkeypatch.setattr("tunekit.backends.facts.torch_cuda", lambda: "12.8")
    plan = make_plan(DUAL_4090, recipe=first.plan.recipe)
    box = Machine(hardware=DUAL_4090, gpu_uuids=("GPU-a", "GPU-b", "GPU-c"))
    shell = replace(caller, environ={**caller.environ, "CUDA_VISIBLE_DEVICES": "2,0"})
    write_run(first.run_dir.path, plan)
    shown, _, faults = dry_run(replace(first, plan=plan), shell, box)
    assert faults == ()
    assert "localhost:0,2" in shown.argv
    assert shown.env["TUNEKIT_ATTEMPT"] == "2", "what lies there is kept as attempt_1"


def test_data_of_the_hub_is_named_before_it_is_fetched(caller):
    recipe = make_recipe(data={"path": "someone/rows", "eval_path": "examples/data/finetuning_qa.jsonl"})
    start = Start(plan=make_plan(recipe=recipe), recipe_text="", run_dir=RunDir(Path("/nowhere")))
    assert dry_run(start, caller, HERE)[1].fetch_data == ("someone/rows",)


def test_two_starts_do_not_meet_in_one_folder(first, caller):
    """The second begins when the first has looked but its ranks do not live yet."""
    with session._alone(first), pytest.raises(UsageError, match="another `tunekit launch` is starting a run in it"):
        begin(first, caller)
    assert list(first.run_dir.path.iterdir()) == []


def test_the_folder_is_looked_at_again_after_a_long_download(first, caller, monkeypatch):
    def fetch(plan, report):
        write_lines(write_run(first.run_dir.path, plan).metrics, steps(2.0))

    monkeypatch.setattr(session, "fetch", fetch)
    with pytest.raises(UsageError, match="already holds a run"):
        begin(first, caller)


def test_a_folder_whose_name_is_not_text(first, caller, tmp_path):
    odd = RunDir(tmp_path / "r\udcffn ü")
    begin(replace(first, run_dir=odd), caller)
    assert b"r\xffn \xc3\xbc" in odd.launch_script.read_bytes()
