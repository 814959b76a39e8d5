from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.plans import CPU_BOX, DUAL_4090, make_caller, make_plan, make_recipe
from tests.runs import steps, write_json, write_lines, write_run
from tunekit.backends import facts as module
from tunekit.backends.facts import build_fault, data_fault, gather_facts, nvme_fault, ops_to_build, output_fault
from tunekit.backends.processes import record_process
from tunekit.launcher.ops import write_stamp
from tunekit.launcher.preflight import Machine
from tunekit.launcher.run_dir import RunDir
from tunekit.memory.terms import MemoryTerm
from tunekit.units import GIB


def test_a_new_folder_can_be_used(tmp_path):
    assert output_fault(RunDir(tmp_path / "a" / "b")) is None
    (tmp_path / "empty").mkdir()
    assert output_fault(RunDir(tmp_path / "empty")) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"], "looking leaves nothing behind"


def test_a_folder_that_holds_a_run_is_never_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_dir = write_run(tmp_path / "runs" / "a", make_plan())
    write_lines(run_dir.metrics, steps(3.0, 2.5))
    assert output_fault(run_dir) == (
        f"output.dir {run_dir.path} already holds a run (lost, step 2 of 10); nothing in it is overwritten: "
        f"to go on with it type `tunekit resume {run_dir.path}`; for a new run set output.dir=runs/a-2."
    )
    (tmp_path / "runs" / "a-2").mkdir()
    assert output_fault(run_dir).endswith("output.dir=runs/a-3.")
    write_json(run_dir.success, {"attempt": 1})
    assert "(done, step 2 of 10)" in output_fault(run_dir)
    assert "resume" not in output_fault(run_dir)
    assert output_fault(run_dir, resumes=True) is None


def test_an_attempt_that_never_trained_does_not_block_the_folder(tmp_path):
    run_dir = write_run(tmp_path / "run", make_plan())
    assert output_fault(run_dir) is None


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").touch()
    assert "is not empty and is not a run" in output_fault(RunDir(tmp_path / "notes"))
    assert "is a file" in output_fault(RunDir(tmp_path / "notes" / "todo.txt"))


def test_a_run_that_goes_on(tmp_path):
    run_dir = write_run(tmp_path / "run", make_plan())
    process = subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        env={**os.environ, "TUNEKIT_RUN": str(run_dir.path)},
        start_new_session=True,
    )
    record_process(run_dir, process.pid, 1)
    try:
        assert "holds a run that is going on" in output_fault(run_dir, resumes=True)
    finally:
        process.communicate(b"\n")
    assert output_fault(run_dir, resumes=True) is None


def test_a_folder_that_cannot_be_written():
    fault = output_fault(RunDir(Path("/proc/runs/x")))
    assert fault.startswith("output.dir /proc/runs/x: /proc cannot be written (")
    assert fault.endswith("set output.dir to a folder of your own.")


def test_empty_data(tmp_path):
    (tmp_path / "rows.jsonl").touch()
    recipe = make_recipe(data={"path": str(tmp_path / "rows.jsonl")})
    assert "holds no rows" in data_fault(make_plan(recipe=recipe))
    (tmp_path / "rows.jsonl").write_text('{"text": "words to learn"}\n')
    assert data_fault(make_plan(recipe=recipe)) is None


def test_nvme_needs_a_folder_of_ones_own():
    nvme = {"offload_optimizer": "nvme"}
    assert nvme_fault(make_plan()) is None
    assert "set zero.nvme_path" in nvme_fault(make_plan(zero=nvme))
    assert nvme_fault(make_plan(zero={**nvme, "nvme_path": "/tmp/swap"})) is None


def test_what_compiling_needs(monkeypatch, tmp_path):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    monkeypatch.setattr(module, "_header_exists", lambda name: False)
    assert build_fault((), make_caller()) is None
    fault = build_fault(("cpu_adam", "async_io"), make_caller())
    assert "a C++ compiler (apt install g++)" in fault
    assert "libaio.h (apt install libaio-dev)" in fault
    assert "libaio" not in build_fault(("cpu_adam",), make_caller())


def test_ops_are_looked_for_in_the_folder_of_the_environment(tmp_path):
    caller = make_caller(environ={"TORCH_EXTENSIONS_DIR": str(tmp_path)})
    assert ops_to_build(make_plan(), caller) == ("deepspeed_shm_comm",)
    (tmp_path / "deepspeed_shm_comm").mkdir()
    (tmp_path / "deepspeed_shm_comm" / "deepspeed_shm_comm.so").touch()
    write_stamp(tmp_path, "deepspeed_shm_comm")
    assert ops_to_build(make_plan(), caller) == ()


@pytest.fixture
def weighed():
    """A plan with 3 GiB of checkpoints, 2 GiB of model and 8 GiB of swap files on disk."""

    def term(name, size):
        return MemoryTerm(
            name=name, phases=("save",), disk_bytes=size * GIB, formula="", source="", kind="exact"
        )  # fmt: skip

    plan = make_plan(zero={"offload_optimizer": "nvme", "nvme_path": "/tmp"})
    terms = (term("checkpoints", 3), term("base model", 2), term("swap files of NVMe offload", 8))
    return replace(plan, memory=replace(plan.memory, terms=terms))


def test_needs_are_told_by_what_writes_where(weighed, tmp_path):
    found = gather_facts(
        weighed,
        run_dir=RunDir(tmp_path / "run"),
        caller=make_caller(environ={"HF_HOME": str(tmp_path / "hub"), "HOME": str(tmp_path)}),
        machine=Machine(hardware=CPU_BOX),
        model_bytes_to_fetch=5 * GIB,
    )
    assert {need.what: need.bytes // GIB for need in found.needs if need.what != "compiled ops"} == {
        "checkpoints and result": 3,
        "model download": 5,
        "swap files": 8,
    }
    assert all(need.mount.free_bytes > 0 for need in found.needs)
    assert found.missing_modules == ()


def test_the_machine_is_passed_through(tmp_path):
    machine = Machine(hardware=DUAL_4090, gpu_free_bytes=(1, 2))
    found = gather_facts(make_plan(), run_dir=RunDir(tmp_path), caller=make_caller(), machine=machine)
    assert found.machine is machine


def test_wandb_is_a_package_too(monkeypatch, tmp_path):
    plan = make_plan(recipe=make_recipe(tracking=["wandb"]))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "wandb" else object())
    found = gather_facts(plan, run_dir=RunDir(tmp_path), caller=make_caller(), machine=Machine(hardware=CPU_BOX))
    assert found.missing_modules == ("wandb",)
