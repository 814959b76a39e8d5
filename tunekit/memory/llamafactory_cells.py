"""The "Hardware Requirement" table of LLaMA-Factory's README, both editions, in GB (1e9 bytes), as printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Row = Literal["full_amp", "full_16", "freeze", "lora_16", "qlora_8", "qlora_4", "qlora_2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One edition: `sizes` are the dense columns in billions of parameters, `cells` one tuple per row in their order.

    `mixture_sizes` are the total parameters of the mixture columns (8x7B is Mixtral with 46.7, 8x22B with 140.6).
    """

    date: str
    commit: str
    sizes: tuple[float, ...]
    cells: dict[Row, tuple[float, ...]]
    mixture_sizes: tuple[float, ...] = ()
    mixture_cells: dict[Row, tuple[float, ...]] | None = None


CURRENT = Edition(
    date="2025-03-11",
    commit="522a3e849",
    sizes=(7, 14, 30, 70),
    cells={
        "full_amp": (120, 240, 600, 1200),
        "full_16": (60, 120, 300, 600),
        "lora_16": (16, 32, 64, 160),
        "qlora_8": (10, 20, 40, 80),
        "qlora_4": (6, 12, 24, 48),
        "qlora_2": (4, 8, 16, 24),
    },
)
"""The table of today: dense models up to 70 billion parameters."""

OLDER = Edition(
    date="2024-04-26",
    commit="cb8b8f40c",
    sizes=(7, 13, 30, 70, 110),
    cells={
        "full_amp": (120, 240, 600, 1200, 2000),
        "full_16": (60, 120, 300, 600, 900),
        "freeze": (20, 40, 80, 200, 360),
        "lora_16": (16, 32, 64, 160, 240),
        "qlora_8": (10, 20, 40, 80, 140),
        "qlora_4": (6, 12, 24, 48, 72),
        "qlora_2": (4, 8, 16, 24, 48),
    },
    mixture_sizes=(46.7, 140.6),
    mixture_cells={
        "full_amp": (900, 2400),
        "full_16": (400, 1200),
        "freeze": (160, 400),
        "lora_16": (120, 320),
        "qlora_8": (60, 160),
        "qlora_4": (30, 96),
        "qlora_2": (18, 48),
    },
)
"""The table from April 2024 to March 2025: the only one with a 110B column and with mixtures of experts."""

ROW_NAMES: dict[Row, str] = {
    "full_amp": "Full 32 (AMP)",
    "full_16": "Full 16 (pure_bf16)",
    "freeze": "Freeze 16",
    "lora_16": "LoRA 16",
    "qlora_8": "QLoRA 8",
    "qlora_4": "QLoRA 4",
    "qlora_2": "QLoRA 2",
}
