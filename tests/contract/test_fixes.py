"""Every fix that a recipe is offered does what it says when it is typed behind what was typed before."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tunekit.notebook import plan
from tunekit.planner.plan import Fix, Plan
from tunekit.recipe.loading import as_mapping, load_recipe
from tunekit.recipe.overrides import retyped
from tunekit.recipe.shipped import shipped_names

MACHINES = (None, "single_rtx4090", "dual_rtx4090")


def unsure(name: str, on: str | None) -> Plan | None:
    made = plan(name, [f"hardware={on}"] if on else [])
    return made if made.verdict != "fits" else None


def assert_held(fix: Fix, after: Plan) -> None:
    """The plan is as sure, as fast and as large, to the byte, as the fix says."""
    speed = after.speed.tokens_per_second.expected if after.speed else None
    assert (after.verdict, speed) == (fix.verdict, fix.tokens_per_second), fix.set
    if fix.needs_by == "model":
        place = getattr(after.memory, fix.needs_place)
        needs = place.expected_bytes if fix.verdict == "rejected" else place.high_bytes
    else:
        needs = getattr(after.table, f"{fix.needs_place}_demand_bytes")
    assert needs == fix.needs_bytes, fix.set


def assert_every_fix_holds(source: str | Mapping[str, Any], words: Sequence[str], made: Plan) -> None:
    for fix in made.fixes:
        assert_held(fix, plan(source, retyped(words, shlex.split(fix.set))))


CASES = [(name, on) for name in shipped_names("recipes") if name != "quickstart" for on in MACHINES]


@pytest.mark.parametrize(("name", "on"), CASES)
def test_typing_a_fix_gives_exactly_what_it_says(name: str, on: str | None) -> None:
    made = unsure(name, on)
    if made is None:
        return
    assert_every_fix_holds(name, [f"hardware={on}"] if on else [], made)
    assert all(fix.saves_bytes > 0 for fix in made.fixes if "hardware=" not in fix.set)


CHANGED = (
    # The file's preset comes back where the stage is open again.
    "llama2_7b_full zero.stage=0",
    "codellama34b_full zero.stage=0",
    "llama2_7b_full zero.stage=2 zero.offload_optimizer=cpu zero.bf16_states=false",
    # So do its stage and places, where the preset is.
    "llama31_8b_full zero.preset=z3",
    # And the adapter of its own method.
    "codellama34b_qlora method.kind=full train.learning_rate=1e-5",
    "qwen25_72b_qlora method.kind=lora hardware=a100_80gb",
    "qwen25_32b_qlora method.quantization=int8 method.double_quant=false zero.preset=z2",
    "codellama34b_lora zero.preset=z0",
    "llama2_7b_full hardware=dual_rtx3090 train.micro_batch_size=16 train.gradient_accumulation_steps=2 "
    "train.global_batch_size=64",
    "qwen25_14b_lora train.micro_batch_size=8 train.activation_checkpointing=false",
    "llama31_8b_full zero.preset=z2 train.max_seq_length=131072 hardware=8x_h100_80gb train.micro_batch_size=2",
)


@pytest.mark.parametrize("typed", CHANGED)
def test_typing_a_fix_behind_changes_of_ones_own_gives_what_it_says(typed: str) -> None:
    name, *words = typed.split()
    made = plan(name, words)
    assert made.fixes
    assert_every_fix_holds(name, words, made)


@pytest.mark.parametrize("typed", CHANGED[:2])
def test_so_it_does_for_a_mapping_and_beside_a_machine(typed: str) -> None:
    name, *words = typed.split()
    mapping = as_mapping(load_recipe(name).recipe, written_only=True)
    made = plan(mapping, words, on="single_rtx4090")
    assert made.fixes
    assert_every_fix_holds(mapping, [*words, "hardware=single_rtx4090"], made)


def test_enough_shipped_recipes_are_rejected_somewhere_to_make_this_worth_something() -> None:
    rejected = [case for case in CASES if (made := unsure(*case)) and made.verdict == "rejected"]
    assert len(rejected) >= 10
    assert ("codellama34b_full", None) in rejected


@pytest.mark.parametrize(("name", "on"), CASES)
def test_every_rejected_shipped_recipe_has_a_way_out(name: str, on: str | None) -> None:
    made = unsure(name, on)
    if made is not None and made.verdict == "rejected":
        assert made.fixes[0].verdict in ("fits", "tight")
