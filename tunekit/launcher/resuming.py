"""Going on with other settings: what may change when a run is resumed, and how its checkpoint is then read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from tunekit.errors import Problem, RecipeError
from tunekit.launcher.checkpoints import SPREADS, Checkpoint
from tunekit.recipe.job import Job
from tunekit.recipe.keys import is_key, sections
from tunekit.recipe.overrides import COMMAND_LINE, parse_overrides

Transfer = Literal["spread", "universal", "weights"]
"""How a checkpoint is made to fit: its files as they are, for another number of ranks; through DeepSpeed's universal
format; or its weights alone."""

CHANGEABLE = (
    "hardware",
    "zero",
    "model.attention",
    "train.micro_batch_size",
    "train.gradient_accumulation_steps",
    "train.activation_checkpointing",
    "train.loss",
    "train.logging_steps",
    "train.eval_steps",
    "train.rehearsal",
    "data.num_workers",
    "output.save_steps",
    "output.keep_checkpoints",
    "output.sample_prompts",
    "output.sample_tokens",
    "tracking",
    "watch",
)
"""Keys, or whole sections, that say how a step is computed and what is told of it, but not what is learned."""

_REASONS = (
    ("model", "the checkpoint's weights are this model's"),
    ("method", "the checkpoint holds the weights of this method"),
    ("data", "the rows, and the order in which the rest of them come, would be others"),
    ("output.dir", "a run goes on in its own folder"),
    ("train.global_batch_size", "the steps done and to be done would not be of the same size"),
    ("train.max_seq_length", "the rows would be cut and packed in another way"),
    ("train.optimizer", "the checkpoint holds the states of this optimizer"),
    ("train.precision", "the checkpoint's weights and states are in this type"),
    ("train.seed", "the rows would come in another order"),
    ("train", "the course of the learning rate, and what each step does, were laid out with it"),
)
_CHOICES = tuple(
    f"zero.{name}"
    for name in ("preset", "config", "stage", "offload_optimizer", "offload_param", "offload_ratio", "bf16_states")
)
"""What says how states are spread; the other keys of the section are sizes that follow from it, and the drive."""
STEPPING = ("offload_optimizer", "bf16_states", "zenflow")
_SAME = ("method", "adapter", "quantization", "max_seq_length", "packing", "completion_only_loss", "precision")


def refuse_changes(overrides: Sequence[str]) -> None:
    """RecipeError with the reason for every `key=value` that would make another training of the rest of the run.

    A key that there is none of is left to the reading of the recipe, which knows the nearest name.
    """
    typed, _ = parse_overrides(overrides)
    problems = [problem for change in typed if (problem := _refusal(change.key))]
    if problems:
        raise RecipeError(problems, source=f"the {COMMAND_LINE}")


def reopened(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The answered recipe of a run with those answers left open that follow from what is changed.

    Another machine or micro-batch has other accumulation steps for the same global batch; another preset has its own
    stage, offloads and sizes.
    """
    typed, _ = parse_overrides(overrides)
    changed = {change.key for change in typed}
    train, zero = dict(values.get("train", {})), dict(values.get("zero", {}))
    if changed & {"hardware", "train.micro_batch_size"}:
        train.pop("gradient_accumulation_steps", None)
    elif "train.gradient_accumulation_steps" in changed:
        train.pop("micro_batch_size", None)
    if any(key == "zero" or key in _CHOICES for key in changed):
        zero = {name: value for name, value in zero.items() if name == "nvme_path"}
    elif "hardware" in changed:
        zero = {name: value for name, value in zero.items() if f"zero.{name}" in (*_CHOICES, "zero.nvme_path")}
    return {**values, "train": train, "zero": zero}


def rows_stay(problem: Problem, before: Job) -> Problem:
    """The problem; where rows cannot be shared out, with what may be typed instead: their number may not change."""
    if problem.key != "train.global_batch_size":
        return problem
    rows, world = before.batch.global_batch_size, before.batch.world_size
    sizes = ", ".join(str(size) for size in range(1, rows // world + 1) if rows % (size * world) == 0)
    hint = f"a resume keeps the {rows} rows of a step; on {world} processes train.micro_batch_size may be {sizes}"
    return replace(problem, allowed="", hint=hint, where=COMMAND_LINE)


def check_same_training(before: Job, after: Job) -> None:
    """RecipeError where the rest of the run would not be the training that was begun."""
    problems = [
        Problem(key=name, found=f"{getattr(after, name)}, the run was begun with {getattr(before, name)}")
        for name in _SAME
        if getattr(before, name) != getattr(after, name)
    ]
    if before.batch.global_batch_size != after.batch.global_batch_size:
        found = f"{after.batch.global_batch_size} would be trained per step, so far {before.batch.global_batch_size}"
        problems.append(Problem(key="train.global_batch_size", found=found, allowed="the same as before"))
    if before.optimizer != after.optimizer:
        found = f"{after.optimizer}, the run was begun with {before.optimizer}"
        problems.append(Problem(key="train.optimizer", found=found))
    if problems:
        raise RecipeError(problems, source="the resumed run")


def how_to_read(checkpoint: Checkpoint, before: Job, after: Job, *, round_robin: bool = False) -> Transfer | None:
    """How the ranks of `after` come to what was saved, `before` being the plan so far; None: each reads its own files.

    `round_robin`: DeepSpeed would deal parameters out to the ranks in turn (`round_robin_gradients`).

    DeepSpeed's converter knows Adam's two averages, in files of ZeRO 1 to 3; neither swap files nor 8-bit states.
    """
    reads = stepping(after) | {"round_robin": round_robin}
    wrote = stepping(before) | {"round_robin": round_robin} | dict(checkpoint.stepping)
    spread = SPREADS[after.zero.stage]
    same = checkpoint.spread == spread and wrote == reads
    if same and checkpoint.world_size == after.batch.world_size:
        return None
    if same and spread == "whole":
        return "spread"
    sharded = "whole" not in (checkpoint.spread, spread)
    swaps = "nvme" in (wrote["offload_optimizer"], reads["offload_optimizer"], after.zero.offload_param)
    special = swaps or checkpoint.swapped or wrote["zenflow"] or reads["zenflow"]
    return "universal" if sharded and after.optimizer == "adamw" and not special else "weights"


def stepping(job: Job) -> dict[str, Any]:
    """What decides how an optimizer names and stores its states."""
    return {name: getattr(job.zero, name) for name in STEPPING}


def what_is_lost(transfer: Transfer | None, checkpoint: Checkpoint, after: Job) -> str:
    """What the user should know of the way a checkpoint is read; empty where nothing is different."""
    if transfer is None:
        return ""
    told = f"saved by {_processes(checkpoint.world_size)}, read by {_processes(after.batch.world_size)} at ZeRO "
    told += f"{after.zero.stage}: "
    kept = "weights, step, learning rate and the order of the rows go on"
    if transfer == "weights":
        return (
            f"{told}{kept}. Lost: the optimizer's states, which begin anew, so that the loss may rise for some steps."
        )
    if after.zero.bf16_states and not checkpoint.stepping.get("bf16_states"):
        return f"{told}{kept}, the optimizer's states too, rounded to bf16 with the master weights: losses will differ."
    dropout = ", but dropout draws other numbers" if after.adapter is not None and after.adapter.dropout else ""
    return f"{told}{kept}, the optimizer's states too{dropout}."


def _processes(count: int) -> str:
    return f"{count} process{'es' if count != 1 else ''}"


def _refusal(key: str) -> Problem | None:
    if any(key == open_key or key.startswith(f"{open_key}.") for open_key in CHANGEABLE):
        return None
    if not is_key(key) and key not in sections():
        return None
    for prefix, reason in _REASONS:
        if key == prefix or key.startswith(f"{prefix}."):
            return Problem(key=key, found=f"cannot change when a run is resumed: {reason}")
    return None
