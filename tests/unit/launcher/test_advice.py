from __future__ import annotations

import pytest

from tunekit.launcher.advice import advice_for


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        ("exit code 247 = signal 9 (SIGKILL)", "host ran out of memory"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "train.micro_batch_size=1"),
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
    assert words in advice_for(f"some\nlines\n{evidence}\nmore")


def test_the_kernel_counts_more_than_the_traceback():
    assert "host" in advice_for("CUDA out of memory\n1 out-of-memory kill(s) during the run")


def test_unknown_evidence_points_to_the_log():
    assert "read the log of the failing rank" in advice_for("KeyError: 3")
