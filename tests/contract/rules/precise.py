# ruff: noqa: E501 - a table
"""Rules over precision."""

from __future__ import annotations

from contract.rules.meeting import Fixed, Kept, in_json, refused, warned
from contract.rules.rule import Rule, zero

PRECISE = (
    Rule(
        pain=(33,),
        what="fp16 and bf16 both",
        why="DeepSpeed and the Trainer refuse it.",
        instead="One of them.",
        met=(in_json("fp16.enabled", {**zero(2), "bf16": {"enabled": True}, "fp16": {"enabled": True}}),),
        shown=("both_precisions", "both_precisions_in_the_trainer"),
    ),
    Rule(
        pain=(34,),
        what="bf16 below capability 8.0, fp16 on a CPU",
        why="The hardware cannot.",
        instead="`train.precision=fp16`, or bf16 on a CPU.",
        met=(
            refused("train.precision", {"train.precision": "fp16"}, on="cpu"),
            Kept(test="tests/unit/planner/test_rules.py::test_every_rule_names_key_finding_and_cure"),
        ),
        cuda="an old card",
    ),
    Rule(
        pain=(35,),
        stack=(3, 4),
        what="16-bit master weights or states in halves",
        why="bf16 states need bf16 masters, these a stage, and fp32 states beside them need CPU offload.",
        instead="`zero.bf16_states=true` with a stage.",
        met=(
            refused("zero.bf16_states", {"zero.stage": 0, "zero.bf16_states": True}),
            in_json(
                "bf16.bf16_optimizer_states", {**zero(2), "bf16": {"enabled": True, "bf16_optimizer_states": True}}
            ),
            in_json(
                "bf16.bf16_master_weights_and_grads",
                {**zero(2), "bf16": {"enabled": True, "bf16_master_weights_and_grads": True}},
            ),
            in_json(
                "fp16.fp16_master_weights_and_grads",
                {**zero(2), "fp16": {"enabled": True, "fp16_master_weights_and_grads": True}},
            ),
        ),
        shown=(
            "bf16_states_alone",
            "bf16_master_under_zero",
            "fp16_master_under_zero",
            "fp16_master_on_the_device",
            "bf16_master_with_fp32_states_on_the_device",
        ),
    ),
    Rule(
        pain=(36,),
        what="data_types that contradict the precision",
        why="The engine asserts, or knows no such mix under stage 0.",
        instead="Delete them.",
        met=(
            in_json(
                "data_types.param_dtype", {**zero(2), "bf16": {"enabled": True}, "data_types": {"param_dtype": "fp16"}}
            ),
            in_json(
                "data_types.grad_accum_dtype",
                {**zero(0), "bf16": {"enabled": True}, "data_types": {"grad_accum_dtype": "fp32"}},
            ),
        ),
        shown=("another_type_of_parameters", "other_sums_under_zero"),
    ),
    Rule(
        pain=(37,),
        what="An impossible loss scale",
        why="DeepSpeed refuses it at the start.",
        instead="0: it finds its own.",
        met=(
            in_json("fp16.loss_scale", {**zero(2), "fp16": {"enabled": True, "loss_scale": -1}}),
            in_json("fp16.loss_scale", {**zero(2), "fp16": {"enabled": True, "loss_scale": True}}),
        ),
    ),
    Rule(
        pain=(38,),
        stack=(15,),
        what="Flash attention in fp32 or without a card; padding-free rows without it",
        why="Its kernels are 16-bit and CUDA.",
        instead="`model.attention=sdpa`.",
        met=(
            refused("model.attention", {"model.attention": "flash_attention_2", "train.precision": "fp32"}),
            refused("model.attention", {"model.attention": "flash_attention_2"}, on="cpu"),
            Fixed(arguments={"padding_free": False}),
        ),
        cuda="CUDA kernels",
    ),
    Rule(
        pain=(39,),
        what="fp16 for models trained in bf16",
        why="Activations overflow at 65,504.",
        instead="`train.precision=bf16`.",
        met=(warned("were trained in bf16", {"train.precision": "fp16"}),),
        cuda="fp16 training",
    ),
    Rule(
        pain=(40,),
        what="fp16 weights with CPU Adam on AMD processors",
        why="DeepSpeed itself warns of it.",
        instead="`train.precision=bf16`.",
        met=(
            warned(
                "may not work with fp16 weights on AMD",
                {"method.kind": "full", "train.precision": "fp16", "zero.preset": "z2_offload"},
                on="dual_rtx4090_7950x3d",
            ),
        ),
        cuda="fp16 training",
    ),
    Rule(
        pain=(41,),
        what="torch_autocast beside bf16 or fp16; DeepSpeed 0.19.2 with LoRA",
        why="Two ways to compute in 16 bits; 0.19.2 mixes types under ZeRO-3.",
        instead="Delete the section; the versions tunekit asks for.",
        met=(
            in_json(
                "torch_autocast.enabled", {**zero(2), "bf16": {"enabled": True}, "torch_autocast": {"enabled": True}}
            ),
            Kept(test="tests/unit/launcher/test_versions.py::test_known_bad_versions"),
        ),
    ),
)
