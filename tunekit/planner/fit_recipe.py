"""From the words of `tunekit fit` to a recipe with everything open, and from what was found to a recipe to keep."""

from __future__ import annotations

import re
from typing import Any, get_args

from tunekit.errors import UsageError
from tunekit.planner.search_result import Goal, SearchResult
from tunekit.recipe.data_length import read_lengths
from tunekit.recipe.data_size import BYTES_PER_TOKEN, estimate_tokens
from tunekit.recipe.keys import join_words
from tunekit.recipe.loading import as_mapping, dump_yaml
from tunekit.recipe.schema import MethodKind, Recipe
from tunekit.units import GIB, format_count, format_figure

SAID_BY_A_JSON = ("stage", "offload_optimizer", "offload_param", "offload_ratio", "bf16_states")
"""Of the section `zero`, where it names a DeepSpeed JSON."""
EXAMPLE_DATA = "examples/data/finetuning_qa.jsonl"


def open_recipe(model: str, *, data: str | None = None, method: str | None = None) -> dict[str, Any]:
    """A recipe of the model that leaves everything open, as `load_recipe` takes it. UsageError: no such method."""
    if method is not None and method not in get_args(MethodKind):
        raise UsageError(f"--method {method}: there is no such method; allowed: {join_words(get_args(MethodKind))}.")
    name = re.sub(r"[^a-z0-9]+", "_", model.rstrip("/").rpartition("/")[2].lower()).strip("_")
    found: dict[str, Any] = {
        "model": {"path": model},
        "data": {"path": data or EXAMPLE_DATA},
        "output": {"dir": f"runs/{name or 'model'}_fit"},
    }
    return {**found, "method": {"kind": method}} if method else found


def refuse_two_answers(recipe: Recipe, *, model: str, data: str | None, method: str | None) -> None:
    """UsageError where a key was typed that a flag, or the model in front, has answered otherwise."""
    asked = (
        ("MODEL", "model.path", model, recipe.model.path),
        ("--data", "data.path", data, recipe.data.path),
        ("--method", "method.kind", method, recipe.method.kind),
    )
    for flag, key, told, typed in asked:
        if told is not None and str(told) != typed:
            raise UsageError(f"{flag} {told} and {key}={typed} contradict each other; type one of them.")


def check_goal(goal: str) -> None:
    """Raise UsageError when there is no such goal."""
    if goal not in get_args(Goal):
        raise UsageError(f"--goal {goal}: there is no such goal; allowed: {join_words(get_args(Goal))}.")


def tokens_asked(recipe: Recipe, vocabulary: int, *, tokens: int | None, data: str | None) -> tuple[int | None, str]:
    """How many tokens the run learns from in a vocabulary of so many words, and who says so.

    None where nobody does, or `train.max_steps` ends the run. UsageError: two say it, or the data does not tell.
    """
    if tokens is not None and data is not None:
        raise UsageError("--tokens and --data both say how much is learned from; type one of them.")
    if tokens is not None and recipe.train.max_steps is not None:
        steps = f"train.max_steps={recipe.train.max_steps}"
        raise UsageError(f"--tokens and {steps} both say how long the run is; type one of them.")
    if tokens is not None:
        if tokens < 1:
            raise UsageError(f"--tokens {tokens}: must be 1 or more.")
        return tokens, "--tokens"
    if recipe.train.max_steps is not None:
        return None, f"train.max_steps={recipe.train.max_steps}"
    if data is None:
        return None, ""
    epochs = recipe.train.num_epochs
    count, how = _once(recipe, data, vocabulary)
    return max(1, round(count * epochs)), f"{data} {how}" + (f", {epochs:g} times" if epochs != 1 else "")


def _once(recipe: Recipe, data: str, vocabulary: int) -> tuple[int, str]:
    """Tokens of all samples that are not held out, and how they are counted: a large file by its first rows."""
    kept = 1.0 if recipe.data.eval_path is not None else 1.0 - recipe.data.eval_fraction
    lengths = read_lengths(recipe.data, vocabulary)
    if lengths is None:
        return round(kept * estimate_tokens(data)), f"at {BYTES_PER_TOKEN} bytes a token"
    count = kept * lengths.total(recipe.train.max_seq_length) * lengths.rows / len(lengths.tokens)
    told = "" if lengths.whole else f", by the first {len(lengths.tokens):,} of about {lengths.rows:,} samples"
    return max(1, round(count)), lengths.counted + told


def recipe_text(found: SearchResult) -> str:
    """A recipe file that plans to the numbers of the recommended candidate. Needs one."""
    best, plan = found.recommended, found.plan
    assert best is not None
    assert plan is not None
    device, host, rate = best.device, best.host, best.speed.tokens_per_second
    header = (
        f"# {found.model_shape.name}: what `tunekit fit` recommends on {found.hardware.name} for {found.goal}.\n"
        f"# Each GPU {device.expected_bytes / GIB:.1f} of {device.usable_bytes / GIB:.1f} GiB, RAM "
        f"{host.expected_bytes / GIB:.1f} of {host.usable_bytes / GIB:.1f} GiB, {rate.expected:,.0f} tokens/s "
        f"({rate.low:,.0f} to {rate.high:,.0f}); {format_count(found.tokens)} tokens take "
        f"{format_figure(best.run.hours.expected)} h.\n"
    )
    if found.no_resume:
        header += f"# No checkpoints: a run that stops could not go on here. {found.no_resume}.\n"
    if plan.recipe.data.path == EXAMPLE_DATA:
        header += "# Nobody named data: data.path is tunekit's example. Replace it with your own.\n"
    values = as_mapping(plan.recipe, written_only=True)
    if plan.recipe.zero.config is not None:
        values["zero"] = {name: value for name, value in values["zero"].items() if name not in SAID_BY_A_JSON}
    return header + dump_yaml(values)
