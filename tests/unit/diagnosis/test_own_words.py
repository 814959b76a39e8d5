from __future__ import annotations

import time

import pytest

from tunekit.diagnosis.own_words import is_told
from tunekit.diagnosis.signatures.table import hits_in, named

TRUSTS = ("kernel", "exit", "error", "collective")


def all_told(text, **more):
    found = [is_told(hit, text, **more) for hit in hits_in(text, *TRUSTS)]
    assert found, "the words must be there"
    assert len(set(found)) == 1
    return found[0]


@pytest.mark.parametrize(
    "line",
    [
        'tip: if you see "CUDA out of memory", lower per_device_train_batch_size',
        "Auto batch size: halves it on CUDA out of memory",
        'tip: "RuntimeError: CUDA out of memory" means that the batch is too large',
        "[WARNING]  async_io requires the dev libaio .so object and headers but these were not found.",
        "  config: {'on_oom': 'retry on CUDA out of memory', 'lr': 1e-4}",
        "If the loss is nan, lower the learning rate",
        "hint: sacct may show OUT_OF_MEMORY for this job",
        "Set NCCL_DEBUG=INFO to see NCCL WARN lines",
        "To avoid errors such as No space left on device, set output_dir",
    ],
)
def test_a_line_that_only_speaks_of_an_error(line):
    assert not all_told(f"step 1\n{line}\nstep 2\n")


@pytest.mark.parametrize(
    "line",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 3.91 GiB.",
        "CUDA out of memory. Tried to allocate 3.91 GiB.",
        "  2026-11-22 10:00:01,123 | Rank 1: CUDA out of memory",
        "10:00:01 | ERROR | __main__:train:61 - CUDA out of memory. Tried to allocate 3.91 GiB.",
        '{"level": "error", "message": "No space left on device"}',
        "[rank0]:[E1122 10:40:11.417295000 x.cpp:632] [Rank 0] Watchdog caught collective operation timeout: x",
        "box:4242:4299 [0] misc/shmutils.cc:72 NCCL WARN Call to open failed: Too many open files",
        "train.py: error: unrecognized arguments: --local_rank=1",
        "step 10 loss nan",
        "[12.3] Out of memory: Killed process 4242 (python)",
        "./run.sh: line 4:  4121 Killed                  python train.py",
    ],
)
def test_a_line_that_is_an_error_of_its_own(line):
    assert all_told(f"step 1\n{line}\nstep 2\n")


def test_where_it_is_known_that_the_job_failed_its_words_need_no_sign_of_an_error():
    line = "the trial ended by CUDA out of memory"
    assert (all_told(line), all_told(line, failed=True)) == (False, True)
    assert not all_told(f"tip: if you see {line}", failed=True)


def test_words_over_several_lines_are_judged_by_the_last():
    pinning = "in pin_memory\n  x\nRuntimeError: CUDA error: out of memory\n"
    (hit,) = named("pinned memory").hits(pinning)
    assert is_told(hit, pinning)


def test_a_line_without_an_end_takes_no_time_with_its_square():
    text = "x CUDA out of memory; " * 5_000
    began = time.process_time()
    assert not all_told(text)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("month", ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"])
@pytest.mark.parametrize(
    "line",
    [
        "[Tue {} 12 10:00:01 2026] Out of memory: Killed process 1234 (python) total-vm:1kB",
        "Tue {} 12 10:00:01 UTC 2026: CUDA out of memory. Tried to allocate 2.00 GiB",
    ],
)
def test_no_month_hides_what_happened(line, month):
    assert all_told(line.format(month))


def test_no_word_of_a_path_hides_what_happened():
    assert all_told("/data/test/if/run.sh: line 3:    71 Killed                  python train.py")
