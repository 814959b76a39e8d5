"""Host RAM of all ranks together: processes, loading, what offload moved here, saving.

torch rounds every pinned block up to a power of two, so each block is rounded alone; DeepSpeed's own pinned allocator
(DS_PIN_MEMORY_BACKEND=native) rounds nothing and keeps no freed block. n is a rank's trained elements.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tunekit.memory.case import Case
from tunekit.memory.figures import figure
from tunekit.memory.model_states import (
    ALWAYS,
    FORWARD,
    STEPPED,
    TRAINING,
    flattens_on_device,
    state_bytes,
    steps_weights_in_place,
)
from tunekit.memory.partitions import Tensors, ceil_div, pinned_tensors, power_of_two, sharded_elements
from tunekit.memory.terms import MemoryTerm
from tunekit.units import GB, MIB

CPU_SCRATCH_BYTES = 280 * MIB
CONDUCTOR_BYTES = 300 * MIB
WORKER_BYTES = 450 * MIB
MAPPED_BYTES = 5 * GB
"""Size of one shard of a checkpoint as hubs cut them."""
NVME_BUFFERS = 4
PARAM_BUFFERS = 5
PARAM_BUFFER_ALIGNMENT = 1024
PARAM_ELEMENTS_IN_RAM = 100_000_000

_STAGE_1_2 = "deepspeed 0.19.8 runtime/zero/stage_1_and_2.py; live tensors counted on a CPU run"
_STAGE_3 = "deepspeed 0.19.8 runtime/zero/stage3.py; live tensors counted on a CPU run"
_NVME = "deepspeed 0.19.8 runtime/swap_tensor; measured with a swap folder on a CPU run"


def processes(case: Case) -> MemoryTerm:
    """P x (python, torch, transformers and the accelerator's libraries) + the launcher and tunekit themselves."""
    each = figure("rank_bytes", case.hardware.calibration, on_cpu=case.on_cpu)
    return MemoryTerm(
        name="processes",
        phases=ALWAYS,
        host_bytes=case.world_size * each.bytes + CONDUCTOR_BYTES,
        formula=f"{case.world_size} ranks x {each.bytes:,} B + {CONDUCTOR_BYTES:,} B launcher",
        source=each.source,
        kind="calibrated",
        low=each.low,
        high=each.high,
        pooled=False,
    )


def kernel_scratch(case: Case) -> MemoryTerm:
    """P x 280 MiB without GPUs: what the CPU's matmul libraries and their threads keep once they have run."""
    return MemoryTerm(
        name="scratch of CPU kernels",
        phases=STEPPED,
        host_bytes=case.world_size * CPU_SCRATCH_BYTES if case.on_cpu else 0,
        formula=f"{case.world_size} ranks x {CPU_SCRATCH_BYTES:,} B",
        source="growth of resident memory beyond the tensors in a LoRA run of a 135M model",
        kind="calibrated",
        low=0.2,
        high=1.5,
        pooled=False,
    )


def data_workers(case: Case) -> MemoryTerm:
    """P x num_workers x 450 MiB: what a data loader process does not share with its rank."""
    count = case.job.num_workers * case.world_size
    return MemoryTerm(
        name="data loader processes",
        phases=(*FORWARD, "optimizer", "eval"),
        host_bytes=count * WORKER_BYTES,
        formula=f"{count} x {WORKER_BYTES:,} B",
        source="unshared size of a copy-on-write child, 0.3 to 0.6 GB",
        kind="calibrated",
        low=0.6,
        high=1.4,
        pooled=False,
    )


def loading_copies(case: Case) -> MemoryTerm:
    """P x b N: in stages 0 to 2 every rank builds the whole model in RAM before it goes to its card.

    None for a 4-bit base, which goes to the card tensor by tensor, nor on the CPU, where the copy is the model itself.
    """
    copied = case.stage < 3 and not case.inventory.num_quantized and not case.on_cpu
    elements = case.shape.num_parameters
    return MemoryTerm(
        name="copies of the model while loading",
        phases=("load",),
        moments=("read",),
        host_bytes=case.world_size * case.weight_bytes * elements if copied else 0,
        formula=f"{case.world_size} ranks x {case.weight_bytes} B x {elements:,}",
        source="transformers 5.23 modeling_utils.py, no device_map",
        kind="exact",
    )


def mapped_checkpoint(case: Case) -> MemoryTerm:
    """The shard being read, at most 5 GB: checkpoints are mapped, and their pages can be dropped at any time.

    On the CPU the mapped pages are the weights themselves until they are trained.
    """
    size = 0 if case.on_cpu else min(2 * case.shape.num_parameters, MAPPED_BYTES)
    return MemoryTerm(
        name="mapped checkpoint",
        phases=("load",),
        moments=("read",),
        host_bytes=size,
        formula=f"min(2 B x {case.shape.num_parameters:,}, {MAPPED_BYTES:,} B)",
        source="safetensors maps files; transformers 5.23 reads them on rank 0 alone in stage 3",
        kind="bound",
        low=0.0,
        pooled=False,
    )


def gguf_conversion(case: Case) -> MemoryTerm:
    """(4 + b) N: a .gguf is dequantised to float32 and kept as 16-bit weights, once, before the ranks start."""
    used = case.shape.source.endswith(".gguf")
    each = 4 + case.weight_bytes
    return MemoryTerm(
        name="conversion of the .gguf file",
        phases=("load",),
        moments=("convert",),
        host_bytes=each * case.shape.num_parameters if used else 0,
        formula=f"{each} B x {case.shape.num_parameters:,}",
        source="transformers 5.23 modeling_gguf_pytorch_utils.py",
        kind="bound",
        low=0.6,
    )


def flattening(case: Case) -> MemoryTerm:
    """2 b N_t per rank: stages 1 and 2 build their flat copy in RAM when the card cannot hold it beside the weights."""
    needed = case.weight_bytes * case.inventory.num_trainable
    used = case.stage in (1, 2) and not flattens_on_device(case)
    return MemoryTerm(
        name="flat copy built in RAM",
        phases=("load",),
        moments=("flatten",),
        host_bytes=2 * needed * case.world_size if used else 0,
        formula=f"{case.world_size} ranks x 2 x {case.weight_bytes} B x {case.inventory.num_trainable:,}",
        source="deepspeed 0.19.8 stage_1_and_2.py `flatten_on_accelerator`",
        kind="exact",
    )


def master_in_ram(case: Case) -> MemoryTerm:
    """4 n per rank (2 n with bf16 states): a pinned block per parameter group in stages 1, 2, unpinned in stage 3."""
    size = _blocks(case, case.group_partitions, case.master_bytes) if _by_groups(case) else 0
    if _in_ram(case):
        size = case.master_bytes * _offloaded(case)
    return _per_rank(
        case, "master weights in RAM", size, f"{case.master_bytes} B x n {case.partition:,}", _source(case)
    )


def states_in_ram(case: Case) -> MemoryTerm:
    """State bytes x n per rank, not pinned: DeepSpeedCPUAdam's moments, 8 n (4 n with bf16 states)."""
    each = state_bytes(case)
    used = _by_groups(case) or _in_ram(case)
    elements = case.partition if _by_groups(case) else _offloaded(case) if used else 0
    what = f"{each:g} B x {elements:,}"
    made = _per_rank(case, "optimizer states in RAM", round(each * elements), what, _source(case))
    return replace(made, phases=STEPPED, moments=())


def gradients_in_ram(case: Case) -> MemoryTerm:
    """4 n per rank (2 n with bf16 states): a pinned gradient block per parameter group, or per sub-group in stage 3."""
    size = _blocks(case, case.group_partitions, case.master_bytes) if _by_groups(case) else 0
    if _in_ram(case):
        size = _blocks(case, _ram_groups(case), case.master_bytes)
    count = len(case.group_partitions) if _by_groups(case) else len(_ram_groups(case))
    what = f"{case.master_bytes} B x n {case.partition:,} in {count} pinned blocks"
    return _per_rank(case, "gradients in RAM", size, what, _source(case))


def transfer_buffers(case: Case) -> MemoryTerm:
    """b n per rank on the way between card and RAM: weights coming back (stages 1, 2), gradients going (stage 3).

    Stages 1 and 2 add b x the largest tensor; stage 2 with accumulation b n once more, in one block per parameter.
    """
    size = 0
    if _by_groups(case):
        size = _blocks(case, (*case.group_partitions, case.inventory.largest_trainable), case.weight_bytes)
        size += _accumulation_blocks(case) if case.stage == 2 and case.accumulates else 0
    elif case.offloads_optimizer:
        size = _blocks(case, (case.partition,), case.gradient_bytes)
    return _per_rank(
        case, "transfer buffers of offload", size, f"{case.weight_bytes} B x n {case.partition:,}", _source(case)
    )


def zenflow_buffer(case: Case) -> MemoryTerm:
    """4 n per rank: ZenFlow accumulates into one gradient block while it steps the other."""
    used = _by_groups(case) and case.job.zero.zenflow
    size = _blocks(case, case.group_partitions, case.master_bytes) if used else 0
    what = f"{case.master_bytes} B x n {case.partition:,}"
    return _per_rank(case, "ZenFlow's second gradient block", size, what, "deepspeed 0.19.8 zenflow_stage_1_and_2.py")


def trained_weights_in_ram(case: Case) -> MemoryTerm:
    """b n per rank with offload_param: a flat block per parameter group, always pinned.

    High is twice that: the blocks that held the partitions before may stay in torch's cache (DeepSpeed's own has none).
    """
    sizes = [sharded_elements(group, case.world_size) for group in case.inventory.groups]
    nvme = case.job.zero.offload_param == "nvme"
    kept = [min(each, PARAM_ELEMENTS_IN_RAM) for each in sizes] if nvme else sizes
    rounded = sum(_block(case, each * case.weight_bytes, always=True) for each in kept)
    return MemoryTerm(
        name="trained weights in RAM",
        phases=ALWAYS,
        host_bytes=case.world_size * rounded if case.offloads_param else 0,
        formula=f"{case.world_size} ranks x {case.weight_bytes} B x {sum(kept):,} in pinned blocks",
        source=_STAGE_3,
        kind="exact" if case.pins_exactly else "bound",
        high=1.0 if case.pins_exactly else 2.0,
    )


def frozen_weights_in_ram(case: Case) -> MemoryTerm:
    """b N_f / P + N_q / 2P per rank with offload_param: the partition of every tensor is a pinned block of its own."""
    used = case.offloads_param and case.job.zero.offload_param == "cpu"
    parts = (case.inventory.frozen, case.weight_bytes), (case.inventory.packed, 2)
    size = sum(_tensor_blocks(case, tensors, case.world_size, width) for tensors, width in parts) if used else 0
    packed = f"{case.base_bits / 8:g} B x {case.inventory.num_quantized:,}"
    return MemoryTerm(
        name="frozen base in RAM",
        phases=TRAINING if case.inventory.num_quantized else ALWAYS,
        host_bytes=case.world_size * size,
        formula=f"({case.weight_bytes} B x {case.inventory.num_frozen:,} + {packed}), each tensor a block"
        + (" rounded up to a power of two" if _rounds(case) else ""),
        source=_STAGE_3,
        kind="exact",
    )


def nvme_optimizer_buffers(case: Case) -> MemoryTerm:
    """4 buffers x the largest sub-group x 4 B per rank: master, two moments and gradient of the sub-group in work."""
    used = case.stage == 3 and case.job.zero.offload_optimizer == "nvme"
    largest = max(case.sub_groups, default=0) if used else 0
    what = f"{NVME_BUFFERS} x {case.master_bytes} B x {largest:,} of the largest sub-group"
    return _per_rank(case, "NVMe optimizer buffers", NVME_BUFFERS * case.master_bytes * largest, what, _NVME)


def nvme_param_buffers(case: Case) -> MemoryTerm:
    """5 buffers x b x the largest partition of a tensor per rank, which each must hold; in steps of 1024 elements."""
    used = case.stage == 3 and case.job.zero.offload_param == "nvme"
    largest = ceil_div(case.inventory.largest_model_tensor, case.world_size)
    elements = ceil_div(largest, PARAM_BUFFER_ALIGNMENT) * PARAM_BUFFER_ALIGNMENT
    size = PARAM_BUFFERS * elements * case.weight_bytes if used else 0
    what = f"{PARAM_BUFFERS} x {case.weight_bytes} B x {elements:,}"
    return _per_rank(case, "NVMe parameter buffers", size, what, _NVME)


def resuming(case: Case) -> MemoryTerm:
    """The larger of P b N_t of module files (stages 1, 2) and P (m + states) n of optimizer files, read whole.

    Each rank reads its own optimizer file, beside all buffers of the engine; its moments then become the optimizer's.
    Stage 0 keeps all in one file, which every rank reads. Stage 3 has no module file; swap files are copied, not read.
    """
    master = 0 if steps_weights_in_place(case) else case.master_bytes
    optimizer = round((master + state_bytes(case)) * case.partition)
    module = case.weight_bytes * case.inventory.num_trainable if case.stage < 3 else 0
    if case.job.zero.offload_optimizer == "nvme":
        optimizer = 0
    each = module + optimizer if case.stage == 0 else max(module, optimizer)
    return MemoryTerm(
        name="checkpoint being read",
        phases=("resume",),
        host_bytes=case.world_size * each if case.job.save_checkpoints else 0,
        formula=f"{case.world_size} ranks x max({module:,} B of the module's file, {optimizer:,} B of the optimizer's)",
        source="deepspeed 0.19.8 runtime/engine.py `_get_all_zero_checkpoint_state_dicts`, torch.load without mapping",
        kind="bound",
        low=0.5,
    )


def merging(case: Case) -> MemoryTerm:
    """b N: base and adapter are added up in RAM, once, by one process after the run."""
    elements = case.shape.num_parameters if case.job.adapter is not None else 0
    return MemoryTerm(
        name="model being merged",
        phases=("merge",),
        host_bytes=case.weight_bytes * elements,
        formula=f"{case.weight_bytes} B x {elements:,}",
        source="peft 0.21.2 `merge_and_unload` of a 16-bit base",
        kind="bound",
        high=1.3,
    )


def _by_groups(case: Case) -> bool:
    """Stages 1 and 2 offload whole groups, to RAM also where the configuration says nvme, which they ignore."""
    return case.stage in (1, 2) and case.offloads_optimizer


def _in_ram(case: Case) -> bool:
    return case.stage == 3 and case.job.zero.offload_optimizer == "cpu"


def _source(case: Case) -> str:
    return _STAGE_3 if case.stage == 3 else _STAGE_1_2


def _ram_groups(case: Case) -> tuple[int, ...]:
    """The sub-groups that offload_ratio sends to RAM."""
    if not _in_ram(case):
        return ()
    groups = case.sub_groups
    return groups[int((1 - case.job.zero.offload_ratio) * len(groups)) :]


def _offloaded(case: Case) -> int:
    return sum(_ram_groups(case))


def _rounds(case: Case) -> bool:
    return case.pins and not case.pins_exactly


def _block(case: Case, size: int, *, always: bool = False) -> int:
    rounded = _rounds(case) or (always and not case.on_cpu and not case.pins_exactly)
    return power_of_two(size) if rounded else size


def _blocks(case: Case, elements: Iterable[int], width: int) -> int:
    return sum(_block(case, width * each) for each in elements)


def _tensor_blocks(case: Case, tensors: Tensors, world_size: int, width: int) -> int:
    """Bytes of one rank's partitions, each a block of its own."""
    if _rounds(case):
        return pinned_tensors(tensors, world_size, width)
    return width * sharded_elements(tensors, world_size)


def _accumulation_blocks(case: Case) -> int:
    """A rank's share of the parameters, each with a 16-bit block of its own."""
    return _tensor_blocks(case, case.inventory.trainable, 1, case.weight_bytes) // case.world_size


def _per_rank(case: Case, name: str, size: int, what: str, source: str) -> MemoryTerm:
    return MemoryTerm(
        name=name,
        phases=ALWAYS,
        moments=("masters",),
        host_bytes=case.world_size * size,
        formula=f"{case.world_size} ranks x {what}"
        + (", pinned blocks rounded up" if _rounds(case) else ", pinned exactly" if case.pins else ""),
        source=source,
        kind="exact",
    )
