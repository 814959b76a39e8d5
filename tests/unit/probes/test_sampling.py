"""Looks at cards through the fake driver, at this machine's own RAM, and at drives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.fake_nvml import Card, FakeNvml
from tunekit.probes.sampling import Sampler
from tunekit.units import GIB, MIB
from tunekit.watch.sample import GpuSample
from tunekit.watch.throttling import SW_HEAT

CARDS = (Card(uuid="GPU-a"), Card(uuid="GPU-b", free=10 * GIB, throttle=SW_HEAT, celsius=84, clock=1800, lanes=4))


def test_everything_that_a_card_tells() -> None:
    (card,) = Sampler((1,), {}, FakeNvml(CARDS)).look().gpus
    assert card == GpuSample(
        index=1,
        used_bytes=24_564 * MIB - 10 * GIB,
        total_bytes=24_564 * MIB,
        utilisation=97,
        celsius=84,
        watts=380.0,
        limit_watts=450.0,
        default_watts=450.0,
        sm_clock=1800,
        max_sm_clock=3105,
        throttle=SW_HEAT,
        pcie_generation=4,
        pcie_lanes=4,
    )


def test_the_driver_is_opened_once_and_closed_once() -> None:
    nvml = FakeNvml(CARDS)
    sampler = Sampler((0, 1), {}, nvml)
    assert [gpu.index for gpu in sampler.look().gpus] == [0, 1]
    sampler.look()
    sampler.close()
    sampler.close()
    assert nvml.log == ["init", "shutdown"]


@pytest.mark.parametrize(
    "question", ["nvmlDeviceGetUtilizationRates", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetCurrPcieLinkWidth"]
)
def test_what_a_card_does_not_support_is_none(question: str) -> None:
    (card,) = Sampler((0,), {}, FakeNvml(CARDS, refuses=(question,))).look().gpus
    values = (card.utilisation, card.watts, card.pcie_lanes)
    assert values.count(None) == 1
    assert card.celsius == 65


def test_reasons_that_nobody_tells_are_none_at_all() -> None:
    refuses = ("nvmlDeviceGetCurrentClocksThrottleReasons",)
    assert Sampler((1,), {}, FakeNvml(CARDS, refuses=refuses)).look().gpus[0].throttle == 0


def test_a_lost_card_is_told_with_the_drivers_words() -> None:
    lost = dataclasses.replace(CARDS[1], lost=True)
    sample = Sampler((0, 1), {}, FakeNvml((CARDS[0], lost))).look()
    assert [gpu.index for gpu in sample.gpus] == [0]
    assert sample.lost == {1: "GPU is lost"}


def test_a_card_without_a_handle_hides_no_other() -> None:
    """One that fell off the bus before the first look has none."""
    nvml = FakeNvml(CARDS)
    nvml.missing = (0,)
    sampler = Sampler((0, 1), {}, nvml)
    for _ in range(2):
        sample = sampler.look()
        assert [gpu.index for gpu in sample.gpus] == [1]
        assert sample.lost == {0: "GPU is lost"}
    assert nvml.log == ["init"]


def test_a_driver_that_does_not_answer_is_asked_again() -> None:
    nvml = FakeNvml(CARDS, refuses=("nvmlInit",))
    sampler = Sampler((0,), {}, nvml)
    assert sampler.look().gpus == ()
    sampler.close()
    nvml._refuses = ()
    assert len(sampler.look().gpus) == 1


def test_without_cards_the_driver_is_left_alone(tmp_path: Path) -> None:
    nvml = FakeNvml(CARDS)
    sample = Sampler((), {"output": tmp_path, "nvme": tmp_path / "gone" / "deep"}, nvml).look()
    assert nvml.log == []
    assert sample.gpus == ()
    assert sample.host is not None
    assert 0 < sample.host.available_bytes <= sample.host.total_bytes
    assert {drive.purpose for drive in sample.drives} == {"output", "nvme"}
    assert all(0 < drive.free_bytes <= drive.total_bytes for drive in sample.drives)


def test_a_drive_that_is_gone_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: Path) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr("tunekit.probes.sampling.read_drive", gone)
    assert Sampler((), {"output": tmp_path}).look().drives == ()
