from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.plans import CPU_BOX, DUAL_4090, make_caller, make_plan, make_recipe
from tunekit.backends import facts as module
from tunekit.backends.facts import (
    attention_fault,
    build_fault,
    data_faults,
    devices_fault,
    gather_facts,
    nvme_fault,
    ops_to_build,
    torch_cuda,
    version_faults_here,
)
from tunekit.launcher.ops import write_stamp
from tunekit.launcher.preflight import Machine
from tunekit.launcher.run_dir import RunDir
from tunekit.launcher.toolchain import Toolchain
from tunekit.memory.terms import MemoryTerm
from tunekit.units import GIB


def data(path, **more):
    return make_recipe(data={"path": str(path), **more}).data


def test_data_that_lies_here(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "words to learn"}\n')
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "odd.jsonl").write_text('{"query": "a", "reply": "b"}\n')
    assert data_faults(data(rows)) == ()
    assert "holds no rows" in data_faults(data(tmp_path / "empty.jsonl"))[0]
    assert "no format fits the columns found: query, reply" in data_faults(data(tmp_path / "odd.jsonl"))[0]


def test_every_fault_of_the_data_is_told(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    train, held_out = data_faults(data(tmp_path / "nope.jsonl", eval_path=str(tmp_path / "empty.jsonl")))
    assert train.startswith(f"data.path: {tmp_path}/nope.jsonl does not exist")
    assert "There: empty.jsonl" in train
    assert "holds no rows" in held_out


def test_data_on_the_hub_waits_until_it_is_fetched():
    assert data_faults(data("someone/some-data")) == ()
    assert "neither a file or folder here nor a hub id" in data_faults(data("my rows"))[0]


UUIDS = ("GPU-a", "GPU-b")
CARDS = make_plan(DUAL_4090, recipe=make_recipe())


BOX = Machine(hardware=DUAL_4090, gpu_uuids=UUIDS)


def shows(value, machine=BOX, plan=CARDS):
    environ = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    return devices_fault(plan, make_caller(environ=environ), machine)


def test_cards_that_the_shell_hides_or_misnames():
    assert shows(None) is None
    assert shows("1,0") is None
    assert (shows("0").kind, shows("GPU-x,0").kind) == ("missing", "usage")
    assert "shows 1" in shows("0").text


def test_hidden_cards_are_no_matter_where_there_are_too_few_or_none_is_used():
    assert shows("0", machine=Machine(hardware=CPU_BOX)) is None
    assert shows("0", plan=make_plan()) is None


def test_nvme_needs_a_folder_of_ones_own():
    nvme = {"offload_optimizer": "nvme"}
    assert nvme_fault(make_plan()) is None
    assert "set zero.nvme_path" in nvme_fault(make_plan(zero=nvme))
    assert nvme_fault(make_plan(zero={**nvme, "nvme_path": "/tmp/swap"})) is None
    assert nvme_fault(make_plan(zero={**nvme, "nvme_path": "/proc/swap"})).startswith(
        "zero.nvme_path /proc/swap: /proc cannot be written ("
    )


def test_compiling_is_looked_into_only_where_something_is_to_be_built(monkeypatch):
    bare = Toolchain(compiler=None, standard="c++20", ninja="/usr/bin/ninja")
    monkeypatch.setattr(module, "read_toolchain", lambda caller: bare)
    assert build_fault((), make_caller(), on_cards=False) is None
    assert "there is no C++ compiler; apt install g++." in build_fault(("cpu_adam",), make_caller(), on_cards=False)


def test_flash_attention_needs_its_package(monkeypatch):
    flash = make_plan(DUAL_4090, attention="flash_attention_2")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert attention_fault(make_plan(DUAL_4090)) is None
    assert "pip install flash-attn" in attention_fault(flash)
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    assert attention_fault(flash) is None


def test_a_torch_without_cuda_is_a_fault_where_cards_train(monkeypatch):
    caller = make_caller(versions={"torch": "2.13.0+cpu", "deepspeed": "0.19.8"})
    monkeypatch.setattr(module, "torch_cuda", lambda: None)
    assert version_faults_here(make_plan(), caller, cards_here=True) == ()
    assert version_faults_here(make_plan(DUAL_4090), caller, cards_here=False) == ()
    assert "built without CUDA" in version_faults_here(make_plan(DUAL_4090), caller, cards_here=True)[0]
    monkeypatch.setattr(module, "torch_cuda", lambda: "12.8")
    assert version_faults_here(make_plan(DUAL_4090), caller, cards_here=True) == ()
    old = make_caller(versions={"deepspeed": "0.19.2"})
    assert "deepspeed 0.19.2 is older" in version_faults_here(make_plan(), old, cards_here=False)[0]


@pytest.mark.parametrize(
    ("text", "cuda"),
    [("cuda: Optional[str] = None\nhip: Optional[str] = None\n", None), ("cuda: Optional[str] = '12.8'\n", "12.8")],
)
def test_what_torch_is_built_for_is_read_without_importing_it(monkeypatch, tmp_path, text, cuda):
    (tmp_path / "version.py").write_text(f"__version__ = '2.13.0'\n{text}")
    monkeypatch.setattr(module, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    assert torch_cuda() == cuda


def test_no_torch_is_built_for_nothing(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert torch_cuda() is None


def test_ops_are_looked_for_in_the_folder_of_the_environment(tmp_path):
    caller = make_caller(environ={"TORCH_EXTENSIONS_DIR": str(tmp_path)})
    assert ops_to_build(make_plan(), caller) == ("deepspeed_shm_comm",)
    (tmp_path / "deepspeed_shm_comm").mkdir()
    (tmp_path / "deepspeed_shm_comm" / "deepspeed_shm_comm.so").touch()
    write_stamp(tmp_path, "deepspeed_shm_comm")
    assert ops_to_build(make_plan(), caller) == ()
    (tmp_path / "deepspeed_shm_comm" / "lock").touch()  # a rank was killed while it loaded the op
    assert ops_to_build(make_plan(), caller) == ("deepspeed_shm_comm",)


@pytest.fixture
def weighed():
    """A plan with 3 GiB of checkpoints, 2 GiB of model, 8 GiB of swap files, and 64 GiB that a merge writes."""

    def term(name, size, phase="save"):
        return MemoryTerm(
            name=name, phases=(phase,), disk_bytes=size * GIB, formula="", source="", kind="exact"
        )  # fmt: skip

    plan = make_plan(zero={"offload_optimizer": "nvme", "nvme_path": "/tmp"})
    names = (term("checkpoints", 3), term("base model", 2), term("swap files of NVMe offload", 8))
    terms = (*names, term("merged model", 64, "merge"))
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


@pytest.mark.parametrize(("there", "needed"), [(0, 3), (1, 2), (9, 1)])
def test_a_run_that_goes_on_needs_no_room_for_the_checkpoints_that_it_has(weighed, tmp_path, there, needed):
    """Planned are 3 GiB: two of them are kept, the third is there amid a save alone."""
    weighed = replace(weighed, job=replace(weighed.job, keep_checkpoints=2))
    run_dir = RunDir(tmp_path / "run")
    states = run_dir.checkpoints / "checkpoint-5" / "states.pt"
    states.parent.mkdir(parents=True)
    with states.open("wb") as file:
        file.truncate(there * GIB)
    found = gather_facts(weighed, run_dir=run_dir, caller=make_caller(), machine=Machine(hardware=CPU_BOX))
    (need,) = [need for need in found.needs if need.what == "checkpoints and result"]
    assert need.bytes == needed * GIB


def test_the_machine_is_passed_through(tmp_path):
    machine = Machine(hardware=DUAL_4090, gpu_free_bytes={0: 1, 1: 2})
    found = gather_facts(make_plan(), run_dir=RunDir(tmp_path), caller=make_caller(), machine=machine)
    assert found.machine is machine


def test_wandb_is_a_package_too(monkeypatch, tmp_path):
    plan = make_plan(recipe=make_recipe(tracking=["wandb"]))
    monkeypatch.setattr(module, "missing_modules", lambda: ())
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    found = gather_facts(plan, run_dir=RunDir(tmp_path), caller=make_caller(), machine=Machine(hardware=CPU_BOX))
    assert found.missing_modules == ("wandb",)


def test_caches_that_cannot_be_written(tmp_path):
    def faults(**environ):
        caller = make_caller(environ={"HOME": str(tmp_path), **environ})
        found = gather_facts(
            make_plan(),
            run_dir=RunDir(tmp_path / "run"),
            caller=caller,
            machine=Machine(hardware=CPU_BOX),
            model_bytes_to_fetch=1,
        )
        return found.cache_faults

    assert faults() == ()
    data, model = faults(HF_HOME="/proc/hub")
    assert data.startswith("tokenised data: /proc/hub/datasets is needed, but /proc cannot be written (")
    assert data.endswith("set HF_HOME or HF_DATASETS_CACHE to a folder of your own.")
    assert model.startswith("the model: /proc/hub/hub is needed")
    assert faults(HF_HOME="/proc/hub", HF_DATASETS_CACHE=str(tmp_path), HF_HUB_CACHE=str(tmp_path)) == ()
    (ops,) = faults(TORCH_EXTENSIONS_DIR="/proc/ops")
    assert ops.startswith("compiled ops: /proc/ops is needed")
    assert ops.endswith("set TORCH_EXTENSIONS_DIR or XDG_CACHE_HOME to a folder of your own.")


def test_a_port_that_cannot_be_used(tmp_path):
    more = {"run_dir": RunDir(tmp_path / "run"), "caller": make_caller(), "machine": Machine(hardware=CPU_BOX)}
    assert gather_facts(make_plan(), **more).port_fault is None
    assert "allowed are 1024 to 65535" in gather_facts(make_plan(), wanted_port=99999, **more).port_fault
