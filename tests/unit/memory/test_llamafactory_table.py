from typing import Any

import pytest
from memory_jobs import job, llama, machine

from tunekit.memory.llamafactory_cells import CURRENT, OLDER, Row
from tunekit.memory.llamafactory_table import TableCheck, check_table, edition_for, table_cell, table_row
from tunekit.model_shape.catalogue import find
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Quantization
from tunekit.units import GB


def named(hub_id: str) -> ModelShape:
    shape = find(hub_id)
    assert shape is not None
    return shape


SEVEN_B = "meta-llama/Llama-2-7b-hf"


def check(hub_id: str, method: str, *, gpus: int = 2, ranks: int = 2, **zero: Any) -> TableCheck:
    return check_table(job(method, zero=zero, ranks=ranks), named(hub_id), machine(gpus))


@pytest.mark.parametrize(
    ("method", "bf16", "row"),
    [("full", False, "full_amp"), ("full", True, "full_16"), ("lora", False, "lora_16"), ("qlora", False, "qlora_4")],
)
def test_rows(method: str, bf16: bool, row: Row) -> None:
    assert table_row(job(method, zero={"bf16_states": bf16})) == row


def test_an_8_bit_base_has_a_row_of_its_own() -> None:
    eight = job("qlora", quantization=Quantization(kind="int8", double_quant=False))
    assert table_row(eight) == "qlora_8"
    assert check_table(eight, named(SEVEN_B), machine(2)).row == "QLoRA 8"


def test_editions() -> None:
    assert edition_for(70.0, mixture=False) is CURRENT
    assert edition_for(72.7, mixture=False) is OLDER
    assert edition_for(46.7, mixture=True) is OLDER


@pytest.mark.parametrize(("billions", "cell"), [(0.135, 0.11571), (3.5, 3), (7, 6), (30, 24), (70, 48), (140, 96)])
def test_outside_the_columns_the_nearest_cell_is_scaled(billions: float, cell: float) -> None:
    assert table_cell(CURRENT, "qlora_4", billions)[0] == pytest.approx(cell, abs=1e-4)


def test_above_seventy_the_older_table_reaches_to_110() -> None:
    assert table_cell(OLDER, "qlora_4", 90)[0] == 60
    assert table_cell(OLDER, "qlora_4", 220)[0] == 144


def test_mixtures_have_columns_of_their_own() -> None:
    assert table_cell(OLDER, "qlora_4", 46.7, mixture=True)[0] == pytest.approx(30)
    assert table_cell(OLDER, "qlora_4", (46.7 + 140.6) / 2, mixture=True)[0] == pytest.approx(63)
    found = check("mistralai/Mixtral-8x7B-v0.1", "qlora")
    assert found.edition == "2024-04-26"
    assert found.cell_gb == pytest.approx(30, abs=0.1)


@pytest.mark.parametrize(("stage", "share"), [(0, 1.0), (1, 4 / 16 + 12 / 32), (2, 2 / 16 + 14 / 32), (3, 0.5)])
def test_a_full_row_is_a_total_that_zero_divides(stage: int, share: float) -> None:
    found = check(SEVEN_B, "full", stage=stage)
    assert found.device_demand_bytes == pytest.approx(found.cell_gb * GB * share, rel=1e-3)
    assert found.host_demand_bytes == 0


def test_offload_moves_shares_to_ram_and_loses_none() -> None:
    optimizer = check(SEVEN_B, "full", stage=2, offload_optimizer="cpu")
    assert optimizer.device_demand_bytes == pytest.approx(optimizer.cell_gb * GB * 2 / 16, rel=1e-3)
    assert optimizer.host_demand_bytes == pytest.approx(optimizer.cell_gb * GB * 14 / 16, rel=1e-3)
    both = check(SEVEN_B, "full", stage=3, offload_optimizer="cpu", offload_param="cpu")
    assert both.device_demand_bytes == 0
    assert both.host_demand_bytes == pytest.approx(both.cell_gb * GB, rel=1e-3)


def test_what_nvme_takes_is_in_no_memory() -> None:
    found = check(SEVEN_B, "full", stage=3, offload_optimizer="nvme", offload_param="nvme")
    assert (found.device_demand_bytes, found.host_demand_bytes) == (0, 0)
    assert f"leaves nothing per device, nothing in RAM and {found.cell_gb:.1f} GB (" in found.reading
    assert found.reading.endswith("GiB) on NVMe.")


def test_what_nvme_takes_of_the_optimizer_alone_and_of_a_frozen_base() -> None:
    optimizer = check(SEVEN_B, "full", stage=3, offload_optimizer="nvme", offload_param="cpu")
    assert optimizer.host_demand_bytes == pytest.approx(optimizer.cell_gb * GB * 2 / 16, rel=1e-3)
    assert f"GiB) in RAM and {optimizer.cell_gb * 14 / 16:.1f} GB (" in optimizer.reading
    base = check(SEVEN_B, "lora", stage=3, offload_param="nvme")
    assert base.host_demand_bytes == 0
    assert base.reading.endswith(", nothing in RAM and 13.5 GB (12.6 GiB) on NVMe.")


def test_one_rank_is_one_rank() -> None:
    assert "ZeRO-3 on 1 rank leaves" in check(SEVEN_B, "full", gpus=1, ranks=1, stage=3).reading
    assert "over 1 rank, " in check(SEVEN_B, "lora", gpus=1, ranks=1, stage=3).reading
    assert "without GPUs the host holds it, " in check(SEVEN_B, "full", gpus=0, ranks=1, stage=3).reading


def test_adapter_rows_are_per_device_until_stage_three_shares_them() -> None:
    two, three = check(SEVEN_B, "lora", stage=2), check(SEVEN_B, "lora", stage=3)
    assert two.device_demand_bytes == pytest.approx(two.cell_gb * GB, rel=1e-3)
    assert three.device_demand_bytes == pytest.approx(two.device_demand_bytes / 2, rel=1e-3)


def test_offload_param_moves_the_base_alone() -> None:
    shape = named(SEVEN_B)
    found = check(SEVEN_B, "lora", stage=3, offload_param="cpu")
    assert found.host_demand_bytes == pytest.approx(2 * shape.num_parameters, rel=1e-3)
    assert found.device_demand_bytes == pytest.approx((found.cell_gb * GB - 2 * shape.num_parameters) / 2, rel=1e-2)


def test_without_cards_the_host_holds_it_for_every_rank() -> None:
    found = check(SEVEN_B, "qlora", gpus=0, stage=2)
    assert found.device_demand_bytes == 0
    assert found.host_demand_bytes == pytest.approx(2 * found.cell_gb * GB, rel=1e-3)
    assert "without GPUs" in found.reading


def test_a_32_bit_base_is_twice_as_wide() -> None:
    shape = named(SEVEN_B)
    wide = check_table(job("lora", precision="fp32"), shape, machine())
    plain = check_table(job("lora"), shape, machine())
    assert wide.device_demand_bytes - plain.device_demand_bytes == pytest.approx(2 * shape.num_parameters, rel=1e-6)


def test_the_reading_says_how_with_numbers() -> None:
    reading = check("codellama/CodeLlama-34b-hf", "qlora", stage=3).reading
    assert reading == (
        "LLaMA-Factory 2025-03-11, QLoRA 4: between 30B (24 GB) and 70B (48 GB), 33.74B is 26.2 GB; "
        "shared by ZeRO-3 over 2 ranks, 13.1 GB (12.2 GiB) per device and nothing in RAM."
    )


def test_it_passes_when_both_places_hold_it() -> None:
    assert check(SEVEN_B, "qlora", stage=2).passes
    assert not check_table(job("qlora"), named(SEVEN_B), machine(2, usable=5.0)).passes
    full = job("full", zero={"stage": 3, "offload_optimizer": "cpu", "offload_param": "cpu"})
    assert not check_table(full, named(SEVEN_B), machine(2, ram=64)).passes


def test_a_tiny_model_needs_little() -> None:
    assert check_table(job("full"), llama(), machine()).device_demand_bytes < GB // 100
