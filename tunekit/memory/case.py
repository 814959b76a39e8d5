"""A `Case`: a job on a machine with everything the terms ask for counted once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from tunekit.hardware.spec import Hardware
from tunekit.memory.partitions import Tensors, flat_partition, persistent_elements, sharded_elements, sub_groups
from tunekit.memory.practice import WORKER, Practice
from tunekit.model_shape.adapters import trainable_tensors
from tunekit.model_shape.quantized import quantized_tensors
from tunekit.model_shape.shape import ModelShape, ParameterTensor
from tunekit.recipe.job import Adapter, Job
from tunekit.recipe.schema import MethodKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Every tensor of the job by what happens to it."""

    trainable: Tensors
    """Those that get gradients: all of the model, or the adapters and modules_to_save."""
    frozen: Tensors
    """Those of the base that stay in the weights' own type; empty for a full fine-tune."""
    quantized: Tensors
    """Those of the base that are stored in 4 or 8 bits, with their 16-bit shapes."""
    packed: Tensors
    """The same as they are stored: four or two weights in each 16-bit element."""
    num_trainable: int
    num_frozen: int
    num_quantized: int
    num_packed: int
    """Their 16-bit elements as they are stored."""
    largest_trainable: int
    """Elements of the largest trained tensor."""
    largest_quantized: int
    largest_model_tensor: int
    embedding: int
    """Elements of the input embedding."""
    head: int
    """Elements of the output head, also when it is the embedding itself."""
    layer: int
    """Elements of the largest layer."""
    head_is_trained: bool
    embedding_is_trained: bool
    groups: tuple[Tensors, ...]
    """The optimizer's parameter groups, as the Trainer makes them: with weight decay, and norms and biases without."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A job, its model and its machine. `weight_bytes` is the width of weights, gradients and activations."""

    job: Job
    shape: ModelShape
    hardware: Hardware
    inventory: Inventory
    on_cpu: bool
    world_size: int
    weight_bytes: int
    practice: Practice = WORKER

    @property
    def stage(self) -> int:
        """The ZeRO stage."""
        return self.job.zero.stage

    @property
    def master_bytes(self) -> int:
        """Bytes per element of the optimizer's own copy of the weights."""
        return 2 if self.stage > 0 and self.job.zero.bf16_states and self.job.precision != "fp32" else 4

    @property
    def gradient_bytes(self) -> int:
        """Bytes per element of the gradients that are kept; those on their way have the weights' type."""
        return 4 if self.job.zero.fp32_gradients else self.weight_bytes

    @property
    def shards_weights(self) -> bool:
        """Whether every rank keeps only its part of the weights."""
        return self.stage == 3

    @property
    def offloads_optimizer(self) -> bool:
        """Whether any optimizer state leaves the device (stage 0 cannot)."""
        return self.stage > 0 and self.job.zero.offload_optimizer != "none"

    @property
    def offloads_param(self) -> bool:
        """Whether weights rest off the device; DeepSpeed ignores offload_param below stage 3."""
        return self.stage == 3 and self.job.zero.offload_param != "none"

    @property
    def accumulates(self) -> bool:
        """Whether gradients of earlier micro-batches are alive during forward."""
        return self.job.batch.gradient_accumulation_steps > 1

    @property
    def pins(self) -> bool:
        """Whether host buffers are page-locked; the CPU accelerator pins nothing."""
        return self.job.zero.pin_memory and not self.on_cpu

    @property
    def pins_exactly(self) -> bool:
        """Whether DeepSpeed's own allocator pins, which rounds nothing; the launcher chooses it where it may."""
        return self.pins and self.hardware.host.memlock_unlimited

    @property
    def base_bits(self) -> int:
        """Bits of a weight of the quantised base."""
        return bits_of(self.job)

    @property
    def residual_bytes(self) -> int:
        """Width of the residual stream, whose copies activation checkpoints are."""
        return self.practice.residual_bytes or self.weight_bytes

    @property
    def tokens(self) -> int:
        """Tokens of one micro-batch on one device."""
        return self.job.tokens_per_device

    @cached_property
    def partition(self) -> int:
        """Trained elements per rank (n): of flat groups in stages 1, 2, tensor by tensor in stage 3, all in stage 0."""
        if self.stage == 0:
            return self.inventory.num_trainable
        if self.stage == 3:
            return sharded_elements(self.inventory.trainable, self.world_size)
        return sum(self.group_partitions)

    @cached_property
    def group_partitions(self) -> tuple[int, ...]:
        """Trained elements per rank of each parameter group, stages 1 and 2."""
        return tuple(
            flat_partition(sum(each.total for each in group), self.world_size) for group in self.inventory.groups
        )

    @cached_property
    def sub_groups(self) -> tuple[int, ...]:
        """Elements per rank of each sub-group of stage 3, all parameter groups."""
        size = self.job.zero.sub_group_size
        return tuple(part for group in self.inventory.groups for part in sub_groups(group, self.world_size, size))

    @cached_property
    def persistent(self) -> int:
        """Elements that stage 3 keeps whole on every device."""
        tensors = self.inventory.trainable + self.inventory.frozen
        return persistent_elements(tensors, self.job.zero.param_persistence_threshold)

    @property
    def gathers(self) -> bool:
        """Whether a weight must be copied together before it is used: not when one rank holds it all on its device."""
        return self.stage == 3 and (self.world_size > 1 or self.offloads_param)


def make_case(job: Job, shape: ModelShape, hardware: Hardware, practice: Practice = WORKER) -> Case:
    """Count everything once. Pure, and cached per shape and method."""
    return Case(
        job=job,
        shape=shape,
        hardware=hardware,
        inventory=take_inventory(shape, job.method, job.adapter, bits_of(job)),
        on_cpu=job.accelerator == "cpu" or not hardware.gpus,
        world_size=job.batch.world_size,
        weight_bytes=4 if job.precision == "fp32" else 2,
        practice=practice,
    )


def bits_of(job: Job) -> int:
    """Bits of a weight of the job's quantised base; 4 where it does not say."""
    return job.quantization.bits if job.quantization else 4


@lru_cache(maxsize=512)
def take_inventory(shape: ModelShape, method: MethodKind, adapter: Adapter | None, bits: int = 4) -> Inventory:
    """Sort the tensors of a model by what the method does with them; a quantised base has so many `bits`."""
    trainable = trainable_tensors(shape, method, adapter)
    quantized = quantized_tensors(shape) if method == "qlora" else ()
    frozen = () if method == "full" else _without(shape.tensors, quantized)
    saved = adapter.modules_to_save if adapter else ()
    head = shape.count("head") or shape.count("embedding")
    return Inventory(
        trainable=trainable,
        frozen=frozen,
        quantized=quantized,
        packed=tuple(replace(each, shape=(each.numel * bits // 16,)) for each in quantized),
        num_trainable=_total(trainable),
        num_frozen=_total(frozen),
        num_quantized=_total(quantized),
        num_packed=_total(quantized) * bits // 16,
        largest_trainable=_largest(trainable),
        largest_quantized=_largest(quantized),
        largest_model_tensor=_largest(shape.tensors),
        embedding=shape.count("embedding"),
        head=head,
        layer=_largest_layer(shape),
        head_is_trained=method == "full" or "lm_head" in saved,
        embedding_is_trained=method == "full" or "embed_tokens" in saved,
        groups=_parameter_groups(trainable),
    )


def _without(tensors: Tensors, taken: Tensors) -> Tensors:
    """What is left of `tensors`; a tensor of which some layers are taken keeps the others."""
    counts = {each.name: each.count for each in taken}
    left = (replace(each, count=each.count - counts.get(each.name, 0)) for each in tensors)
    return tuple(each for each in left if each.count)


def _total(tensors: Tensors) -> int:
    return sum(tensor.total for tensor in tensors)


def _largest(tensors: Tensors) -> int:
    return max((tensor.numel for tensor in tensors), default=0)


def _largest_layer(shape: ModelShape) -> int:
    layered = [tensor for tensor in shape.tensors if "{layer}" in tensor.name]
    starts = {tensor.first_layer for tensor in layered}
    return max((_layer_elements(layered, layer) for layer in starts), default=0)


def _layer_elements(layered: list[ParameterTensor], layer: int) -> int:
    return sum(each.numel for each in layered if each.first_layer <= layer < each.first_layer + each.count)


def _parameter_groups(trainable: Tensors) -> tuple[Tensors, ...]:
    """transformers 5.23 trainer.py, `get_decay_parameter_names`: norms and biases form a group of their own."""
    plain = tuple(each for each in trainable if each.role not in ("norm", "bias"))
    bare = tuple(each for each in trainable if each.role in ("norm", "bias"))
    return tuple(group for group in (plain, bare) if group)
