from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from planning import laptop, machine, shape_of
from plans import make_job, make_recipe

from tunekit.errors import Problem
from tunekit.hardware.spec import Hardware
from tunekit.planner.rules import RULES, check_job
from tunekit.recipe.job import Quantization

NF4 = Quantization(kind="nf4", double_quant=True)
INT8 = Quantization(kind="int8", double_quant=False)
TURING = replace(machine(), gpus=tuple(replace(gpu, compute_capability=7.5) for gpu in machine().gpus))


def problems(hardware: Hardware, *, zero: dict[str, Any] | None = None, **job: Any) -> tuple[Problem, ...]:
    shape = shape_of("HuggingFaceTB/SmolLM2-135M-Instruct")
    return check_job(make_recipe(), make_job(hardware, zero=zero, **job), shape, hardware)


def test_a_plain_job_breaks_no_rule() -> None:
    assert problems(machine()) == ()
    assert problems(laptop()) == ()


@pytest.mark.parametrize(
    ("hardware", "zero", "job", "key", "word"),
    [
        (laptop(), {}, {"precision": "fp16"}, "train.precision", "CPU"),
        (TURING, {}, {"precision": "bf16"}, "train.precision", "7.5"),
        (laptop(), {}, {"attention": "flash_attention_2"}, "model.attention", "CPU"),
        (machine(), {}, {"attention": "flash_attention_2", "precision": "fp32"}, "model.attention", "fp32"),
        (machine(), {"offload_param": "cpu"}, {}, "zero.offload_param", "stage 2"),
        (machine(), {"offload_optimizer": "nvme", "nvme_path": "/n"}, {}, "zero.offload_optimizer", "stage 2"),
        (machine(), {"stage": 0, "offload_optimizer": "cpu"}, {}, "zero.offload_optimizer", "stage 0"),
        (machine(), {"offload_ratio": 0.5, "offload_optimizer": "cpu"}, {}, "zero.offload_ratio", "stage 2"),
        (machine(), {"stage": 0, "bf16_states": True}, {}, "zero.bf16_states", "stage 0"),
        (machine(), {"stage": 3, "offload_ratio": 0.5}, {}, "zero.offload_ratio", "offload_optimizer none"),
        (machine(), {"stage": 3, "offload_param": "nvme"}, {}, "zero.nvme_path", "not set"),
        (machine(), {"stage": 3, "offload_param": "cpu"}, {"quantization": NF4}, "zero.offload_param", "4-bit"),
        (machine(), {"stage": 3}, {"quantization": INT8}, "method.quantization", "int8 under ZeRO stage 3"),
        (machine(), {"offload_optimizer": "cpu"}, {"optimizer": "adamw_8bit"}, "train.optimizer", "adamw_8bit"),
        (machine(), {"offload_optimizer": "cpu"}, {"optimizer": "adafactor"}, "train.optimizer", "adafactor"),
        (machine(), {"bf16_states": True}, {"optimizer": "lion"}, "train.optimizer", "bf16_states"),
        (
            machine(),
            {"stage": 3, "offload_optimizer": "cpu", "offload_ratio": 0.5},
            {"optimizer": "lion"},
            "train.optimizer",
            "offload_ratio 0.5",
        ),
        (laptop(), {}, {"optimizer": "paged_adamw_8bit"}, "train.optimizer", "CPU"),
        (machine(), {"bf16_states": True}, {"precision": "fp32"}, "train.precision", "fp32"),
        (machine(), {"zenflow": True}, {}, "zero.offload_optimizer", "zenflow"),
        (machine(), {"zenflow": True, "offload_optimizer": "cpu"}, {}, "zero.preset", "scrambles"),
    ],
)
def test_every_rule_names_key_finding_and_cure(
    hardware: Hardware, zero: dict[str, Any], job: dict[str, Any], key: str, word: str
) -> None:
    (problem,) = problems(hardware, zero=zero, **job)
    assert problem.key == key
    assert word in problem.found
    assert problem.allowed
    assert problem.hint


def test_all_broken_rules_are_reported_together() -> None:
    broken = problems(laptop(), precision="fp16", attention="flash_attention_2", optimizer="paged_adamw_8bit")
    assert [problem.key for problem in broken] == ["model.attention", "train.precision", "train.optimizer"]


@pytest.mark.parametrize(
    ("zero", "job"),
    [
        ({"offload_optimizer": "cpu"}, {"optimizer": "lion"}),
        ({"stage": 3, "offload_optimizer": "nvme", "offload_param": "nvme", "nvme_path": "/n"}, {}),
        ({"stage": 3}, {"quantization": NF4}),
    ],
)
def test_what_works_is_let_through(zero: dict[str, Any], job: dict[str, Any]) -> None:
    assert problems(machine(), zero=zero, **job) == ()


def test_every_rule_says_where_it_was_seen() -> None:
    assert all("`" in (rule.__doc__ or "") for rule in RULES)
