from __future__ import annotations

import pytest
from planning import LLAMA_8B, SMOLLM, laptop, machine, shape_of
from searching import open_recipe, spaces

from tunekit.ds_config.build import build_ds_config
from tunekit.errors import RecipeError
from tunekit.planner.rules import check_job
from tunekit.planner.search import make_job
from tunekit.planner.space import METHODS, SHARES, every_rung, passes, settled_for, sites
from tunekit.planner.zero import build_zero


def test_every_stage_offload_and_type_of_state_is_in_the_space_once() -> None:
    rungs = every_rung()
    assert len(set(rungs)) == len(rungs) == 33
    assert {rung.facts.stage for rung in rungs} == {0, 1, 2, 3}
    whole = {(r.facts.offload_optimizer, r.facts.offload_param) for r in rungs if r.facts.stage == 3}
    assert len(whole) == 9


@pytest.mark.parametrize("kind", METHODS)
def test_no_site_breaks_a_rule_and_deepspeed_can_be_configured_for_all(kind: str) -> None:
    for settled in spaces(SMOLLM, kind, zero__nvme_path="/mnt/swap"):
        for site in sites(settled):
            zero, _ = build_zero(site.rung, settled.placement, pin_memory=False, offload_ratio=site.ratio)
            job = make_job(settled, zero, 1, checkpointing=True, packing=True)
            assert check_job(settled.recipe, job, settled.shape, settled.hardware) == ()
            assert build_ds_config(settled.recipe, job, settled.shape)["zero_optimization"]["stage"] == zero.stage


def test_a_drive_takes_part_only_where_a_folder_is_named() -> None:
    def swaps(**keys: str) -> bool:
        return any("nvme" in (s.rung.facts.offload_optimizer, s.rung.facts.offload_param) for s in all_sites(**keys))

    def all_sites(**keys: str) -> list:  # type: ignore[type-arg]
        return [site for settled in spaces(SMOLLM, "full", **keys) for site in sites(settled)]

    assert not swaps()
    assert swaps(zero__nvme_path="/mnt/swap")


def test_shares_of_the_optimizer_are_tried_where_stage_3_offloads_it() -> None:
    (settled,) = spaces(SMOLLM, "full", train__optimizer="adamw")
    shares = {site.ratio for site in sites(settled) if site.rung.facts.offload_ratio < 1}
    assert shares == set(SHARES)
    (fixed,) = spaces(SMOLLM, "full", train__optimizer="adamw", zero__stage=3, zero__offload_optimizer="cpu",
                      zero__offload_ratio=0.4)  # fmt: skip
    assert {site.ratio for site in sites(fixed)} == {0.4}


def test_a_named_preset_is_the_only_site() -> None:
    (settled,) = spaces(SMOLLM, "lora", train__optimizer="adamw", zero__preset="z3")
    assert [site.rung.preset for site in sites(settled)] == ["z3"]


def test_stated_values_narrow_the_space() -> None:
    (settled,) = spaces(SMOLLM, "lora", train__optimizer="adamw", zero__stage=2)
    assert {site.rung.facts.stage for site in sites(settled)} == {2}


def test_passes_keep_the_batch_identity_and_start_with_the_lightest() -> None:
    (settled,) = spaces(SMOLLM, "lora", train__optimizer="adamw", train__global_batch_size=64)
    found = passes(settled)
    assert found[0].micro == 1
    assert found[0].checkpointing
    assert {each.micro for each in found} == {1, 2, 4, 8, 16, 32}
    assert {each.packing for each in found} == {True, False}


def test_eager_attention_is_not_packed_unless_told() -> None:
    (settled,) = spaces(SMOLLM, "lora", train__optimizer="adamw", model__attention="eager")
    assert {each.packing for each in passes(settled)} == {False}


def test_a_4_bit_base_is_tried_with_both_kinds_of_scales_and_named_by_its_preset() -> None:
    found = spaces(LLAMA_8B, "qlora")
    assert {each.quantization.double_quant for each in found if each.quantization} == {True, False}
    assert {each.optimizer for each in found} == {"adamw", "adamw_8bit"}
    presets = {site.rung.preset for site in sites(found[0]) if site.rung.facts.stage == 3}
    assert "z3_qlora" in presets
    assert "z3" not in presets
    assert len(spaces(LLAMA_8B, "qlora", method__double_quant=True)) == 2


def test_all_methods_are_tried_where_none_is_named() -> None:
    recipe = open_recipe(SMOLLM, None)
    found = settled_for(recipe, shape_of(SMOLLM), machine())
    kinds = {(settled.adapter is not None, settled.quantization is not None) for settled in found}
    assert kinds == {(False, False), (True, False), (True, True)}


def test_faults_that_no_method_can_heal_are_raised() -> None:
    recipe = open_recipe(SMOLLM, "lora", train__global_batch_size=3)
    with pytest.raises(RecipeError, match="global_batch_size"):
        list(settled_for(recipe, shape_of(SMOLLM), machine()))


def test_without_cards_only_the_ladder_is_tried() -> None:
    (settled,) = spaces(SMOLLM, "lora", laptop())
    assert {site.rung.preset for site in sites(settled)} <= {"z2", "z3", "z3_offload_nvme"}
    assert {each.micro for each in passes(settled)} == {1}
