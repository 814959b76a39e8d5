"""Model states on one device as DeepSpeed 0.19.8 allocates them: weights, gradients, master copies, optimizer states.

Symbols: N parameters, Nt trained ones, n a rank's share of the trained ones, P ranks. What offload moves is in host.py.
"""

from __future__ import annotations

from tunekit.memory.case import Case
from tunekit.memory.terms import MemoryTerm, Moment, Phase
from tunekit.recipe.schema import Optimizer

FORWARD: tuple[Phase, ...] = ("first forward", "step")
STEPPED: tuple[Phase, ...] = ("step", "optimizer", "eval", "save")
"""From the first optimizer step on."""
TRAINING: tuple[Phase, ...] = ("first forward", *STEPPED, "resume")
"""From the moment on that the engine is built."""
ALWAYS: tuple[Phase, ...] = ("load", *TRAINING)
BACKWARD: tuple[Moment, ...] = ("loss", "backward start", "backward end")

_STAGE_1_2 = "deepspeed 0.19.8 runtime/zero/stage_1_and_2.py"
_STAGE_3 = "deepspeed 0.19.8 runtime/zero/stage3.py"
_STAGE_0 = "deepspeed 0.19.8 runtime/fp16/unfused_optimizer.py"
_BNB = "bitsandbytes 0.50.2 functional.py: blocks of 64, absmax in float32, nested blocks of 256"

STATE_BYTES: dict[Optimizer, tuple[float, float]] = {
    "adamw": (8.0, 4.0),
    "adamw_8bit": (2 * (1 + 4 / 256), 2 * (1 + 4 / 256)),
    "paged_adamw_8bit": (2 * (1 + 4 / 256), 2 * (1 + 4 / 256)),
    "adafactor": (4.0, 4.0),
    "lion": (4.0, 2.0),
    "sgd": (0.0, 0.0),
}
"""Bytes of state per trained parameter, with 32-bit and with 16-bit states. Adam keeps two moments, Lion one.

8-bit Adam: 1 byte and a float32 scale per 256, twice. Adafactor cannot factor DeepSpeed's flat vectors: one moment.
"""


def stage_source(case: Case) -> str:
    """The DeepSpeed file that allocates the states of this stage."""
    return {0: _STAGE_0, 3: _STAGE_3}.get(case.stage, _STAGE_1_2)


def state_bytes(case: Case) -> float:
    """Bytes of optimizer state per trained parameter."""
    return STATE_BYTES[case.job.optimizer][1 if case.master_bytes == 2 else 0]


def share(case: Case) -> str:
    """How a count was divided, for formulas."""
    return f" / {case.world_size} ranks" if case.world_size > 1 else ""


def trained_weights(case: Case) -> MemoryTerm:
    """b N_t bytes, whole in stages 0 to 2 and b n in stage 3 (b = 2 for bf16 and fp16, 4 for fp32).

    DeepSpeed's engine casts adapters to the engine's type, so they are 16-bit like the base. With offload_param they
    rest in RAM.
    """
    sharded = case.shards_weights
    elements = case.partition if sharded else case.inventory.num_trainable
    elements = 0 if case.offloads_param else elements
    return MemoryTerm(
        name="weights" if case.job.method == "full" else "adapter weights",
        phases=ALWAYS,
        device_bytes=case.weight_bytes * elements,
        formula=f"{case.weight_bytes} B x {case.inventory.num_trainable:,}{share(case) if sharded else ''}",
        source=stage_source(case),
        kind="exact",
    )


def frozen_base(case: Case) -> MemoryTerm:
    """b N_f bytes of frozen weights: whole in stages 0 to 2, a share in stage 3, none with offload_param."""
    count = case.inventory.num_frozen
    elements = _resting(case, count)
    return MemoryTerm(
        name="frozen base" if case.job.method == "lora" else "16-bit part of the base",
        phases=ALWAYS,
        moments=("masters",) if _loads_whole(case) else (),
        device_bytes=case.weight_bytes * elements,
        formula=f"{case.weight_bytes} B x {count:,}{share(case) if case.shards_weights else ''}",
        source="transformers 5.23 loads it in the engine's type; deepspeed partition_parameters.py shares it",
        kind="exact",
    )


def quantised_base(case: Case) -> MemoryTerm:
    """N_q / 2 bytes, N_q in 8 bits: whole in stages 0 to 2, a share in stage 3, none with offload_param."""
    count = case.inventory.num_quantized
    return MemoryTerm(
        name=f"{case.base_bits}-bit base",
        phases=ALWAYS,
        moments=("masters",) if _loads_whole(case) else (),
        device_bytes=_resting(case, count) * case.base_bits // 8,
        formula=f"{case.base_bits / 8:g} B x {count:,}{share(case) if case.shards_weights else ''}",
        source=f"{_BNB}; bf16 storage, so that stage 3 can share it",
        kind="exact",
    )


def base_scales(case: Case) -> MemoryTerm:
    """Scales: 4/64 byte per 4-bit parameter, or 1/64 + 4/(64 x 256) with double quantisation; int8 4 B per row.

    They are no parameters, so stage 3 does not share them and offload_param does not move them.
    """
    size, formula = _scales_of_rows(case) if case.base_bits == 8 else _scales_of_blocks(case)
    return MemoryTerm(
        name=f"scales of the {case.base_bits}-bit base",
        phases=ALWAYS,
        device_bytes=size,
        formula=f"{formula}, whole on every rank",
        source=_BNB,
        kind="exact",
    )


def _scales_of_blocks(case: Case) -> tuple[int, str]:
    count = case.inventory.num_quantized
    double = case.job.quantization is None or case.job.quantization.double_quant
    size = count // 64 + 4 * count // (64 * 256) if double else 4 * count // 64
    return size, f"({'1/64 + 4/16384' if double else '4/64'}) B x {count:,}"


def _scales_of_rows(case: Case) -> tuple[int, str]:
    rows = sum(each.shape[0] * each.count for each in case.inventory.quantized)
    return 4 * rows, f"4 B x {rows:,} rows"


def whole_base_while_loading(case: Case) -> MemoryTerm:
    """The quantised base before stage 3 shares it: N_q / 2 (8 bits: N_q) + b N_f bytes on every rank.

    zero.Init is not used for quantised models, so each rank builds the whole model on its own device first.
    """
    quantized, frozen, width = case.inventory.num_quantized, case.inventory.num_frozen, case.weight_bytes
    return MemoryTerm(
        name=f"whole {case.base_bits}-bit base while loading",
        phases=("load",),
        moments=("read", "convert", "flatten"),
        device_bytes=2 * case.inventory.num_packed + width * frozen if _loads_whole(case) else 0,
        formula=f"{case.base_bits / 8:g} B x {quantized:,} + {width} B x {frozen:,}, every rank",
        source="transformers 5.23 quantizers/quantizer_bnb_4bit.py; modeling_utils.py (`not is_quantized`)",
        kind="exact",
    )


def tensor_in_transit(case: Case) -> MemoryTerm:
    """While loading: the 16-bit weight being quantised, or in stage 3 the tensor being shared out; b x the largest."""
    inventory = case.inventory
    largest = inventory.largest_quantized if inventory.num_quantized else inventory.largest_model_tensor
    needed = bool(inventory.num_quantized) or case.gathers
    return MemoryTerm(
        name="tensor being quantised" if inventory.num_quantized else "tensor being shared out",
        phases=("load",),
        moments=("read",),
        device_bytes=case.weight_bytes * largest if needed else 0,
        formula=f"{case.weight_bytes} B x {largest:,} of the largest tensor",
        source="transformers 5.23 modeling_utils.py; deepspeed partition_parameters.py",
        kind="bound",
        low=0.5,
    )


def flattens_on_device(case: Case) -> bool:
    """Whether stages 1 and 2 build their flat copy where the weights are: always on the CPU, else where it fits."""
    flat = case.weight_bytes * case.inventory.num_trainable
    resident = flat + case.weight_bytes * case.inventory.num_frozen + 2 * case.inventory.num_packed
    usable = min((gpu.usable_bytes for gpu in case.hardware.gpus), default=0)
    return case.stage in (1, 2) and (case.on_cpu or sums_in_a_buffer(case) or usable - resident >= flat)


def flat_copy(case: Case) -> MemoryTerm:
    """b N_t once more while stages 1 and 2 flatten the weights, when there is room; else see host.py.

    It only takes what is free, so it gets no margin.
    """
    elements = case.inventory.num_trainable if flattens_on_device(case) else 0
    return MemoryTerm(
        name="flat copy of the weights",
        phases=("load",),
        moments=("flatten",),
        device_bytes=case.weight_bytes * elements,
        formula=f"{case.weight_bytes} B x {elements:,}",
        source=f"{_STAGE_1_2} `flatten_on_accelerator`",
        kind="exact",
        pooled=False,
    )


def gradients(case: Case) -> MemoryTerm:
    """g N_t in stages 0 and 1, g n in stages 2 and 3 (g = b, or 4 where the JSON says so).

    Where stage 1 sums up bf16 gradients in fp32 they live for ever (`sums_in_a_buffer`).

    With offload none in stages 2 and 3. Stage 1 frees only those that a rank itself has sent to RAM, once a step: while
    the last micro-batch goes back with overlap_comm, g (N_t - n), or after it; with accumulation all wait, g N_t.

    In stage 3 one flat buffer lives for ever; before, gradients are there from backward to the step, and with
    accumulation from the first micro-batch on.
    """
    elements = _kept_gradients(case)
    divided = f"{case.inventory.num_trainable:,}{share(case) if case.stage >= 2 else ''}"
    counted = f"{elements:,}" if case.offloads_optimizer else divided
    lasting = case.stage == 3 or sums_in_a_buffer(case)
    early: tuple[Moment, ...] = ("loss", "backward start") if case.accumulates else ()
    return MemoryTerm(
        name="gradients",
        phases=ALWAYS if lasting else ("step", "optimizer"),
        moments=("masters",) if lasting else (*early, "backward end"),
        device_bytes=case.gradient_bytes * elements,
        formula=f"{case.gradient_bytes} B x {counted}",
        source=f"{stage_source(case)}; accumulated in the model's type, or in that of `data_types.grad_accum_dtype`",
        kind="exact",
    )


def sums_in_a_buffer(case: Case) -> bool:
    """Whether DeepSpeed takes its `BF16_Optimizer`: stage 1, bf16 weights, fp32 gradients, no offload.

    It keeps all gradients in one fp32 buffer from its start on, and those of the pass, in bf16, until it has stepped;
    with accumulation these are only set to zero (runtime/engine.py `_do_optimizer_sanity_check`, bf16_optimizer.py).
    """
    wide = case.job.precision == "bf16" and case.gradient_bytes > case.weight_bytes
    return case.stage == 1 and wide and not case.offloads_optimizer


def _kept_gradients(case: Case) -> int:
    """Elements whose gradients wait on the device for the step."""
    trained = case.inventory.num_trainable
    if case.offloads_optimizer:
        early = case.job.zero.overlap_comm and not case.accumulates
        waiting = max(0, trained - case.partition) if early else trained
        return waiting if case.stage == 1 and not case.job.zero.zenflow else 0
    return trained if case.stage < 2 else case.partition


def master_weights(case: Case) -> MemoryTerm:
    """4 n bytes (2 n with bf16 states): the copy the optimizer updates.

    Stages 1 to 3 copy also weights that already have the master's type; only stage 0 in fp32 has none (live tensors
    of a CPU run: 20 B per parameter in fp32 and 10 B with bf16 states under stages 2 and 3).
    """
    elements = sum(sub_groups_on_device(case)) if case.offloads_optimizer else case.partition
    if steps_weights_in_place(case):
        elements = 0
    return MemoryTerm(
        name="master weights",
        phases=ALWAYS,
        moments=("masters",),
        device_bytes=case.master_bytes * elements,
        formula=f"{case.master_bytes} B x {case.inventory.num_trainable:,}{_spread(case)}",
        source=stage_source(case),
        kind="exact",
    )


def optimizer_states(case: Case) -> MemoryTerm:
    """State bytes x n: two moments of Adam 8 n, bf16 moments 4 n, 8-bit moments 2.03 n, Lion and flat Adafactor 4 n.

    The first step makes them: a job may fit its first forward and not its second.
    """
    elements = sum(sub_groups_on_device(case)) if case.offloads_optimizer else case.partition
    each = state_bytes(case)
    paged = case.job.optimizer == "paged_adamw_8bit"
    return MemoryTerm(
        name="optimizer states",
        phases=STEPPED,
        device_bytes=round(each * elements),
        formula=f"{each:g} B x {case.inventory.num_trainable:,}{_spread(case)} ({case.job.optimizer})",
        source="torch AdamW; bitsandbytes 0.50.2 optim (block size 256); managed memory may page out"
        if paged
        else "torch AdamW; bitsandbytes 0.50.2 optim; transformers 5.23 Adafactor",
        kind="bound" if paged else "exact",
        low=0.0 if paged else 1.0,
    )


def gradients_kept_on_device(case: Case) -> MemoryTerm:
    """With offload_ratio < 1: the fp32 gradient buffer of the sub-groups that stay on the device, 4 B each element."""
    elements = sum(sub_groups_on_device(case)) if case.offloads_optimizer else 0
    return MemoryTerm(
        name="gradient buffer of the sub-groups on the device",
        phases=ALWAYS,
        moments=("masters",),
        device_bytes=case.master_bytes * elements,
        formula=f"{case.master_bytes} B x {elements:,} (offload_ratio {case.job.zero.offload_ratio:g})",
        source=_STAGE_3,
        kind="exact",
    )


def gradients_in_flight(case: Case) -> tuple[MemoryTerm, ...]:
    """Gradients that are not yet in a bucket: b x the head at the loss, then a layer, then the embedding.

    Where head and embedding are one, autograd keeps the head's through all of backward, until the embedding's joins it.
    Where stage 2 accumulates in another type, a rank's own wait until the pass is over
    (`_use_compact_grad_partition_buffer`); where stage 1 does, all wait for the step (`sums_in_a_buffer`).
    """
    inventory = case.inventory
    full = case.job.method == "full"
    layer = inventory.layer if full else inventory.num_trainable // max(1, case.shape.num_layers)
    last = max(layer, inventory.embedding if inventory.embedding_is_trained else 0)
    kept = 0 if case.stage >= 2 or case.accumulates else _kept_gradients(case)
    waiting = inventory.head if case.shape.tied_embeddings and inventory.embedding_is_trained else 0
    uncast = _uncast_gradients(case)
    again = uncast if case.stage == 1 and case.accumulates else 0
    at: tuple[tuple[Moment, str, int], ...] = (
        ("loss", "head", max(again, inventory.head if inventory.head_is_trained else 0)),
        ("backward start", "last layer", max(again, layer) + waiting),
        ("backward end", "first layer or embedding", waiting + (uncast or min(last, inventory.num_trainable - kept))),
    )
    return tuple(_in_flight(case, moment, what, elements) for moment, what, elements in at)


def _uncast_gradients(case: Case) -> int:
    """Elements whose gradients wait in the weights' type for their cast at the end of backward."""
    if sums_in_a_buffer(case):
        return case.inventory.num_trainable
    wide = case.gradient_bytes > case.weight_bytes and not case.offloads_optimizer
    return case.partition if case.stage == 2 and wide else 0


def _in_flight(case: Case, moment: Moment, what: str, elements: int) -> MemoryTerm:
    return MemoryTerm(
        name=f"gradient of the {what} in flight",
        phases=("step",),
        moments=(moment,),
        device_bytes=case.weight_bytes * elements,
        formula=f"{case.weight_bytes} B x {elements:,}",
        source="torch autograd: whole gradients exist until they are reduced",
        kind="bound",
        low=0.5,
    )


def _loads_whole(case: Case) -> bool:
    return case.stage == 3 and bool(case.inventory.num_quantized)


def _resting(case: Case, count: int) -> int:
    """Elements of a frozen part that rest on one device. Padding of shared tensors is under a kilobyte in all."""
    if case.offloads_param:
        return 0
    return -(-count // case.world_size) if case.shards_weights else count


def steps_weights_in_place(case: Case) -> bool:
    """Whether the optimizer updates the weights themselves, without a master copy."""
    return case.stage == 0 and case.job.precision == "fp32"


def sub_groups_on_device(case: Case) -> tuple[int, ...]:
    """Elements of the sub-groups that offload_ratio leaves on the device: the first int((1 - ratio) x count)."""
    if case.stage != 3 or case.job.zero.offload_ratio >= 1 or case.job.zero.offload_optimizer != "cpu":
        return ()
    return case.sub_groups[: int((1 - case.job.zero.offload_ratio) * len(case.sub_groups))]


def _spread(case: Case) -> str:
    ratio = case.job.zero.offload_ratio
    if case.offloads_optimizer:
        return f" x {1 - ratio:g} on the device{share(case)}" if ratio < 1 else ", offloaded"
    return share(case) if case.stage else ""
