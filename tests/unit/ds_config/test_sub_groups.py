"""Sub-groups are sized for the place where they are stepped."""

from __future__ import annotations

from typing import Any

from tests.plans import CPU_BOX, DUAL_4090
from tunekit.ds_config.sub_groups import power_of_two_waste, sub_group_size
from tunekit.hardware.spec import Hardware
from tunekit.memory.partitions import partition_sizes, sub_group_elements
from tunekit.model_shape.catalogue import find


def choose(hub_id: str, hardware: Hardware = DUAL_4090, **changes: Any) -> tuple[int, str]:
    model = find(hub_id)
    assert model is not None
    settings: dict[str, Any] = {"stage": 3, "world_size": 2, "offload_optimizer": "none", "offload_ratio": 1.0}
    return sub_group_size(partition_sizes(model.tensors, 2), hardware, **{**settings, **changes})


def test_pinned_blocks_are_rounded_up_to_powers_of_two() -> None:
    assert power_of_two_waste((1024, 1025), 4) == 8192 - 4100


def test_the_step_of_a_card_decides_without_offload() -> None:
    assert choose("meta-llama/Llama-2-7b-hf") == (
        100_000_000,
        "the optimizer step needs at most 1.4 GiB of GPU memory at a time",
    )


def test_a_parameter_larger_than_the_limit_is_not_fought() -> None:
    # The embedding's partition alone is 0.26e9 elements: smaller groups would not make the largest one smaller.
    size, reason = choose("meta-llama/Llama-3.1-8B")
    assert size == 200_000_000
    assert "2.9 GiB" in reason


def test_pinning_decides_with_cpu_offload() -> None:
    size, reason = choose("meta-llama/Llama-3.1-8B", offload_optimizer="cpu")
    model = find("meta-llama/Llama-3.1-8B")
    assert model is not None
    partitions = partition_sizes(model.tensors, 2)
    chosen, bad = (power_of_two_waste(sub_group_elements(partitions, each), 4) for each in (size, 2**28))
    assert chosen < bad / 3
    assert "rounding" in reason


def test_a_ratio_needs_groups_to_share_out() -> None:
    model = find("meta-llama/Llama-2-7b-hf")
    assert model is not None
    size, reason = choose("meta-llama/Llama-2-7b-hf", offload_optimizer="cpu", offload_ratio=0.8)
    assert len(sub_group_elements(partition_sizes(model.tensors, 2), size)) >= 10
    assert "whole sub-groups" in reason


def test_swap_buffers_decide_with_nvme() -> None:
    size, reason = choose("meta-llama/Llama-2-7b-hf", offload_optimizer="nvme")
    assert 16 * size <= DUAL_4090.host.usable_ram_bytes // 16
    assert "swap buffers" in reason


def test_nothing_is_tuned_where_it_has_no_effect() -> None:
    assert choose("meta-llama/Llama-2-7b-hf", stage=2) == (10**9, "not used below stage 3")
    assert choose("meta-llama/Llama-2-7b-hf", CPU_BOX, offload_optimizer="cpu")[0] == 10**9
