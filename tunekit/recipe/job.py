"""A `Job` is a recipe with every question answered: what the memory model weighs and the worker runs.

Every field that may be `auto` in the recipe stands here with its value. All values are plain, frozen and comparable,
so that a search can vary them with `dataclasses.replace`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tunekit.recipe.schema import Attention, MethodKind, Offload, Optimizer, Precision

Accelerator = Literal["cuda", "cpu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """LoRA as it is built: `target_modules` are resolved leaf names, e.g. ("q_proj", "v_proj")."""

    rank: int
    alpha: int
    dropout: float
    target_modules: tuple[str, ...]
    modules_to_save: tuple[str, ...] = ()
    use_rslora: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """The quantised base: `kind` nf4 or fp4 in 4 bits and blocks of 64, int8 (LLM.int8) with one scale per row."""

    kind: Literal["nf4", "fp4", "int8"]
    double_quant: bool
    """Whether the scales of a 4-bit base are quantised too."""

    @property
    def bits(self) -> int:
        """Bits of a weight."""
        return 8 if self.kind == "int8" else 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Zero:
    """DeepSpeed's ZeRO as it is configured; sizes in elements, as DeepSpeed counts them."""

    preset: str
    """Name of the preset, or the path of the user's JSON, that this came from."""
    stage: int
    offload_optimizer: Offload
    offload_param: Offload
    offload_ratio: float
    bf16_states: bool
    nvme_path: str | None
    pin_memory: bool
    overlap_comm: bool
    reduce_bucket_size: int
    allgather_bucket_size: int
    prefetch_bucket_size: int
    param_persistence_threshold: int
    sub_group_size: int
    max_live_parameters: int
    max_reuse_distance: int
    zenflow: bool = False
    fp32_gradients: bool = False
    """Gradients are accumulated in float32 (`data_types.grad_accum_dtype`) instead of the weights' type."""
    unfused_adam: bool = False
    """torch's AdamW without its fused kernel (`torch_adam`): it needs temporaries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """global_batch_size = micro_batch_size x gradient_accumulation_steps x world_size, always."""

    micro_batch_size: int
    gradient_accumulation_steps: int
    world_size: int

    @property
    def global_batch_size(self) -> int:
        """Rows per optimizer step over all processes."""
        return self.micro_batch_size * self.gradient_accumulation_steps * self.world_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """How long the samples are that rows are made of, or filled with when packed."""

    mean_tokens: int
    """Each cut at `max_seq_length`."""
    source: str
    """What it was read from, or why it is assumed."""
    assumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything that decides bytes, seconds and the trainer's arguments."""

    accelerator: Accelerator
    method: MethodKind
    adapter: Adapter | None
    quantization: Quantization | None
    zero: Zero
    batch: Batch
    max_seq_length: int
    packing: bool
    completion_only_loss: bool
    """True: answers only. Rows of plain text hold no answer and are learned whole either way."""
    precision: Precision
    attention: Attention
    optimizer: Optimizer
    learning_rate: float
    activation_checkpointing: bool
    loss: Literal["chunked", "full"]
    evaluates: bool
    save_checkpoints: bool
    keep_checkpoints: int
    num_workers: int = 0
    samples: Samples | None = None
    """None: nobody knows, so that lengths are taken as spread evenly from none to `max_seq_length`."""

    @property
    def tokens_per_device(self) -> int:
        """Tokens of one micro-batch on one device, rows filled to max_seq_length."""
        return self.batch.micro_batch_size * self.max_seq_length

    @property
    def reentrant_checkpointing(self) -> bool:
        """Whether activations are recomputed by a backward inside backward.

        PEFT under ZeRO-3 needs it (huggingface/trl issue 2514). On a CPU it is 8 % faster, as it hooks no saved tensor:
        SmolLM2-135M, LoRA, rows of 256 tokens, 2.67 s a step, not 2.91. LLM.int8 layers keep their inputs beside
        autograd's saved tensors, so that the other kind would recompute and free nothing (bitsandbytes 0.50.2,
        `MatMul8bitLt`). Everything else does what PyTorch advises.
        """
        eight_bits = self.quantization is not None and self.quantization.bits == 8
        return self.accelerator == "cpu" or eight_bits or (self.method != "full" and self.zero.stage == 3)
