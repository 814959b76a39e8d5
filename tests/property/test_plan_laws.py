"""Laws of planning: the batch identity, the round trip through JSON, and more memory never hurting."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from planning import LLAMA_7B, SMOLLM, laptop, machine, recipe_for, shape_of

from tunekit.errors import RecipeError
from tunekit.hardware.spec import Hardware
from tunekit.planner.batch import BatchWish, check_batch, micro_candidates, solve_batch
from tunekit.planner.make import make_plan
from tunekit.planner.plan_json import plan_from_json, plan_to_json
from tunekit.units import GIB

sizes = st.one_of(st.none(), st.integers(1, 64))
wishes = st.builds(
    BatchWish,
    micro=sizes,
    accumulation=sizes,
    total=st.one_of(st.none(), st.integers(1, 512)),
    world_size=st.integers(1, 16),
)
machines = st.sampled_from(
    [
        machine(),
        machine("single_rtx4090"),
        machine("8x_a100_80gb"),
        laptop(1),
        laptop(2),
        laptop(usable_ram_bytes=4 * GIB),
    ]
)
recipes = st.builds(
    lambda model, kind, length, micro, preset: recipe_for(
        model, kind, train__max_seq_length=length, train__micro_batch_size=micro, zero__preset=preset
    ),
    model=st.sampled_from([SMOLLM, LLAMA_7B]),
    kind=st.sampled_from(["full", "lora", "qlora"]),
    length=st.sampled_from([128, 2048, 16384]),
    micro=st.sampled_from([None, 1, 2]),
    preset=st.sampled_from([None, "z2", "z3", "z2_offload"]),
)


@given(wishes)
def test_the_batch_identity_holds_or_is_refused(wish: BatchWish) -> None:
    if check_batch(wish):
        return
    for micro in micro_candidates(wish):
        batch = solve_batch(wish, micro)
        assert batch.micro_batch_size * batch.gradient_accumulation_steps * wish.world_size == batch.global_batch_size
        assert wish.micro in (None, batch.micro_batch_size)
        assert wish.accumulation in (None, batch.gradient_accumulation_steps)
        assert wish.total in (None, batch.global_batch_size)


@given(wishes)
def test_the_values_that_a_refusal_names_work(wish: BatchWish) -> None:
    for problem in check_batch(wish):
        numbers = problem.hint.partition("that work: ")[2]
        for total in (int(word) for word in numbers.split(" or ") if word):
            assert check_batch(replace(wish, total=total)) == ()


@settings(max_examples=40, deadline=None)
@given(recipes, machines)
def test_a_plan_survives_json(recipe: object, hardware: Hardware) -> None:
    try:
        plan = make_plan(recipe, shape_of(recipe.model.path), hardware)  # type: ignore[arg-type,attr-defined]
    except RecipeError:
        return
    text = json.dumps(plan_to_json(plan))
    assert plan_from_json(text) == plan
    assert json.dumps(plan_to_json(plan_from_json(text))) == text


@settings(max_examples=40, deadline=None)
@given(recipes, machines, st.integers(1, 64))
def test_more_memory_never_makes_a_fitting_plan_unfit(recipe: object, hardware: Hardware, more: int) -> None:
    roomier = replace(
        hardware,
        gpus=tuple(replace(gpu, usable_bytes=gpu.usable_bytes + more * GIB) for gpu in hardware.gpus),
        host=replace(hardware.host, usable_ram_bytes=hardware.host.usable_ram_bytes + more * GIB),
        disks=tuple(replace(disk, usable_bytes=disk.usable_bytes + more * GIB) for disk in hardware.disks),
    )
    try:
        shape = shape_of(recipe.model.path)  # type: ignore[attr-defined]
        before = make_plan(recipe, shape, hardware)  # type: ignore[arg-type]
    except RecipeError:
        return
    if before.verdict == "fits":
        assert make_plan(recipe, shape, roomier).verdict == "fits"  # type: ignore[arg-type]
