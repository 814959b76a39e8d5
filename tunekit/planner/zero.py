"""The ladder of ZeRO: which presets may be tried for a method, in which order, and how a rung becomes a `Zero`.

On machines without cards, of which no speed is known, the ladder decides; elsewhere `planner.exact` weighs every plan,
and the ladder tells which rungs do not fit. Its order is that of speed, from `replicate` to `stream from NVMe`: what
fits whole is not sharded (fsdp_qlora measured sharding 10 % slower on PCIe 4.0 x16, 36 % on slow slots), what fits the
cards is not offloaded, fp32 states come before bf16 ones, RAM before NVMe. QLoRA is never offloaded: the 4-bit base is
built whole on every card before it is split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tunekit.ds_config.buckets import BucketSizes, bucket_sizes, overlap_comm
from tunekit.ds_config.presets import PresetFacts, load_preset, matching_preset, preset_facts
from tunekit.ds_config.user_file import load_user_config
from tunekit.errors import Problem
from tunekit.hardware.spec import Hardware
from tunekit.model_shape.shape import ModelShape, ParameterTensor
from tunekit.planner.answer import as_typed, decide
from tunekit.planner.plan import Decision
from tunekit.recipe.job import Zero
from tunekit.recipe.schema import MethodKind, MethodSection, Recipe, ZeroSection

FULL_LADDER = (
    "z2",
    "z3",
    "z2_offload",
    "z3_offload_optim",
    "z3_offload",
    "z2_offload_bf16",
    "z3_offload_bf16",
    "z3_offload_nvme",
)
LADDERS: Mapping[MethodKind, tuple[str, ...]] = {
    "full": FULL_LADDER,
    "lora": ("z2", "z3", "z3_offload_param"),
    "qlora": ("z2", "z3_qlora"),
}
ALONE: Mapping[MethodKind, tuple[str, ...]] = {
    "full": ("z0", *FULL_LADDER[2:]),
    "lora": ("z0", "z3_offload_param"),
    "qlora": ("z0",),
}
WHY: Mapping[str, str] = {
    "z0": "nothing is shared out: every card holds all of it, and only gradients travel",
    "z1": "the model fits every card whole; optimizer states are shared out",
    "z2": "the model fits every card whole, and gathering shards would cost time",
    "z3": "weights, gradients and states are shared out over the cards; whole they do not fit",
    "z2_offload": "optimizer states rest in RAM; weights stay whole on every card",
    "z3_offload_param": "frozen weights rest in RAM and stream to the cards layer by layer",
    "z3_offload_optim": "weights are shared out over the cards, optimizer states rest in RAM",
    "z3_offload": "weights and optimizer states rest in RAM",
    "z2_offload_bf16": "optimizer states rest in RAM in bf16: 10 instead of 18 bytes per parameter",
    "z3_offload_bf16": "weights and optimizer states rest in RAM, states in bf16: 10 instead of 18 bytes per parameter",
    "z3_offload_nvme": "weights and optimizer states rest on the NVMe drive; RAM is too small for them",
    "z3_qlora": "the 4-bit base is shared out over the cards; whole it leaves too little room",
}
_RESTS = {"cpu": "in RAM", "nvme": "on the NVMe drive"}
_CPU_WHY = "each process holds the model whole; gradients and optimizer states are shared out"
_STATED = ("stage", "offload_optimizer", "offload_param", "offload_ratio", "bf16_states")
USED_SIZES: Mapping[int, tuple[str, ...]] = {
    0: (),
    1: ("reduce_bucket_size", "allgather_bucket_size"),
    2: ("reduce_bucket_size", "allgather_bucket_size"),
    3: (
        "reduce_bucket_size",
        "prefetch_bucket_size",
        "param_persistence_threshold",
        "sub_group_size",
        "max_live_parameters",
        "max_reuse_distance",
    ),
}
"""The sizes that DeepSpeed looks at in each stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One way to spread the states; `auto` when the planner chose it."""

    preset: str
    facts: PresetFacts
    auto: bool = True

    @property
    def offloads(self) -> bool:
        """True when anything rests in RAM or on NVMe."""
        return self.facts.offload_optimizer != "none" or self.facts.offload_param != "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What the sizes of a `Zero` depend on, beside the rung."""

    recipe: Recipe
    shape: ModelShape
    hardware: Hardware
    trainable: Sequence[ParameterTensor]


def rungs(recipe: Recipe, hardware: Hardware) -> tuple[Rung, ...]:
    """The rungs to try, fastest first: one when the recipe names it, else the ladder as far as the recipe allows it."""
    zero = recipe.zero
    if zero.config is not None:
        return (Rung(preset=zero.config, facts=preset_facts(load_user_config(zero.config)), auto=False),)
    if zero.preset is not None:
        return (_rung(zero.preset, auto=False),)
    agreeing = tuple(
        rung for rung in ladder(recipe.method.kind, hardware) if agrees(rung, zero) and may_hold(rung, recipe.method)
    )
    return agreeing or (_written_out(zero),)


def may_hold(rung: Rung, method: MethodSection) -> bool:
    """Whether a rung can have the base: an 8-bit one is not shared out (planner/rules.py says why)."""
    return not (method.kind == "qlora" and method.quantization == "int8" and rung.facts.stage == 3)


def _rung(name: str, *, auto: bool = True) -> Rung:
    return Rung(preset=name, facts=_shipped_facts(name), auto=auto)


@cache
def _shipped_facts(name: str) -> PresetFacts:
    # A search of fixes asks for the same fourteen files hundreds of times.
    return preset_facts(load_preset(name))


def ladder(method: MethodKind, hardware: Hardware) -> tuple[Rung, ...]:
    """Every rung that a method may take on a machine, fastest first."""
    table = LADDERS if hardware.world_size > 1 else ALONE
    # Without cards, RAM is the only place: offloading to it would move nothing.
    names = table[method] if hardware.gpus else (table[method][0], "z3", "z3_offload_nvme")
    return tuple(_rung(name) for name in names)


def agrees(rung: Rung, zero: ZeroSection) -> bool:
    """Whether a rung has every value that the recipe states."""
    return not _contradictions(rung, zero)


def _contradictions(rung: Rung, zero: ZeroSection) -> tuple[tuple[str, Any, Any], ...]:
    """(key, written, what the rung says) for every stated value that the rung contradicts."""
    pairs = ((key, getattr(zero, key), getattr(rung.facts, key)) for key in _STATED)
    clashes = tuple((key, mine, its) for key, mine, its in pairs if mine is not None and mine != its)
    if rung.facts.offload_ratio < 1:
        return tuple(clash for clash in clashes if clash[0] != "offload_ratio")
    return clashes


def contradiction_problems(rung: Rung, zero: ZeroSection) -> tuple[Problem, ...]:
    """Every key whose value the named preset contradicts, both values shown."""
    if zero.preset is None:
        return ()
    return tuple(
        Problem(
            key=f"zero.{key}",
            found=f"{as_typed(mine)}, but {rung.preset} has {as_typed(its)}",
            allowed="one value, given once",
            hint=f"leave zero.{key} out, or write the stage and offloads out instead of naming {rung.preset}",
        )
        for key, mine, its in _contradictions(rung, zero)
    )


def _written_out(zero: ZeroSection) -> Rung:
    needs_three = zero.offload_param not in (None, "none") or zero.offload_optimizer == "nvme"
    facts = PresetFacts(
        stage=zero.stage if zero.stage is not None else 3 if needs_three or (zero.offload_ratio or 1) < 1 else 2,
        offload_optimizer=zero.offload_optimizer or "none",
        offload_param=zero.offload_param or "none",
        offload_ratio=zero.offload_ratio or 1.0,
        bf16_states=zero.bf16_states or False,
        zenflow=False,
        min_deepspeed="",
    )
    return Rung(preset=matching_preset(facts) or f"z{facts.stage}", facts=facts, auto=False)


def build_zero(rung: Rung, place: Placement, *, pin_memory: bool, offload_ratio: float) -> tuple[Zero, BucketSizes]:
    """The rung as DeepSpeed will be configured, with the sizes chosen for it and their reasons."""
    wishes, facts = place.recipe.zero, rung.facts
    chosen = _sizes(rung, place, offload_ratio)
    values: dict[str, Any] = {name: choice.value for name, choice in chosen.items()}
    values["overlap_comm"] = overlap_comm(place.hardware, stage=facts.stage, method=place.recipe.method.kind).value
    values |= {name: getattr(wishes, name) for name in values if getattr(wishes, name) is not None}
    zero = Zero(
        preset=rung.preset,
        stage=facts.stage,
        offload_optimizer=facts.offload_optimizer,
        offload_param=facts.offload_param,
        offload_ratio=offload_ratio,
        bf16_states=facts.bf16_states,
        nvme_path=wishes.nvme_path,
        pin_memory=pin_memory,
        zenflow=facts.zenflow,
        fp32_gradients=facts.fp32_gradients,
        unfused_adam=facts.unfused_adam,
        **values,
    )
    return zero, chosen


def _sizes(rung: Rung, place: Placement, offload_ratio: float) -> BucketSizes:
    return bucket_sizes(
        place.shape,
        place.hardware,
        stage=rung.facts.stage,
        trainable=place.trainable,
        world_size=place.hardware.world_size,
        offload_optimizer=rung.facts.offload_optimizer,
        offload_param=rung.facts.offload_param,
        offload_ratio=offload_ratio,
    )


def zero_decisions(zero: Zero, chosen: BucketSizes, place: Placement) -> tuple[Decision, ...]:
    """Every size that this stage uses and that nobody wrote, with its reason."""
    wishes = place.recipe.zero
    sizes = dict(chosen.items())
    open_sizes = (name for name in USED_SIZES[zero.stage] if getattr(wishes, name) is None)
    decisions = [decide(f"zero.{name}", sizes[name].value, sizes[name].reason) for name in open_sizes]
    if wishes.overlap_comm is None and zero.stage:
        choice = overlap_comm(place.hardware, stage=zero.stage, method=place.recipe.method.kind)
        decisions.append(decide("zero.overlap_comm", choice.value, choice.reason))
    return tuple(decisions)


def why(rung: Rung, hardware: Hardware) -> str:
    """Why a rung of the ladder is good for those it fits."""
    if not hardware.gpus and rung.preset == "z2":
        return _CPU_WHY
    if matching_preset(rung.facts) is None:
        return _in_words(rung.facts)
    return WHY.get(rung.preset) or _in_words(rung.facts)


def _in_words(facts: PresetFacts) -> str:
    """Where everything rests, for what no preset has."""
    whole = "weights stay whole on every card" if facts.stage < 3 else "weights are shared out over the cards"
    words = [whole if facts.offload_param == "none" else f"weights rest {_RESTS[facts.offload_param]}"]
    if facts.offload_optimizer != "none":
        share = "optimizer states rest" if facts.offload_ratio == 1 else "a part of the optimizer states rests"
        words.append(f"{share} {_RESTS[facts.offload_optimizer]}")
    if facts.bf16_states:
        words.append("states in bf16: 10 instead of 18 bytes per parameter")
    return ", ".join(words)


def over_pcie(hardware: Hardware) -> bool:
    """True where cards talk over PCIe, which gathers cannot hide behind."""
    return bool(hardware.gpus) and not (hardware.link and hardware.link.nvlink)
