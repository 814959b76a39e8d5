from dataclasses import replace
from typing import Any

import pytest
from memory_jobs import job, llama, machine

from tunekit.memory import host
from tunekit.memory.case import Case, make_case
from tunekit.memory.figures import RANK
from tunekit.memory.partitions import power_of_two

SHAPE = llama(layers=4, hidden=256, ffn=512, vocab=4096)
COUNT = SHAPE.num_parameters
STATES = (
    host.master_in_ram,
    host.states_in_ram,
    host.gradients_in_ram,
    host.transfer_buffers,
    host.trained_weights_in_ram,
    host.frozen_weights_in_ram,
)


def case(method: str = "full", *, gpus: int = 2, ranks: int = 2, **changes: Any) -> Case:
    return make_case(job(method, ranks=ranks, **changes), SHAPE, machine(gpus))


def unpinned(zero: dict[str, Any], *, accumulate: int = 1) -> float:
    """Bytes per parameter in RAM of all ranks together, without rounding."""
    found = case(zero={"pin_memory": False, **zero}, gpus=0, accumulate=accumulate)
    return sum(term(found).host_bytes for term in STATES) / COUNT


@pytest.mark.parametrize(
    ("zero", "accumulate", "each"),
    [
        ({"stage": 1, "offload_optimizer": "cpu"}, 4, 18),
        ({"stage": 2, "offload_optimizer": "cpu"}, 1, 18),
        ({"stage": 2, "offload_optimizer": "cpu"}, 4, 20),
        ({"stage": 3, "offload_optimizer": "cpu"}, 4, 18),
        ({"stage": 3, "offload_optimizer": "cpu", "offload_param": "cpu"}, 1, 20),
        ({"stage": 2, "offload_optimizer": "cpu", "bf16_states": True}, 1, 10),
        ({"stage": 3, "offload_optimizer": "cpu", "bf16_states": True}, 1, 10),
        ({"stage": 2, "offload_optimizer": "nvme"}, 1, 18),
        ({"stage": 3, "offload_optimizer": "nvme"}, 1, 2),
        ({"stage": 2}, 1, 0),
        ({"stage": 0, "offload_optimizer": "cpu"}, 1, 0),
    ],
)
def test_bytes_per_parameter_in_ram(zero: dict[str, Any], accumulate: int, each: float) -> None:
    """Counted from live tensors of real runs; the largest tensor's staging buffer comes on top in stages 1 and 2."""
    staged = 2 * 2 * SHAPE.count("head") / COUNT if zero["stage"] in (1, 2) and "offload_optimizer" in zero else 0
    assert unpinned(zero, accumulate=accumulate) == pytest.approx(each + staged, abs=0.01)


def test_pinned_blocks_are_rounded_one_by_one() -> None:
    found = case(zero={"stage": 2, "offload_optimizer": "cpu"})
    blocks = [power_of_two(4 * each) for each in found.group_partitions]
    assert host.master_in_ram(found).host_bytes == 2 * sum(blocks)
    loose = case(zero={"stage": 2, "offload_optimizer": "cpu", "pin_memory": False})
    assert host.master_in_ram(loose).host_bytes == 2 * 4 * sum(loose.group_partitions)


def test_deepspeeds_own_allocator_rounds_nothing() -> None:
    """It needs the right to lock any amount of RAM."""
    zero = {"stage": 3, "offload_optimizer": "cpu", "offload_param": "cpu"}
    box = machine()
    free = replace(box, host=replace(box.host, memlock_unlimited=True))
    exact, rounded = (make_case(job("full", zero=zero), SHAPE, each) for each in (free, box))
    sizes = {term: (term(exact).host_bytes, term(rounded).host_bytes) for term in STATES}
    assert all(small <= large for small, large in sizes.values())
    assert sum(small for small, _ in sizes.values()) == 20 * COUNT
    assert sum(large for _, large in sizes.values()) > 20 * COUNT
    assert host.trained_weights_in_ram(exact).high == 1.0
    lora = make_case(job("lora", zero={"stage": 3, "offload_param": "cpu"}), SHAPE, free)
    assert host.frozen_weights_in_ram(lora).host_bytes == 2 * lora.inventory.num_frozen


def test_stage_three_rounds_every_sub_group_of_gradients() -> None:
    found = case(zero={"stage": 3, "offload_optimizer": "cpu", "sub_group_size": 200_000})
    assert host.gradients_in_ram(found).host_bytes == 2 * sum(power_of_two(4 * each) for each in found.sub_groups)
    assert host.master_in_ram(found).host_bytes == 2 * 4 * sum(found.sub_groups)


def test_frozen_tensors_are_pinned_one_by_one() -> None:
    lora = case("lora", zero={"stage": 3, "offload_param": "cpu"})
    exact = 2 * lora.inventory.num_frozen
    assert exact <= host.frozen_weights_in_ram(lora).host_bytes < 2 * exact
    loose = case("lora", zero={"stage": 3, "offload_param": "cpu", "pin_memory": False})
    assert host.frozen_weights_in_ram(loose).host_bytes == exact


def test_a_four_bit_base_rests_packed() -> None:
    found = case("qlora", zero={"stage": 3, "offload_param": "cpu", "pin_memory": False})
    inventory = found.inventory
    assert host.frozen_weights_in_ram(found).host_bytes == 2 * inventory.num_frozen + inventory.num_quantized // 2


def test_every_rank_loads_its_own_copy_below_stage_three() -> None:
    assert host.loading_copies(case()).host_bytes == 2 * 2 * COUNT
    assert host.loading_copies(case(zero={"stage": 3})).host_bytes == 0
    assert host.loading_copies(case("qlora")).host_bytes == 0
    assert host.loading_copies(case(gpus=0)).host_bytes == 0


def test_gguf_is_converted_before_the_ranks_start() -> None:
    shape = replace(SHAPE, source="/models/a.gguf")
    found = make_case(job(), shape, machine())
    assert host.gguf_conversion(found).host_bytes == 6 * COUNT
    assert host.gguf_conversion(case()).host_bytes == 0


def test_a_card_too_small_for_two_copies_flattens_in_ram() -> None:
    wide = make_case(job(), SHAPE, machine(2, usable=1.0))
    narrow = make_case(job(), SHAPE, machine(2, usable=3 * COUNT / 2**30))
    assert host.flattening(wide).host_bytes == 0
    assert host.flattening(narrow).host_bytes == 2 * 2 * 2 * COUNT


def test_nvme_buffers_hold_the_largest_sub_group() -> None:
    found = case(zero={"stage": 3, "offload_optimizer": "nvme", "sub_group_size": 200_000})
    assert host.nvme_optimizer_buffers(found).host_bytes == 2 * 4 * 4 * max(found.sub_groups)
    assert host.nvme_param_buffers(found).host_bytes == 0
    params = case(zero={"stage": 3, "offload_optimizer": "nvme", "offload_param": "nvme"})
    assert host.nvme_param_buffers(params).host_bytes == 2 * 5 * 2 * (4096 * 256 // 2)


def test_offload_ratio_splits_states_without_loss() -> None:
    zero = {"stage": 3, "offload_optimizer": "cpu", "sub_group_size": 100_000, "offload_ratio": 0.5}
    found = case(zero=zero)
    from tunekit.memory.model_states import master_weights

    both = 2 * master_weights(found).device_bytes + host.master_in_ram(found).host_bytes
    assert both == 2 * 4 * sum(found.sub_groups)


def test_going_on_reads_each_rank_its_own_file_whole() -> None:
    each = case().partition
    assert host.resuming(case()).host_bytes == 2 * 12 * each
    assert host.resuming(case(zero={"stage": 0})).host_bytes == 2 * 14 * COUNT
    assert host.resuming(case(zero={"stage": 3, "offload_optimizer": "nvme"})).host_bytes == 0
    assert host.resuming(case(optimizer="sgd", ranks=8)).host_bytes == 8 * 2 * COUNT
    assert host.resuming(case(save_checkpoints=False)).host_bytes == 0


def test_only_adapters_are_merged() -> None:
    assert host.merging(case("qlora")).host_bytes == 2 * COUNT
    assert host.merging(case()).host_bytes == 0


def test_zenflow_has_a_second_gradient_block() -> None:
    found = case(zero={"stage": 2, "offload_optimizer": "cpu", "zenflow": True})
    assert host.zenflow_buffer(found).host_bytes == host.gradients_in_ram(found).host_bytes > 0


def test_processes_and_workers() -> None:
    assert host.processes(case()).host_bytes == 2 * RANK.bytes + host.CONDUCTOR_BYTES
    assert host.processes(case(gpus=0)).host_bytes < host.processes(case()).host_bytes
    assert host.data_workers(case(num_workers=3)).host_bytes == 6 * host.WORKER_BYTES
    assert host.kernel_scratch(case(gpus=0)).host_bytes == 2 * host.CPU_SCRATCH_BYTES
    assert host.kernel_scratch(case()).host_bytes == 0
    assert host.mapped_checkpoint(case()).host_bytes == 2 * COUNT
