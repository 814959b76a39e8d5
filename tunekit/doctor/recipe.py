"""Checks of the recipe as it is planned: steps, batch, memory, combinations, output, time. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tunekit.doctor.case import Case
from tunekit.doctor.finding import Check, Seen, blocks, not_needed, ok, unknown, warning
from tunekit.memory.terms import LATER
from tunekit.planner.plan import Plan
from tunekit.speed.run import run_cost
from tunekit.units import format_bytes, format_kwh, format_seconds

NO_PLAN = "the recipe has no plan yet"
LONG_HOURS = 0.5
"""A run beyond it deserves checkpoints."""
SAVE_MINUTES = 20
"""What a stop may cost at most, where a cure proposes how often to save."""


def steps(case: Case) -> Seen:
    """Rows enough for a step, and nothing that is due after the end."""
    if case.plan is None:
        return unknown(NO_PLAN)
    count = total_steps(case)
    if count is None and case.plan.expected_steps is not None:
        return ok(f"about {case.plan.expected_steps:,} optimizer steps, by the size of the data")
    if count is None:
        return unknown("how many steps there are is known once the data is read (or set train.max_steps)")
    if count < 1:
        found = "all passes over the data do not fill one optimizer step"
        return blocks(found, "a smaller train.global_batch_size, or train.max_steps")
    late = tuple(_late(case.plan, count))
    if late:
        said, cures = zip(*late, strict=True)
        return warning(f"{count:,} steps; {'; '.join(said)}", "; ".join(cures))
    warm = math.ceil(count * case.plan.recipe.train.warmup_ratio)
    if warm >= count:
        found = f"all {count:,} steps warm up: the learning rate hardly leaves 0"
        # The worker takes an adapter that is still zero for a failure, and it is: nothing was learned.
        learns_nothing = count == 1 and case.plan.job.adapter is not None
        return (blocks if learns_nothing else warning)(found, "train.warmup_ratio=0")
    return ok(f"{count:,} optimizer steps, {warm:,} of them warm up")


def total_steps(case: Case) -> int | None:
    """Optimizer steps of the run; None where the rows were not counted."""
    plan, tried = case.plan, case.tried("rows")
    if plan is None:
        return None
    if plan.recipe.train.max_steps is not None:
        return plan.recipe.train.max_steps
    if tried is None or tried.missing or tried.found.get("cut_short") or tried.found.get("num_rows") is None:
        return None
    per_epoch = tried.found["num_rows"] / plan.job.batch.global_batch_size
    return int(per_epoch * plan.recipe.train.num_epochs)


def _late(plan: Plan, count: int) -> Iterator[tuple[str, str]]:
    """What the recipe asks for that never comes."""
    for key, every in (
        ("output.save_steps", plan.recipe.output.save_steps),
        ("train.eval_steps", plan.recipe.train.eval_steps),
        ("train.logging_steps", plan.recipe.train.logging_steps),
    ):
        if every is not None and every > count:
            yield f"{key}={every} is never reached", f"{key}={max(1, count // 2)}"


def batch(case: Case) -> Seen:
    """The batch identity, and no value left open."""
    if case.plan is None:
        return unknown(NO_PLAN)
    own = case.plan.job.batch
    return ok(
        f"{own.global_batch_size} rows a step = {own.micro_batch_size} micro x {own.gradient_accumulation_steps} "
        f"accumulation x {own.world_size} ranks; no auto is left"
    )


def ds_config(case: Case) -> Seen:
    """DeepSpeed takes every key of the JSON and ignores none."""
    if case.refusal is not None and case.refusal.check == "ds_config":
        return blocks(case.refusal.text, "mend the keys that are named")
    if case.plan is None:
        return unknown(NO_PLAN)
    config, preset = case.plan.recipe.zero.config, case.plan.job.zero.preset
    return ok(f"every key of {config} is one that DeepSpeed takes" if config else f"preset {preset}")


def memory(case: Case) -> Seen:
    """Both judges of the plan: GPU, RAM and disk at the worst phase."""
    if case.plan is None:
        return unknown(NO_PLAN)
    plan = case.plan
    if plan.verdict == "rejected":
        fix = next((fix.set for fix in plan.fixes if fix.verdict != "rejected"), "")
        return blocks(plan.reason, fix or f"tunekit plan {case.typed} shows what would help")
    phases = ", ".join(_phase_words(plan))
    if plan.verdict == "tight":
        return warning(f"{plan.reason} Peaks: {phases}", f"tunekit plan {case.typed} --explain")
    name, place = ("GPU", plan.memory.device) if plan.hardware.gpus else ("RAM", plan.memory.host)
    return ok(f"{name}: at most {format_bytes(place.high_bytes)} of {format_bytes(place.usable_bytes)}; {phases}")


def _phase_words(plan: Plan) -> Iterator[str]:
    """Peak of each phase where it matters most: on the card, or in RAM without cards."""
    for peak in plan.memory.peaks:
        count = peak.device_bytes if plan.hardware.gpus else peak.host_bytes
        if count and peak.phase not in LATER:
            yield f"{peak.phase} {format_bytes(count)}"


def combinations(case: Case) -> Seen:
    """Settings that cannot work together are refused by the planner; what it doubts, it says."""
    if case.refusal is not None and case.refusal.check == "combinations":
        return blocks(case.refusal.text, "mend the keys that are named")
    if case.plan is None:
        return unknown(NO_PLAN)
    doubts = tuple(_doubts(case.plan, total_steps(case)))
    if doubts:
        return warning("\n".join(doubts), "go on if it is meant")
    return ok("no setting works against another")


def _doubts(plan: Plan, count: int | None) -> Iterator[str]:
    """What the plan warns of, but for what the check of the steps says with its cure."""
    said = {cure.partition("=")[0] for _, cure in _late(plan, count)} if count else set()
    return (text.removesuffix(".") for text in plan.warnings if text.partition(" ")[0] not in said)


def output(case: Case) -> Seen:
    """The run directory: new, or of a run that can go on."""
    refused = case.refused("output")
    if refused is not None:
        return refused
    if case.plan is None:
        return unknown(NO_PLAN)
    return ok(f"{case.plan.recipe.output.dir} is free")


def rehearsal(case: Case) -> Seen:
    """One whole step at the longest length: the launch makes it before the first, where the recipe lets it."""
    if case.plan is None:
        return unknown(NO_PLAN)
    wanted = case.plan.recipe.train.rehearsal
    if wanted == "always" or (wanted == "gpu" and case.wants_cards):
        tokens = case.plan.job.max_seq_length
        return ok(f"the launch tries a step of {tokens:,} tokens a row and a save first")
    return not_needed(f"train.rehearsal={wanted}: no step is tried before the first")


def time(case: Case) -> Seen:
    """How long a step and the run take, what a checkpoint and a stop cost."""
    if case.plan is None:
        return unknown(NO_PLAN)
    plan, speed, count = case.plan, case.plan.speed, total_steps(case)
    if speed is None:
        return unknown("nothing is known of the speed; the first steps of a launch tell it")
    step = speed.step_seconds.expected
    words = f"{format_seconds(step) if step >= 10 else f'{step:.1f} s'} a step"
    if count is None:
        return ok(f"{words}; how many steps there are is known once the data is read")
    cost = run_cost(speed, count, plan.hardware)
    words = (
        f"{words}, {format_seconds(3600 * cost.hours.expected)} for {count:,} steps, {format_kwh(cost.kwh.expected)}"
    )
    every = plan.recipe.output.save_steps
    if every is None and cost.hours.expected > LONG_HOURS:
        often = max(1, round(SAVE_MINUTES * 60 / step))
        return warning(f"{words}; no checkpoint is kept: a stop loses everything", f"output.save_steps={often}")
    saved = (
        "" if every is None else f"; a checkpoint every {format_seconds(step * every)}, which is what a stop can cost"
    )
    return ok(words + saved)


CHECKS = (
    Check(
        name="combinations",
        group="recipe",
        title="combinations",
        why="Many settings are accepted together and then ignored, or corrupt the weights.",
        look=combinations,
        of_recipe=True,
    ),
    Check(
        name="ds_config",
        group="recipe",
        title="DeepSpeed JSON",
        why="A misspelt key at the top of DeepSpeed's JSON is ignored without a word.",
        look=ds_config,
        of_recipe=True,
    ),
    Check(
        name="batch",
        group="recipe",
        title="batch",
        why="Three names for one batch size are the first thing DeepSpeed asserts.",
        look=batch,
        of_recipe=True,
    ),
    Check(
        name="steps",
        group="recipe",
        title="steps",
        why="What is due after the last step never happens: no checkpoint, no evaluation.",
        look=steps,
        of_recipe=True,
    ),
    Check(
        name="memory",
        group="recipe",
        title="memory",
        why="Out of memory comes late: at the longest row, at the optimizer's first step, at the save.",
        look=memory,
        of_recipe=True,
        at_launch=False,
    ),
    Check(
        name="output",
        group="recipe",
        title="output",
        why="A run is never written over, and only a complete checkpoint can be gone on from.",
        look=output,
        of_recipe=True,
    ),
    Check(
        name="rehearsal",
        group="recipe",
        title="rehearsal",
        why="Only a whole step shows that every part works together.",
        look=rehearsal,
        of_recipe=True,
    ),
    Check(
        name="time",
        group="recipe",
        title="time",
        why="What a stop costs is the time since the last checkpoint.",
        look=time,
        of_recipe=True,
    ),
)
