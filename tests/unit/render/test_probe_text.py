"""Rates in words."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.fake_nvml import Card, FakeNvml
from tunekit.hardware.probing import Outcome
from tunekit.probes.gpus import GpuReport, read_gpus
from tunekit.render.probe_text import TITLES, format_rate, missing_lines, outcomes_as_json, probe_table

OUTCOMES = (
    Outcome(title="RAM", found={"ram_bandwidth": 57.123e9, "note": "12 threads"}, seconds=2.345),
    Outcome(
        title="copies",
        found={"to_gpu_rate": 12.6e9, "from_gpu_rate": 13.1e9, "links": [[4, 16], [4, 2]], "note": "pinned"},
    ),
    Outcome(title="CPU Adam", found={}, missing="not done after 20 s"),
)


def lines(report: GpuReport) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=100).print(probe_table(report, OUTCOMES))
    return [" ".join(line.split()) for line in file.getvalue().splitlines()]


def test_a_table_of_what_was_found() -> None:
    assert lines(read_gpus(FakeNvml((Card(),)))) == [
        "measured rate how",
        "GPU 0 memory 23.5 GiB free of 24.0 GiB, NVIDIA GeForce RTX 4090",
        "RAM 57.1 GB/s 12 threads",
        "RAM to card 12.6 GB/s pinned",
        "card to RAM 13.1 GB/s",
        "GPU 0 link PCIe 4.0 x16 while it carried the copies",
        "GPU 1 link PCIe 4.0 x2 while it carried the copies",
        "CPU Adam - not done after 20 s",
    ]


def test_a_machine_without_cards_says_why() -> None:
    assert "GPU none no driver" in lines(GpuReport(missing="no driver"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ram_bandwidth", 0.84e9, "0.84 GB/s"),
        ("matmul_tflops", 151.52, "151.5 TFLOPS"),
        ("matmul_tflops", 0.328, "0.33 TFLOPS"),
        ("adam_fp32_rate", 1.1e9, "1,100 M parameters/s"),
    ],
)
def test_units(name: str, value: float, said: str) -> None:
    assert name in TITLES
    assert format_rate(name, value) == said


def test_what_is_missing_and_json() -> None:
    assert missing_lines(OUTCOMES) == ("CPU Adam: not done after 20 s",)
    first = outcomes_as_json(OUTCOMES)[0]
    assert (first["found"]["ram_bandwidth"], first["seconds"]) == (57.123e9, 2.35)
