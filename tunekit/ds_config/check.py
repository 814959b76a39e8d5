"""Checks a DeepSpeed configuration before anything is started; DeepSpeed itself ignores half of these faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tunekit.ds_config.accepted import DEEPSPEED_VERSION, REMOVED, SECTIONS, TOP_LEVEL
from tunekit.ds_config.accepted_values import FILLED, VALUES
from tunekit.ds_config.combinations import combination_problems
from tunekit.ds_config.stated import dig
from tunekit.ds_config.values import value_problems, wrong_value
from tunekit.errors import Problem
from tunekit.recipe.keys import nearest_name
from tunekit.source_lines import place_of

BATCH_KEYS = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
_STAGE = "zero_optimization.stage"


def check_ds_config(
    config: Mapping[str, Any],
    *,
    source: str,
    lines: Mapping[str, int] | None = None,
    world_size: int | None = None,
    auto_allowed: bool = False,
) -> tuple[Problem, ...]:
    """Every fault of a configuration, in the order of the keys where possible.

    `source` is the file or preset that messages name, `lines` the line of each dotted key where known. With
    `world_size` the batch identity is checked exactly, without it for any whole number of processes. `auto_allowed` is
    for a file that still has to be filled from a plan.
    """
    single = (*_unknown_keys(config), *value_problems(config), *_autos(config, auto_allowed=auto_allowed))
    faulty = {problem.key for problem in single}
    found = (*single, *_batch(config, world_size), *_combinations(config, faulty))
    return tuple(replace(problem, where=place_of(problem.key, file=source, lines=lines or {})) for problem in found)


def dotted_items(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is not a section, under its dotted key."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from dotted_items(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _unknown_keys(config: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _unknown_in(config, TOP_LEVEL, "")
    for name, accepted in SECTIONS.items():
        section = dig(config, name)
        if isinstance(section, Mapping):
            yield from _unknown_in(section, accepted, f"{name}.")


def _unknown_in(section: Mapping[str, Any], accepted: frozenset[str], prefix: str) -> Iterator[Problem]:
    for key in section:
        full = f"{prefix}{key}"
        if full in REMOVED:
            yield Problem(key=full, found=f"removed from DeepSpeed {DEEPSPEED_VERSION}", hint=REMOVED[full])
        elif key not in accepted:
            nearest = nearest_name(key, accepted)
            hint = f"did you mean {prefix}{nearest}?" if nearest else "delete it"
            yield Problem(key=full, found=f"unknown to DeepSpeed {DEEPSPEED_VERSION}{_fate(prefix)}", hint=hint)


def _fate(prefix: str) -> str:
    return ", which would ignore it silently" if prefix in ("", "aio.", "optimizer.", "scheduler.") else ""


def _autos(config: Mapping[str, Any], *, auto_allowed: bool) -> Iterator[Problem]:
    """Every "auto" that stays: all of them, or those under known keys that no plan fills."""
    for key, value in dotted_items(config):
        if value != "auto":
            continue
        if not auto_allowed:
            allowed = "a value; only the Hugging Face Trainer fills auto"
            yield Problem(key=key, found='"auto" is left', allowed=allowed)
        elif key in VALUES and (key == _STAGE or not key.startswith(FILLED)):
            yield replace(wrong_value(key, value), hint="a plan has no value for this key")


def _batch(config: Mapping[str, Any], world_size: int | None) -> Iterator[Problem]:
    numbers = [config[key] for key in BATCH_KEYS if _is_count(config.get(key))]
    if len(numbers) < len(BATCH_KEYS):
        return
    total, micro, steps = numbers
    per_step = micro * steps
    wrong = total % per_step if world_size is None else total - per_step * world_size
    if wrong:
        processes = "processes" if world_size is None else str(world_size)
        allowed = "train_batch_size = train_micro_batch_size_per_gpu x gradient_accumulation_steps x processes"
        yield Problem(key="train_batch_size", found=f"{total} is not {micro} x {steps} x {processes}", allowed=allowed)


def _combinations(config: Mapping[str, Any], faulty: set[str]) -> Iterator[Problem]:
    """Combinations of keys that are right by themselves; where the stage is not, what holds under every stage."""
    found = tuple(combination_problems(config))
    if faulty & {"zero_optimization", _STAGE}:
        zero = dig(config, "zero_optimization")
        sections = ({**(zero if isinstance(zero, Mapping) else {}), "stage": stage} for stage in range(4))
        always = [set(combination_problems({**config, "zero_optimization": section})) for section in sections]
        found = tuple(problem for problem in found if all(problem in each for each in always))
    yield from (problem for problem in found if problem.key not in faulty)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
