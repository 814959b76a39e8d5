"""What a DeepSpeed configuration states, in the recipe's own words; `"auto"` states nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunekit.ds_config.presets import preset_facts

_ZERO = "zero_optimization"
_NUMBERS: Mapping[str, str] = {
    "train.micro_batch_size": "train_micro_batch_size_per_gpu",
    "train.gradient_accumulation_steps": "gradient_accumulation_steps",
    "train.global_batch_size": "train_batch_size",
    "train.max_grad_norm": "gradient_clipping",
    "train.learning_rate": "optimizer.params.lr",
    "train.weight_decay": "optimizer.params.weight_decay",
    "zero.overlap_comm": f"{_ZERO}.overlap_comm",
    "zero.reduce_bucket_size": f"{_ZERO}.reduce_bucket_size",
    "zero.allgather_bucket_size": f"{_ZERO}.allgather_bucket_size",
    "zero.prefetch_bucket_size": f"{_ZERO}.stage3_prefetch_bucket_size",
    "zero.param_persistence_threshold": f"{_ZERO}.stage3_param_persistence_threshold",
    "zero.sub_group_size": f"{_ZERO}.sub_group_size",
    "zero.max_live_parameters": f"{_ZERO}.stage3_max_live_parameters",
    "zero.max_reuse_distance": f"{_ZERO}.stage3_max_reuse_distance",
}
_OPTIMIZERS = {"adam": "adamw", "adamw": "adamw", "lion": "lion", "sgd": "sgd"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """One value of a configuration: the recipe key it answers, the value, the key it stands under."""

    recipe_key: str
    value: Any
    json_key: str


def stated_values(config: Mapping[str, Any]) -> Iterator[Stated]:
    """Every value that a recipe key could state too. Keys of stage 3 carry their prefix (`normalised`)."""
    yield from _placement(config)
    for recipe_key, json_key in _NUMBERS.items():
        value = dig(config, json_key)
        if isinstance(value, (int, float)):
            yield Stated(recipe_key=recipe_key, value=_whole(value), json_key=json_key)
    yield from _precision(config)
    kind = str(dig(config, "optimizer.type") or "").lower()
    if kind in _OPTIMIZERS:
        yield Stated(recipe_key="train.optimizer", value=_OPTIMIZERS[kind], json_key="optimizer.type")


def dig(config: Mapping[str, Any], dotted: str) -> Any:
    """The value under a dotted key; None where it is missing."""
    value: Any = config
    for part in dotted.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _placement(config: Mapping[str, Any]) -> Iterator[Stated]:
    """Stage and offloads; a configuration without an offload section states that nothing is offloaded."""
    facts = preset_facts(config)
    optimizer, parameters = f"{_ZERO}.offload_optimizer", f"{_ZERO}.offload_param"
    yield Stated(recipe_key="zero.stage", value=facts.stage, json_key=f"{_ZERO}.stage")
    yield Stated(recipe_key="zero.offload_optimizer", value=facts.offload_optimizer, json_key=f"{optimizer}.device")
    yield Stated(recipe_key="zero.offload_param", value=facts.offload_param, json_key=f"{parameters}.device")
    yield Stated(recipe_key="zero.offload_ratio", value=facts.offload_ratio, json_key=f"{optimizer}.ratio")
    yield Stated(recipe_key="zero.bf16_states", value=facts.bf16_states, json_key="bf16.bf16_optimizer_states")
    for section in (optimizer, parameters):
        for recipe_key, name, kind in (("zero.nvme_path", "nvme_path", str), ("zero.pin_memory", "pin_memory", bool)):
            value = dig(config, f"{section}.{name}")
            if isinstance(value, kind) and value != "auto":
                yield Stated(recipe_key=recipe_key, value=value, json_key=f"{section}.{name}")


def _precision(config: Mapping[str, Any]) -> Iterator[Stated]:
    enabled = {name: dig(config, f"{name}.enabled") for name in ("bf16", "fp16")}
    for name, value in enabled.items():
        if value is True:
            yield Stated(recipe_key="train.precision", value=name, json_key=f"{name}.enabled")
    if list(enabled.values()) == [False, False]:
        yield Stated(recipe_key="train.precision", value="fp32", json_key="bf16.enabled")


def _whole(value: float) -> float:
    """5e8 in JSON is meant as the whole number."""
    return int(value) if isinstance(value, float) and value.is_integer() and value >= 1 else value
