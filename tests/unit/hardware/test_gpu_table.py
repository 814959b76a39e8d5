"""The table of cards, and how a card is recognised by what the driver calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunekit.hardware import gpu_table
from tunekit.hardware.gpu_table import UNKNOWN_TFLOPS, card_sold_as, known_gpus, recognise, unknown_gpu
from tunekit.units import GIB, MIB


def recognised(name: str, memory_mib: int) -> str | None:
    reported = unknown_gpu(name=name, memory_bytes=memory_mib * MIB, compute_capability=8.9, power_watts=1)
    card, known = recognise(reported)
    if not known:
        assert card == reported
        return None
    return next(key for key, entry in known_gpus().items() if entry.gpu.bf16_tflops == card.bf16_tflops)


@pytest.mark.parametrize(
    ("name", "memory_mib", "expected"),
    [
        ("NVIDIA GeForce RTX 4090", 24564, "rtx_4090"),
        ("GeForce RTX 3090", 24268, "rtx_3090"),
        ("NVIDIA GeForce RTX 3090 Ti", 24564, "rtx_3090_ti"),
        ("NVIDIA GeForce RTX 4090 D", 24564, None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 16376, None),
        ("NVIDIA GeForce RTX 4080 SUPER", 16376, None),
        ("NVIDIA A10", 23028, "a10"),
        ("NVIDIA A10G", 23028, "a10g"),
        ("NVIDIA L4", 23034, "l4"),
        ("NVIDIA L40S", 46068, "l40s"),
        ("NVIDIA H100 NVL", 95830, "h100_nvl"),
        ("NVIDIA H100 PCIe", 81559, "h100_pcie"),
        ("NVIDIA H100 80GB HBM3", 81559, "h100_80gb"),
        ("NVIDIA RTX A6000", 49140, "rtx_a6000"),
        ("NVIDIA GeForce GTX 1080 Ti", 11264, None),
    ],
)
def test_a_card_is_known_by_its_name(name: str, memory_mib: int, expected: str | None) -> None:
    assert recognised(name, memory_mib) == expected


@pytest.mark.parametrize(
    ("name", "bandwidth"),
    [("NVIDIA A100 80GB PCIe", 1935), ("NVIDIA A100-SXM4-80GB", 2039), ("NVIDIA A100-SXM4-40GB", 1555)],
)
def test_variants_of_one_card_are_told_apart(name: str, bandwidth: int) -> None:
    memory = 40960 if "40GB" in name else 81920
    reported = unknown_gpu(name=name, memory_bytes=memory * MIB, compute_capability=8.0, power_watts=300)
    card, known = recognise(reported)
    assert known
    assert card.memory_bandwidth == bandwidth * 10**9


def test_a_modified_card_with_other_memory_is_not_that_card() -> None:
    assert recognised("NVIDIA GeForce RTX 4090", 49140) is None


def test_an_unknown_card_is_taken_for_slow_and_keeps_half_a_gib_back() -> None:
    card = unknown_gpu(name="X", memory_bytes=16 * GIB, compute_capability=8.0, power_watts=200)
    assert card.bf16_tflops == UNKNOWN_TFLOPS <= min(entry.gpu.bf16_tflops for entry in known_gpus().values())
    assert card.usable_bytes == 16 * GIB - GIB // 2


def test_the_home_cards_numbers() -> None:
    card = known_gpus()["rtx_4090"].gpu
    assert card.memory_bytes == 24_564 * MIB
    assert card.usable_bytes == int(23.5 * GIB)
    assert (card.bf16_tflops, card.compute_capability, card.power_watts) == (165.2, 8.9, 450)


@pytest.mark.parametrize("name", list(known_gpus()))
def test_every_card_makes_sense(name: str) -> None:
    card = known_gpus()[name].gpu
    assert 0 < card.memory_bytes - card.usable_bytes < 2 * GIB
    assert 60 <= card.bf16_tflops <= 2500
    assert 7.0 <= card.compute_capability <= 12.0
    # Its own entry is the one it is recognised as.
    assert recognise(card)[0].memory_bandwidth == card.memory_bandwidth


def test_every_card_has_a_source() -> None:
    lines = Path(gpu_table.__file__).with_name("gpus.yaml").read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line and line[0] not in " #"]
    assert len(entries) == len(known_gpus())
    assert all(len(line.partition("#")[2]) > 10 for line in entries)


@pytest.mark.parametrize(
    ("sold", "card"),
    [
        ("RTX 4090", "rtx_4090"),
        ("RTX4090", "rtx_4090"),
        ("A100-80 SXM", "a100_80gb"),
        ("A100-80GB", "a100_80gb"),
        ("A100-80 PCIe", "a100_80gb_pcie"),
        ("h100", "h100_80gb"),
        ("V100", "v100_16gb"),
        ("MI300X", None),
        ("RTX 4090 D", None),
    ],
)
def test_what_price_lists_call_a_card(sold: str, card: str | None) -> None:
    assert card_sold_as(sold) == card


def test_no_name_of_a_price_list_means_two_cards() -> None:
    names = [(gpu_table._letters(sold), key) for key, known in known_gpus().items() for sold in known.sold_as]
    assert len({name for name, _ in names}) == len(set(names))


def test_soldered_cards_have_nvlink() -> None:
    assert all(known.nvlink_rate for known in known_gpus().values() if known.soldered)
    assert known_gpus()["h100_80gb"].nvlink_rate == 450 * 10**9
    assert known_gpus()["rtx_4090"].nvlink_rate == 0
