"""One row of the table of rules, and short words for the configurations in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.rules.meeting import Met

LLAMA_8B, LLAMA_70B = "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-2-70b-hf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row: what, why, what instead, and how it is met."""

    what: str
    why: str
    instead: str
    met: tuple[Met, ...]
    pain: tuple[int, ...] = ()
    stack: tuple[int, ...] = ()
    shown: tuple[str, ...] = ()
    cuda: str = ""


CPU: Mapping[str, Any] = {"device": "cpu", "pin_memory": False}
NVME: Mapping[str, Any] = {"device": "nvme", "nvme_path": "/nvme"}
ADAMW: Mapping[str, Any] = {"type": "AdamW", "params": {"lr": 1e-5}}
Z = "zero_optimization"
MODEL, ARGUMENTS = "tests/unit/worker/test_model.py", "tests/unit/worker/test_arguments.py"


def zero(stage: int, **more: Any) -> dict[str, Any]:
    """A configuration of this stage."""
    return {Z: {"stage": stage, **more}}
