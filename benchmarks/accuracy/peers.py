"""The estimates of other tools for the same settings, in bytes per device, or None where a tool says nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from accuracy.setting import Setting
from tunekit.memory.llamafactory_table import check_table
from tunekit.recipe.job import Job

PEERS = ("LLaMA-Factory table", "DeepSpeed estimators", "accelerate rule", "parameters x 4")
_TIMEOUT_SECONDS = 300
_CALLS = """
import json, sys, io, contextlib
asked = json.load(sys.stdin)
noise = io.StringIO()
with contextlib.redirect_stdout(noise):
    from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs as stage_2
    from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs as stage_3
    answers = []
    for one in asked:
        size, gpus = one["parameters"], one["gpus"]
        if one["stage"] == 3:
            params = one["offload_params"]
            found = stage_3(size, one["largest_layer"], gpus, 1, one["offload"] or params, params)[1]
        else:
            found = stage_2(size, gpus, 1, one["offload"])[1]
        answers.append(found)
sys.stdout.write("ANSWERS" + json.dumps(answers))
"""


def peer_estimates(settings: Sequence[Setting]) -> list[Mapping[str, int | None]]:
    """One mapping of tool to bytes per setting; none of them says anything of a host."""
    answers = (
        _deepspeed(settings),
        *([tool(each) for each in settings] for tool in (_table, _accelerate, _times_four)),
    )
    names = ("DeepSpeed estimators", "LLaMA-Factory table", "accelerate rule", "parameters x 4")
    return [
        {} if setting.reading == "host" else dict(zip(names, said, strict=True))
        for setting, *said in zip(settings, *answers, strict=True)
    ]


def _table(setting: Setting) -> int:
    return check_table(_as_zero(setting), setting.shape, setting.hardware).device_demand_bytes


def _as_zero(setting: Setting) -> Job:
    """FSDP divides what ZeRO-3 divides; weights trained in 16 bits alone are the table's pure_bf16."""
    stage = 3 if setting.engine in ("fsdp", "fsdp2") else setting.job.zero.stage
    in_ram = setting.states.optimizer_in_ram
    zero = replace(
        setting.job.zero,
        stage=stage,
        bf16_states=setting.job.zero.bf16_states
        or (setting.engine != "deepspeed" and setting.states.trained_bytes == 2),
        offload_optimizer="cpu" if in_ram else setting.job.zero.offload_optimizer,
        offload_param="cpu" if setting.states.weights_in_ram else setting.job.zero.offload_param,
    )
    return replace(setting.job, zero=zero)


def _deepspeed(settings: Sequence[Setting]) -> list[int | None]:
    """DeepSpeed's own functions, called in a process of their own; all None where it does not answer."""
    asked = json.dumps([_question(setting) for setting in settings])
    _, found, answer = (_answered(asked) if settings else "").rpartition("ANSWERS")
    return [int(each) for each in json.loads(answer)] if found else [None] * len(settings)


def _answered(asked: str) -> str:
    argv = [sys.executable, "-c", _CALLS]
    try:
        done = subprocess.run(argv, input=asked, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return ""
    return "" if done.returncode else done.stdout


def _question(setting: Setting) -> dict[str, int | bool]:
    job = _as_zero(setting)
    layer = sum(each.numel for each in setting.shape.tensors if each.in_layers and each.first_layer == 0)
    ends = max((each.numel for each in setting.shape.tensors if not each.in_layers), default=0)
    return {
        "parameters": setting.shape.num_parameters,
        "largest_layer": max(layer, ends),
        "gpus": job.batch.world_size,
        "stage": job.zero.stage,
        "offload": job.zero.offload_optimizer != "none",
        "offload_params": job.zero.offload_param != "none",
    }


def _accelerate(setting: Setting) -> int:
    """accelerate 1.15 `estimate_training_usage`: its largest column, 4 x float32 weights, or 2 x in 16 bits."""
    return (16 if setting.job.precision == "fp32" else 8) * setting.shape.num_parameters


_WIDTHS = {"plain": 2.0, "int8": 1.0, "nf4": 0.5, "gptq": 0.5}


def _times_four(setting: Setting) -> int:
    """Four times the weights as they are stored."""
    width = 4.0 if setting.job.precision == "fp32" else _WIDTHS[setting.states.base]
    return round(4 * width * setting.shape.num_parameters)
