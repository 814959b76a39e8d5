"""The table of searches in tunekit/speed/README.md: what `tunekit fit` recommends on two RTX 4090 for every size.

python benchmarks/fit_table.py
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from tunekit.notebook import fit
from tunekit.planner.search_result import Candidate, SearchResult
from tunekit.recipe.schema import MethodKind
from tunekit.render.fit_parts import passes, placement
from tunekit.units import GIB

MACHINE = "dual_rtx4090"
MODELS = {
    "7B": "meta-llama/Llama-2-7b-hf",
    "8B": "meta-llama/Llama-3.1-8B",
    "13B": "meta-llama/Llama-2-13b-hf",
    "14B": "Qwen/Qwen2.5-14B",
    "32B": "Qwen/Qwen2.5-32B",
    "34B": "codellama/CodeLlama-34b-hf",
    "70B": "meta-llama/Llama-2-70b-hf",
    "72B": "Qwen/Qwen2.5-72B",
}
METHODS: tuple[MethodKind, ...] = ("full", "lora", "qlora")
OTHERS = {
    ("7B", "full"): "ZeRO-2, optimizer in RAM, bf16 states: 2,600 derived",
    ("7B", "lora"): "replicated: 4,800 measured on x16",
    ("7B", "qlora"): "replicated: 4,660 measured on x16",
    ("8B", "full"): "ZeRO-2, optimizer in RAM, bf16 states: 2,200 derived, tight",
    ("8B", "lora"): "replicated: 4,000 derived",
    ("8B", "qlora"): "replicated: 4,000 derived",
    ("13B", "full"): "NVMe only: 1,100 derived",
    ("13B", "lora"): "ZeRO-3: 2,050 derived",
    ("13B", "qlora"): "replicated: 2,500 derived",
    ("32B", "full"): "impossible in practice",
    ("32B", "lora"): "ZeRO-3, weights in RAM: 770 derived",
    ("32B", "qlora"): "sharded, as its vocabulary is large",
    ("34B", "full"): "impossible in practice",
    ("34B", "lora"): "ZeRO-3, weights in RAM: 770 derived",
    ("34B", "qlora"): "sharded: 1,000 measured on x16; replicated: 900 derived",
    ("70B", "full"): "impossible",
    ("70B", "lora"): "impossible",
    ("70B", "qlora"): "FSDP with offload: 477 measured on x16 with 128 GB of RAM",
    ("72B", "full"): "impossible",
    ("72B", "lora"): "impossible",
    ("72B", "qlora"): "FSDP with offload: 420 derived",
}
"""What a survey of published runs ranks first on two 24 GB cards and 96 GB of RAM, tokens per second of both."""


def table() -> Iterator[str]:
    """The lines of a Markdown table, one per size and method."""
    yield "| model | method | recommended | GPU, GiB | RAM, GiB | tokens/s | 10 M tokens | others |"
    yield "|---|---|---|--:|--:|---|--:|---|"
    for size, model in MODELS.items():
        for method in METHODS:
            found = fit(model, on=MACHINE, method=method, tokens=10_000_000)
            others = OTHERS.get((size, cast("str", method)), "")
            yield f"| {size} | {method} | {' | '.join(_cells(found))} | {others} |"


def _cells(found: SearchResult) -> tuple[str, ...]:
    best = found.recommended
    return _nothing(found) if best is None else _fitting(best)


def _fitting(best: Candidate) -> tuple[str, ...]:
    rate = best.speed.tokens_per_second
    states = ", ".join(loss for loss in best.losses if loss.endswith("states"))
    words = [placement(best).partition(", ")[2], passes(best), states, "" if best.verdict == "fits" else best.verdict]
    return (
        "; ".join(word for word in words if word),
        f"{best.device.expected_bytes / GIB:.1f}",
        f"{best.host.expected_bytes / GIB:.1f}",
        f"{rate.expected:,.0f} ({rate.low:,.0f} to {rate.high:,.0f})",
        f"{best.run.hours.expected:,.1f} h",
    )


def _nothing(found: SearchResult) -> tuple[str, ...]:
    enough = [fix for fix in found.fixes if fix.verdict != "rejected"]
    ways = (f"`{fix.set}`: {fix.tokens_per_second:,.0f}" for fix in enough[:2] if fix.tokens_per_second)
    return f"nothing fits; {'; '.join(ways)} tokens/s" if enough else "nothing fits", "", "", "", ""


if __name__ == "__main__":
    print("\n".join(table()))
