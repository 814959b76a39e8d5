"""A `SpeedCase`: a job on a machine's rates, with everything the terms ask for counted once per model and method."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from tunekit.memory.case import take_inventory
from tunekit.memory.layer_code import LayerCode, layer_code, widths
from tunekit.model_shape.adapters import adapter_tensors
from tunekit.model_shape.shape import ModelShape, ParameterTensor
from tunekit.recipe.job import Adapter, Job
from tunekit.recipe.schema import MethodKind
from tunekit.speed.habits import WORKER, Habits
from tunekit.speed.lengths import mean_length, row_length, useful_share
from tunekit.speed.rates import Rate, Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Parameters by what a token does with them, and the widths of a layer. Active experts only where it says so."""

    layers: int
    windowed: int
    """Layers that attend to no more than `window` positions."""
    window: int
    products: int
    """Elements of the layers' matrices that one token passes: active experts only."""
    trained_products: int
    """Those of them that get a gradient: all, or none with adapters."""
    stored_products: int
    """Elements of all the layers' matrices, all experts: what is read, gathered or unpacked."""
    product_widths: int
    """Inputs and outputs of those products per token, in elements."""
    head: int
    head_trained: bool
    everything: int
    """Elements of the whole model."""
    trained: int
    quantized: int
    plain: int
    """Frozen elements in 16 bits."""
    hidden: int
    ffn: int
    queries: int
    values: int
    heads: int
    gated: bool
    norms: int
    """Norms of hidden width per layer, those of heads counted as one."""
    linears: int
    """Linear modules of a layer that a token passes."""
    vocab: int
    code: LayerCode
    adapters: int
    """Adapted modules of all layers together."""
    adapter_inputs: int
    """Sum of the input widths of all adapted modules."""
    adapter_outputs: int
    adapter_elements: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedCase:
    """A job, what was counted for it, and how fast the machine is."""

    job: Job
    counts: Counts
    rates: Rates
    habits: Habits
    tokens: int
    """Positions of one micro-batch on one card."""
    row: int
    """Positions that attend to one another."""
    passes: int
    """Micro-batches of an optimizer step."""
    world_size: int
    weight_bytes: int

    @property
    def products(self) -> Rate:
        """The rate of matrix products in the job's precision."""
        return self.rates.fp32 if self.job.precision == "fp32" else self.rates.matmul

    @property
    def recomputes(self) -> bool:
        """Whether layers run forward a second time in backward."""
        return self.job.activation_checkpointing

    @property
    def shards_weights(self) -> bool:
        """Whether weights are collected before use."""
        return self.job.zero.stage == 3 and (self.world_size > 1 or self.streams)

    @property
    def streams(self) -> bool:
        """Whether weights rest off the card."""
        return self.job.zero.stage == 3 and self.job.zero.offload_param != "none"

    @property
    def offloads(self) -> bool:
        """Whether the CPU steps the optimizer."""
        return self.job.zero.stage > 0 and self.job.zero.offload_optimizer != "none"

    @property
    def offloaded(self) -> float:
        """Share of the trained elements that the CPU steps."""
        return self.job.zero.offload_ratio if self.offloads else 0.0

    @property
    def others(self) -> float:
        """(P - 1) / P: the share of everything that other ranks hold."""
        return (self.world_size - 1) / self.world_size


def make_case(job: Job, shape: ModelShape, rates: Rates, habits: Habits = WORKER) -> SpeedCase:
    """Count what was not counted before. Pure, and cached per model and method."""
    joined = job.packing and job.attention != "flash_attention_2"
    length = row_length(job, habits)
    tokens = job.batch.micro_batch_size * length
    return SpeedCase(
        job=job,
        counts=count(shape, job.method, job.adapter),
        rates=rates,
        habits=habits,
        tokens=tokens,
        row=tokens if joined else length,
        passes=job.batch.gradient_accumulation_steps,
        world_size=job.batch.world_size,
        weight_bytes=4 if job.precision == "fp32" else 2,
    )


def padded_cases(case: SpeedCase) -> tuple[SpeedCase, SpeedCase] | None:
    """The case with rows padded as little and as much as `useful_share` allows; None where nothing is padded.

    The tokens that are learned from are the same: it is the positions that nobody knows.
    """
    share = useful_share(case.job, case.habits)
    if share.low == share.high:
        return None
    mean = mean_length(case.job, case.habits)
    return _with_rows(case, mean / share.high), _with_rows(case, mean / share.low)


def _with_rows(case: SpeedCase, length: float) -> SpeedCase:
    row = max(1, round(length))
    return replace(case, row=row, tokens=row * case.job.batch.micro_batch_size)


@lru_cache(maxsize=512)
def count(shape: ModelShape, method: MethodKind, adapter: Adapter | None) -> Counts:
    """Count a model's parameters by what a token does with them."""
    inventory = take_inventory(shape, method, adapter)
    size = widths(shape)
    layered = [each for each in shape.tensors if each.in_layers and each.role in ("linear", "router", "expert")]
    active = round(sum(_share(each, shape) * each.total for each in layered))
    sides = [each for each in adapter_tensors(shape, adapter) if "lora_" in each.name] if adapter else []
    firsts = [each for each in sides if "_A" in each.name]
    seconds = [each for each in sides if "_B" in each.name]
    return Counts(
        layers=shape.num_layers,
        windowed=shape.sliding_layers,
        window=shape.sliding_window,
        products=active,
        trained_products=active if method == "full" else 0,
        stored_products=sum(each.total for each in layered),
        product_widths=round(sum(_share(each, shape) * _widths(each) for each in layered)),
        head=inventory.head,
        head_trained=inventory.head_is_trained,
        everything=shape.num_parameters,
        trained=inventory.num_trainable,
        quantized=inventory.num_quantized,
        plain=inventory.num_frozen,
        hidden=size.hidden,
        ffn=size.ffn,
        queries=size.queries,
        values=size.values,
        heads=size.heads,
        gated=size.gated,
        norms=_norms(shape),
        linears=_linears(layered, shape),
        vocab=shape.vocab_size,
        code=layer_code(shape.family),
        adapters=sum(each.count for each in firsts),
        adapter_inputs=sum(each.count * each.shape[-1] for each in firsts),
        adapter_outputs=sum(each.count * each.shape[-2] for each in seconds),
        adapter_elements=sum(each.total for each in sides),
    )


def _share(tensor: ParameterTensor, shape: ModelShape) -> float:
    """Share of a tensor that one token passes."""
    if tensor.role != "expert" and ".experts." not in tensor.name:
        return 1.0
    return shape.experts_per_token / max(1, shape.num_experts)


def _widths(tensor: ParameterTensor) -> int:
    """Inputs and outputs of all matrices in a tensor; fused experts hold several."""
    matrices = tensor.count * (tensor.shape[0] if tensor.role == "expert" else 1)
    return matrices * sum(tensor.shape[-2:])


def _norms(shape: ModelShape) -> int:
    """Norms that run in a layer; those of single heads are narrow and count as one."""
    weights = [each for each in shape.tensors if each.in_layers and each.role == "norm" and each.first_layer == 0]
    wide = sum(1 for each in weights if each.shape[-1] == shape.hidden_size and each.name.endswith("weight"))
    return max(1, wide) + any(each.shape[-1] != shape.hidden_size for each in weights)


def _linears(layered: list[ParameterTensor], shape: ModelShape) -> int:
    first = [each for each in layered if each.first_layer == 0]
    dense = sum(1 for each in first if each.role != "expert" and ".experts." not in each.name)
    return dense + (3 * shape.experts_per_token if shape.num_experts else 0)
