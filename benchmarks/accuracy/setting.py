"""What a row says, as values the memory model takes, and how its figure was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from accuracy.peft_methods import PeftMethod
from tunekit.hardware.spec import Hardware
from tunekit.memory.practice import Practice
from tunekit.memory.terms import Phase
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Job

Engine = Literal["deepspeed", "plain", "ddp", "fsdp", "fsdp2"]
Reading = Literal["allocated", "steady", "weights", "reserved", "device", "forward", "backward", "host", "none"]
"""allocated: torch's peak; steady: what stays after a step; weights: after the model was loaded; reserved: what the
caching allocator holds; device: the whole card; forward, backward: alive after them; host: resident sets of all ranks;
none: whether it ran at all."""
Base = Literal["plain", "nf4", "gptq", "int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """How a program without DeepSpeed keeps what it trains. Widths in bytes per element."""

    trained_bytes: int = 2
    """Width of trained weights as they are stored, and of their gradients."""
    stored_bytes: int | None = None
    """Width of the layers' trained matrices where it is not that of their gradients."""
    moment_bytes: float | None = None
    """Width of both moments together, None for twice the weights' own."""
    step_copies: float = 1.0
    """Temporaries of the optimizer step in copies of the trained weights: one of torch's foreach AdamW, none fused."""
    saved_bytes: int = 2
    """The same of modules that are trained in full beside an adapter: PEFT copies them in the base's type."""
    keeps_gradients: bool = False
    """Whether gradients are still there when the program is read at rest."""
    frozen_upcast: bool = False
    """Whether what is not quantised of a frozen base stands in float32."""
    base: Base = "plain"
    groups: bool = True
    """Whether GPTQ has scales per 128 weights of a row, not one per row."""
    ends_apart: bool = False
    """Whether FSDP 2 shards embedding and head apart, so that each is whole only while it is used."""
    trained_whole: bool = False
    """Whether FSDP leaves what is trained whole on every rank (adapters as ignored modules)."""
    quantizes_head: bool = False
    """Whether the output head of a quantised base is quantised too."""
    dequantises_twice: bool = False
    """Whether 4-bit weights are dequantised in float16 and copied to bfloat16."""
    left_over: int = 0
    """Bytes per token that the last micro-step leaves until this one has its logits."""
    whole_at_first: bool = False
    """Whether every process holds the whole model before FSDP shares it, within what is read."""
    optimizer_in_ram: bool = False
    weights_in_ram: bool = False
    in_backward: bool = False
    """Whether each gradient is used and freed during backward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A row mapped: what to estimate and what to compare it with."""

    name: str
    group: str
    confidence: str
    engine: Engine
    job: Job
    shape: ModelShape
    hardware: Hardware
    practice: Practice
    states: States
    reading: Reading
    measured_bytes: int | None
    ran: bool | None
    """True: known to have run on this card; False: known to have run out of memory; None: the card is not known."""
    is_peak: bool = True
    phase: Phase | None = None
    """The phase of a run that was read alone; None for the peak of training."""
    at_rest: bool = False
    """Whether the processes had nothing but their imports."""
    open_reading: bool = False
    """Whether the source does not say what was read, or in which unit."""
    outside_bytes: int | None = None
    """What the source says the context takes of the card."""
    method: PeftMethod | None = None
    """What another method than LoRA keeps of each adapted projection."""
    mean_length: int = 0
    """Mean tokens of rows whose lengths change from step to step; 0 where all are alike."""
    expandable: bool = False
    """Whether the allocator's segments can grow, so that hardly more is reserved than used."""
    published: str = ""
    """Date of the table, by which the versions of libraries are told."""
    output_bytes: float = 0.0
    """Bytes per logit of a model's output that is alive when the figure is read."""
    gradients: bool = True
    """Whether a forward pass builds a graph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmapped:
    """A row that cannot be estimated, and why."""

    name: str
    group: str
    reason: str
