"""How large DeepSpeed's buckets are, from the hidden size, the card and what is trained; each with its reason.

Sizes are in elements, as DeepSpeed counts them. Sources: `deepspeed/runtime/zero/{config,stage_1_and_2,stage3}.py` of
0.19.8 for what each bucket allocates; the Hugging Face Trainer for h^2, 0.9 h^2 and 10 h
(`transformers/integrations/deepspeed.py`, `trainer_config_finalize`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tunekit.ds_config.sub_groups import sub_group_size
from tunekit.hardware.spec import Hardware
from tunekit.memory.partitions import partition_sizes
from tunekit.model_shape.shape import ModelShape, ParameterTensor
from tunekit.recipe.schema import MethodKind, Offload
from tunekit.units import GIB, format_bytes, format_count

Value = TypeVar("Value", int, bool)

_SMALLEST_BUCKET = 2**24
"""Below 2^24 elements (32 MiB of bf16) a collective is dominated by its latency."""
_DEFAULT = 10**9
"""DeepSpeed's own default for live parameters, reuse distance and sub-groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Generic[Value]):
    """A chosen value and why."""

    value: Value
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketSizes:
    """One choice per size of `Job.zero`, under the same names; all in elements."""

    reduce_bucket_size: Choice[int]
    allgather_bucket_size: Choice[int]
    prefetch_bucket_size: Choice[int]
    param_persistence_threshold: Choice[int]
    sub_group_size: Choice[int]
    max_live_parameters: Choice[int]
    max_reuse_distance: Choice[int]

    def items(self) -> Iterator[tuple[str, Choice[int]]]:
        """The choices by name."""
        return ((name, getattr(self, name)) for name in self.__slots__)


def bucket_sizes(
    shape: ModelShape,
    hardware: Hardware,
    *,
    stage: int,
    trainable: Sequence[ParameterTensor],
    world_size: int,
    offload_optimizer: Offload = "none",
    offload_param: Offload = "none",
    offload_ratio: float = 1.0,
) -> BucketSizes:
    """Choose every bucket of a plan. `trainable` are the tensors that get gradients (`shape.tensors` for full)."""
    num_trainable = sum(tensor.total for tensor in trainable)
    communication = _communication_bucket(shape, hardware, num_trainable)
    groups = sub_group_size(
        partition_sizes(trainable, world_size),
        hardware,
        stage=stage,
        world_size=world_size,
        offload_optimizer=offload_optimizer,
        offload_ratio=offload_ratio,
    )
    return BucketSizes(
        reduce_bucket_size=communication,
        allgather_bucket_size=communication,
        prefetch_bucket_size=_prefetch(shape, hardware),
        param_persistence_threshold=Choice(
            value=10 * shape.hidden_size, reason=f"10 x hidden size {shape.hidden_size}: norms and biases stay whole"
        ),
        sub_group_size=Choice(value=groups[0], reason=groups[1]),
        max_live_parameters=_live(shape, hardware),
        max_reuse_distance=_reuse(shape, hardware, offload_param),
    )


def overlap_comm(hardware: Hardware, *, stage: int, method: MethodKind) -> Choice[bool]:
    """Whether reduction overlaps with backward; costs a second reduce bucket in stages 1 and 2."""
    if not hardware.gpus:
        return Choice(value=False, reason="there are no CUDA streams to overlap on")
    if len(hardware.gpus) == 1 and stage < 3:
        return Choice(value=False, reason="one GPU reduces nothing")
    if stage == 3:
        return Choice(value=True, reason="stage 3 gathers and reduces while it computes")
    if stage == 0:
        return Choice(value=False, reason="stage 0 has no bucketed reduction")
    if method != "full":
        return Choice(value=False, reason="the gradients of adapters are too few to be worth a second bucket")
    return Choice(value=True, reason="reduction hides behind backward for one more bucket of GPU memory")


def _card_bytes(hardware: Hardware) -> int | None:
    return min((gpu.usable_bytes for gpu in hardware.gpus), default=None)


def _is_large(hardware: Hardware) -> bool:
    card = _card_bytes(hardware)
    return card is not None and card > 60 * GIB


def _cap(hardware: Hardware) -> tuple[int, str]:
    """Most elements one bucket may take: about 0.4 % of a card in bf16, twice that with overlap."""
    card = _card_bytes(hardware)
    if card is None:
        return 50_000_000, "a CPU process"
    size = 50_000_000 if card <= 32 * GIB else 100_000_000 if card <= 60 * GIB else 200_000_000
    return size, f"a card of {format_bytes(card)}"


def _communication_bucket(shape: ModelShape, hardware: Hardware, num_trainable: int) -> Choice[int]:
    cap, card = _cap(hardware)
    square = shape.hidden_size**2
    if num_trainable <= min(max(square, _SMALLEST_BUCKET), cap):
        return Choice(value=num_trainable, reason=f"all {format_count(num_trainable)} trained parameters in one bucket")
    if square > cap:
        return Choice(value=cap, reason=f"hidden size {shape.hidden_size} squared, capped for {card}")
    if square < _SMALLEST_BUCKET:
        return Choice(value=_SMALLEST_BUCKET, reason="2^24: smaller collectives are dominated by latency")
    return Choice(value=square, reason=f"hidden size {shape.hidden_size} squared")


def _prefetch(shape: ModelShape, hardware: Hardware) -> Choice[int]:
    cap, card = _cap(hardware)
    wanted = shape.hidden_size**2 * 9 // 10
    if wanted > cap:
        return Choice(value=cap, reason=f"0.9 x hidden size squared, capped for {card}")
    return Choice(value=wanted, reason=f"0.9 x hidden size {shape.hidden_size} squared")


def _layer_elements(shape: ModelShape) -> int:
    return sum(tensor.numel for tensor in shape.tensors if "{layer}" in tensor.name)


def _live(shape: ModelShape, hardware: Hardware) -> Choice[int]:
    if _is_large(hardware):
        return Choice(value=_DEFAULT, reason="DeepSpeed's default; the card is large")
    wanted = 2 * _layer_elements(shape) + shape.count("embedding", "head")
    return Choice(value=min(wanted, _DEFAULT), reason="embedding, head and two layers gathered at once, at most 1e9")


def _reuse(shape: ModelShape, hardware: Hardware, offload_param: Offload) -> Choice[int]:
    if _is_large(hardware) and offload_param == "none":
        return Choice(value=_DEFAULT, reason="DeepSpeed's default; the card is large")
    two_layers = 2 * _layer_elements(shape)
    cap = 8 * _cap(hardware)[0]
    if two_layers > cap:
        return Choice(value=cap, reason=f"keeps at most {format_bytes(cap)} of parameters between forward and backward")
    return Choice(value=two_layers, reason="a layer stays gathered from its recomputation to its backward")
