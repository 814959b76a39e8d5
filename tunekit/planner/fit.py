"""`find_plans`: search every plan of a model on a machine, recommend one, and say what would do where none fits."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from tunekit.ds_config.presets import PresetFacts, load_preset, preset_facts, preset_names
from tunekit.errors import RecipeError, UsageError
from tunekit.hardware.spec import Hardware
from tunekit.memory.terms import PlaceEstimate
from tunekit.model_shape.shape import ModelShape
from tunekit.planner.candidates import NVME_FOLDER
from tunekit.planner.change import Change, Setting, applied
from tunekit.planner.explore import Explored, Found, explore
from tunekit.planner.goals import ranked, runner_up, why_not
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Fix, Plan, Trust, Verdict
from tunekit.planner.quality import in_order
from tunekit.planner.search import Trial, shortfall
from tunekit.planner.search_result import Amount, Candidate, Goal, SearchResult
from tunekit.planner.space import settled_for
from tunekit.recipe.job import Job, Zero
from tunekit.recipe.schema import Recipe
from tunekit.speed.run import run_cost
from tunekit.speed.terms import SpeedEstimate

_STATED = ("stage", "offload_optimizer", "offload_param", "bf16_states")
TOLD_TOKENS = 1_000_000
"""What hours and energy are told for where nobody says how many tokens."""


def find_plans(
    recipe: Recipe,
    shape: ModelShape,
    hardware: Hardware,
    *,
    goal: Goal = "speed",
    tokens: int | None = None,
    tokens_said: str = "",
    trust: Trust = "both",
) -> SearchResult:
    """Search all that the recipe leaves open; all methods where it names none.

    UsageError: nobody knows how fast this machine is.
    RecipeError: what the recipe states cannot work on this model and machine.
    """
    if not hardware.gpus:
        raise UsageError(
            f"{hardware.name} has no GPU, and nothing published tells how fast CPU processes train. Name the "
            "machine to search for, e.g. --on dual_rtx4090 (`tunekit hardware` lists them); `tunekit plan` needs none."
        )
    explored = _explore(recipe, shape, hardware, trust)
    asked = tokens or TOLD_TOKENS
    weighed = (_candidate(each, explored, hardware, asked) for each in explored.fitting)
    found = tuple(sorted(weighed, key=lambda each: each.seconds_per_token))
    order = ranked([each for each in found if each.on_frontier], goal)
    best = order[0] if order else None
    other = runner_up(order) if order else None
    settings = _settings(explored, best, with_steps=tokens is not None)
    plan = _plan(recipe, shape, hardware, trust, settings)
    return SearchResult(
        goal=goal,
        recipe=recipe,
        model_shape=shape,
        hardware=hardware,
        tokens=asked,
        tokens_said=tokens_said,
        candidates=found,
        recommended=best,
        runner_up=other,
        reason=_reason(best, other, explored.nearest, goal),
        plan=plan,
        fixes=(*_from_the_drive(recipe, shape, hardware, trust), *plan.fixes) if plan and best is None else (),
        plans=explored.plans,
        weighed=explored.weighed,
    )


def _from_the_drive(recipe: Recipe, shape: ModelShape, hardware: Hardware, trust: Trust) -> Iterator[Fix]:
    """A folder to swap to, where that makes the fastest of the plans fit that are possible then."""
    if recipe.zero.nvme_path is not None or not hardware.disks:
        return
    change = Change(settings=(("zero.nvme_path", NVME_FOLDER),), cost=0.0, note="")
    swapping = applied(recipe, change)
    found = _explore(swapping, shape, hardware, trust).fitting if swapping else ()
    if found:
        best = min(found, key=lambda each: each.order)
        note = "states or weights rest on the drive, which swapping wears; write a folder of your own"
        rate = best.speed.tokens_per_second.expected
        yield Fix(set=change.typed, saves_bytes=0, note=note, verdict=best.verdict, tokens_per_second=rate)


def _explore(recipe: Recipe, shape: ModelShape, hardware: Hardware, trust: Trust) -> Explored:
    """What surely fits; where nothing does, what fits tightly."""
    spaces = tuple(settled_for(recipe, shape, hardware))
    explored = explore(spaces, trust)
    enough: tuple[Verdict, ...] = ("fits", "tight")
    return explored if explored.frontier else explore(spaces, trust, enough=enough)


def _candidate(found: Found, explored: Explored, hardware: Hardware, tokens: int) -> Candidate:
    job, memory, speed = found.job, found.memory, found.speed
    return Candidate(
        settings=settings_of(job),
        method=job.method,
        zero=job.zero,
        micro_batch_size=job.batch.micro_batch_size,
        activation_checkpointing=job.activation_checkpointing,
        packing=job.packing,
        optimizer=job.optimizer,
        losses=in_order(found.losses),
        verdict=found.verdict,
        device=_amount(memory.device),
        host=_amount(memory.host),
        disk=_amount(memory.disk),
        speed=speed,
        run=run_cost(speed, steps_for(tokens, speed), hardware),
        on_frontier=any(found is each for each in explored.frontier),
    )


def _amount(place: PlaceEstimate) -> Amount:
    return Amount(expected_bytes=place.expected_bytes, high_bytes=place.high_bytes, usable_bytes=place.usable_bytes)


def steps_for(tokens: int, speed: SpeedEstimate) -> int:
    """Optimizer steps that learn from so many tokens; padding is not learned from."""
    return max(1, ceil(tokens / (speed.tokens_per_step * speed.useful_share.expected)))


def settings_of(job: Job) -> tuple[Setting, ...]:
    """The keys that make a recipe's open job this job: what was searched, and nothing that follows from it."""
    found: list[Setting] = [("method.kind", job.method)]
    if job.quantization is not None:
        found.append(("method.double_quant", job.quantization.double_quant))
    found += _zero_settings(job)
    found += [
        ("data.packing", job.packing),
        ("train.micro_batch_size", job.batch.micro_batch_size),
        ("train.optimizer", job.optimizer),
        ("train.activation_checkpointing", job.activation_checkpointing),
    ]
    return tuple(found)


def _zero_settings(job: Job) -> list[Setting]:
    """The preset, or its values where no preset has them; the share that is offloaded, and what the machine decides."""
    zero = job.zero
    whole = zero.offload_ratio == 1
    found: list[Setting] = [("zero.preset", zero.preset)]
    if zero.preset not in preset_names() or not _is(zero, preset_facts(load_preset(zero.preset))):
        names = ("stage", "offload_optimizer", "offload_param", *(("bf16_states",) if zero.stage else ()))
        found = [(f"zero.{name}", getattr(zero, name)) for name in names]
    if not whole:
        found.append(("zero.offload_ratio", zero.offload_ratio))
    if (zero.offload_optimizer, zero.offload_param) != ("none", "none"):
        found.append(("zero.pin_memory", zero.pin_memory))
    return found


def _is(zero: Zero, facts: PresetFacts) -> bool:
    same = all(getattr(zero, name) == getattr(facts, name) for name in _STATED)
    return same and (zero.offload_ratio < 1) == (facts.offload_ratio < 1)


def _settings(explored: Explored, best: Candidate | None, *, with_steps: bool) -> tuple[Setting, ...] | None:
    if best is not None:
        return (*best.settings, ("train.max_steps", best.run.steps)) if with_steps else best.settings
    return settings_of(explored.nearest.job) if explored.nearest else None


def _plan(
    recipe: Recipe,
    shape: ModelShape,
    hardware: Hardware,
    trust: Trust,
    settings: tuple[Setting, ...] | None,
) -> Plan | None:
    """The plan of a recipe with these settings, as `tunekit plan` makes it."""
    if settings is None:
        return None
    chosen = applied(recipe, Change(settings=settings, cost=0.0, note=""))
    if chosen is None:
        return None
    try:
        return make_plan(chosen, shape, hardware, trust=trust)
    except RecipeError:
        return None


def _reason(best: Candidate | None, other: Candidate | None, nearest: Trial | None, goal: Goal) -> str:
    if best is None:
        return f"What comes nearest: the {shortfall(nearest)}." if nearest else "Nothing can be tried."
    if other is None:
        return "Nothing else fits."
    return why_not(best, other, goal)
