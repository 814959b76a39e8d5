"""How many plans `tunekit fit` decides per second of one core, and how long a search takes from end to end.

    python benchmarks/search_speed.py [--on dual_rtx4090] [--rounds 5]

A plan is decided when both judges weighed it, or a lighter one of its kind or the table had ruled it out; the frontier
is as if all were weighed (tests/unit/planner/test_explore.py). Seconds are CPU seconds, the best of the rounds;
the command's own are those of a new process, import and printing included.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tunekit.hardware.spec import Hardware
from tunekit.hub import find_shape
from tunekit.planner.explore import Explored, explore
from tunekit.planner.fit_recipe import open_recipe
from tunekit.planner.space import settled_for
from tunekit.source import find_hardware, read_source

MODELS = (
    "meta-llama/Llama-2-7b-hf",
    "meta-llama/Llama-3.1-8B",
    "meta-llama/Llama-2-13b-hf",
    "Qwen/Qwen2.5-14B",
    "Qwen/Qwen2.5-32B",
    "codellama/CodeLlama-34b-hf",
    "meta-llama/Llama-2-70b-hf",
    "Qwen/Qwen2.5-72B",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One search: what was found and the CPU seconds of the fastest round, and of the whole command."""

    model: str
    found: Explored
    seconds: float
    command_seconds: float


def measure(model: str, hardware: Hardware, on: str, rounds: int) -> Measured:
    """Search all methods of a model so often and keep the fastest round."""
    recipe = read_source(open_recipe(model)).recipe
    shape = find_shape(model)
    best, found = float("inf"), None
    for _ in range(rounds):
        start = time.process_time()
        found = explore(tuple(settled_for(recipe, shape, hardware)))
        best = min(best, time.process_time() - start)
    assert found is not None
    return Measured(model=model, found=found, seconds=best, command_seconds=_command(model, on, rounds))


def _command(model: str, on: str, rounds: int) -> float:
    words = [sys.executable, "-m", "tunekit", "fit", model, "--on", on]
    return min(_once(words) for _ in range(min(rounds, 3)))


def _once(words: list[str]) -> float:
    before = os.times()
    subprocess.run(words, stdout=subprocess.DEVNULL, check=False)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def table(every: list[Measured]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| model | plans | weighed | fit | frontier | search, s | plans/s of one core | `tunekit fit`, s |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for each in every:
        found = each.found
        yield (
            f"| {each.model.rpartition('/')[2]} | {found.plans:,} | {found.weighed:,} | {len(found.fitting):,} | "
            f"{len(found.frontier)} | {each.seconds:.2f} | {found.plans / each.seconds:,.0f} | "
            f"{each.command_seconds:.2f} |"
        )
    plans, seconds = sum(each.found.plans for each in every), sum(each.seconds for each in every)
    slowest = max(each.command_seconds for each in every)
    yield f"| all | {plans:,} | | | | {seconds:.2f} | {plans / seconds:,.0f} | at most {slowest:.2f} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--on", default="dual_rtx4090")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    hardware = find_hardware(asked.on)
    print("\n".join(table([measure(model, hardware, asked.on, asked.rounds) for model in MODELS])))


if __name__ == "__main__":
    main()
