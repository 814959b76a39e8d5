from __future__ import annotations

from dataclasses import replace

import pytest

from tests.plans import DUAL_4090, make_plan
from tunekit.diagnosis.advice import Evidence, advice_for, seen_in
from tunekit.planner.mending import Mend, Seen
from tunekit.recipe.job import Quantization
from tunekit.units import GIB

FULL = {"method": "full", "adapter": None}
QLORA = {"method": "qlora", "quantization": Quantization(kind="nf4", double_quant=True)}


def advice(text="", plan=None, **more):
    return advice_for(Evidence(text=f"some\nlines\n{text}\nmore", **more), plan or make_plan()).text


@pytest.fixture(autouse=True)
def nothing_fits(monkeypatch):
    """The plans here are made by hand: what planning them again finds is the business of the tests of mending."""
    monkeypatch.setattr("tunekit.diagnosis.advice.find_mends", lambda plan, seen: ())


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "the card ran out of memory"),
        (
            "RuntimeError: [enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory",
            "the host ran out",
        ),
        ("RuntimeError: EADDRINUSE", "start again"),
        ("OSError: [Errno 28] No space left on device", "output.keep_checkpoints=1"),
        ("exit code 249 = signal 7 (SIGBUS)", "--shm-size=16g"),
        ("exit code 252 = signal 4 (SIGILL)", "another processor"),
        ("Watchdog caught collective operation timeout: WorkNCCL", "other rank's log"),
        ("DeepSpeedCPUAdam requires the cpu_adam op, which failed to build/load", "apt install g++"),
        ("Current loss scale already at minimum", "train.precision=bf16"),
    ],
)
def test_signatures(evidence, words):
    assert words in advice(evidence)


def test_unknown_evidence_points_to_the_log():
    assert "read the log of the failing rank" in advice("KeyError: 3")
    assert "look at train.py, line 3" in advice('  File "train.py", line 3, in f\nKeyError: 3')


def test_the_kernel_counts_more_than_what_ranks_say_of_their_peers():
    assert advice("Connection closed by peer", oom_kills=1).startswith("the host ran out of memory")
    assert advice("CUDA out of memory", signal=9, oom_kills=1).startswith("the host ran out of memory")


def test_a_kill_of_somebody_elses_process_is_not_the_cause_of_an_error_that_names_itself():
    """The counter is the machine's: a browser may have been killed during a run of three days."""
    assert advice("CUDA out of memory", oom_kills=1).startswith("the card ran out of memory")


def test_a_kill_that_the_kernel_did_not_make_is_not_blamed_on_memory():
    told = advice_for(Evidence(text="", signal=9, oom_kills=0, host_bytes=2 * GIB), make_plan())
    assert told.said == (
        "signal 9 (SIGKILL) came from outside; the kernel counted no out-of-memory kill (host memory was seen at "
        "2.0 GiB; 4.0 GiB planned, 20.0 GiB usable)"
    )
    assert "=" not in told.text, "nothing in the recipe is at fault"
    assert "who ended the process" in told.text
    assert advice_for(Evidence(text="", signal=9), make_plan()).said.endswith("; nothing says why")


def test_a_kill_near_the_end_of_the_memory_is():
    assert advice(signal=9, oom_kills=0, host_bytes=19 * GIB + GIB // 2).startswith("the host ran out of memory (host")


@pytest.mark.parametrize(
    ("plan", "settings"),
    [
        (
            make_plan(),
            "train.activation_checkpointing=true, train.max_seq_length=128, method.kind=qlora or a smaller model",
        ),
        (make_plan(activation_checkpointing=True, **QLORA), "train.max_seq_length=128 or a smaller model"),
        (make_plan(DUAL_4090), "method.kind=qlora or a smaller model"),
        (make_plan(DUAL_4090, **QLORA), "a smaller model"),
        (
            make_plan(DUAL_4090, zero={"preset": "z3_offload", "offload_optimizer": "cpu"}, **FULL),
            "zero.preset=z3_offload_bf16, method.kind=lora or a smaller model",
        ),
    ],
)
def test_for_the_host_only_what_this_plan_can_still_change_is_named(plan, settings):
    assert f"close other programs, or try {settings};" in advice(signal=9, oom_kills=1, plan=plan)


def test_for_the_card_only_what_this_plan_can_still_change_is_named():
    plan = make_plan(DUAL_4090, **FULL)
    wide = replace(plan, job=replace(plan.job, batch=replace(plan.job.batch, micro_batch_size=4)))
    assert "try train.micro_batch_size=1, train.activation_checkpointing=true" in advice("CUDA out of memory", wide)
    assert "zero.preset=z2_offload or method.kind=lora;" in advice("CUDA out of memory", wide)
    lean = make_plan(DUAL_4090, activation_checkpointing=True, **QLORA)
    assert advice("CUDA out of memory", lean).startswith("the card ran out of memory: try train.max_seq_length=128;")


def test_what_fits_when_planned_again_is_what_to_try(monkeypatch):
    mend = Mend(
        set="train.micro_batch_size=1",
        verdict="fits",
        place="device",
        planned_bytes=10 * GIB,
        failed_bytes=20 * GIB,
        measured_bytes=15 * GIB,
        usable_bytes=23 * GIB,
        tokens_per_second=1020.4,
    )
    asked = []
    monkeypatch.setattr("tunekit.diagnosis.advice.find_mends", lambda plan, seen: asked.append(seen) or (mend,))
    said = "CUDA out of memory. Tried to allocate 2.00 GiB. this process has 21.00 GiB memory in use."
    found = advice_for(Evidence(text=said, gpu_bytes=20 * GIB), make_plan(DUAL_4090))
    assert asked == [Seen(place="device", bytes=23 * GIB)]
    assert (found.fault, found.name, found.mends) == ("GPU memory", "GPU out of memory", (mend,))
    assert found.text.endswith(
        "try train.micro_batch_size=1 (GPU 10.0 GiB (15.0 GiB by what was measured) planned instead of 20.0 GiB, "
        "of 23.0 GiB usable; 1,020 tokens/s)"
    )
    assert "it would have needed 23.0 GiB or more" in found.said


def test_a_signature_is_named_with_its_cause():
    found = advice_for(Evidence(text="No space left on device"), make_plan())
    assert (found.name, found.said, found.fault) == ("disk full", "the disk is full", None)
    assert advice_for(Evidence(text="KeyError: 3"), make_plan()).name == ""


def test_what_the_host_refused_counts_only_on_top_of_what_was_seen():
    refused = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1073741824 bytes"
    assert seen_in(Evidence(text=refused, host_bytes=2 * GIB), "host memory") == Seen(place="host", bytes=3 * GIB)
    assert seen_in(Evidence(text=refused), "host memory") == Seen(place="host", bytes=0)
