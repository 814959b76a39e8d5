"""The space of a search: every way to place the states of a method, and for each every way to run its passes.

What the recipe states is kept; what it leaves open takes every value that DeepSpeed has for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

from tunekit.ds_config.presets import PresetFacts, load_preset, matching_preset, preset_facts
from tunekit.errors import Problem, RecipeError
from tunekit.hardware.spec import Hardware
from tunekit.model_shape.shape import ModelShape
from tunekit.planner.batch import micro_candidates
from tunekit.planner.search import Settled
from tunekit.planner.settle import settle
from tunekit.planner.zero import Rung, agrees, may_hold, rungs
from tunekit.recipe.schema import MethodKind, Offload, Optimizer, Recipe

METHODS: tuple[MethodKind, ...] = ("full", "lora", "qlora")
OPTIMIZERS: tuple[Optimizer, ...] = ("adamw", "adamw_8bit")
"""Those that change bytes and keep the learning rate; the others are a choice of the user."""
SHARES = (0.2, 0.4, 0.6, 0.8)
"""Shares of the optimizer that are offloaded in part."""
LARGEST_MICRO_BATCH = 32
PLACES: tuple[Offload, ...] = ("none", "cpu", "nvme")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the states rest: everything of a plan but its passes."""

    settled: Settled
    rung: Rung
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """How a card works through its rows."""

    micro: int
    checkpointing: bool
    packing: bool


def settled_for(recipe: Recipe, shape: ModelShape, hardware: Hardware) -> Iterator[Settled]:
    """What is known before the search, for each method, type of 4-bit scales and optimizer that are to be tried.

    RecipeError: with every method there is something that cannot work on this model and machine.
    """
    problems: list[Problem] = []
    methods = (recipe.method.kind,) if "kind" in recipe.method.model_fields_set else METHODS
    for method in methods:
        for double_quant in _double_quants(recipe, method):
            section = recipe.method.model_copy(update={"kind": method, "double_quant": double_quant})
            settled, _, faults = settle(recipe.model_copy(update={"method": section}), shape, hardware)
            problems += faults
            if not faults:
                yield from with_optimizers(settled)
    if problems:
        raise RecipeError(tuple(dict.fromkeys(problems)))


def _double_quants(recipe: Recipe, method: MethodKind) -> tuple[bool, ...]:
    stated = "double_quant" in recipe.method.model_fields_set
    open_ = method == "qlora" and recipe.method.quantization != "int8" and not stated
    return (True, False) if open_ else (recipe.method.double_quant,)


def with_optimizers(settled: Settled) -> tuple[Settled, ...]:
    """The same with every optimizer that is to be tried: the one that is written, or all that change bytes only."""
    if settled.recipe.train.optimizer is not None or settled.accelerator == "cpu":
        return (settled,)
    return tuple(replace(settled, optimizer=each) for each in OPTIMIZERS)


def sites(settled: Settled) -> Iterator[Site]:
    """Every way to place the states that the recipe allows and this optimizer can do."""
    zero = settled.recipe.zero
    if zero.preset is not None or zero.config is not None or not settled.hardware.gpus:
        found: tuple[Rung, ...] = rungs(settled.recipe, settled.hardware)
    else:
        found = tuple(rung for rung in every_rung() if _tried(rung, settled))
    for rung in (_named(rung, settled) for rung in found):
        yield from (Site(settled=settled, rung=rung, ratio=share) for share in _shares(rung, zero.offload_ratio))


def _tried(rung: Rung, settled: Settled) -> bool:
    recipe = settled.recipe
    return agrees(rung, recipe.zero) and may_hold(rung, recipe.method) and _can(rung.facts, settled)


def _named(rung: Rung, settled: Settled) -> Rung:
    """Of presets with the same facts, that of the method."""
    renamed = rung.auto and settled.quantization and rung.preset == "z3"
    return replace(rung, preset="z3_qlora") if renamed else rung


def _shares(rung: Rung, stated: float | None) -> tuple[float, ...]:
    if stated is not None:
        return (stated,)
    return SHARES if rung.facts.offload_ratio < 1 else (1.0,)


def _can(facts: PresetFacts, settled: Settled) -> bool:
    """Without what the rules would forbid, so that nothing is weighed in vain."""
    if settled.quantization and facts.offload_param != "none":
        return False
    if settled.optimizer not in ("adamw", "lion") and facts.offload_optimizer != "none":
        return False
    if facts.bf16_states and (settled.optimizer != "adamw" or settled.precision != "bf16"):
        return False
    # Only the user knows a folder to swap to.
    return settled.recipe.zero.nvme_path is not None or "nvme" not in (facts.offload_optimizer, facts.offload_param)


@cache
def every_rung() -> tuple[Rung, ...]:
    """Every stage with every offload that DeepSpeed does there, the simplest first."""
    return tuple(_rung(*each) for each in _placements())


def _placements() -> Iterator[tuple[int, Offload, Offload, float, bool]]:
    yield 0, "none", "none", 1.0, False
    for bf16_states, stage, optimizer in product((False, True), (1, 2), PLACES[:2]):
        yield stage, optimizer, "none", 1.0, bf16_states
    for bf16_states, param, optimizer in product((False, True), PLACES, PLACES):
        yield 3, optimizer, param, 1.0, bf16_states
        if optimizer == "cpu":
            yield 3, optimizer, param, SHARES[-1], bf16_states


def _rung(stage: int, optimizer: Offload, param: Offload, ratio: float, bf16_states: bool) -> Rung:
    facts = PresetFacts(
        stage=stage,
        offload_optimizer=optimizer,
        offload_param=param,
        offload_ratio=ratio,
        bf16_states=bf16_states,
        zenflow=False,
        min_deepspeed="",
    )
    name = matching_preset(facts)
    return Rung(preset=name or f"z{stage}", facts=preset_facts(load_preset(name)) if name else facts)


def passes(settled: Settled) -> tuple[Passes, ...]:
    """Every way to run the passes that the recipe allows and that keeps the batch identity, the lightest first."""
    train, data = settled.recipe.train, settled.recipe.data
    largest = 1 if settled.accelerator == "cpu" else LARGEST_MICRO_BATCH
    micros = sorted(micro_candidates(settled.wish, largest=largest))
    checkpointing = (True, False) if train.activation_checkpointing is None else (train.activation_checkpointing,)
    packing = (True, False) if data.packing is None and settled.attention != "eager" else (bool(data.packing),)
    return tuple(
        Passes(micro=micro, checkpointing=recompute, packing=pack)
        for recompute, pack, micro in product(checkpointing, packing, micros)
    )
