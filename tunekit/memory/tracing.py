"""What is asked of a trace, what it answers, and what the formulas say of the same bytes. The worker traces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tunekit.memory import activations, logits
from tunekit.memory.case import Case
from tunekit.memory.terms import MemoryTerm, Moment
from tunekit.recipe.job import Accelerator, Adapter, Job
from tunekit.recipe.schema import Attention, MethodKind, Precision

ALL_LINEAR = ("all-linear",)
"""Target modules that PEFT resolves itself, where tunekit does not know the model's modules."""

TracedName = Literal["forward", "loss", "backward", "eval"]
TRACED_NAMES: tuple[TracedName, ...] = ("forward", "loss", "backward", "eval")
"""forward: until the last layer is left; loss: the head, the loss and their backward; backward: the layers'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRequest:
    """Everything that decides activations: the keys of config.json, the method, and one micro-batch."""

    model: str
    config: dict[str, Any]
    folder: str | None = None
    """Where the model's own code lies, for a model that brings some and is trusted."""
    adapter: Adapter | None
    """`target_modules` may be `ALL_LINEAR`."""
    method: MethodKind
    base: Literal["none", "nf4", "fp4", "int8"] = "none"
    """How a frozen base is quantised."""
    double_quant: bool = False
    accelerator: Accelerator
    precision: Precision
    attention: Attention
    micro_batch_size: int
    max_seq_length: int
    packing: bool
    activation_checkpointing: bool
    reentrant: bool = False
    loss: Literal["chunked", "full"]
    evaluates: bool = False
    depths: tuple[int, ...] = ()
    """Trace these numbers of layers and extend; empty: all layers, or what the time allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedPhase:
    """Peak bytes of a part of the step: of activations alone, and with the gradients of weights not yet taken away."""

    name: TracedName
    activation_bytes: int
    with_gradients_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedModule:
    """Bytes that are alive at the peak of the step and were made by modules of one name, `*` for the layer's number."""

    name: str
    count: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Peaks of one micro-batch on one device. `modules` are what holds the peak of the step, largest bytes first."""

    phases: tuple[TracedPhase, ...]
    modules: tuple[TracedModule, ...]
    num_layers: int
    depths: tuple[int, ...]
    """Numbers of layers traced: (num_layers,), or smaller ones from which the rest was extended linearly."""
    kernels: tuple[str, ...]
    """Attention kernels whose memory was counted."""
    seconds: float
    rss_bytes: int
    notes: tuple[str, ...] = ()

    @property
    def peak(self) -> TracedPhase:
        """The largest part of the training step."""
        return max((each for each in self.phases if each.name != "eval"), key=lambda each: each.activation_bytes)

    def bytes_of(self, name: TracedName) -> int | None:
        """Peak activation bytes of one part; None where it was not traced."""
        return next((each.activation_bytes for each in self.phases if each.name == name), None)


def trace_request(job: Job, model: str, config: Mapping[str, Any]) -> TraceRequest:
    """What to trace for a job whose every question is answered."""
    quantization = job.quantization
    return TraceRequest(
        model=model,
        config=dict(config),
        adapter=job.adapter,
        method=job.method,
        base=quantization.kind if quantization else "none",
        double_quant=bool(quantization and quantization.double_quant),
        accelerator=job.accelerator,
        precision=job.precision,
        attention=job.attention,
        micro_batch_size=job.batch.micro_batch_size,
        max_seq_length=job.max_seq_length,
        packing=job.packing,
        activation_checkpointing=job.activation_checkpointing,
        reentrant=job.reentrant_checkpointing,
        loss=job.loss,
        evaluates=job.evaluates,
    )


_STEP: tuple[Callable[[Case], MemoryTerm], ...] = (
    activations.activation_checkpoints,
    activations.saved_activations,
    activations.dequantised_weight,
    activations.attention_mask,
    activations.inputs_and_tables,
    logits.loss,
    logits.head_gradient,
)
_EVAL: tuple[Callable[[Case], MemoryTerm], ...] = (
    activations.attention_mask,
    activations.inputs_and_tables,
    activations.evaluation_forward,
    logits.evaluation_loss,
)


def activation_terms(case: Case) -> tuple[MemoryTerm, ...]:
    """The terms of a step that a trace sees: activations, logits and what kernels need for a moment."""
    single = [term(case) for term in _STEP]
    several = (activations.attention_bias, activations.layer_in_backward, activations.merged_experts)
    return (*single, *(term for terms in several for term in terms(case)))


def formula_bytes(case: Case) -> dict[TracedName, int]:
    """The formulas' peaks of the parts that they know: loss, backward, eval."""
    terms = activation_terms(case)

    def alive(moment: Moment) -> int:
        return sum(term.device_bytes for term in terms if not term.moments or moment in term.moments)

    found: dict[TracedName, int] = {
        "loss": alive("loss"),
        "backward": max(alive("backward start"), alive("backward end")),
    }
    if case.job.evaluates:
        found["eval"] = sum(term(case).device_bytes for term in _EVAL)
    return found
