"""What may stand under each key of a DeepSpeed configuration, as data.

DeepSpeed itself looks at the types of its sections only, after the model was loaded on every rank; it takes "1" for 1
and 1 for true there, which tunekit would read otherwise, so both are refused. Sources as in `accepted`; a contract test
holds the table against the library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from tunekit.recipe.keys import Bounds, join_words

Kind = Literal["flag", "whole number", "count", "number", "pair", "text", "texts", "section"]
_WORDS: Mapping[Kind, str] = {
    "flag": "true or false",
    "whole number": "a whole number",
    "count": "a whole number",
    "number": "a number",
    "pair": "a list of two numbers",
    "text": "a printable text",
    "texts": "a printable text or a list of texts",
    "section": "a section { ... }",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepts:
    """What one key takes: a kind of value, its limits, or a few words; `null` where DeepSpeed reads it as "not set".

    A `whole number` may be written 5e8; a `count` may not, where DeepSpeed hands it on without making it whole.
    """

    kind: Kind
    bounds: Bounds = Bounds()
    choices: tuple[str, ...] = ()
    null: bool = False

    @property
    def words(self) -> str:
        """What may stand here, in words: `a number, 0 to 1`."""
        if self.choices:
            return join_words(self.choices)
        limits = self.bounds.words
        return f"{_WORDS[self.kind]}, {limits}" if limits else _WORDS[self.kind]

    def takes(self, value: Any) -> bool:
        """Whether the value may stand here; "auto" is not asked about."""
        if value is None:
            return self.null
        if self.choices:
            return isinstance(value, str) and value.lower() in self.choices
        if self.kind == "pair":
            return isinstance(value, list) and len(value) == 2 and all(self._takes_number(each) for each in value)
        if self.kind in ("whole number", "count", "number"):
            return self._takes_number(value)
        return _TAKES[self.kind](value)

    def _takes_number(self, value: Any) -> bool:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        whole = isinstance(value, int) or (self.kind == "whole number" and value.is_integer())
        return (whole or self.kind in ("number", "pair")) and self.bounds.allows(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


_TAKES: Mapping[Kind, Callable[[Any], bool]] = {
    "flag": lambda value: isinstance(value, bool),
    "text": _is_text,
    "texts": lambda value: _is_text(value) or (isinstance(value, list) and all(map(_is_text, value))),
    "section": lambda value: isinstance(value, Mapping),
}


def _each(accepts: Accepts, names: str, section: str = "") -> dict[str, Accepts]:
    return {f"{section}.{name}" if section else name: accepts for name in names.split()}


_FLAG, _TEXT, _SECTION = Accepts(kind="flag"), Accepts(kind="text"), Accepts(kind="section")
_SECTION_OR_NULL = replace(_SECTION, null=True)
_FROM_ZERO = Accepts(kind="whole number", bounds=Bounds(least=0))
_FROM_ONE = Accepts(kind="whole number", bounds=Bounds(least=1))
_COUNT = Accepts(kind="count", bounds=Bounds(least=1))
_COUNT_OR_NULL = replace(_COUNT, null=True)
_NUMBER = Accepts(kind="number", bounds=Bounds(least=0))
_SHARE = Accepts(kind="number", bounds=Bounds(least=0, most=1))
_INSIDE = Accepts(kind="number", bounds=Bounds(above=0, below=1))
_PART = Accepts(kind="number", bounds=Bounds(above=0, most=1))
_DTYPE = Accepts(kind="text", choices=("fp16", "bf16", "fp32"), null=True)
_LOG_LEVEL = Accepts(kind="text", choices=("debug", "info", "warning", "error", "critical"), null=True)
_STAGE = Accepts(kind="whole number", bounds=Bounds(least=0, most=3))
_DEVICE = Accepts(kind="text", choices=("none", "cpu", "nvme"))
_ANY_SIZE = Accepts(kind="whole number", bounds=Bounds(least=0, most=2**63 - 1))


def _prefixed(values: Mapping[str, Accepts]) -> dict[str, Accepts]:
    """Keys of stage 3, with the prefix and without."""
    return {f"zero_optimization.{prefix}{name}": each for name, each in values.items() for prefix in ("", "stage3_")}


_BF16 = "bf16_master_weights_and_grads bf16_optimizer_states check_grad_overflow enabled immediate_grad_update"

VALUES: Mapping[str, Accepts] = {
    **_each(_COUNT_OR_NULL, "train_batch_size train_micro_batch_size_per_gpu gradient_accumulation_steps"),
    **_each(_COUNT_OR_NULL, "steps_per_print vocabulary_size"),
    **_each(_COUNT, "sequence_parallel_size data_parallel_size"),
    **_each(_NUMBER, "gradient_clipping"),
    **_each(Accepts(kind="number", bounds=Bounds(above=0)), "gradient_predivide_factor"),
    **_each(Accepts(kind="text", choices=("mean", "sum")), "gradient_allreduce_op"),
    **_each(_DTYPE, "communication_data_type seq_parallel_communication_data_type"),
    **_each(_LOG_LEVEL, "log_level"),
    **_each(
        _FLAG,
        """
        dataloader_drop_last disable_allgather disable_python_gc dump_state managed_gradient_accumulation
        memory_breakdown prescale_gradients use_data_before_expert_parallelism wall_clock_breakdown
        zero_allow_untested_optimizer zero_force_ds_cpu_optimizer
        """,
    ),
    **_each(
        _SECTION,
        """
        activation_checkpointing autotuning checkpoint comet comms_logger compile csv_monitor data_efficiency data_types
        datastates_ckpt expert_parallel flops_profiler fp16 hybrid_engine optimizer pipeline scheduler tensor_parallel
        tensorboard timers torch_autocast wandb weight_quantization zero_optimization
        """,
    ),
    **_each(_SECTION_OR_NULL, "aio bf16 bfloat16"),
    **_each(_STAGE, "stage", "zero_optimization"),
    **_each(replace(_FLAG, null=True), "overlap_comm", "zero_optimization"),
    **_each(_FROM_ONE, "allgather_bucket_size reduce_bucket_size sub_group_size", "zero_optimization"),
    **_each(_FROM_ZERO, "zero_hpz_partition_size", "zero_optimization"),
    **_each(_SECTION_OR_NULL, "leaf_module offload_optimizer offload_param zenflow", "zero_optimization"),
    **_each(
        _FLAG,
        """
        allgather_partitions compute_grad_norm contiguous_gradients elastic_checkpoint enable_sanity_checks
        ignore_unused_parameters legacy_stage1 load_from_fp32_weights log_trace_cache_warnings memory_efficient_linear
        override_module_apply parameter_alignment pipeline_loading_checkpoint reduce_scatter round_robin_gradients
        save_muon_momentum_buffer_in_memory use_multi_rank_bucket_allreduce zero_quantized_gradients
        zero_quantized_nontrainable_weights zero_quantized_weights
        """,
        "zero_optimization",
    ),
    **_prefixed(
        {
            **_each(_FROM_ZERO, "prefetch_bucket_size param_persistence_threshold module_granularity_threshold"),
            **_each(_FROM_ZERO, "max_live_parameters max_reuse_distance"),
            **_each(_ANY_SIZE, "model_persistence_threshold"),
            **_each(_FLAG, "gather_16bit_weights_on_model_save use_all_reduce_for_fetch_params allgather_sequential"),
        }
    ),
    **_each(_DEVICE, "device", "zero_optimization.offload_optimizer"),
    **_each(replace(_TEXT, null=True), "nvme_path", "zero_optimization.offload_optimizer"),
    **_each(_FROM_ZERO, "buffer_count", "zero_optimization.offload_optimizer"),
    **_each(_PART, "ratio", "zero_optimization.offload_optimizer"),
    **_each(_SHARE, "cpuadam_cores_perc", "zero_optimization.offload_optimizer"),
    **_each(
        _FLAG, "fast_init pin_memory pipeline_read pipeline_write super_offload", "zero_optimization.offload_optimizer"
    ),
    **_each(_DEVICE, "device", "zero_optimization.offload_param"),
    **_each(replace(_TEXT, null=True), "nvme_path", "zero_optimization.offload_param"),
    **_each(_FROM_ZERO, "buffer_count buffer_size max_in_cpu", "zero_optimization.offload_param"),
    **_each(_FLAG, "pin_memory", "zero_optimization.offload_param"),
    **_each(_INSIDE, "topk_ratio", "zero_optimization.zenflow"),
    **_each(_SHARE, "auto_ratio pt_reserved_cores_perc", "zero_optimization.zenflow"),
    **_each(_FROM_ONE, "select_interval update_interval", "zero_optimization.zenflow"),
    **_each(_FROM_ZERO, "full_warm_up_rounds", "zero_optimization.zenflow"),
    **_each(replace(_FROM_ONE, null=True), "steps_per_epoch", "zero_optimization.zenflow"),
    **_each(Accepts(kind="text", choices=("step", "epoch")), "select_strategy", "zero_optimization.zenflow"),
    **_each(_FLAG, "offload overlap_step", "zero_optimization.zenflow"),
    **_each(Accepts(kind="texts"), "classes names name_suffixes", "zero_optimization.leaf_module"),
    **_each(_FLAG, _BF16, "bf16"),
    **_each(_FLAG, _BF16, "bfloat16"),
    **_each(_FLAG, "auto_cast consecutive_hysteresis enabled fp16_master_weights_and_grads", "fp16"),
    **_each(_FROM_ZERO, "hysteresis initial_scale_power", "fp16"),
    **_each(_FROM_ONE, "loss_scale_window min_loss_scale", "fp16"),
    **_each(_NUMBER, "loss_scale", "fp16"),
    **_each(_COUNT, "block_size queue_depth intra_op_parallelism", "aio"),
    **_each(_FLAG, "single_submit overlap_events use_gds", "aio"),
    **_each(_TEXT, "type", "optimizer"),
    **_each(_SECTION, "params", "optimizer"),
    **_each(_FLAG, "legacy_fusion", "optimizer"),
    **_each(_PART, "lr", "optimizer.params"),
    **_each(_NUMBER, "weight_decay eps momentum dampening", "optimizer.params"),
    **_each(Accepts(kind="pair", bounds=Bounds(least=0, below=1)), "betas", "optimizer.params"),
    **_each(_FLAG, "torch_adam adam_w_mode bias_correction amsgrad nesterov", "optimizer.params"),
    **_each(_TEXT, "type", "scheduler"),
    **_each(_SECTION, "params", "scheduler"),
}
"""Dotted keys to what they take. Limits are the narrower of DeepSpeed's and of the recipe key of the same meaning."""

FILLED = (
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "gradient_clipping",
    "zero_allow_untested_optimizer",
    "zero_force_ds_cpu_optimizer",
    "zero_optimization.",
    "bf16.",
    "bfloat16.",
    "fp16.",
    "optimizer.params.",
)
"""Keys, and sections by their dot, where a plan puts its own value for "auto"."""
