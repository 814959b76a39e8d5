"""NVML behind a fake of the same shape: what it says, what it refuses, and what CUDA_VISIBLE_DEVICES leaves over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.fake_nvml import Card, FakeNvml
from tunekit.probes import gpus
from tunekit.probes.gpus import LinkState, read_gpus, read_links, visible_gpus
from tunekit.units import GIB, MIB

CARD = Card()


def test_two_cards() -> None:
    nvml = FakeNvml((CARD, Card(free=3 * GIB, uuid="GPU-b")))
    report = read_gpus(nvml)
    assert report.missing is None
    assert report.driver == "580.65.06"
    assert report.uuids == ("GPU-a", "GPU-b")
    assert report.free_bytes == (CARD.free, 3 * GIB)
    first = report.gpus[0]
    assert (first.index, first.name, first.total_bytes) == (0, "NVIDIA GeForce RTX 4090", 24_564 * MIB)
    assert (first.compute_capability, first.power_watts) == (8.9, 450)
    assert (first.pcie_generation, first.pcie_lanes, first.nvlink) == (4, 8, False)
    assert nvml.log == ["init", "shutdown"]


def test_peer_access_needs_every_pair() -> None:
    assert read_gpus(FakeNvml((CARD, CARD), peers=True)).p2p is True
    assert read_gpus(FakeNvml((CARD, CARD), peers=False)).p2p is False
    assert read_gpus(FakeNvml((CARD,), peers=True)).p2p is False


def test_questions_a_card_does_not_know_are_left_open() -> None:
    nvml = FakeNvml((CARD,), refuses=("nvmlDeviceGetPowerManagementLimit", "nvmlDeviceGetCurrPcieLinkWidth"))
    (card,) = read_gpus(nvml).gpus
    assert (card.power_watts, card.pcie_lanes) == (None, None)
    assert card.pcie_generation == 4


def test_names_in_bytes_are_read_too() -> None:
    (card,) = read_gpus(FakeNvml((Card(name=b"NVIDIA L4"),))).gpus
    assert card.name == "NVIDIA L4"


def test_no_driver() -> None:
    report = read_gpus(FakeNvml((), refuses=("nvmlInit",)))
    assert report.gpus == ()
    assert report.missing == "no NVIDIA driver answers (refused: nvmlInit)"


def test_a_driver_that_stops_answering_is_still_shut_down() -> None:
    nvml = FakeNvml((CARD,), refuses=("nvmlDeviceGetMemoryInfo",))
    assert "refused" in str(read_gpus(nvml).missing)
    assert nvml.log == ["init", "shutdown"]


def test_a_driver_without_cards() -> None:
    assert read_gpus(FakeNvml(())).missing == "driver 580.65.06 sees no card"


def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "nvml_library", lambda: None)
    assert "nvidia-ml-py" in str(read_gpus().missing)


def cards(count: int) -> tuple[Any, ...]:
    return tuple(SimpleNamespace(index=index, uuid=f"GPU-{'abc'[index]}1") for index in range(count))


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [0, 1, 2]),
        ("1", [1]),
        ("2, 0", [2, 0]),
        ("GPU-c", [2]),
        ("", []),
        ("-1", []),
        ("0,7,1", [0]),
        ("1,1", [1]),
        ("NoDevFiles", []),
    ],
)
def test_visible_cards_as_cuda_reads_them(visible: str | None, expected: list[int]) -> None:
    assert [card.index for card in visible_gpus(cards(3), visible)] == expected


def test_links_as_they_are_now_in_the_order_that_was_asked() -> None:
    library = FakeNvml((Card(lanes=16), Card(uuid="GPU-b", lanes=2, generation=3)))
    assert read_links(["GPU-b", "GPU-a"], library) == (
        LinkState(generation=3, lanes=2),
        LinkState(generation=4, lanes=16),
    )
    assert read_links(["GPU-a"], FakeNvml((Card(),), refuses=("nvmlDeviceGetCurrPcieLinkWidth",))) == ()


@pytest.mark.parametrize("refuses", [(), ("nvmlDeviceGetCurrPcieLinkWidth",)])
def test_links_leave_the_driver_as_it_was(refuses: tuple[str, ...]) -> None:
    library = FakeNvml((Card(),), refuses=refuses)
    read_links(["GPU-a"], library)
    assert library.log == ["init", "shutdown"]


def test_links_without_a_driver_shut_nothing_down() -> None:
    library = FakeNvml((), refuses=("nvmlInit",))
    assert read_links(["GPU-a"], library) == ()
    assert library.log == []
