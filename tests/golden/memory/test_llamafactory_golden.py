"""LLaMA-Factory's table as it must be read: every model that its columns bracket, and what it says of two cards."""

import pytest
from memory_jobs import job, machine

from tunekit.memory.llamafactory_cells import CURRENT, Row
from tunekit.memory.llamafactory_table import check_table, table_cell
from tunekit.model_shape.catalogue import find

READINGS: dict[float, dict[Row, float]] = {
    7: {"full_amp": 120, "full_16": 60, "lora_16": 16, "qlora_8": 10, "qlora_4": 6, "qlora_2": 4},
    8: {"full_amp": 137.1, "full_16": 68.6, "lora_16": 18.3, "qlora_8": 11.4, "qlora_4": 6.9, "qlora_2": 4.6},
    13: {"full_amp": 222.9, "full_16": 111.4, "lora_16": 29.7, "qlora_8": 18.6, "qlora_4": 11.1, "qlora_2": 7.4},
    14: {"full_amp": 240, "full_16": 120, "lora_16": 32, "qlora_8": 20, "qlora_4": 12, "qlora_2": 8},
    32: {"full_amp": 630, "full_16": 315, "lora_16": 68.8, "qlora_8": 42, "qlora_4": 25.2, "qlora_2": 16.4},
    34: {"full_amp": 660, "full_16": 330, "lora_16": 73.6, "qlora_8": 44, "qlora_4": 26.4, "qlora_2": 16.8},
    70: {"full_amp": 1200, "full_16": 600, "lora_16": 160, "qlora_8": 80, "qlora_4": 48, "qlora_2": 24},
}


@pytest.mark.parametrize("size", READINGS)
def test_interpolated_cells(size: float) -> None:
    for row, cell in READINGS[size].items():
        assert round(table_cell(CURRENT, row, size)[0], 1) == cell


OFFLOAD_ALL = {"stage": 3, "offload_optimizer": "cpu", "offload_param": "cpu"}


@pytest.mark.parametrize(
    ("hub_id", "method", "zero", "gpus", "passes"),
    [
        ("codellama/CodeLlama-7b-hf", "full", OFFLOAD_ALL, 2, False),
        ("codellama/CodeLlama-7b-hf", "full", {**OFFLOAD_ALL, "bf16_states": True}, 2, True),
        ("meta-llama/Llama-3.1-8B", "full", OFFLOAD_ALL, 2, False),
        ("meta-llama/Llama-3.1-8B", "full", {**OFFLOAD_ALL, "bf16_states": True}, 2, True),
        ("codellama/CodeLlama-13b-hf", "full", {**OFFLOAD_ALL, "bf16_states": True}, 2, False),
        ("codellama/CodeLlama-13b-hf", "lora", {"stage": 2}, 2, False),
        ("codellama/CodeLlama-13b-hf", "lora", {"stage": 3}, 2, True),
        ("Qwen/Qwen2.5-14B", "full", {**OFFLOAD_ALL, "bf16_states": True}, 2, False),
        ("Qwen/Qwen2.5-14B", "lora", {"stage": 3}, 2, True),
        ("Qwen/Qwen2.5-32B", "lora", {"stage": 3}, 2, False),
        ("Qwen/Qwen2.5-32B", "lora", {"stage": 3, "offload_param": "cpu"}, 2, True),
        ("Qwen/Qwen2.5-32B", "qlora", {"stage": 3}, 2, True),
        ("codellama/CodeLlama-34b-hf", "full", OFFLOAD_ALL, 2, False),
        ("codellama/CodeLlama-34b-hf", "qlora", {"stage": 2}, 1, False),
        ("codellama/CodeLlama-34b-hf", "qlora", {"stage": 3}, 1, False),
        ("codellama/CodeLlama-34b-hf", "qlora", {"stage": 2}, 2, False),
        ("codellama/CodeLlama-34b-hf", "qlora", {"stage": 3}, 2, True),
        ("codellama/CodeLlama-34b-hf", "lora", {"stage": 3}, 2, False),
        ("codellama/CodeLlama-34b-hf", "lora", {"stage": 3, "offload_param": "cpu"}, 2, True),
        ("meta-llama/Llama-2-70b-hf", "qlora", {"stage": 3}, 2, True),
        ("meta-llama/Llama-2-70b-hf", "qlora", {"stage": 2}, 2, False),
    ],
)
def test_what_two_24_gb_cards_and_96_gb_hold(
    hub_id: str, method: str, zero: dict[str, object], gpus: int, passes: bool
) -> None:
    shape = find(hub_id)
    assert shape is not None
    found = check_table(job(method, zero=zero, ranks=gpus), shape, machine(gpus, usable=23.5, ram=81))
    assert found.passes is passes, found.reading
