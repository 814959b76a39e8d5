"""Published and derived speeds of whole jobs, and what the model says of the same: the table of speed/README.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tunekit.hardware.profiles import load_profile
from tunekit.model_shape.catalogue import find
from tunekit.planner.pace import pace
from tunekit.planner.resolve import resolve
from tunekit.recipe.schema import Recipe
from tunekit.speed.terms import SpeedEstimate

_MODELS = {
    "7B": "meta-llama/Llama-2-7b-hf",
    "8B": "meta-llama/Llama-3.1-8B",
    "13B": "meta-llama/Llama-2-13b-hf",
    "34B": "codellama/CodeLlama-34b-hf",
    "70B": "meta-llama/Llama-2-70b-hf",
}
HOME, ONE = "dual_rtx4090", "single_rtx4090"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A job of rows of 2048 tokens, and tokens per second that others give for it."""

    size: str
    method: str
    machine: str
    preset: str
    micro: int
    passes: int
    said: str
    low: float
    """The published figure, or the low end of what was derived."""
    high: float
    keeps: bool = False
    """Whether activations are kept, not recomputed."""
    optimizer: str = "adamw"

    @property
    def plan(self) -> str:
        """The plan in words."""
        how = f"{self.preset}, micro-batch {self.micro}, {self.passes} pass{'' if self.passes == 1 else 'es'}"
        return f"{how}, {self.optimizer}" if self.optimizer != "adamw" else how


def _job(size: str, method: str, machine: str, preset: str, micro: int, passes: int, said: str, **more: Any) -> Anchor:
    low, _, high = said.removeprefix("measured ").removeprefix("derived ").partition(" to ")
    bounds = {"low": float(low.replace(",", "")), "high": float((high or low).replace(",", ""))}
    return Anchor(
        size=size,
        method=method,
        machine=machine,
        preset=preset,
        micro=micro,
        passes=passes,
        said=said,
        **bounds,
        **more,
    )


ANCHORS: tuple[Anchor, ...] = (
    _job("7B", "full", HOME, "z2_offload_bf16", 4, 8, "derived 2,230 to 3,190"),
    _job("7B", "full", HOME, "z2_offload_bf16", 2, 16, "derived 1,720 to 3,190"),
    _job("8B", "full", HOME, "z2_offload_bf16", 4, 8, "derived 1,880 to 2,690"),
    _job("7B", "full", HOME, "z3_offload_nvme", 8, 16, "derived 2,030 to 2,810"),
    _job("7B", "lora", HOME, "z2", 4, 1, "measured 4,799"),
    _job("8B", "lora", HOME, "z2", 4, 1, "derived 4,000"),
    _job("13B", "lora", HOME, "z3", 4, 1, "derived 1,505 to 2,504"),
    _job("13B", "lora", HOME, "z3", 6, 1, "derived 1,740 to 2,504"),
    _job("34B", "lora", HOME, "z3_offload_param", 4, 1, "derived 480 to 956"),
    _job("34B", "lora", HOME, "z3_offload_param", 8, 1, "derived 640 to 956"),
    _job("7B", "qlora", HOME, "z2", 8, 1, "measured 4,660"),
    _job("13B", "qlora", HOME, "z2", 6, 1, "derived 2,480"),
    _job("34B", "qlora", HOME, "z2", 1, 1, "derived 902"),
    _job("34B", "qlora", HOME, "z3_qlora", 2, 1, "derived 680 to 930"),
    _job("8B", "full", ONE, "z0", 2, 1, "measured 1,650", optimizer="paged_adamw_8bit"),
    _job("7B", "qlora", ONE, "z0", 8, 1, "measured 2,330"),
    _job("13B", "qlora", ONE, "z0", 4, 1, "derived 1,240"),
    _job("34B", "qlora", ONE, "z0", 1, 1, "derived 450"),
    _job("7B", "full", "8x_h100_80gb", "z2", 6, 1, "measured 85,000", keeps=True),
    _job("7B", "full", "8x_a100_80gb", "z2", 6, 2, "measured 37,130", keeps=True),
    _job("70B", "lora", "8x_h100_80gb", "z3", 2, 1, "measured 8,735", keeps=True),
)
"""Measured: fsdp_qlora, torchtune, llm-foundry, NeMo AutoModel (tensor parallel). Derived: from rates, not run."""


def estimate(anchor: Anchor) -> SpeedEstimate:
    """The speed of the plan, through the planner."""
    shape, hardware = find(_MODELS[anchor.size]), load_profile(anchor.machine)
    assert shape is not None
    found = resolve(_recipe(anchor), shape, hardware)
    speed = pace(found.settled.recipe, found.trial.job, shape, hardware)
    assert speed is not None
    return speed


def _recipe(anchor: Anchor) -> Recipe:
    tree: dict[str, Any] = {
        "model": {"path": _MODELS[anchor.size], "attention": "flash_attention_2"},
        "method": {"kind": anchor.method},
        "zero": {"preset": anchor.preset},
        "data": {"path": "rows.jsonl", "packing": True},
        "train": {
            "max_seq_length": 2048,
            "micro_batch_size": anchor.micro,
            "gradient_accumulation_steps": anchor.passes,
            "activation_checkpointing": not anchor.keeps,
            "optimizer": anchor.optimizer,
        },
        "output": {"dir": "runs/anchor"},
    }
    if anchor.preset.endswith("nvme"):
        tree["zero"]["nvme_path"] = "/nvme"
    return Recipe.model_validate(tree)


def table() -> Iterator[str]:
    """The table in Markdown."""
    yield "| job | machine | plan | others, tokens/s | tunekit, tokens/s | largest costs |"
    yield "|---|---|---|---|---|---|"
    for anchor in ANCHORS:
        speed = estimate(anchor)
        rate, seconds = speed.tokens_per_second, speed.step_seconds.expected
        costs = ", ".join(f"{term.name} {term.seconds / seconds:.0%}" for term in speed.largest)
        ours = f"{rate.expected:,.0f} ({rate.low:,.0f} to {rate.high:,.0f})"
        yield (
            f"| {anchor.size} {anchor.method} | {anchor.machine} | {anchor.plan} | {anchor.said} | {ours} | {costs} |"
        )
