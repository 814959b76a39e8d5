"""A machine and a probe as they are printed."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from tests.fake_nvml import Card, FakeNvml
from tunekit.cli.hardware import show_hardware
from tunekit.hardware.probing import Outcome
from tunekit.probes.gpus import read_gpus
from tunekit.render.probe_text import probe_table

Golden = Callable[[str, str], None]
PROBED = (
    Outcome(
        title="RAM", found={"ram_bandwidth": 57.1e9, "note": "12 threads copy 42 MiB each; bytes read and written"}
    ),
    Outcome(
        title="drive",
        found={
            "write_rate": 2.9e9,
            "read_rate": 6.3e9,
            "note": "4096 MiB in /home/me/.cache/tunekit, past its cache",
        },
    ),
    Outcome(
        title="matrix products",
        found={"matmul_tflops": 158.2, "note": "bf16, 8192 x 8192; each of 2 cards"},
    ),
    Outcome(
        title="copies between RAM and cards",
        found={
            "to_gpu_rate": 12.7e9,
            "from_gpu_rate": 13.1e9,
            "peer_rate": 9.8e9,
            "peer_note": "card 0 to card 1 through RAM: no peer access, 9.8 GB/s",
            "links": [[4, 8], [4, 8]],
            "note": "pinned, each of 2 cards, all at once",
        },
    ),
    Outcome(
        title="CPU Adam",
        found={
            "adam_fp32_rate": 1.05e9,
            "adam_bf16_rate": 2.1e9,
            "note": "DeepSpeedCPUAdam, 12 threads",
        },
    ),
    Outcome(title="all-gather and all-reduce", found={}, missing="not done after 21 s"),
)


def test_the_home_machine(golden: Golden, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    show_hardware("dual_rtx4090", json=False)
    golden("hardware/dual_rtx4090.txt", capsys.readouterr().out)


def test_a_probe_of_two_cards(golden: Golden) -> None:
    file = io.StringIO()
    report = read_gpus(FakeNvml((Card(), Card(uuid="GPU-b"))))
    Console(file=file, width=100).print(probe_table(report, PROBED))
    golden("hardware/probe.txt", file.getvalue())
