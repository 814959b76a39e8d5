"""The presets of `ds_configs/`: names, contents, and the facts that tell them apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from tunekit.errors import Problem, RecipeError
from tunekit.recipe.keys import join_words, nearest_name
from tunekit.recipe.schema import Offload
from tunekit.recipe.shipped import shipped_names, shipped_path


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetFacts:
    """Where a DeepSpeed configuration puts the states, and the oldest DeepSpeed that does so."""

    stage: int
    offload_optimizer: Offload
    offload_param: Offload
    offload_ratio: float
    bf16_states: bool
    zenflow: bool
    fp32_gradients: bool = False
    """Gradients are accumulated in float32."""
    unfused_adam: bool = False
    """torch's AdamW instead of a fused one."""
    min_deepspeed: str


def preset_names() -> tuple[str, ...]:
    """Names of the shipped presets, sorted."""
    return shipped_names("ds_configs")


def load_preset(name: str) -> dict[str, Any]:
    """The JSON of a shipped preset; RecipeError with the nearest name when there is none of this name."""
    path = shipped_path(f"ds_configs/{name}.json") if name in preset_names() else None
    if path is None:
        raise RecipeError([_unknown_preset(name)])
    return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))


def preset_facts(config: Mapping[str, Any]) -> PresetFacts:
    """Read the facts off any DeepSpeed configuration; what it does not say is DeepSpeed's default."""
    zero = _section(config, "zero_optimization")
    optimizer = _section(zero, "offload_optimizer")
    bf16_states = _section(config, "bf16").get("bf16_optimizer_states") is True
    offload_optimizer = _device(optimizer)
    ratio = _number(optimizer.get("ratio"), 1.0)
    zenflow = isinstance(zero.get("zenflow"), Mapping)
    return PresetFacts(
        stage=int(_number(zero.get("stage"), 0)),
        offload_optimizer=offload_optimizer,
        offload_param=_device(_section(zero, "offload_param")),
        offload_ratio=ratio,
        bf16_states=bf16_states,
        zenflow=zenflow,
        fp32_gradients=_section(config, "data_types").get("grad_accum_dtype") in ("fp32", "float32", "float"),
        unfused_adam=_section(_section(config, "optimizer"), "params").get("torch_adam") is True,
        min_deepspeed=_min_deepspeed(
            bf16_states=bf16_states, offloads=offload_optimizer != "none", ratio=ratio, zenflow=zenflow
        ),
    )


def matching_preset(facts: PresetFacts) -> str | None:
    """Name of the preset with these facts, any offload ratio below 1 being alike; None when there is none.

    Of two presets with the same facts (`z3` and `z3_qlora` differ in sizes only) the shorter name is meant.
    """
    wanted = _identity(facts)
    matches = [name for name, its in _all_facts() if _identity(its) == wanted]
    return min(matches, key=lambda name: (len(name), name), default=None)


@cache
def _all_facts() -> tuple[tuple[str, PresetFacts], ...]:
    return tuple((name, preset_facts(load_preset(name))) for name in preset_names())


def _identity(facts: PresetFacts) -> tuple[int, str, str, bool, bool, bool]:
    return (
        facts.stage,
        facts.offload_optimizer,
        facts.offload_param,
        facts.offload_ratio < 1,
        facts.bf16_states,
        facts.zenflow,
    )


def _unknown_preset(name: str) -> Problem:
    nearest = nearest_name(name, preset_names())
    hint = f"did you mean {nearest}?" if nearest else "zero.config names a JSON file of your own"
    return Problem(key="zero.preset", found=f"there is no preset {name}", allowed=join_words(preset_names()), hint=hint)


def _min_deepspeed(*, bf16_states: bool, offloads: bool, ratio: float, zenflow: bool) -> str:
    if bf16_states:
        # 39a682d79 of 2025-12-04, tag 0.18.3; with CPU offload 3c337b542 of 2026-05-20, tag 0.19.1.
        return "0.19.1" if offloads else "0.18.3"
    if zenflow:
        # Pull request 7391, August 2025.
        return "0.17.5"
    if ratio < 1:
        # Offload++, November 2023.
        return "0.12.4"
    # What the DeepSpeed integration of transformers asks for.
    return "0.9.3"


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def _device(section: Mapping[str, Any]) -> Offload:
    device = section.get("device")
    return cast("Offload", device) if device in ("cpu", "nvme") else "none"


def _number(value: Any, default: float) -> float:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else default
