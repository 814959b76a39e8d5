"""What `happening.py` must see: the failure that a rule prevents, in the library's own words or by its effect.

Name of the case to a text of its error, or to its value. When one changes, a library was repaired: look at the rule.
"""

from __future__ import annotations

from typing import Any

Seen = str | dict[str, Any]

SAME: dict[str, Any] = {"same": True, "moved": 0.0}
"""Packed bytes that the engine's start has left alone."""

ENGINES: dict[str, Seen] = {
    "four_bits_stored_as_bytes": SAME,
    "four_bits_stored_as_the_engines_float": SAME,
    "four_bits_stored_as_another_float": {"same": False},
    "four_bits_stored_as_another_float_under_three": {"same": False},
    "four_bits_stored_as_float32": {"same": False, "moved": None},
    "parameter_offload_under_two": {"partitioned": False},
    "parameter_offload_under_three": {"partitioned": True},
    "nvme_under_two": {"files": 0},
    "offload_under_zero": "ZeRO-Offload with a client provided optimizer",
    "ratio_under_two": "Partial offloading only supported for ZeRO Stage 3",
    "super_offload_under_two": {"optimizer": "DeepSpeedZeroOptimizer"},
    "super_offload_without_cuda": "SuperOffload only supports NVIDIA CUDA GPUs",
    "quantised_weights_under_two": {"steps": 1},
    "adapters_saved_from_partitions": {"tensors": 4, "empty": 4},
    "partitioned_weights_outside_the_engine": "size mismatch",
    "zero_without_an_optimizer": "zero stage 2 requires an optimizer",
    "eight_bit_optimizer_offloaded": "ZeRO-Offload with a client provided optimizer (<class 'bitsandbytes.",
    "torch_optimizer_offloaded": "ZeRO-Offload with a client provided optimizer",
    "untested_optimizer": "You are using an untested ZeRO Optimizer",
    "clipping_inside_the_optimizer": "'max_grad_norm' is not supported as an optimizer parameter",
    "amsgrad_offloaded": "does not support the AMSGrad variant",
    "a_share_of_lion_offloaded": "Hybrid Optimizer Only Supports DeepSpeedCPUAdam",
    "warm_up_of_no_steps": "warmup_num_steps must be a positive integer, got 0",
    "adam_is_adamw": {"optimizer": "AdamW"},
    "another_type_of_parameters": "conflicts with the enabled precision mode",
    "other_sums_under_zero": "unsupported mix of model_dtype=torch.bfloat16 and grad_accum_dtype=torch.float32",
    "fp16_master_on_the_device": "Master weights feature requires ZeRO-2 Offload with DeepSpeedCPUAdam",
    "bf16_master_with_fp32_states_on_the_device": "Master weights feature requires ZeRO-2 Offload",
    "gradients_scaled_before_they_are_scattered": "pre-scale gradients is not yet supported with ZeRO-2",
    "own_accumulation_with_overlap": "supports ZeRO overlap_comm only with ZeRO stage 2",
    "clipping_left_to_auto": "'>' not supported between instances of 'str' and 'float'",
    "batch_left_to_auto": "'>' not supported between instances of 'str' and 'int'",
    "checkpointing_without_gradients_of_inputs": {"plain": 0, "prepared": 2},
    "full_training_of_packed_weights": "You cannot perform fine-tuning on purely quantized models",
    "both_precisions_in_the_trainer": "At most one of fp16 and bf16 can be True",
    "fsdp_beside_deepspeed": "Using --fsdp xxx together with --deepspeed is not possible",
    "device_map_under_three": "DeepSpeed Zero-3 is not compatible with passing a `device_map`",
    "batch_size_searched_under_three": "`auto_find_batch_size` isn't supported yet with DeepSpeed Zero-3",
    "only_the_model_saved_and_the_best_loaded": "can't be used with `save_only_model` along with",
}
"""Real engines and trainers, one process."""

_ZERO_2 = {"zero_optimization": {"stage": 2}}
CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "both_precisions": ({"bf16": {"enabled": True}, "fp16": {"enabled": True}}, "cannot be simultaneously enabled"),
    "a_stage_beyond_three": ({"zero_optimization": {"stage": 4}}, "Input should be"),
    "an_unknown_key_of_zero": (
        {"zero_optimization": {"stage": 2, "offload_optimiser": {}}},
        "Extra inputs are not permitted",
    ),
    "no_norm_under_three": (
        {"zero_optimization": {"stage": 3, "compute_grad_norm": False}},
        "only with ZeRO Stage 1 or 2",
    ),
    "sums_under_three": (
        {"zero_optimization": {"stage": 3}, "gradient_allreduce_op": "sum"},
        "not supported with ZeRO stage 3",
    ),
    "sums_with_zenflow": (
        {
            "zero_optimization": {"stage": 2, "zenflow": {"topk_ratio": 0.1}, "offload_optimizer": {"device": "cpu"}},
            "gradient_allreduce_op": "sum",
        },
        "not supported with ZenFlow",
    ),
    "bf16_states_alone": (
        {"bf16": {"enabled": True, "bf16_optimizer_states": True}, **_ZERO_2},
        "requires bf16_master",
    ),
    "bf16_master_under_zero": (
        {"bf16": {"enabled": True, "bf16_master_weights_and_grads": True}},
        "ZeRO Stage 1, 2, or 3",
    ),
    "fp16_master_under_zero": (
        {"fp16": {"enabled": True, "fp16_master_weights_and_grads": True}},
        "ZeRO Stage 1, 2, or 3",
    ),
    "a_batch_that_does_not_add_up": (
        {"train_batch_size": 7, "gradient_accumulation_steps": 2},
        "Check batch related parameters",
    ),
    "nebula": ({"nebula": {"enabled": True}}, "removed"),
    "elasticity": ({"elasticity": {"enabled": True}}, "removed"),
    "apex": ({"amp": {"enabled": True}}, "removed"),
    "mics": ({"zero_optimization": {"stage": 3, "mics_shard_size": 2}}, "removed"),
}
"""Read by DeepSpeed's own DeepSpeedConfig in a world of two; what it says."""

SILENT: dict[str, tuple[dict[str, Any], str, Any]] = {
    "a_misspelt_section": ({"zero_optimisation": {"stage": 3}}, "zero_optimization_stage", 0),
    "a_misspelt_clip": ({"gradient_cliping": 0.5}, "gradient_clipping", 1.0),
    "auto_inside_zero": (
        {"zero_optimization": {"stage": 2, "reduce_bucket_size": "auto"}},
        "zero_config.reduce_bucket_size",
        500_000_000,
    ),
    "auto_precision": ({"bf16": {"enabled": "auto"}}, "bfloat16_config.enabled", False),
}
"""Taken without a word; what is in force instead."""
