from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from planning import CODELLAMA_34B, LLAMA_8B, machine, shape_of
from searching import open_recipe

from tunekit.notebook import fit
from tunekit.planner.candidates import NVME_FOLDER
from tunekit.planner.fit import search_for
from tunekit.planner.plan import Fix
from tunekit.planner.ways import Asked, Length
from tunekit.recipe.loading import as_mapping, load_recipe

LLAMA_70B = "meta-llama/Llama-2-70b-hf"
LLAMA_13B = "meta-llama/Llama-2-13b-hf"


def asked(model: str, kind: str | None = None, typed: str = "", box: str = "dual_rtx4090", **more: Any) -> Asked:
    loaded = load_recipe(as_mapping(open_recipe(model, kind), written_only=True), typed.split())
    return Asked(origin=loaded.origin, recipe=loaded.recipe, shape=shape_of(model), hardware=machine(box), **more)


def ways(model: str, kind: str | None = None, typed: str = "", box: str = "dual_rtx4090", **more: Any) -> list[Fix]:
    found = search_for(asked(model, kind, typed, box, **more))
    assert found.recommended is None
    return list(found.fixes)


def named(found: list[Fix], word: str) -> Fix:
    (fix,) = (each for each in found if word in each.set.split())
    return fix


def test_what_is_searched_anyway_is_not_typed_and_what_is_recommended_is_told() -> None:
    found = ways(LLAMA_70B)
    assert [fix.set for fix in found] == [f"zero.nvme_path={NVME_FOLDER}", "hardware=a100_80gb"]
    assert found[0].note.startswith("LoRA: weights rest on the NVMe drive")
    assert "which wears the drive" in found[0].note
    assert "; LoRA: frozen weights rest in RAM" in found[1].note


def test_the_goal_decides_what_a_way_is_told_by() -> None:
    fast = named(ways(CODELLAMA_34B, "full"), "hardware=8x_a100_80gb")
    roomy = named(ways(CODELLAMA_34B, "full", goal="memory"), "hardware=8x_a100_80gb")
    assert roomy.needs_bytes < fast.needs_bytes
    assert (roomy.tokens_per_second or 0) < (fast.tokens_per_second or 0)


def test_what_is_stated_of_places_is_opened_by_name() -> None:
    found = ways(LLAMA_13B, "lora", "zero.stage=2")
    assert [fix.set for fix in found] == ["method.kind=qlora", "zero.stage=auto", "hardware=a100_80gb"]
    assert all(fix.verdict == "fits" for fix in found)


def test_what_is_forbidden_stays_forbidden_unless_it_is_named() -> None:
    found = ways("meta-llama/Llama-3.1-8B", "full", "zero.bf16_states=false", "single_rtx4090")
    assert "states in bf16" in named(found, "zero.bf16_states=auto").note
    assert not any("bf16" in fix.note for fix in found if "zero.bf16_states=auto" not in fix.set)


def test_another_method_is_searched_whole() -> None:
    found = ways(CODELLAMA_34B, "full")
    qlora = named(found, "method.kind=qlora")
    assert qlora.set == "method.kind=qlora"
    assert qlora.note.startswith("trains an adapter on a 4-bit base instead of every weight; the 4-bit base is shared")
    assert all(fix.note.count(NVME_FOLDER) <= 1 for fix in found)


def test_places_are_left_open_beside_a_change_only_where_that_is_needed() -> None:
    (fix,) = (fix for fix in ways(LLAMA_70B, "qlora", "zero.stage=2") if "hardware=" in fix.set)
    assert fix.set == "hardware=a100_80gb"
    held = ways(LLAMA_70B, "lora", "zero.stage=2 method.rank=16")
    assert "zero.stage=auto" in named(held, "hardware=a100_80gb").set.split()


def test_rows_are_cut_no_more_than_is_enough() -> None:
    found = ways("meta-llama/Llama-3.1-8B", None, "train.max_seq_length=131072", "single_rtx4090")
    assert found[0].set == "train.max_seq_length=32768"
    longer = search_for(asked("meta-llama/Llama-3.1-8B", None, "train.max_seq_length=65536", "single_rtx4090"))
    assert longer.recommended is None


def test_where_no_drive_is_none_is_offered() -> None:
    bare = asked(LLAMA_70B)
    found = search_for(replace(bare, hardware=replace(bare.hardware, disks=()))).fixes
    assert found
    assert not any("nvme" in fix.set for fix in found)
    assert all("no change that was tried is enough here" in fix.note for fix in found)


def test_a_larger_machine_saves_nothing_and_the_others_do() -> None:
    found = ways(LLAMA_13B, "full", "zero.bf16_states=false")
    assert [bool(fix.saves_bytes) for fix in found] == ["hardware=" not in fix.set for fix in found]


@pytest.mark.parametrize(("length", "told"), [(Length(), 1_000_000), (Length(tokens=5, said="--tokens"), 5)])
def test_without_a_number_a_million_tokens_are_told(length: Length, told: int) -> None:
    assert length.told == told


def test_a_key_is_stated_where_somebody_gave_it_a_value() -> None:
    one = asked(LLAMA_8B, None, "zero.stage=auto train.micro_batch_size=2")
    assert [one.states(key) for key in ("method.kind", "zero.stage", "train.micro_batch_size")] == [False, False, True]
    assert asked(LLAMA_8B, "lora").states("method.kind")


def test_behind_a_json_of_the_users_own_the_ways_without_it_are_told(tmp_path: Path) -> None:
    file = tmp_path / "ds.json"
    file.write_text('{"zero_optimization": {"stage": 2}}')
    found = fit("codellama/CodeLlama-34b-hf", [f"zero.config={file}"], on="dual_rtx4090", method="full")
    assert found.recommended is None
    assert any("zero.config=null" in fix.set and "method.kind=qlora" in fix.set for fix in found.fixes)
