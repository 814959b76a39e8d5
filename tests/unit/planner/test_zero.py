from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from planning import LLAMA_8B, laptop, machine, recipe_for, shape_of

from tunekit.ds_config.presets import preset_names
from tunekit.hardware.spec import Hardware
from tunekit.planner.zero import (
    ALONE,
    LADDERS,
    WHY,
    Placement,
    build_zero,
    contradiction_problems,
    ladder,
    may_hold,
    over_pcie,
    rungs,
    why,
    zero_decisions,
)
from tunekit.recipe.schema import MethodKind, Recipe


def names(recipe: Recipe, hardware: Hardware | None = None) -> list[str]:
    return [rung.preset for rung in rungs(recipe, hardware or machine())]


def place(recipe: Recipe, hardware: Hardware | None = None) -> Placement:
    shape = shape_of(LLAMA_8B)
    return Placement(recipe=recipe, shape=shape, hardware=hardware or machine(), trainable=shape.tensors)


def test_every_rung_is_a_shipped_preset_with_a_reason() -> None:
    named = {name for table in (LADDERS, ALONE) for ladder_names in table.values() for name in ladder_names}
    assert named <= set(preset_names())
    assert named <= set(WHY)


@pytest.mark.parametrize(
    ("kind", "first", "last"),
    [("full", "z2", "z3_offload_nvme"), ("lora", "z2", "z3_offload_param"), ("qlora", "z2", "z3_qlora")],
)
def test_ladders_go_from_whole_to_streamed(kind: MethodKind, first: str, last: str) -> None:
    found = [rung.preset for rung in ladder(kind, machine())]
    assert (found[0], found[-1]) == (first, last)


def test_a_4_bit_base_is_never_offloaded() -> None:
    assert not any(rung.offloads for rung in ladder("qlora", machine()))


def test_one_card_has_nobody_to_share_with() -> None:
    assert names(recipe_for(kind="lora"), machine("single_rtx4090"))[0] == "z0"
    assert "z3" not in names(recipe_for(kind="full"), machine("single_rtx4090"))


def test_without_cards_nothing_is_offloaded_to_ram() -> None:
    assert names(recipe_for(kind="full"), laptop()) == ["z2", "z3", "z3_offload_nvme"]
    assert names(recipe_for(kind="lora"), laptop(1))[0] == "z0"


def test_a_named_preset_is_the_only_rung() -> None:
    (rung,) = rungs(recipe_for(zero__preset="z3_offload"), machine())
    assert (rung.preset, rung.auto, rung.offloads) == ("z3_offload", False, True)


def test_written_stage_and_offloads_narrow_the_ladder() -> None:
    assert names(recipe_for(kind="full", zero__stage=2)) == ["z2", "z2_offload", "z2_offload_bf16"]
    assert names(recipe_for(kind="full", zero__offload_optimizer="cpu", zero__bf16_states=True)) == [
        "z2_offload_bf16",
        "z3_offload_bf16",
    ]


@pytest.mark.parametrize(
    ("keys", "preset", "stage"),
    [
        ({"zero__stage": 1}, "z1", 1),
        ({"zero__stage": 3, "zero__bf16_states": True}, "z3", 3),
        ({"zero__offload_param": "cpu", "zero__offload_optimizer": "cpu"}, "z3_offload", 3),
        ({"zero__offload_ratio": 0.5, "zero__offload_optimizer": "cpu", "zero__offload_param": "none"}, "z3", 3),
    ],
)
def test_what_no_rung_says_is_written_out(keys: dict[str, Any], preset: str, stage: int) -> None:
    (rung,) = rungs(recipe_for(kind="lora", **keys), machine())
    assert rung.facts.stage == stage
    assert rung.preset.startswith(preset)
    assert not rung.auto


def test_a_json_of_the_users_own_is_its_own_rung(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": 1}, "bf16": {"enabled": True}}))
    (rung,) = rungs(recipe_for(zero__config=str(file)), machine())
    assert (rung.preset, rung.facts.stage, rung.auto) == (str(file), 1, False)


def test_a_preset_contradicted_by_a_key_shows_both_values() -> None:
    recipe = recipe_for(zero__preset="z3", zero__offload_optimizer="cpu", zero__bf16_states=True)
    (rung,) = rungs(recipe, machine())
    problems = contradiction_problems(rung, recipe.zero)
    assert [problem.key for problem in problems] == ["zero.offload_optimizer", "zero.bf16_states"]
    assert problems[0].found == "cpu, but z3 has none"


def test_a_preset_with_partial_offload_takes_any_ratio() -> None:
    recipe = recipe_for(kind="full", zero__preset="z3_offload_ratio", zero__offload_ratio=0.3)
    (rung,) = rungs(recipe, machine())
    assert contradiction_problems(rung, recipe.zero) == ()


def test_keys_that_agree_with_the_preset_are_no_problem() -> None:
    recipe = recipe_for(zero__preset="z3", zero__offload_optimizer="none")
    assert contradiction_problems(rungs(recipe, machine())[0], recipe.zero) == ()
    assert contradiction_problems(rungs(recipe_for(), machine())[0], recipe_for().zero) == ()


def test_written_sizes_stand_over_ours() -> None:
    recipe = recipe_for(kind="full", zero__preset="z3", zero__reduce_bucket_size=123, zero__overlap_comm=False)
    zero, chosen = build_zero(rungs(recipe, machine())[0], place(recipe), pin_memory=False, offload_ratio=1.0)
    assert (zero.reduce_bucket_size, zero.overlap_comm) == (123, False)
    assert zero.prefetch_bucket_size == chosen.prefetch_bucket_size.value


def test_only_the_sizes_of_the_stage_are_decided() -> None:
    recipe = recipe_for(kind="full", zero__preset="z2", zero__reduce_bucket_size=123)
    zero, chosen = build_zero(rungs(recipe, machine())[0], place(recipe), pin_memory=False, offload_ratio=1.0)
    keys = [decision.key for decision in zero_decisions(zero, chosen, place(recipe))]
    assert keys == ["zero.allgather_bucket_size", "zero.overlap_comm"]


def test_stage_0_has_no_sizes_to_decide() -> None:
    recipe = recipe_for(kind="full", zero__preset="z0")
    zero, chosen = build_zero(rungs(recipe, machine())[0], place(recipe), pin_memory=False, offload_ratio=1.0)
    assert zero_decisions(zero, chosen, place(recipe)) == ()


def test_the_reason_for_whole_weights_names_cards_only_where_there_are_some() -> None:
    rung = ladder("lora", machine())[0]
    assert "card" in why(rung, machine())
    assert "process" in why(rung, laptop())
    assert "card" not in why(rung, laptop())


def test_only_cards_without_nvlink_talk_over_pcie() -> None:
    assert over_pcie(machine())
    assert not over_pcie(machine("8x_a100_80gb"))
    assert not over_pcie(laptop())


def test_a_rung_without_a_name_of_ours_is_explained_too() -> None:
    first = ladder("lora", machine())[0]
    assert "recipe" not in why(first, machine()), "nobody has said it"
    assert why(replace(first, preset="mine.json"), machine()) == "weights stay whole on every card"


def test_an_8_bit_base_is_not_shared_out() -> None:
    eight, four = (recipe_for(LLAMA_8B, "qlora", method__quantization=kind) for kind in ("int8", "nf4"))
    assert (names(eight), names(four)) == (["z2"], ["z2", "z3_qlora"])
    assert not any(may_hold(rung, eight.method) for rung in ladder("qlora", machine())[1:])
