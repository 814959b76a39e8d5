from dataclasses import fields, replace

import pytest
from speed_jobs import NVLINK, PCIE_X8, box

from tunekit.hardware.profiles import load_profile, profile_names
from tunekit.hardware.spec import Measured
from tunekit.speed.rates import Rate, Rates, adam_rate, rates_of


def test_every_rate_of_every_shipped_machine_has_a_band_and_a_source():
    for name in profile_names():
        machine = load_profile(name)
        if not machine.gpus:
            continue
        for field in fields(Rates):
            rate: Rate = getattr(rates_of(machine), field.name)
            assert 0 <= rate.low <= rate.value <= rate.high, (name, field.name)
            assert rate.source, (name, field.name)


def test_the_home_machine_is_as_measurements_of_its_kind_say():
    """facts: pinned 12 to 13 GB/s on x8; NCCL 6 (3 to 9) without P2P; CPU Adam 1.0e9 (0.6 to 1.4) and 2.0e9."""
    rates = rates_of(load_profile("dual_rtx4090"))
    assert 12e9 < rates.to_gpu.value < 13e9
    assert rates.collective.value == pytest.approx(6e9, rel=0.05)
    assert rates.collective.low == pytest.approx(3e9, rel=0.05)
    assert rates.adam_fp32.value == pytest.approx(1.0e9, rel=0.1)
    assert rates.adam_bf16.value == pytest.approx(2.0e9, rel=0.1)


def test_what_was_measured_replaces_what_was_derived():
    measured = Measured(
        date="2026-11-01",
        matmul_tflops=170.0,
        to_gpu_rate=11_000_000_000,
        from_gpu_rate=10_000_000_000,
        all_gather_rate=4_000_000_000,
        adam_fp32_rate=0.7e9,
        adam_bf16_rate=1.5e9,
    )
    rates = rates_of(replace(box(), measured=measured))
    assert rates.to_gpu.value == 11e9
    assert rates.from_gpu.value == 10e9
    assert rates.collective.value == 4e9
    assert rates.adam_fp32.value == 0.7e9
    assert rates.adam_bf16.value == 1.5e9
    assert rates.matmul.value < 170e12
    assert all(each.measured for each in (rates.to_gpu, rates.collective, rates.adam_fp32, rates.matmul))
    assert not rates.memory.measured
    assert (
        rates.collective.high / rates.collective.low < rates_of(box()).collective.high / rates_of(box()).collective.low
    )


def test_roads_in_order():
    slow = replace(PCIE_X8, pcie_generation=3)
    wide = replace(PCIE_X8, pcie_lanes=16)
    peers = replace(wide, p2p=True)
    found = [rates_of(box(link=link)) for link in (slow, PCIE_X8, wide, peers, NVLINK)]
    speeds = [each.collective.value for each in found]
    assert speeds == sorted(speeds)
    assert len(set(speeds)) == 5
    assert found[0].overlap.value < found[1].overlap.value < found[2].overlap.value


@pytest.mark.parametrize("cards", [1, 2, 4])
def test_all_cards_together_copy_no_more_than_ram_moves(cards: int) -> None:
    slow = rates_of(box(cards, ram_bandwidth=10 * 10**9))
    for copy in (slow.to_gpu, slow.from_gpu):
        assert cards * copy.high <= 10e9
        assert copy.value == pytest.approx(10e9 / cards)
        assert copy.low < copy.value
        assert copy.source.startswith(f"RAM is the limit: 10 GB/s for {cards} card")
    # A byte between cards is written to RAM and read again.
    assert 2 * cards * slow.collective.high <= 10e9
    assert "written and read" in slow.collective.source or cards == 1
    assert rates_of(box(cards, NVLINK, ram_bandwidth=10**9)).collective == rates_of(box(cards, NVLINK)).collective


def test_ram_bounds_nothing_that_was_measured() -> None:
    """The probe copies to all cards at once: RAM is in its figures."""
    measured = Measured(date="2026-11-01", to_gpu_rate=12 * 10**9, all_gather_rate=6 * 10**9)
    rates = rates_of(replace(box(ram_bandwidth=20 * 10**9), measured=measured))
    assert (rates.to_gpu.value, rates.to_gpu.measured) == (12e9, True)
    assert rates.collective.value == 6e9


def test_ram_that_is_fast_enough_changes_nothing() -> None:
    plain, fast = rates_of(load_profile("dual_rtx4090")), load_profile("dual_rtx4090")
    fast = replace(fast, host=replace(fast.host, ram_bandwidth=10**12))
    assert rates_of(fast).to_gpu == plain.to_gpu
    assert rates_of(fast).collective == plain.collective


def test_of_unequal_cards_the_slowest_at_each_counts() -> None:
    plain = box()
    card = plain.gpus[0]
    mixed = rates_of(
        replace(plain, gpus=(replace(card, bf16_tflops=100.0), replace(card, memory_bandwidth=500 * 10**9)))
    )
    assert mixed.matmul.value == pytest.approx(rates_of(plain).matmul.value * 100 / 165.2)
    assert mixed.memory.value == pytest.approx(0.85 * 500e9)


def test_a_lowered_limit_costs_a_little_of_products_and_attention_and_none_of_memory() -> None:
    plain = box()
    limited = rates_of(replace(plain, gpus=(replace(plain.gpus[0], power_watts=350),) * 2))
    for rate, whole in ((limited.matmul, rates_of(plain).matmul), (limited.attention, rates_of(plain).attention)):
        assert 0.92 < rate.value / whole.value < 0.97
    assert limited.memory == rates_of(plain).memory


def test_few_cores_hold_adam_back():
    assert rates_of(box(cores=1)).adam_fp32.value < rates_of(box(cores=12)).adam_fp32.value
    assert rates_of(box(cores=12)).adam_fp32.value == rates_of(box(cores=64)).adam_fp32.value


def test_adam_has_a_rate_on_machines_without_cards():
    machine = replace(box(), gpus=(), link=None)
    assert adam_rate(machine, bf16=False).value < adam_rate(machine, bf16=True).value


def test_float32_is_slowest_where_tensor_cores_are_largest():
    shares = {name: rates_of(load_profile(name)) for name in ("dual_rtx4090", "8x_a100_80gb", "8x_h100_80gb")}
    assert [round(each.matmul.value / each.fp32.value) for each in shares.values()] == [2, 16, 16]
