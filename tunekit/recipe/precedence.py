"""What a choice sets aside: another method or another way to say ZeRO replaces what a lower layer said about it.

Layers are the bases, the recipe and the command line. So `method.kind=full` over a lora recipe needs no more typing;
two contradicting values in the same layer remain an error.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

ADAPTER_KEYS = ("rank", "alpha", "dropout", "target_modules", "modules_to_save", "use_rslora")
"""Keys of `method` that only lora and qlora have."""
FOUR_BIT_KEYS = ("quantization", "double_quant")
"""Keys of `method` that only qlora has."""
_PLACEMENT = ("offload_optimizer", "offload_param", "offload_ratio", "bf16_states")
_ZERO_RIVALS = {
    "preset": ("config", "stage", *_PLACEMENT),
    "config": ("preset", "stage", *_PLACEMENT),
    "stage": ("preset", "config"),
}


def applies(name: str, kind: str) -> bool:
    """True when the key `method.<name>` means something for the method `kind`."""
    if name in FOUR_BIT_KEYS:
        return kind == "qlora"
    return name not in ADAPTER_KEYS or kind in ("lora", "qlora")


def set_aside(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """The lower layer without the keys that a choice of the upper layer replaces."""
    method, zero = above.get("method"), above.get("zero")
    gone: dict[str, Collection[str]] = {}
    if isinstance(method, dict) and method.get("kind") in ("full", "lora", "qlora"):
        gone["method"] = [name for name in (*ADAPTER_KEYS, *FOUR_BIT_KEYS) if not applies(name, method["kind"])]
    if isinstance(zero, dict):
        chosen = [name for name in _ZERO_RIVALS if zero.get(name) not in (None, "auto")]
        gone["zero"] = {rival for name in chosen for rival in _ZERO_RIVALS[name]}
    return {section: _without(content, gone.get(section, ())) for section, content in below.items()}


def _without(content: Any, names: Collection[str]) -> Any:
    if not isinstance(content, dict):
        return content
    return {name: value for name, value in content.items() if name not in names}
