from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration import tiny
from tests.plans import CPU_BOX, make_plan, make_recipe
from tunekit.errors import MissingError
from tunekit.launcher import ops
from tunekit.planner.plan_json import plan_to_json
from tunekit.worker import prepare as module
from tunekit.worker.prepare import BUILDERS, build_ops, convert_model, main, take_its_place

NVME = {"stage": 3, "offload_optimizer": "nvme", "offload_param": "nvme", "nvme_path": "/swap"}


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of ops that are built into tmp_path, by a builder that only writes the file."""
    names: list[str] = []

    def load(op: str) -> None:
        names.append(op)
        (tmp_path / op).mkdir(exist_ok=True)
        (tmp_path / op / f"{op}.so").touch()

    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.delenv("DS_PIN_MEMORY_BACKEND", raising=False)
    monkeypatch.setattr(module, "load_op", load)
    return names


def test_missing_ops_are_built_once(built: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    plan = make_plan(CPU_BOX, zero=NVME)
    build_ops(plan)
    assert built == ["deepspeed_shm_comm", "cpu_adam", "pin_memory", "async_io"]
    said = capsys.readouterr().out
    assert "building async_io (about 3 min 00 s on two cores)" in said
    assert "built async_io in 0 s" in said
    build_ops(plan)
    assert len(built) == 4


def test_a_library_that_was_cut_off_is_linked_anew(built: list[str], tmp_path: Path) -> None:
    plan = make_plan(CPU_BOX)
    build_ops(plan)
    path = ops.library(tmp_path, "deepspeed_shm_comm")
    path.write_bytes(b"cut")
    assert ops.missing_ops(tmp_path, ("deepspeed_shm_comm",)) == ("deepspeed_shm_comm",)
    build_ops(plan)
    assert built == ["deepspeed_shm_comm"] * 2
    assert path.read_bytes() == b"", "what was cut off went before the builder looked"


def test_every_op_a_plan_can_need_has_a_builder() -> None:
    jobs = [make_plan(CPU_BOX, zero=NVME, optimizer=optimizer).job for optimizer in ("adamw", "lion")]
    assert {op for job in jobs for op in ops.needed_ops(job)} == set(BUILDERS)
    assert set(BUILDERS) <= set(ops.EXPECTED_SECONDS)


def test_an_op_that_does_not_build_is_missing_and_not_stamped(
    built: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(op: str) -> None:
        raise RuntimeError("fatal error: libaio.h")

    monkeypatch.setattr(module, "load_op", broken)
    with pytest.raises(MissingError, match="deepspeed_shm_comm cannot be built: fatal error: libaio.h"):
        build_ops(make_plan(CPU_BOX))
    assert ops.missing_ops(tmp_path, ("deepspeed_shm_comm",)) == ("deepspeed_shm_comm",)


def test_locks_of_killed_builders_are_removed(
    built: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "remove_stale_locks", lambda folder: (folder / "cpu_adam" / "lock",))
    build_ops(make_plan(CPU_BOX))
    assert "removed the lock" in capsys.readouterr().out


def test_the_launcher_names_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_EXTENSIONS_DIR", raising=False)
    with pytest.raises(MissingError, match="TORCH_EXTENSIONS_DIR"):
        build_ops(make_plan(CPU_BOX))


def test_what_is_missing_is_the_exit_code(
    built: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    plan = make_plan(CPU_BOX, recipe=make_recipe(model={"path": "nobody/nothing"}))
    (tmp_path / "plan.json").write_text(json.dumps(plan_to_json(plan)))
    assert main(["--plan", str(tmp_path / "plan.json")]) == 4
    assert "nobody/nothing is not on this disk" in capsys.readouterr().out


def test_a_model_folder_needs_no_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "local_model_dir", lambda path, revision: tmp_path)
    monkeypatch.setattr(module, "convert_gguf", lambda *paths: pytest.fail("converted"))
    convert_model(make_plan(CPU_BOX))


def test_a_gguf_is_converted_to_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(module, "local_model_dir", lambda path, revision: None)
    monkeypatch.setattr(module, "gguf_source", lambda path: tmp_path / "model.gguf")
    monkeypatch.setattr(module, "converted_gguf_dir", lambda gguf: tmp_path / "converted")
    monkeypatch.setattr(module, "convert_gguf", lambda *paths: seen.append(paths))
    convert_model(make_plan(CPU_BOX))
    assert seen == [(tmp_path / "model.gguf", tmp_path / "converted")]


def test_a_finished_folder_replaces_a_half_made_one(tmp_path: Path) -> None:
    (tmp_path / "building").mkdir()
    (tmp_path / "building" / "whole").touch()
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "half").touch()
    take_its_place(tmp_path / "building", tmp_path / "target")
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["whole"]
    assert not (tmp_path / "building").exists()


def test_a_fresh_lock_is_waited_for_until_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own wait has no end where the builder was killed a moment ago."""
    lock = tmp_path / "cpu_adam" / "lock"
    lock.parent.mkdir()
    lock.touch()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            os.utime(lock, (0, 0))  # by now it is old

    monkeypatch.setattr(module.time, "sleep", sleep)
    module.clear_locks(tmp_path, ("cpu_adam",))
    assert len(waits) == 2
    assert not lock.exists()


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.parametrize("op", ["deepspeed_shm_comm", "cpu_adam"])
def test_of_a_built_op_nothing_is_left_to_compile(op: str) -> None:
    """Whatever the cache held before: what ninja would compile, every rank would wait for."""
    folder = tiny.built_ops(op) / op
    ninja = Path(sys.executable).with_name("ninja")
    ran = subprocess.run([ninja, "-n", "-C", folder], capture_output=True, text=True, check=True, timeout=60)
    assert "no work to do" in ran.stdout
