"""What the memory model says of the jobs that people ask about, on two 24 GB cards and 96 GB of RAM."""

from typing import Any

import pytest
from memory_jobs import job, machine

from tunekit.memory.estimate import estimate_memory
from tunekit.memory.terms import PLACES
from tunekit.model_shape.catalogue import find

OFFLOAD_ALL = {"stage": 3, "offload_optimizer": "cpu", "offload_param": "cpu"}
SOME_ON_THE_CARDS = {
    "stage": 3,
    "offload_optimizer": "cpu",
    "offload_ratio": 0.8,
    "sub_group_size": 100_000_000,
    "pin_memory": False,
}
SEVEN, EIGHT, THIRTEEN, THIRTYFOUR, SEVENTY = (
    "codellama/CodeLlama-7b-hf",
    "meta-llama/Llama-3.1-8B",
    "codellama/CodeLlama-13b-hf",
    "codellama/CodeLlama-34b-hf",
    "meta-llama/Llama-2-70b-hf",
)
THREE = "meta-llama/Llama-3.2-3B"


@pytest.mark.parametrize(
    ("hub_id", "method", "zero", "gpus", "holds"),
    [
        (THREE, "full", {"stage": 3, "offload_optimizer": "cpu"}, 2, True),
        (THREE, "full", {"stage": 3}, 2, False),
        (THREE, "full", {"stage": 3, "bf16_states": True}, 2, True),
        (SEVEN, "full", OFFLOAD_ALL, 2, False),
        (SEVEN, "full", {"stage": 2, "offload_optimizer": "cpu", "bf16_states": True, "pin_memory": False}, 2, True),
        (EIGHT, "full", OFFLOAD_ALL, 2, False),
        (EIGHT, "full", {**SOME_ON_THE_CARDS, "bf16_states": True}, 2, True),
        (EIGHT, "full", SOME_ON_THE_CARDS, 2, False),
        (EIGHT, "full", {"stage": 3, "offload_optimizer": "nvme", "sub_group_size": 100_000_000}, 2, True),
        (THIRTEEN, "full", {**OFFLOAD_ALL, "bf16_states": True}, 2, False),
        (THIRTEEN, "lora", {"stage": 2}, 2, False),
        (THIRTEEN, "lora", {"stage": 3}, 2, True),
        (THIRTYFOUR, "qlora", {"stage": 2}, 1, True),
        (THIRTYFOUR, "qlora", {"stage": 3}, 2, True),
        (THIRTYFOUR, "lora", {"stage": 3}, 2, False),
        (THIRTYFOUR, "lora", {"stage": 3, "offload_param": "cpu", "pin_memory": False}, 2, True),
        (THIRTYFOUR, "full", OFFLOAD_ALL, 2, False),
        (SEVENTY, "qlora", {"stage": 3}, 2, False),
    ],
)
def test_expected_bytes_hold(hub_id: str, method: str, zero: dict[str, Any], gpus: int, holds: bool) -> None:
    shape = find(hub_id)
    assert shape is not None
    plan = job(method, zero=zero, ranks=gpus, max_seq_length=1024, attention="sdpa")
    found = estimate_memory(plan, shape, machine(gpus, usable=23.5, ram=81))
    missing = [place for place in PLACES if getattr(found, place).headroom_bytes < 0]
    assert (not missing) is holds, missing
