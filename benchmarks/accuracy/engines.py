"""Model states of programs that do not use DeepSpeed, as terms: one process, data parallel, and torch's FSDP."""

from __future__ import annotations

from accuracy.peft_methods import PeftMethod
from accuracy.setting import Engine, States
from tunekit.memory import activations, logits, model_states, overheads
from tunekit.memory.case import Case
from tunekit.memory.estimate import collect_terms
from tunekit.memory.model_states import ALWAYS, FORWARD, TRAINING
from tunekit.memory.terms import Kind, MemoryTerm, Moment, Phase

_SINGLE = (
    activations.activation_checkpoints,
    activations.saved_activations,
    activations.layer_input_gradients,
    activations.dequantised_weight,
    activations.attention_mask,
    activations.inputs_and_tables,
    logits.loss,
    logits.head_gradient,
    overheads.cuda_context,
    overheads.loaded_kernels,
    overheads.nccl_buffers,
    overheads.cublas_workspace,
)


def engine_terms(case: Case, engine: Engine, states: States) -> tuple[MemoryTerm, ...]:
    """Every term of a training step under the engine; DeepSpeed's are the product's own."""
    if engine == "deepspeed":
        return collect_terms(case)
    terms = [make(case) for make in _SINGLE]
    terms += [*activations.layer_in_backward(case), *activations.merged_experts(case)]
    terms += [trained(case, engine, states), gradients(case, engine, states), moments(case, engine, states)]
    terms += [stepping(case, engine, states), *base(case, engine, states)]
    terms += [*in_flight(case, engine, states), *gathered(case, engine, states), *reducing(case, engine, states)]
    terms += from_ram(case, engine, states)
    terms += [*head_in_work(case, states), cast_weights(case, engine, states), left_over(case, states)]
    return tuple(term for term in terms if term.device_bytes)


def method_term(case: Case, method: PeftMethod | None) -> tuple[MemoryTerm, ...]:
    """What another method than LoRA keeps of every adapted projection, beside its inputs."""
    if method is None or case.job.adapter is None or not (method.outputs or method.weights):
        return ()
    layers = 1 if case.job.activation_checkpointing else case.shape.num_layers
    inner = [each for each in case.inventory.trainable if each.in_layers and each.first_layer == 0]
    sides = [(a.shape[-1], b.shape[0], a.name) for a, b in zip(inner[::2], inner[1::2], strict=False)]
    scaled = [(4 * into if method.feeds_input and "down_proj" in name else 0, out) for into, out, name in sides]
    flows = sum(given or method.outputs * out for given, out in scaled)
    whole = method.weights * sum(into * out for into, out, _ in sides)
    size = layers * (flows * case.tokens + whole)
    return (_term("what the method keeps", FORWARD, size, moments=("loss", "backward start"), kind="bound"),)


def ranks(case: Case, engine: Engine) -> int:
    """Over how many processes states are divided."""
    return case.world_size if engine in ("fsdp", "fsdp2") else 1


def trained_count(case: Case, engine: Engine, states: States) -> int:
    """Trained elements that one process keeps."""
    return case.inventory.num_trainable // (1 if states.trained_whole else ranks(case, engine))


def trained_size(case: Case, engine: Engine, states: States) -> int:
    """Bytes of what one process trains, once: adapters and modules beside them may differ in width."""
    shared = 1 if states.trained_whole else ranks(case, engine)
    saved = sum(each.total for each in case.inventory.trainable if ".modules_to_save." in each.name)
    return (states.trained_bytes * (case.inventory.num_trainable - saved) + states.saved_bytes * saved) // shared


def trained(case: Case, engine: Engine, states: States) -> MemoryTerm:
    """w N_t / P."""
    size = trained_size(case, engine, states)
    if states.stored_bytes is not None:
        matrices = sum(each.total for each in case.inventory.trainable if each.role == "linear")
        size -= (states.trained_bytes - states.stored_bytes) * matrices // ranks(case, engine)
    return _term("trained weights", ALWAYS, 0 if states.weights_in_ram else size)


def gradients(case: Case, engine: Engine, states: States) -> MemoryTerm:
    """w N_t / P; twice with data parallel buckets. With accumulation they are there during forward."""
    early: tuple[Moment, ...] = ("loss", "backward start") if case.accumulates or states.keeps_gradients else ()
    copies = 2 if engine == "ddp" else 0 if states.in_backward or states.optimizer_in_ram else 1
    phases: tuple[Phase, ...] = ("step", "optimizer", "save") if states.keeps_gradients else ("step", "optimizer")
    return _term("gradients", phases, copies * trained_size(case, engine, states), moments=(*early, "backward end"))


_NARROW_MOMENTS = {"adamw_8bit": 2 * (1 + 4 / 256), "paged_adamw_8bit": 2 * (1 + 4 / 256), "adafactor": 0.0, "sgd": 0.0}
"""Bytes per element of optimizers whose states are not the weights' type; torch's Adafactor keeps rows and columns."""


def moments(case: Case, engine: Engine, states: States) -> MemoryTerm:
    """Both moments: 2 w N_t / P, or what the optimizer's own type makes of them."""
    each = _NARROW_MOMENTS.get(case.job.optimizer, states.moment_bytes)
    size = 2 * trained_size(case, engine, states)
    if each is not None:
        size = round(each * trained_count(case, engine, states))
    return _term("optimizer states", TRAINING, 0 if states.optimizer_in_ram else size)


def cast_weights(case: Case, engine: Engine, states: States) -> MemoryTerm:
    """Autocast's 16-bit copies of float32 matrices, which autograd keeps until their backward: b each element.

    A frozen base in float32 is cast likewise: every matrix, since inputs need gradients.
    """
    inventory, full = case.inventory, case.job.method == "full"
    wide = states.trained_bytes == 4 if full else states.frozen_upcast and states.base == "plain"
    cast = (*inventory.trainable, *inventory.frozen) if engine in ("plain", "ddp") and wide else ()
    matrices = sum(each.total for each in cast if each.role in ("linear", "head"))
    size = case.weight_bytes * matrices if case.weight_bytes == 2 else 0
    return _term("cast weights", ("first forward", "step"), size, moments=("loss", "backward start"))


def stepping(case: Case, engine: Engine, states: States) -> MemoryTerm:
    """Temporaries of the step: w N_t / P per copy; none of optimizers that step tensor by tensor."""
    elsewhere = states.optimizer_in_ram or states.in_backward or case.job.optimizer in _NARROW_MOMENTS
    size = 0 if elsewhere else round(states.step_copies * trained_size(case, engine, states))
    return _term("optimizer step", ("optimizer",), size)


def base(case: Case, engine: Engine, states: States) -> tuple[MemoryTerm, ...]:
    """The frozen base as it is stored."""
    divided, inventory, in_ram = ranks(case, engine), case.inventory, states.weights_in_ram
    width = 4 if states.frozen_upcast else case.weight_bytes
    head = case.shape.count("head") if states.quantizes_head and states.base != "plain" else 0
    plain = inventory.num_frozen - head + (0 if states.base != "plain" else inventory.num_quantized)
    packed = _PACKED.get(states.base, 0.0) * (inventory.num_quantized + head)
    whole = case.weight_bytes * case.shape.num_parameters if states.whole_at_first and divided > 1 else 0
    return (
        _term("frozen base", ALWAYS, 0 if in_ram else width * plain // divided),
        _term("quantised base", ALWAYS, 0 if in_ram else round(packed / divided)),
        _term("scales of the quantised base", ALWAYS, scales(case, states)),
        _term("whole model before it is shared", ("first forward",), whole),
    )


_PACKED = {"nf4": 0.5, "gptq": 0.5, "int8": 1.0}
"""Bytes per element of quantised bases, without scales."""


def head_in_work(case: Case, states: States) -> tuple[MemoryTerm, ...]:
    """A quantised head is the largest linear that backward dequantises: b V h, twice where it is copied."""
    if not states.quantizes_head or states.base == "plain":
        return ()
    copies, largest = 2 if states.dequantises_twice else 1, case.inventory.largest_quantized
    head = max(case.shape.count("head"), largest)
    return (
        _term("dequantised head", ("step",), copies * case.weight_bytes * head, moments=("loss",)),
        _term("copy of the dequantised weight", ("step",), (copies - 1) * case.weight_bytes * largest, moments=_BACK),
    )


_BACK: tuple[Moment, ...] = ("backward start", "backward end")


def left_over(case: Case, states: States) -> MemoryTerm:
    """What a script's own names hold of the last micro-step, while the next one's forward runs."""
    return _term("left of the last step", ("first forward",), states.left_over * case.tokens)


def scales(case: Case, states: States) -> int:
    """Bytes of scales, which are no parameters and so are whole on every rank; GPTQ's zeros are, in 32-bit words."""
    count = case.inventory.num_quantized
    if states.base == "nf4":
        return model_states.base_scales(case).device_bytes
    if states.base == "gptq":
        rows = sum(4 * each.shape[-1] * each.count for each in case.inventory.quantized)
        grouped = 2 * count // 128 + count // 256 // case.world_size
        return rows + (grouped if states.groups else 0)
    if states.base == "int8":
        return sum(4 * each.shape[0] * each.count for each in case.inventory.quantized)
    return 0


def in_flight(case: Case, engine: Engine, states: States) -> tuple[MemoryTerm, ...]:
    """Gradients on their way: whole layers of them under FSDP."""
    made = model_states.gradients_in_flight(case)
    full = case.job.method == "full"
    return made if full and (engine in ("fsdp", "fsdp2") or states.in_backward) else made[:2] if full else ()


def gathered(case: Case, engine: Engine, states: States) -> tuple[MemoryTerm, ...]:
    """FSDP: the outer unit (embedding, head) stays whole during a step, and the layer in work; b each element.

    FSDP 2 gathers the next layer meanwhile. It copies also what one rank has alone, where it is stored wider.
    """
    alone = case.world_size == 1 and (engine == "fsdp" or states.trained_bytes == case.weight_bytes)
    if engine not in ("fsdp", "fsdp2") or alone:
        return ()
    inventory = case.inventory
    tied = case.shape.tied_embeddings
    root = case.weight_bytes * (inventory.embedding + (0 if tied else inventory.head))
    layers = max(1, case.shape.num_layers)
    packed = _PACKED.get(states.base, 0.0) * inventory.num_quantized / layers
    quantized = inventory.num_quantized // layers if states.base != "plain" else 0
    layer = case.weight_bytes * (inventory.layer - quantized) + round(packed)
    ends = _term("outer unit gathered", (*FORWARD, "optimizer"), root)
    if states.ends_apart:
        ends = _term("head gathered", FORWARD, case.weight_bytes * inventory.head, moments=("loss",))
    return (
        ends,
        _term("layer gathered", FORWARD, layer * (2 if engine == "fsdp2" else 1)),
    )


def reducing(case: Case, engine: Engine, states: States) -> tuple[MemoryTerm, ...]:
    """FSDP 2: a layer's gradients once more in the type they are reduced in. The outer unit's wait until the end."""
    if engine != "fsdp2" or case.job.method != "full":
        return ()
    inventory = case.inventory
    sizes: tuple[tuple[Moment, int], ...] = (
        ("backward start", inventory.layer),
        ("backward end", max(inventory.layer, inventory.embedding)),
    )
    outer = case.weight_bytes * inventory.head
    return (
        _term("gradient of the head waits", ("step",), outer, moments=("backward start", "backward end")),
        *(
            _term("gradients being reduced", ("step",), states.trained_bytes * size, moments=(moment,))
            for moment, size in sizes
        ),
    )


def from_ram(case: Case, engine: Engine, states: States) -> tuple[MemoryTerm, ...]:
    """FSDP 2 with weights in RAM: a rank's part of a layer is brought in and cast, and that of its gradient taken out.

    (w + b) / P of the layer that is gathered next, w / P of the layer whose gradients were reduced.
    """
    if engine != "fsdp2" or not states.weights_in_ram:
        return ()
    part = -(-case.inventory.layer // case.world_size)
    reduced = states.trained_bytes * part if case.job.method == "full" else 0
    return (
        _term("shards brought from RAM", FORWARD, (states.trained_bytes + case.weight_bytes) * part),
        _term("reduced gradients taken to RAM", ("step",), reduced, moments=("backward start", "backward end")),
    )


def _term(
    name: str, phases: tuple[Phase, ...], size: int, *, moments: tuple[Moment, ...] = (), kind: Kind = "exact"
) -> MemoryTerm:
    return MemoryTerm(
        name=name, phases=phases, moments=moments, device_bytes=size, formula=f"{size:,} B", source="torch", kind=kind
    )
