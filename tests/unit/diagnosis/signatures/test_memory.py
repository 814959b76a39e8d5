from __future__ import annotations

import pytest

from tests.failing_logs import sample_of
from tunekit.diagnosis.signatures import memory
from tunekit.diagnosis.signatures.table import recognise


@pytest.mark.parametrize("signature", memory.SIGNATURES, ids=lambda signature: signature.name)
def test_each_is_found_in_what_libraries_write(signature):
    sample = sample_of(signature.name)
    text = f"{sample.text}failed (exitcode: {sample.code})\n" if sample.mark.startswith("exit") else sample.text
    hit = next(signature.hits(text), None)
    assert hit is not None
    assert "{" not in hit.cause


def test_only_want_of_memory_is_a_fault_that_another_plan_mends():
    faults = {signature.name: signature.fault for signature in memory.SIGNATURES if signature.fault}
    assert faults == {
        "killed by the kernel": "host memory",
        "killed by the control group": "host memory",
        "Slurm's memory limit": "host memory",
        "kbit preparation out of memory": "GPU memory",
        "card in use by another process": "GPU memory",
        "GPU out of memory": "GPU memory",
        "host out of memory": "host memory",
    }


def test_a_host_out_of_memory_is_not_the_cards():
    assert next(memory.HOST_MEMORY.hits("torch.OutOfMemoryError: CUDA out of memory"), None) is None
    assert next(memory.CGROUP_KILL.hits("oom 3\noom_kill 0\n"), None) is None


def test_a_data_worker_that_was_killed_is_a_matter_of_ram_not_of_shared_memory():
    text = "RuntimeError: DataLoader worker (pid 4310) is killed by signal: Killed. "
    hit = recognise(text)
    assert hit is not None
    assert hit.signature is memory.HOST_MEMORY
    bus = recognise(text.replace("Killed", "Bus error"))
    assert bus is not None
    assert bus.signature is memory.SHARED_MEMORY
