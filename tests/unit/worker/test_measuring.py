from __future__ import annotations

import mmap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.fake_nvml import Card, FakeNvml
from tests.plans import CPU_BOX, DUAL_4090, make_plan
from tunekit.worker.measuring import (
    Meter,
    device_peaks,
    device_used_bytes,
    files_bytes,
    follow_steps,
    held_by_others,
    held_bytes,
    memory_field,
    optimizer_elements,
    optimizer_state_bytes,
    shard_sizes,
    whole_bytes,
)
from tunekit.worker.world import World

pytestmark = pytest.mark.train
WORLD = World(rank=0, local_rank=0, size=1, device=torch.device("cpu"))


def write_status(path: Path, peak: int) -> None:
    path.write_text(f"Name:\tpython\nVmHWM:\t  {peak} kB\nVmRSS:\t  7 kB\nRssAnon:\t  5 kB\n")


def test_fields_are_kib(tmp_path: Path) -> None:
    write_status(tmp_path / "status", 3)
    assert memory_field(tmp_path / "status", "VmHWM") == 3072
    assert memory_field(tmp_path / "status", "VmSwap") == 0
    assert memory_field(tmp_path / "nothing", "VmHWM") == 0


def test_each_phase_has_its_own_peak_and_the_larger_of_two_visits(tmp_path: Path) -> None:
    status, clear = tmp_path / "status", tmp_path / "clear_refs"
    write_status(status, 10)
    meter = Meter(WORLD, status, clear)
    assert meter.enter("load") is None
    assert clear.read_text() == "5"
    write_status(status, 30)
    assert meter.enter("step") == "load"
    write_status(status, 20)
    assert meter.enter("save") == "step"
    write_status(status, 40)
    meter.enter("step")
    write_status(status, 15)
    meter.close()
    peaks = {phase: peak["host_bytes"] for phase, peak in meter.peaks.items()}
    assert peaks == {"load": 30 * 1024, "step": 20 * 1024, "save": 40 * 1024}
    assert all(peak["device_reserved_bytes"] == 0 and peak["seconds"] >= 0 for peak in meter.peaks.values())


def test_a_visit_goes_back_to_the_phase_before(tmp_path: Path) -> None:
    write_status(tmp_path / "status", 10)
    meter = Meter(WORLD, tmp_path / "status", tmp_path / "clear_refs")
    meter.enter("step")
    with meter.visiting("save"):
        write_status(tmp_path / "status", 50)
    write_status(tmp_path / "status", 20)
    meter.close()
    assert {phase: peak["host_bytes"] for phase, peak in meter.peaks.items()} == {"step": 20480, "save": 51200}


def test_a_kernel_that_forbids_the_reset_is_no_failure(tmp_path: Path) -> None:
    write_status(tmp_path / "status", 10)
    meter = Meter(WORLD, tmp_path / "status", tmp_path / "no" / "such" / "file")
    meter.enter("load")
    meter.close()
    assert meter.peaks["load"]["host_bytes"] == 10 * 1024


def test_the_real_peak_is_of_the_phase_and_not_of_the_process() -> None:
    meter = Meter(WORLD)
    meter.enter("load")
    # Mapped, not allocated: in a large process freed blocks stay in the heap and the resident set with them.
    block = mmap.mmap(-1, 64 * 2**20)
    block.write(bytes(64 * 2**20))
    meter.enter("step")
    assert meter.peaks["load"]["host_bytes"] >= len(block)
    block.close()
    meter.enter("save")
    meter.close()
    assert meter.peaks["save"]["host_bytes"] < meter.peaks["load"]["host_bytes"]


def test_the_phases_of_training_are_told_apart(tmp_path: Path) -> None:
    write_status(tmp_path / "status", 10)
    meter = Meter(WORLD, tmp_path / "status", tmp_path / "clear_refs")
    seen: list[Any] = []

    def call(name: str) -> Any:
        return lambda *args, **kwargs: seen.append((name, meter.phase, args, kwargs)) or name

    engine = SimpleNamespace(backward=call("backward"), step=call("step"))
    follow_steps(engine, meter)
    meter.enter("first forward")
    for _ in range(2):
        assert engine.backward(1.5, scale=True) == "backward"
        assert engine.step() == "step"
        assert meter.phase == "step"
    meter.close()
    assert meter.device_peak() == 0
    assert seen == 2 * [("backward", "step", (1.5,), {"scale": True}), ("step", "optimizer", (), {})]
    assert list(meter.peaks) == ["first forward", "step", "optimizer"]


def test_a_cpu_has_no_device_memory() -> None:
    assert device_peaks(torch.device("cpu")) == (0, 0)
    assert device_used_bytes(torch.device("cpu")) == 0


def test_what_the_process_held_before_the_model_came(tmp_path: Path) -> None:
    write_status(tmp_path / "status", 10)
    assert Meter(WORLD, tmp_path / "status").start == {"host_bytes": 7 * 1024, "device_other_bytes": 0}


def test_what_a_card_holds_beside_the_allocator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """24 GB used: 3 by a desktop, 20 by torch's allocator, so 1 by this process's context and libraries."""
    write_status(tmp_path / "status", 10)
    for name, value in (
        ("mem_get_info", (8, 32)),
        ("memory_reserved", 20),
        ("max_memory_allocated", 15),
        ("max_memory_reserved", 21),
        ("reset_peak_memory_stats", None),
    ):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    card = World(rank=0, local_rank=0, size=1, device=torch.device("cuda", 0))
    meter = Meter(card, tmp_path / "status", tmp_path / "clear_refs", others_bytes=3)
    assert meter.start["device_other_bytes"] == 1
    meter.enter("step")
    meter.close()
    peak = meter.peaks["step"]
    assert meter.device_peak() == 15
    assert (peak["device_allocated_bytes"], peak["device_reserved_bytes"], peak["device_other_bytes"]) == (15, 21, 1)


def test_what_others_hold_of_the_card_of_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("LOCAL_RANK", "1")
    nvml = FakeNvml((Card(total=100, free=90), Card(uuid="GPU-b", total=100, free=70)))
    assert held_by_others(make_plan(DUAL_4090), nvml) == 30
    assert held_by_others(make_plan(DUAL_4090), FakeNvml(())) == 0
    assert held_by_others(make_plan(CPU_BOX), nvml) == 0


def partitioned(whole: int, part: int) -> torch.nn.Parameter:
    """A parameter as ZeRO-3 leaves it: empty, with its partition beside it."""
    parameter = torch.nn.Parameter(torch.empty(0, dtype=torch.bfloat16))
    parameter.ds_numel = whole
    parameter.ds_tensor = torch.empty(part, dtype=torch.bfloat16)
    parameter.ds_tensor.ds_numel = part
    return parameter


def test_a_partitioned_parameter_counts_as_held_and_as_whole() -> None:
    parameter = partitioned(10, 5)
    assert (held_bytes(parameter), whole_bytes(parameter)) == (10, 20)
    plain = torch.nn.Parameter(torch.empty(3))
    assert (held_bytes(plain), whole_bytes(plain)) == (12, 12)


def test_shards_of_a_rank() -> None:
    packed = partitioned(8, 4)
    packed.quant_state = object()
    module = SimpleNamespace(parameters=lambda: iter([partitioned(10, 5), packed]))
    optimizer = SimpleNamespace(fp16_partitioned_groups_flat_numel=[5])
    assert shard_sizes(SimpleNamespace(module=module, optimizer=optimizer)) == {
        "parameter_bytes": 18,
        "whole_parameter_bytes": 36,
        "packed_bytes": 8,
        "whole_packed_bytes": 16,
        "optimizer_elements": 5,
    }


def test_optimizer_elements_of_every_kind() -> None:
    flat = [torch.empty(3), torch.empty(4)]
    assert optimizer_elements(SimpleNamespace(single_partition_of_fp32_groups=flat)) == 7
    assert optimizer_elements(SimpleNamespace(fp32_groups=[flat])) == 7
    assert optimizer_elements(SimpleNamespace()) == 0


def test_bytes_of_optimizer_states_of_every_kind() -> None:
    weight = torch.nn.Parameter(torch.ones(6))
    adam = torch.optim.AdamW([weight])
    assert optimizer_state_bytes(SimpleNamespace(optimizer=adam)) == 0
    weight.sum().backward()
    adam.step()
    assert optimizer_state_bytes(SimpleNamespace(optimizer=adam)) == optimizer_state_bytes(adam) == 2 * 6 * 4


def test_bytes_of_files_of_all_folders(tmp_path: Path) -> None:
    assert files_bytes(tmp_path / "nothing") == 0
    (tmp_path / "rank0").mkdir()
    (tmp_path / "rank0" / "a.swp").write_bytes(b"123")
    (tmp_path / "b.swp").write_bytes(b"45")
    assert files_bytes(tmp_path) == 5
