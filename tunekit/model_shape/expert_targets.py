"""LoRA on a mixture's experts and router, which are fused parameters since transformers 5.

PEFT 0.21 keeps the names that these layers had before, and turns them into parameters of the fused layer: see
`peft/utils/transformers_weight_conversion.py` (`_MOE_TARGET_MODULE_MAPPING`, `_convert_peft_config_moe`) and
`ParamWrapper` in `peft/tuners/lora/layer.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from tunekit.model_shape.shape import ModelShape, ParameterTensor

_ROUTER, _FUSED, _DOWN = "mlp.gate.weight", "mlp.experts.gate_up_proj", "mlp.experts.down_proj"

EXPERT_TARGETS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "mixtral": MappingProxyType({"gate": _ROUTER, "w1": _FUSED, "w3": _FUSED, "w2": _DOWN}),
        "qwen3_moe": MappingProxyType({"gate": _ROUTER, "gate_proj": _FUSED, "up_proj": _FUSED, "down_proj": _DOWN}),
    }
)
"""Family to (name in target_modules to the end of the fused parameter's name)."""


def expert_target(family: str, name: str) -> str | None:
    """The end of the fused parameter's name that `name` stands for, or None."""
    for old_name, parameter in EXPERT_TARGETS.get(family, {}).items():
        if name == old_name or name.endswith(f".{old_name}"):
            return parameter
    return None


def missing_half(family: str, names: tuple[str, ...]) -> str | None:
    """The name that must be added because it is fused with one that was given, or None."""
    halves = [old for old, parameter in EXPERT_TARGETS.get(family, {}).items() if parameter == _FUSED]
    leaves = {name.rpartition(".")[2] for name in names}
    given = [half for half in halves if half in leaves]
    return next((half for half in halves if half not in leaves), None) if given else None


def expert_adapters(shape: ModelShape, names: tuple[str, ...], rank: int) -> Iterator[ParameterTensor]:
    """lora_A and lora_B of every targeted fused parameter; gate and up together have twice the rank."""
    wanted = {target for name in names if (target := expert_target(shape.family, name))}
    for tensor in shape.tensors:
        if tensor.role in ("expert", "router") and any(tensor.name.endswith(end) for end in wanted):
            nested = tensor.name.endswith(_FUSED) and _DOWN in wanted
            yield from _fused_pair(tensor, rank=rank, nested=nested)


def _fused_pair(tensor: ParameterTensor, *, rank: int, nested: bool) -> Iterator[ParameterTensor]:
    count = tensor.shape[0] if tensor.role == "expert" else 1
    out, into = tensor.shape[-2:]
    width = count * rank * (2 if tensor.name.endswith(_FUSED) else 1)
    module = f"base_model.model.{tensor.name.rpartition('.')[0]}" + (".base_layer" if nested else "")
    yield replace(tensor, name=f"{module}.lora_A.default.weight", shape=(width, into), role="linear")
    yield replace(tensor, name=f"{module}.lora_B.default.weight", shape=(out, width), role="linear")
