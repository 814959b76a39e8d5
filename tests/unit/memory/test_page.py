"""README.md beside the memory model names every term."""

from __future__ import annotations

from pathlib import Path

from memory_jobs import job, llama, machine

import tunekit.memory
from tunekit.memory.estimate import estimate_memory
from tunekit.model_shape.catalogue import find

PAGE = (Path(tunekit.memory.__file__).parent / "README.md").read_text(encoding="utf-8")
OFFLOAD = {"offload_optimizer": "cpu"}
ZEROS = (
    {"stage": 1},
    {"stage": 2, **OFFLOAD},
    {"stage": 2, **OFFLOAD, "zenflow": True},
    {"stage": 3, **OFFLOAD, "offload_param": "cpu"},
    {"stage": 3, **OFFLOAD, "offload_ratio": 0.5, "sub_group_size": 1000},
    {"stage": 3, "offload_optimizer": "nvme", "offload_param": "nvme"},
)


def names() -> set[str]:
    """Names of the terms of very different jobs."""
    mixtral, dense = find("mistralai/Mixtral-8x7B-v0.1"), llama()
    assert mixtral is not None
    plans = [
        (job(method, zero=zero, attention="sdpa", num_workers=1, **changes), shape, cards)
        for method in ("full", "lora", "qlora")
        for zero in ZEROS
        for changes in ({"loss": "full", "evaluates": True}, {"activation_checkpointing": False})
        for shape, cards in ((dense, 2), (dense, 0), (mixtral, 2))
    ]
    return {term.name for plan, shape, cards in plans for term in estimate_memory(plan, shape, machine(cards)).terms}


def test_every_term_is_on_the_page() -> None:
    found = names()
    assert len(found) > 50
    missing = [name for name in found if name not in PAGE and not name.startswith("gradient of the")]
    assert missing == []


def test_the_accuracy_table_has_its_place() -> None:
    assert PAGE.index("<!-- accuracy:begin -->") < PAGE.index("<!-- accuracy:end -->")
