"""Combinations that DeepSpeed ignores or refuses late, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from tunekit.ds_config.combinations import combination_problems

CPU = {"device": "cpu", "pin_memory": True}
NVME = {"device": "nvme", "nvme_path": "/nvme"}
ADAMW = {"type": "AdamW", "params": {"lr": 1e-5}}
BF16_STATES = {"enabled": True, "bf16_master_weights_and_grads": True, "bf16_optimizer_states": True}


def zero(stage: int, **more: Any) -> dict[str, Any]:
    return {"stage": stage, **more}


def keys(config: dict[str, Any]) -> list[str]:
    return [problem.key for problem in combination_problems(config)]


@pytest.mark.parametrize(
    ("section", "key"),
    [
        (zero(2, offload_param=CPU), "zero_optimization.offload_param"),
        (zero(2, offload_optimizer=NVME), "zero_optimization.offload_optimizer.device"),
        (zero(0, offload_optimizer=CPU), "zero_optimization.offload_optimizer"),
        (zero(2, offload_optimizer={**CPU, "ratio": 0.5}), "zero_optimization.offload_optimizer.ratio"),
        (zero(3, offload_optimizer={"device": "nvme"}), "zero_optimization.offload_optimizer.nvme_path"),
        (zero(3, offload_param={"device": "disk"}), "zero_optimization.offload_param.device"),
        (zero(2, zenflow={"topk_ratio": 0.1}), "zero_optimization.zenflow"),
        (zero(2, offload_optimizer=CPU, zenflow={}), "zero_optimization.zenflow"),
        (zero(5), "zero_optimization.stage"),
        (zero(1, legacy_stage1=True), "zero_optimization.legacy_stage1"),
        (zero(3, compute_grad_norm=False), "zero_optimization.compute_grad_norm"),
        (zero(3, elastic_checkpoint=True), "zero_optimization.elastic_checkpoint"),
        (zero(2, zero_quantized_weights=True), "zero_optimization.zero_quantized_weights"),
        (zero(2, zero_quantized_gradients=True), "zero_optimization.zero_quantized_gradients"),
        (zero(2, zero_hpz_partition_size=2), "zero_optimization.zero_hpz_partition_size"),
        (
            zero(2, offload_optimizer={**CPU, "super_offload": True}),
            "zero_optimization.offload_optimizer.super_offload",
        ),
        (
            zero(3, offload_optimizer={**NVME, "super_offload": True}),
            "zero_optimization.offload_optimizer.super_offload",
        ),
        (
            zero(3, zero_quantized_nontrainable_weights=True),
            "zero_optimization.zero_quantized_nontrainable_weights",
        ),
    ],
)
def test_inside_zero(section: dict[str, Any], key: str) -> None:
    assert keys({"zero_optimization": section}) == [key]


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"bf16": {"enabled": True}, "fp16": {"enabled": True}}, "fp16.enabled"),
        (
            {"bf16": {"enabled": True, "bf16_optimizer_states": True}, "zero_optimization": zero(2)},
            "bf16.bf16_optimizer_states",
        ),
        ({"bf16": BF16_STATES}, "bf16.bf16_master_weights_and_grads"),
        ({"bf16": {**BF16_STATES, "enabled": False}, "zero_optimization": zero(2)}, "bf16.enabled"),
        (
            {"bf16": {"enabled": True, "bf16_master_weights_and_grads": True}, "zero_optimization": zero(2)},
            "bf16.bf16_master_weights_and_grads",
        ),
        ({"bf16": BF16_STATES, "zero_optimization": zero(2, offload_optimizer=CPU)}, "optimizer"),
        ({"optimizer": {"type": "AdamW", "params": {"max_grad_norm": 1.0}}}, "optimizer.params.max_grad_norm"),
        ({"optimizer": {"type": "Lamb"}, "zero_optimization": zero(2, offload_optimizer=CPU)}, "optimizer.type"),
        (
            {
                "optimizer": {"type": "AdamW", "params": {"torch_adam": True}},
                "zero_optimization": zero(2, offload_optimizer=CPU),
            },
            "optimizer.params.torch_adam",
        ),
        (
            {
                "optimizer": {"type": "AdamW", "params": {"amsgrad": True}},
                "zero_optimization": zero(2, offload_optimizer=CPU),
            },
            "optimizer.params.amsgrad",
        ),
        (
            {
                "optimizer": {"type": "Lion", "params": {}},
                "zero_optimization": zero(3, offload_optimizer={**CPU, "ratio": 0.5}),
            },
            "optimizer.type",
        ),
        (
            {"fp16": {"enabled": True, "fp16_master_weights_and_grads": True}, "zero_optimization": zero(2)},
            "fp16.fp16_master_weights_and_grads",
        ),
        ({"bf16": {"enabled": True}, "data_types": {"param_dtype": "fp16"}}, "data_types.param_dtype"),
        ({"bf16": {"enabled": True}, "data_types": {"grad_accum_dtype": "fp32"}}, "data_types.grad_accum_dtype"),
        ({"fp16": {"enabled": True}, "torch_autocast": {"enabled": True}}, "torch_autocast.enabled"),
        ({"gradient_allreduce_op": "sum", "zero_optimization": zero(3)}, "gradient_allreduce_op"),
        ({"prescale_gradients": True, "zero_optimization": zero(2)}, "prescale_gradients"),
        (
            {"managed_gradient_accumulation": False, "zero_optimization": zero(3, overlap_comm=True)},
            "managed_gradient_accumulation",
        ),
        ({"activation_checkpointing": {"cpu_checkpointing": True}}, "activation_checkpointing"),
    ],
)
def test_across_sections(config: dict[str, Any], key: str) -> None:
    assert keys(config) == [key]


@pytest.mark.parametrize(
    "config",
    [
        {"zero_optimization": zero(2, offload_optimizer=CPU), "optimizer": ADAMW},
        {"zero_optimization": zero(3, offload_optimizer=NVME, offload_param=NVME), "optimizer": ADAMW},
        {"zero_optimization": zero(3, offload_optimizer={**CPU, "ratio": 0.5}), "optimizer": ADAMW},
        {"zero_optimization": zero(2, offload_optimizer=CPU), "bf16": BF16_STATES, "optimizer": ADAMW},
        {"zero_optimization": zero(2), "bf16": BF16_STATES},
        {"zero_optimization": zero(1, compute_grad_norm=False)},
        {"zero_optimization": zero(3, offload_optimizer=CPU, zenflow={}), "optimizer": ADAMW},
        {"prescale_gradients": True, "zero_optimization": zero(0)},
        {"bf16": {"enabled": True}, "data_types": {"grad_accum_dtype": "fp32"}, "zero_optimization": zero(2)},
        {"bf16": {"enabled": True}, "data_types": {"param_dtype": "bf16", "grad_accum_dtype": "bfloat16"}},
        {"torch_autocast": {"enabled": True}},
        {"optimizer": {"type": "AdamW", "params": {"amsgrad": True}}},
        {
            "fp16": {"enabled": True, "fp16_master_weights_and_grads": True},
            "zero_optimization": zero(2, offload_optimizer=CPU),
        },
        {"zero_optimization": zero(3, zero_hpz_partition_size=2, zero_quantized_weights=True)},
    ],
)
def test_what_works_is_left_alone(config: dict[str, Any]) -> None:
    assert keys(config) == []
