"""Which of these jobs fits which machine? A table of verdicts, without a GPU, torch or a network.

python examples/compare_plans.py
python examples/compare_plans.py llama31_8b_lora codellama34b_qlora --on single_rtx4090 a100_80gb
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

import tunekit
from tunekit.planner.verdict import PLACE_NAMES, judge
from tunekit.units import GIB

RECIPES = ("smollm2_135m_full", "llama31_8b_lora", "llama31_8b_full", "codellama34b_qlora", "codellama34b_full")
MACHINES = ("single_rtx4090", "dual_rtx4090", "8x_h100_80gb")
# Each machine gets the ZeRO preset and the micro-batch that suit it; what is learned stays the recipe's.
OVERRIDES = ("zero.preset=auto", "train.micro_batch_size=auto")
COLOURS = {"fits": "green", "tight": "yellow", "rejected": "red"}
JUDGES = {"model": " by the memory model", "table": " by the LLaMA-Factory table"}


def main(argv: Sequence[str] | None = None) -> None:
    arguments = read_arguments(argv)
    plans = [[tunekit.plan(recipe, OVERRIDES, on=machine) for machine in arguments.on] for recipe in arguments.recipes]
    Console().print(verdict_table(plans, arguments.on))


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Plan recipes on machines and compare.")
    parser.add_argument("recipes", nargs="*", default=RECIPES, help="recipe files, or names of shipped recipes")
    parser.add_argument("--on", nargs="+", default=MACHINES, help="hardware profiles, or YAML files")
    return parser.parse_args(argv)


def verdict_table(plans: Sequence[Sequence[tunekit.Plan]], machines: Sequence[str]) -> Table:
    """One row per recipe, one column per machine."""
    table = Table(caption="verdict, ZeRO preset, GiB of the place that decides: expected / usable", show_lines=True)
    for name in ("recipe", *machines):
        table.add_column(name, overflow="fold")
    for row in plans:
        table.add_row(row[0].recipe.output.dir.removeprefix("runs/"), *map(cell, row))
    return table


def cell(plan: tunekit.Plan) -> str:
    """The verdict and whose it is, the preset it would run with, and the place that decides."""
    worst = judge(plan.memory, plan.table, plan.trust).worst
    by = JUDGES[worst.judge] if plan.verdict == "rejected" else ""
    verdict = f"[{COLOURS[plan.verdict]}]{plan.verdict}[/]{by}"
    size = f"{PLACE_NAMES[worst.place]} {worst.expected_bytes / GIB:.1f} / {worst.usable_bytes / GIB:.1f}"
    return f"{verdict}\n{plan.job.zero.preset}\n{size}"


if __name__ == "__main__":
    main()
