from __future__ import annotations

from planning import LLAMA_7B, laptop, machine, recipe_for, resolved

from tunekit.hardware.spec import Hardware
from tunekit.planner.pinning import PINNED_BY_GROUPS, PINNED_TERMS, pinned_bytes, pinning
from tunekit.planner.resolve import Resolved
from tunekit.units import GIB


def offloaded(hardware: Hardware, preset: str = "z3_offload", kind: str = "full") -> Resolved:
    return resolved(recipe_for(LLAMA_7B, kind, zero__preset=preset, zero__pin_memory=True), hardware)


def test_the_terms_that_are_page_locked_exist_under_these_names() -> None:
    terms = {
        term.name
        for preset, kind in (("z3_offload", "full"), ("z2_offload", "full"), ("z3_offload_param", "lora"))
        for term in offloaded(machine(), preset, kind).trial.memory.terms
        if term.host_bytes
    }
    assert {*PINNED_TERMS, PINNED_BY_GROUPS} <= terms


def test_master_weights_are_locked_below_stage_3_only() -> None:
    memory = offloaded(machine(), "z2_offload").trial.memory
    (master,) = (term.host_bytes for term in memory.terms if term.name == PINNED_BY_GROUPS)
    assert pinned_bytes(memory.terms, 2) - pinned_bytes(memory.terms, 3) == master


def choice_on(hardware: Hardware) -> tuple[bool, str]:
    found = offloaded(hardware)
    choice = pinning(found.trial.job, found.settled.shape, hardware)
    return choice.value, choice.reason


def test_with_room_it_is_worth_it() -> None:
    assert choice_on(machine(usable_ram_bytes=600 * GIB))[0] is True


def test_most_of_the_ram_is_never_locked() -> None:
    value, reason = choice_on(machine(usable_ram_bytes=80 * GIB))
    assert not value
    assert "60 %" in reason


def test_rounding_that_does_not_fit_is_the_reason() -> None:
    found = offloaded(machine())
    needed = found.trial.memory.host.expected_bytes
    value, reason = choice_on(machine(usable_ram_bytes=needed))
    assert not value
    assert "rounded up" in reason or "60 %" in reason


def test_a_cpu_has_nothing_to_lock_for() -> None:
    found = resolved(recipe_for(LLAMA_7B, "full", zero__preset="z2_offload"), laptop())
    choice = pinning(found.trial.job, found.settled.shape, laptop())
    assert (choice.value, choice.reason) == (False, "nothing is copied to a GPU")
