"""What PEFT's methods beside LoRA keep for backward, from the code of their layers (peft 0.19, base in 16 bits).

A method's parameters are float32, so what they touch is float32 where there is no autocast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PeftMethod:
    """Bytes kept per input element, per output element and per weight element of each adapted projection."""

    inputs: int = 0
    outputs: int = 0
    weights: int = 0
    feeds_input: bool = False
    """Whether a method that scales outputs scales the input of the last projection instead, as IA3 does."""


_AS_LORA = PeftMethod(inputs=4)
_MERGED = PeftMethod(inputs=4, weights=4)
"""The change of a weight is built whole, in float32, and multiplied with the input."""
_NOTHING = PeftMethod()

METHODS: Mapping[str, PeftMethod] = {
    **dict.fromkeys(("lora", "rslora", "lora+", "adalora", "delora", "oft", "hra", "gralora", "vblora"), _AS_LORA),
    **dict.fromkeys(
        ("unilora", "vera", "randlora", "corda", "eva", "pissa", "olora", "arrow", "psoft", "xlora"), _AS_LORA
    ),
    **dict.fromkeys(("fourierft", "waveft", "hira", "loha", "lokr", "bone", "miss", "boft", "c3a"), _MERGED),
    **dict.fromkeys(("tinylora", "beft", "bitfit", "adamss", "lntuning", "ln_tuning", "trainabletokens"), _NOTHING),
    **dict.fromkeys(("trainable_tokens", "prompt_tuning", "p_tuning", "prefix_tuning", "cpt", "lora-fa"), _NOTHING),
    "shira": PeftMethod(weights=4),
    "dora": PeftMethod(inputs=4, outputs=6),
    "road": PeftMethod(outputs=6),
    "ia3": PeftMethod(outputs=2, feeds_input=True),
    "adaption_prompt": PeftMethod(outputs=6),
}
"""DoRA keeps the base's result (2) and the adapter's (4); IA3 the result it scales (2), or a float32 input (4)."""


def method_of(text: str) -> PeftMethod | None:
    """The method of that name, or None where its code is not described here."""
    return METHODS.get(text.split(" ")[0])
