from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from planning import CODELLAMA_34B, LLAMA_8B, machine, recipe_for, resolved, shape_of

from tunekit.hardware.profiles import load_profile
from tunekit.hardware.spec import Hardware
from tunekit.planner.candidates import NVME_FOLDER
from tunekit.planner.fixes import MOST_SHOWN, find_fixes
from tunekit.planner.plan import Fix
from tunekit.planner.resolve import resolve
from tunekit.recipe.loading import load_recipe, origin_of

ROWS = {"zero__preset": "z2", "train__activation_checkpointing": True}


def fixes(model: str, kind: str, hardware: Hardware | None = None, **keys: Any) -> tuple[Fix, ...]:
    recipe = recipe_for(model, kind, **keys)
    return find_fixes(resolved(recipe, hardware), origin_of(recipe))


def assert_best_first(found: tuple[Fix, ...]) -> None:
    """What surely fits, then what fits tightly, then what is not enough."""
    places = [("fits", "tight", "rejected").index(fix.verdict) for fix in found]
    assert places == sorted(places)


def named(found: tuple[Fix, ...], word: str) -> Fix:
    (fix,) = (each for each in found if word in each.set.split())
    return fix


def test_the_mildest_member_that_is_enough_is_offered() -> None:
    found = fixes(LLAMA_8B, "lora", **ROWS, train__max_seq_length=32768, train__micro_batch_size=1)
    (shorter,) = (fix for fix in found if fix.set.startswith("train.max_seq_length="))
    length = int(shorter.set.partition("=")[2])
    assert shorter.verdict in ("fits", "tight")
    longer = recipe_for(LLAMA_8B, "lora", **ROWS, train__max_seq_length=2 * length, train__micro_batch_size=1)
    assert resolved(longer).trial.judgement.verdict == "rejected"


def test_those_that_are_enough_come_first_and_all_save_bytes() -> None:
    found = fixes(CODELLAMA_34B, "full", zero__preset="z3_offload")
    assert_best_first(found)
    assert found[0].verdict == "fits"
    assert all(fix.saves_bytes > 0 for fix in found if not fix.set.startswith("hardware="))
    assert all(fix.note for fix in found)


def test_full_fine_tuning_that_cannot_fit_is_led_to_adapters_and_to_a_larger_machine() -> None:
    found = fixes(CODELLAMA_34B, "full", zero__preset="z3_offload", train__learning_rate=1e-5)
    assert named(found, "method.kind=qlora").set == ("method.kind=qlora zero.preset=z3_qlora train.learning_rate=auto")
    assert named(found, "method.kind=lora").set.split()[1] == "zero.preset=z3_offload_param"
    assert named(found, "hardware=8x_a100_80gb").verdict == "fits"


def test_several_mild_changes_are_joined_when_one_is_not_enough_or_dear() -> None:
    found = fixes(
        CODELLAMA_34B, "qlora", zero__preset="z3_qlora", train__max_seq_length=16384, train__micro_batch_size=4
    )
    assert found[0].set.startswith("train.micro_batch_size=1 train.max_seq_length=")
    assert ";" in found[0].note


def test_no_joined_change_holds_one_that_is_enough_alone() -> None:
    found = fixes(
        CODELLAMA_34B, "qlora", zero__preset="z3_qlora", train__max_seq_length=16384, train__micro_batch_size=4
    )
    sets = [frozenset(fix.set.split()) for fix in found if fix.verdict != "rejected"]
    assert not any(one < other for one in sets for other in sets)


def test_the_list_stays_short() -> None:
    for length in (4096, 16384, 65536):
        found = fixes(CODELLAMA_34B, "qlora", zero__preset="z3_qlora", train__max_seq_length=length)
        assert len(found) <= MOST_SHOWN + 3


def test_a_tight_plan_is_offered_what_makes_it_sure() -> None:
    for length in range(8192, 32769, 1024):
        found = resolved(recipe_for(LLAMA_8B, "lora", **ROWS, train__max_seq_length=length, train__micro_batch_size=1))
        if found.trial.judgement.verdict == "tight":
            break
    offered = find_fixes(found, origin_of(found.asked))
    assert offered
    assert {fix.verdict for fix in offered} == {"fits"}
    assert not any(fix.set.startswith("hardware=") for fix in offered)


def test_when_only_another_machine_helps_that_is_said() -> None:
    found = fixes("meta-llama/Llama-2-70b-chat-hf", "qlora", zero__preset="z3_qlora", train__micro_batch_size=1)
    machines = [fix for fix in found if fix.set.startswith("hardware=")]
    assert len(machines) == 1
    assert machines[0].note.startswith("the smallest shipped machine")
    assert any("zero.preset=z3_offload_nvme" in fix.set for fix in found if fix.verdict == "fits")


def test_where_there_is_no_drive_to_swap_to_only_what_was_tried_is_said_not_to_be_enough() -> None:
    bare = replace(machine(), disks=())
    found = fixes("meta-llama/Llama-2-70b-chat-hf", "qlora", bare, zero__preset="z3_qlora", train__micro_batch_size=1)
    machines = [fix for fix in found if fix.set.startswith("hardware=")]
    assert all(fix.note.startswith("no change that was tried is enough here; ") for fix in machines)
    assert len(machines) == 1


def test_lora_of_70b_is_led_to_the_drive() -> None:
    found = fixes("meta-llama/Llama-2-70b-hf", "lora", zero__preset="z3")
    assert named(found, f"zero.nvme_path={NVME_FOLDER}").verdict == "fits"
    assert not any("is enough here" in fix.note for fix in found)


def test_another_machine_places_states_anew_and_the_keys_are_typed() -> None:
    found = fixes(LLAMA_8B, "full", zero__preset="z2", train__micro_batch_size=1)
    machine_fix = named(found, "hardware=a100_80gb")
    assert machine_fix.set == "hardware=a100_80gb zero.preset=auto train.micro_batch_size=auto"
    assert machine_fix.verdict == "fits"


def test_what_the_search_finds_is_offered_once_and_in_the_place_of_slower_presets() -> None:
    found = fixes(LLAMA_8B, "full", zero__preset="z3_offload", train__micro_batch_size=1)
    here = [fix for fix in found if not fix.set.startswith(("hardware=", "method."))]
    assert [fix.set.split()[0] for fix in here] == ["zero.preset=auto", "zero.preset=auto"]
    rounded, exact = here
    assert "states in bf16" in rounded.note
    assert f"zero.nvme_path={NVME_FOLDER}" in exact.set
    assert (rounded.tokens_per_second or 0) > 2 * (exact.tokens_per_second or 0)


def test_a_fix_says_what_is_needed_then_and_where() -> None:
    found = fixes("meta-llama/Llama-2-70b-hf", "lora", zero__preset="z3")
    for fix in found:
        assert fix.usable_bytes > 0
        assert (fix.needs_bytes > fix.usable_bytes) == (fix.verdict != "fits")
    (streamed,) = (fix for fix in found if fix.set == "zero.preset=z3_offload_param")
    assert (streamed.verdict, streamed.needs_place) == ("rejected", "host")


def test_what_hardly_helps_is_not_offered() -> None:
    found = fixes("mistralai/Mixtral-8x7B-Instruct-v0.1", "qlora", machine("dual_rtx4090"))
    assert not any("method.rank" in fix.set for fix in found)


@pytest.mark.parametrize("trust", ["model", "table"])
def test_fixes_are_weighed_by_the_trusted_judge(trust: Any) -> None:
    recipe = recipe_for(CODELLAMA_34B, "full", zero__preset="z3_offload")
    origin, shape = replace(origin_of(recipe), typed=("hardware=dual_rtx4090",)), shape_of(recipe.model.path)
    for fix in find_fixes(resolve(recipe, shape, machine(), trust), origin):
        after = origin.behind(fix.set.split())
        assert resolve(after, shape, load_profile(after.hardware), trust).trial.judgement.verdict == fix.verdict


def test_what_leaves_the_result_as_it_is_comes_before_what_cuts_or_rounds_it() -> None:
    found = fixes(LLAMA_8B, "lora", zero__preset="z2", train__activation_checkpointing=False)
    assert found[0].set == "train.activation_checkpointing=true"
    assert len(found) > 1


def test_when_a_mild_change_is_enough_nothing_is_joined() -> None:
    found = fixes(
        CODELLAMA_34B,
        "qlora",
        zero__preset="z3_qlora",
        train__activation_checkpointing=False,
        train__micro_batch_size=1,
    )
    assert [fix.set.partition("=")[0] for fix in found if " " not in fix.set] == [
        "train.activation_checkpointing",
        "train.max_seq_length",
        "hardware",
    ]
    assert not any(" train." in fix.set for fix in found if "=auto" not in fix.set)  # but what the search itself opens


def test_a_change_of_the_recipe_comes_before_another_machine() -> None:
    found = fixes(
        CODELLAMA_34B,
        "qlora",
        zero__preset="z3_qlora",
        method__rank=32,
        method__alpha=64,
        train__max_seq_length=16384,
        train__micro_batch_size=1,
    )
    assert [fix.set for fix in found][:2] == ["train.max_seq_length=8192", "hardware=a100_80gb"]
    assert_best_first(found)


def test_what_surely_fits_comes_before_what_is_tight() -> None:
    mixed = 0
    for length in range(4096, 40961, 6144):
        found = fixes(LLAMA_8B, "lora", **ROWS, train__max_seq_length=length, train__micro_batch_size=2)
        assert_best_first(found)
        mixed += {"fits", "tight"} <= {fix.verdict for fix in found}
    assert mixed, "no case showed both"


def test_a_larger_machine_saves_nothing() -> None:
    for micro in (1, 2):
        keys = {"train__max_seq_length": 16384, "train__micro_batch_size": micro}
        found = fixes(CODELLAMA_34B, "qlora", zero__preset="z3_qlora", **keys)
        machines = [fix for fix in found if fix.set.startswith("hardware=")]
        assert machines
        assert all(fix.saves_bytes == 0 for fix in machines)


def test_a_larger_machine_saves_nothing_even_where_more_cards_share() -> None:
    found = fixes("meta-llama/Llama-2-70b-chat-hf", "lora", zero__preset="z3", train__micro_batch_size=1)
    assert named(found, "hardware=a100_80gb").saves_bytes == 0


def test_a_fix_says_how_fast_the_plan_is_then() -> None:
    found = fixes(CODELLAMA_34B, "full", zero__preset="z3_offload")
    rates = {fix.set.split()[0]: fix.tokens_per_second for fix in found}
    assert all(rates.values())
    assert rates["method.kind=qlora"] > rates["method.kind=lora"]  # type: ignore[operator]


def test_where_little_is_enough_what_helps_is_shown_too() -> None:
    found = fixes("meta-llama/Llama-2-70b-chat-hf", "full", train__max_seq_length=8192, train__micro_batch_size=1)
    assert [fix.verdict for fix in found] == ["fits", "fits", "rejected", "rejected"]
    assert_best_first(found)


def test_states_in_bf16_are_offered_beside_what_is_exact() -> None:
    roomy = machine(usable_ram_bytes=150 * 2**30)
    found = fixes(LLAMA_8B, "full", roomy, zero__preset="z2_offload")
    assert "bf16" not in named(found, "zero.preset=auto").note
    tighter = fixes(LLAMA_8B, "full", zero__preset="z2_offload")
    assert any("states in bf16" in fix.note for fix in tighter)
    assert any("zero.bf16_states=false" in fix.set for fix in tighter)


def test_of_what_is_as_harmless_the_fastest_comes_first() -> None:
    found = fixes(CODELLAMA_34B, "full", zero__preset="z3_offload")
    adapters = [fix.tokens_per_second or 0 for fix in found if fix.set.startswith("method.kind")]
    assert adapters == sorted(adapters, reverse=True)


def test_a_typed_word_about_the_same_is_named_by_the_fix_that_replaces_it() -> None:
    loaded = load_recipe("llama2_7b_full", ["zero.stage=0"])
    found = find_fixes(resolved(loaded.recipe), loaded.origin)
    assert found
    assert all("zero.stage=auto" in fix.set.split() for fix in found if "zero." in fix.set)
    assert all("zero.preset=" in fix.set for fix in found if "zero.stage" in fix.set), "the file's would come back"


def test_fixes_are_planned_with_what_the_file_says_of_another_method() -> None:
    loaded = load_recipe("codellama34b_qlora", ["method.kind=full", "train.learning_rate=1e-5"])
    offered = {fix.set.split()[0]: fix for fix in find_fixes(resolved(loaded.recipe), loaded.origin)}
    adapter = resolved(load_recipe("codellama34b_qlora", ["train.learning_rate=auto"]).recipe)
    assert adapter.trial.job.adapter is not None
    assert adapter.trial.job.adapter.rank == 32
    assert offered["method.kind=qlora"].needs_bytes == adapter.trial.judgement.worst.high_bytes
