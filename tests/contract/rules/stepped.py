# ruff: noqa: E501 - a table
"""Rules over optimizers and schedules."""

from __future__ import annotations

from contract.rules.meeting import in_json, no_words, refused, warned
from contract.rules.rule import ADAMW, CPU, Rule, zero

STEPPED = (
    Rule(
        pain=(42,),
        stack=(22,),
        what="8-bit optimizers with an offloaded optimizer",
        why="DeepSpeed refuses them; accelerate would swap them for CPU Adam without saying so.",
        instead="`train.optimizer=adamw`.",
        met=(
            refused("train.optimizer", {"zero.offload_optimizer": "cpu", "train.optimizer": "adamw_8bit"}),
            refused(
                "train.optimizer",
                {"method.kind": "full", "zero.preset": "z2_offload", "train.optimizer": "paged_adamw_8bit"},
            ),
        ),
        shown=("eight_bit_optimizer_offloaded",),
    ),
    Rule(
        pain=(43,),
        stack=(12,),
        what="Adafactor, SGD, Lamb or GaLore with an offloaded optimizer",
        why="There is no such optimizer for the CPU; GaLore needs whole gradients.",
        instead="`train.optimizer=adamw` or lion.",
        met=(
            refused("train.optimizer", {"zero.offload_optimizer": "cpu", "train.optimizer": "adafactor"}),
            in_json("optimizer.type", {**zero(2, offload_optimizer=CPU), "optimizer": {"type": "Lamb", "params": {}}}),
            no_words("train.optimizer=galore_adamw"),
        ),
        shown=("torch_optimizer_offloaded", "untested_optimizer"),
    ),
    Rule(
        pain=(44, 47, 48),
        what="A scheduler in the JSON; two optimizers",
        why="Two of them step, and the curve is neither's; a warm-up of 0 steps is refused.",
        instead="`train.scheduler`, `train.warmup_ratio`; one value, given once.",
        met=(
            in_json("scheduler", {**zero(2), "scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 0}}}),
            in_json("train.optimizer", {**zero(2), "optimizer": dict(ADAMW)}, {"train.optimizer": "lion"}),
            no_words("train.scheduler=reduce_lr_on_plateau"),
        ),
        shown=("warm_up_of_no_steps",),
    ),
    Rule(
        pain=(45,),
        stack=(10,),
        what="max_grad_norm inside optimizer params; Muon",
        why="The engine refuses the first; Muon wants its parameters marked and reduce_scatter off.",
        instead="`train.max_grad_norm`; AdamW.",
        met=(
            in_json(
                "optimizer.params.max_grad_norm",
                {**zero(2), "optimizer": {"type": "AdamW", "params": {"max_grad_norm": 1.0}}},
            ),
            in_json("optimizer.type", {**zero(3), "optimizer": {"type": "Muon", "params": {}}}),
        ),
        shown=("clipping_inside_the_optimizer",),
    ),
    Rule(
        pain=(46,),
        what="AMSGrad on the CPU; type Adam",
        why="CPU Adam has no AMSGrad; Adam means AdamW unless said otherwise.",
        instead="Delete it; say AdamW.",
        met=(
            in_json(
                "optimizer.params.amsgrad",
                {**zero(2, offload_optimizer=CPU), "optimizer": {"type": "AdamW", "params": {"amsgrad": True}}},
            ),
            warned("Adam is AdamW", json={**zero(2), "optimizer": {"type": "Adam", "params": {}}}),
        ),
        shown=("amsgrad_offloaded", "adam_is_adamw"),
    ),
)
