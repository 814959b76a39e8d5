from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from trials import running
from trials.running import allocator_limit, outcome_of, rows_file, run_ranks, sizes_on_disk
from trials.sampler import Sampler, card_reader, family_reader, peaks_by_phase

from tests.fake_nvml import Card, FakeNvml
from tests.plans import CPU_BOX
from tests.runs import write_json, write_run
from tunekit.launcher.run_dir import RunDir
from tunekit.units import GIB


@pytest.fixture
def ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a script of our own in the place of the worker; gives the code and the seconds it took."""

    def run(script: str, *, timeout: float = 20.0, processes: int = 2) -> int | None:
        (tmp_path / "limited_worker.py").write_text(script)
        monkeypatch.setattr(running, "_HERE", tmp_path)
        plan = make(processes)
        return run_ranks(plan, write_run(tmp_path / "run", plan), dict(os.environ), limit=5, timeout=timeout)

    def make(processes: int) -> Any:
        from tests.plans import make_plan

        return make_plan(replace(CPU_BOX, cpu_processes=processes))

    return run


def test_every_rank_gets_its_place_and_the_limit(ranks: Any, tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "names = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR')\n"
        "told = [os.environ[name] for name in names] + sys.argv[1:]\n"
        f"open(r'{tmp_path}/seen' + told[0], 'w').write(' '.join(told))\n"
    )
    assert ranks(script) == 0
    expected = f"5 --plan {tmp_path}/run/plan.json"
    assert [(tmp_path / f"seen{rank}").read_text() for rank in range(2)] == [
        f"{rank} {rank} 2 127.0.0.1 {expected}" for rank in range(2)
    ]


def test_one_failing_rank_ends_the_others(ranks: Any) -> None:
    began = time.monotonic()
    assert ranks("import os, sys, time\nos.environ['RANK'] == '0' and sys.exit(7)\ntime.sleep(600)") == 7
    assert time.monotonic() - began < 15
    assert not any("limited_worker" in " ".join(child.cmdline()) for child in psutil.Process().children())


def test_a_case_that_takes_too_long_is_ended(ranks: Any) -> None:
    assert ranks("import time\ntime.sleep(600)", timeout=0.5) is None


@pytest.mark.parametrize(
    ("code", "failure", "outcome"),
    [
        (None, None, "timeout"),
        (1, {"type": "OutOfMemoryError", "message": "CUDA out of memory. Tried\nto allocate"}, "oom"),
        (1, {"type": "RuntimeError", "message": "DefaultCPUAllocator: can't allocate memory"}, "oom"),
        (1, {"type": "ValueError", "message": "no"}, "failed"),
        (-signal.SIGKILL, None, "failed"),
        (0, None, "failed"),
    ],
)
def test_how_a_case_ended(tmp_path: Path, code: int | None, failure: dict[str, str] | None, outcome: str) -> None:
    run_dir = RunDir(tmp_path)
    if failure:
        write_json(run_dir.failure, failure)
    found, error = outcome_of(code, run_dir)
    assert found == outcome
    assert error
    assert "\n" not in error


def test_a_case_that_was_verified_is_ok(tmp_path: Path) -> None:
    write_json(RunDir(tmp_path).success, {})
    assert outcome_of(0, RunDir(tmp_path)) == ("ok", "")


def test_the_allocator_gets_what_the_card_has_beside_context_and_kernels(trial: Any) -> None:
    assert allocator_limit(trial().plan, trial().case) == 0
    limited = trial(case=replace(trial().case, limit_gb=24))
    outside = sum(term.device_bytes for term in limited.plan.memory.terms if not term.pooled)
    assert 0 < outside < GIB
    assert allocator_limit(limited.plan, limited.case) == limited.plan.memory.device.usable_bytes - outside


def test_rows_are_long_enough_and_written_once(tmp_path: Path, trial: Any) -> None:
    path = rows_file(trial().case, tmp_path)
    rows = path.read_text().splitlines()
    assert len(rows) >= 3
    assert all(len(row.split()) > trial().case.length for row in rows)
    assert rows_file(trial().case, tmp_path) == path


def test_sizes_of_the_newest_checkpoint_and_of_the_result(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    for name, size, age in (("checkpoint-2", 5, 0), ("checkpoint-1", 3, 60)):
        folder = run_dir.checkpoints / name / "global_step"
        folder.mkdir(parents=True)
        (folder / "x").write_bytes(b"x" * size)
        os.utime(run_dir.checkpoints / name, (1e9 - age, 1e9 - age))
    run_dir.final.mkdir()
    (run_dir.final / "model.safetensors").write_bytes(b"1234567")
    assert sizes_on_disk(run_dir) == {"checkpoint": 5, "final": 7}


def test_samples_belong_to_the_phase_that_was_announced_last() -> None:
    events = [
        {"phase": name, "time": at} for name, at in (("data", 0), ("model", 2), ("train", 4), ("save", 6), ("done", 8))
    ]
    samples = [(1.0, 99), (2.5, 10), (4.5, 30), (5.0, 20), (7.0, 15), (9.0, 12)]
    assert peaks_by_phase(samples, events) == {"load": 10, "step": 30, "save": 15}
    assert peaks_by_phase([], events) == {}


def test_a_sampler_reads_until_it_is_left_and_forgives_what_is_gone() -> None:
    seen: list[int] = []

    def read() -> int:
        seen.append(len(seen))
        if len(seen) % 2:
            raise OSError
        return len(seen)

    with Sampler(read) as sampler:
        while len(seen) < 4:
            time.sleep(0.01)
    assert [value for _, value in sampler.samples][:2] == [2, 4]


def test_cards_are_read_less_what_was_used_before() -> None:
    nvml = FakeNvml((Card(total=100, free=90), Card(uuid="GPU-b", total=100, free=80)))
    read = card_reader(nvml)
    assert read() == 0
    nvml.cards = (Card(total=100, free=40), Card(uuid="GPU-b", total=100, free=10))
    assert read() == 70


def test_a_family_is_all_children(tmp_path: Path) -> None:
    with psutil.Popen([sys.executable, "-c", "input()"], stdin=-1) as child:
        held = child.memory_info().rss
        assert family_reader(psutil.Process())() >= held > 0
        child.stdin.close()
