"""What a recipe may say: every key with its unit, default and allowed values.

A key of type `Auto[...]` may be left out or written `auto`: it is `None` here and the planner answers it in `Job`,
with a reason. A key of type `Off[...]` may be written `off`: it is `None` here. Every other key has a plain default.
Unknown keys are errors at every depth.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, field_validator

Value = TypeVar("Value")

LARGEST = 10**12
"""No count in a recipe is larger: beyond it arithmetic on bytes leaves what a float can hold."""

MethodKind = Literal["full", "lora", "qlora"]
Offload = Literal["none", "cpu", "nvme"]
Precision = Literal["bf16", "fp16", "fp32"]
Attention = Literal["eager", "sdpa", "flash_attention_2"]
Optimizer = Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "adafactor", "lion", "sgd"]
Scheduler = Literal["cosine", "linear", "constant", "constant_with_warmup"]
DataFormat = Literal["alpaca", "sharegpt", "messages", "prompt_completion", "text"]
Tracker = Literal["tensorboard", "wandb"]
Occasion = Literal["started", "warning", "stopped", "failed", "done"]


def _auto_to_none(value: Any) -> Any:
    return None if value == "auto" else value


def _none_to_auto(value: Any) -> Any:
    return "auto" if value is None else value


Auto = Annotated[
    Value | None,
    BeforeValidator(_auto_to_none),
    PlainSerializer(_none_to_auto, when_used="json"),
]


def _off_to_none(value: Any) -> Any:
    if value is None:
        raise ValueError("nothing is not off")
    # YAML reads a bare `off` as false.
    return None if value is False or value == "off" else value


def _none_to_off(value: Any) -> Any:
    return "off" if value is None else value


Off = Annotated[
    Value | None,
    BeforeValidator(_off_to_none),
    PlainSerializer(_none_to_off, when_used="json"),
]


class Section(BaseModel):
    """A part of a recipe: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _meant(cls, value: Any) -> Any:
        if isinstance(value, int) and value > LARGEST:
            raise ValueError(f"more than {LARGEST}")
        if isinstance(value, str) and "\0" in value:
            raise ValueError("a NUL byte")
        return value


class ModelSection(Section):
    """Which model is trained."""

    path: str = Field(
        description="Hub id (`owner/name`), a local folder with config.json, or a .gguf file.",
        min_length=1,
        examples=["HuggingFaceTB/SmolLM2-135M-Instruct"],
    )
    revision: str | None = Field(None, description="Branch, tag or commit on the hub. Not set: the default branch.")
    attention: Auto[Attention] = Field(
        None,
        description="Attention kernel: eager, sdpa or flash_attention_2. auto: sdpa (eager where the model needs it).",
    )
    chat_template: str | None = Field(
        None, description="A Jinja2 file that replaces the tokenizer's chat template. Not set: the model's own."
    )
    trust_remote_code: bool = Field(False, description="Run model code that comes with the weights. true or false.")
    allow_pickle: bool = Field(
        False, description="Read weights from pickle files (.bin), which can run code, where there are no safetensors."
    )


class MethodSection(Section):
    """What is trained: all weights, or adapters on a frozen base."""

    kind: MethodKind = Field("lora", description="full, lora (frozen 16-bit base) or qlora (frozen 4- or 8-bit base).")
    rank: Auto[int] = Field(None, description="LoRA rank, 1 to 1024. auto: 16.", ge=1, le=1024)
    alpha: Auto[int] = Field(None, description="LoRA alpha (scale = alpha / rank), 1 or more. auto: 2 x rank.", ge=1)
    dropout: float = Field(0.0, description="LoRA dropout, 0 to below 1.", ge=0.0, lt=1.0)
    target_modules: str | tuple[str, ...] = Field(
        "all-linear",
        description="all-linear (every linear layer but the head), or a list of module names such as q_proj.",
    )
    modules_to_save: tuple[str, ...] = Field(
        (), description="Modules trained in full and saved beside the adapter, e.g. lm_head."
    )
    use_rslora: bool = Field(False, description="Scale by alpha / sqrt(rank). true or false.")
    quantization: Literal["nf4", "fp4", "int8"] = Field(
        "nf4", description="Type of a qlora base: nf4 or fp4 in 4 bits, int8 (LLM.int8, ZeRO 0 to 2) in 8."
    )
    double_quant: bool = Field(
        True, description="Quantise the 4-bit scales too (0.37 bit per parameter less). true or false."
    )


class ZeroSection(Section):
    """How states are spread over GPUs, RAM and NVMe: a preset, or the stage and offloads written out."""

    preset: Auto[str] = Field(None, description="A file of ds_configs/ without .json. auto: the planner chooses.")
    config: str | None = Field(None, description="Path of a DeepSpeed JSON of your own, instead of a preset.")
    stage: Auto[Literal[0, 1, 2, 3]] = Field(None, description="ZeRO stage 0 to 3, instead of a preset.")
    offload_optimizer: Auto[Offload] = Field(None, description="Where optimizer states live: none (GPU), cpu or nvme.")
    offload_param: Auto[Offload] = Field(None, description="Where parameters rest (stage 3): none (GPU), cpu or nvme.")
    offload_ratio: Auto[float] = Field(
        None, description="Share of the optimizer that is offloaded (stage 3), above 0 to 1. auto: 1.", gt=0.0, le=1.0
    )
    bf16_states: Auto[bool] = Field(
        None,
        description="Master weights and optimizer states in bf16: 10 instead of 18 bytes per parameter.",
    )
    nvme_path: str | None = Field(
        None, description="Folder on a local NVMe drive for swap files; needed by nvme offload."
    )
    pin_memory: Auto[bool] = Field(None, description="Page-locked host buffers: faster copies, cannot be swapped out.")
    overlap_comm: Auto[bool] = Field(None, description="Overlap reduction with backward; costs a second bucket.")
    reduce_bucket_size: Auto[int] = Field(
        None, description="Elements per reduction bucket. auto: hidden size squared, capped.", ge=1
    )
    allgather_bucket_size: Auto[int] = Field(None, description="Elements per all-gather bucket (stages 1, 2).", ge=1)
    prefetch_bucket_size: Auto[int] = Field(None, description="Elements gathered ahead (stage 3).", ge=0)
    param_persistence_threshold: Auto[int] = Field(
        None, description="Parameters up to this many elements stay whole (stage 3).", ge=0
    )
    sub_group_size: Auto[int] = Field(None, description="Elements of a partition stepped at once (stage 3).", ge=1)
    max_live_parameters: Auto[int] = Field(None, description="Elements gathered at one time at most (stage 3).", ge=0)
    max_reuse_distance: Auto[int] = Field(
        None, description="Keep a parameter that is used again within this many elements.", ge=0
    )


class DataSection(Section):
    """What is learned from."""

    path: str = Field(
        description="Hub id, folder, or a .json, .jsonl, .csv or .parquet file.",
        min_length=1,
        examples=["examples/data/finetuning_qa.jsonl"],
    )
    name: str | None = Field(None, description="Configuration name of a hub data set.")
    split: str = Field("train", description="Split of a hub data set or folder.")
    format: Auto[DataFormat] = Field(
        None, description="alpaca, sharegpt, messages, prompt_completion or text. auto: recognised from the columns."
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="Your column for ours, e.g. {prompt: question, completion: answer}."
    )
    max_rows: int | None = Field(None, description="Read this many rows at most. Not set: all.", ge=1)
    eval_path: str | None = Field(None, description="Held-out data in the same format. Not set: see eval_fraction.")
    eval_fraction: float = Field(
        0.0, description="Share of the rows held out for evaluation, 0 to below 1.", ge=0.0, lt=1.0
    )
    packing: Auto[bool] = Field(
        None, description="Fill each row with several samples. auto: on where samples stay isolated."
    )
    completion_only_loss: Auto[bool] = Field(
        None, description="Learn from answers only. auto: on for every format but text."
    )
    streaming: bool = Field(
        False, description="Read rows as they are needed; for data larger than RAM. Needs train.max_steps."
    )
    num_workers: int = Field(0, description="Data loader processes per rank, 0 to 16.", ge=0, le=16)


class TrainSection(Section):
    """How long, how fast, in which precision."""

    max_seq_length: int = Field(2048, description="Tokens per row; longer rows are cut and counted.", ge=8)
    micro_batch_size: Auto[int] = Field(
        None, description="Rows per GPU in one forward pass. auto: the fastest that fits.", ge=1
    )
    gradient_accumulation_steps: Auto[int] = Field(
        None,
        description="Forward passes per optimizer step. auto: global_batch_size / (micro_batch_size x world_size).",
        ge=1,
    )
    global_batch_size: Auto[int] = Field(None, description="Rows per optimizer step over all GPUs. auto: 16.", ge=1)
    num_epochs: float = Field(1.0, description="Passes over the data; ignored when max_steps is set.", gt=0)
    max_steps: int | None = Field(None, description="Optimizer steps. Not set: num_epochs decides.", ge=1)
    learning_rate: Auto[float] = Field(
        None,
        description="Peak learning rate. auto: 1e-5 full, 1e-4 lora, 2e-4 qlora up to 14B parameters (1e-4 above).",
        gt=0,
        le=1,
    )
    scheduler: Scheduler = Field("cosine", description="cosine, linear, constant or constant_with_warmup.")
    warmup_ratio: float = Field(0.03, description="Share of the steps that warms up, 0 to below 1.", ge=0.0, lt=1.0)
    weight_decay: float = Field(0.0, description="AdamW weight decay, 0 or more.", ge=0.0)
    max_grad_norm: float = Field(1.0, description="Gradient clipping by norm; 0 turns it off.", ge=0.0)
    optimizer: Auto[Optimizer] = Field(
        None, description="adamw, adamw_8bit, paged_adamw_8bit, adafactor, lion or sgd. auto: adamw."
    )
    precision: Auto[Precision] = Field(None, description="bf16, fp16 or fp32. auto: bf16.")
    activation_checkpointing: Auto[bool] = Field(
        None, description="Recompute activations in backward. auto: on unless all fits without."
    )
    loss: Auto[Literal["chunked", "full"]] = Field(
        None, description="chunked never holds all logits; full does. auto: chunked unless the logits are small."
    )
    eval_steps: int | None = Field(
        None, description="Evaluate every so many optimizer steps. Not set: at the end.", ge=1
    )
    rehearsal: Literal["gpu", "always", "never"] = Field(
        "gpu",
        description="Before the first step, try a step at full length, an evaluation batch and a save, and undo it: "
        "on GPUs only (gpu), always, or never.",
    )
    logging_steps: int = Field(1, description="Report every so many optimizer steps.", ge=1)
    seed: int = Field(42, description="Seed of weights, order and dropout.", ge=0, le=2**32 - 1)


class OutputSection(Section):
    """What is kept."""

    dir: str = Field(
        description="The run directory. It must be new or empty.", min_length=1, examples=["runs/my_first_run"]
    )
    save_steps: int | None = Field(
        None, description="Checkpoint every so many optimizer steps. Not set: none but the final model.", ge=1
    )
    keep_checkpoints: int = Field(2, description="Newest checkpoints kept, 1 or more.", ge=1)
    sample_prompts: tuple[str, ...] = Field(
        (), description="Questions answered before and after training, shown in the summary."
    )
    sample_tokens: int = Field(64, description="Tokens per sample answer.", ge=1, le=1024)


class WatchSection(Section):
    """What is looked at while the run goes on, when a word is said about it, and when the run is stopped."""

    every_seconds: Off[float] = Field(
        5.0, description="Seconds between two looks at cards, RAM and drives. off: nothing is looked at.", ge=1, le=600
    )
    gpu_temperature: Off[int] = Field(
        87, description="Degrees Celsius above which a card is named, throttled or not.", ge=30, le=120
    )
    gpu_clock_percent: Off[int] = Field(
        80,
        description="A card held back by heat or power is named when it runs below this share of its highest clock. "
        "off: neither is named.",
        ge=1,
        le=100,
    )
    pcie_percent: Off[int] = Field(
        90, description="A busy card is named when its link is below this share of the planned one.", ge=1, le=100
    )
    ram_free_gib: Off[float] = Field(
        0.5,  # a plan leaves 1 GiB free (tunekit.probes.local): one that fits exactly must not be stopped
        description="GiB of RAM and swap, of the machine or its cgroup, below which a checkpoint is saved and the run "
        "stops, before the kernel kills it.",
        gt=0,
    )
    disk_free_gib: Off[float] = Field(
        1.0,
        description="GiB on the drive of output.dir, beside one more checkpoint, or on that of zero.nvme_path, below "
        "which a checkpoint is saved and the run stops.",
        gt=0,
    )
    nan_loss_steps: Off[int] = Field(
        1, description="Logged steps in a row without a finite loss, after which the run stops.", ge=1
    )
    zero_loss_steps: Off[int] = Field(
        5, description="Logged steps in a row with a loss of exactly 0, after which the run stops.", ge=1
    )
    diverging_factor: Off[float] = Field(
        4.0, description="A loss this many times the lowest median of 50 logged ones counts as diverging.", gt=1
    )
    diverging_steps: int = Field(
        5, description="Logged steps in a row with a diverging loss, after which the run stops.", ge=1
    )
    silent_seconds: Off[float] = Field(
        600.0,
        description="Seconds without a sign of life (at least ten steps' time), after which the stacks of all ranks "
        "are kept and the silent rank is named.",
        ge=1,
    )
    notify: tuple[Occasion, ...] = Field(
        ("started", "warning", "stopped", "failed", "done"), description="When notify_command and notify_url are used."
    )
    notify_command: tuple[str, ...] = Field(
        (), description="A program with its arguments, without a shell; it gets one JSON object on standard input."
    )
    notify_url: str | None = Field(
        None, description="http(s) address that the same JSON is posted to; $NAME reads the environment, kept nowhere."
    )


class Recipe(Section):
    """A fine-tuning job as the user wrote it."""

    model: ModelSection
    method: MethodSection = MethodSection()
    zero: ZeroSection = ZeroSection()
    data: DataSection
    train: TrainSection = TrainSection()
    output: OutputSection
    watch: WatchSection = WatchSection()
    tracking: tuple[Tracker, ...] = Field(("tensorboard",), description="tensorboard, wandb, both, or [].")
    hardware: str = Field(
        "local", description="A shipped profile, a YAML file of your own, or `local` (this machine).", min_length=1
    )
