"""Where a job was when it failed: the phase, from the lines before, and the moment, from the traceback's frames."""

from __future__ import annotations

import re
from dataclasses import dataclass

MARKERS: tuple[tuple[str, str], ...] = (
    (r"Detected DeepSpeed ZeRO-3: activating zero\.init|Loading (?:weights|checkpoint shards)", "model"),
    (r"(?:Before|After) initializing optimizer states|DeepSpeed Basic Optimizer|DeepSpeed info: version", "engine"),
    (r"(?:Tokenizing|Packing|Map|Generating train split)\b[^\n]*\d+%|Running tokenizer on", "data"),
    (r"\*\*\*\*\* Running training \*\*\*\*\*|'loss': |\"loss\": |(?m:^) *\d+%\|[^|\n]*\| *\d+/\d+ \[", "train"),
    (r"\*\*\*\*\* Running [Ee]valuation \*\*\*\*\*|'eval_loss': ", "eval"),
    (r"Saving model checkpoint|Saving model to|Model weights saved in", "save"),
)
"""Lines that libraries write, and the phase of a run (as the worker's journal calls it) that they begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A part of the work that frames of a traceback tell. `saver`: what makes this moment smaller on a card.

    `phase` is the one it belongs to; `also` are others in which it happens too, so that only markers tell them apart.
    """

    pattern: str
    words: str
    phase: str
    also: tuple[str, ...] = ()
    saver: str = ""
    whole: bool = False
    """It is all of its phase, so beside the phase it says nothing more."""


MOMENTS: tuple[Moment, ...] = (
    Moment(
        pattern=r"in prepare_model_for_kbit_training",
        words="while the 4-bit model was prepared",
        phase="model",
        saver="leave prepare_model_for_kbit_training out under DeepSpeed in bf16",
    ),
    Moment(
        pattern=r"in _?save_checkpoint|in save_pretrained|in save_model\b|in _save\b",
        words="while saving",
        phase="save",
        whole=True,
        saver="fewer checkpoints, or ZeRO-3 with adapters, which gathers the adapters alone",
    ),
    Moment(
        pattern=r"in evaluation_loop|in prediction_step|in nested_concat",
        words="in evaluation",
        phase="eval",
        whole=True,
        saver="per_device_eval_batch_size=1 and prediction_loss_only=True (tunekit evaluates so)",
    ),
    Moment(
        pattern=r"loss_utils\.py|in cross_entropy|in ForCausalLMLoss|chunked_nll|in log_softmax",
        words="in the loss",
        phase="train",
        also=("eval",),
        saver="a chunked loss (train.loss=chunked; Liger, or TRL's chunked_nll), or shorter rows",
    ),
    Moment(
        pattern=r"(?:stage_1_and_2|stage3|cpu_adam|fused_adam|adamw?|optimizer)\.py\", line \d+, in "
        r"_?(?:optimizer_)?step"
        r"|in _take_model_step|\boptimizer\.step\(|in initialize_optimizer_states|in _init_group",
        words="in the optimizer's step",
        phase="train",
        also=("engine",),
        saver="an optimizer in RAM (zero.preset=z2_offload), an 8-bit one, or smaller buckets (5e7)",
    ),
    Moment(
        pattern=r"in _?backward\b|in _engine_run_backward|in unpack_hook|\.backward\(",
        words="in the backward pass",
        phase="train",
        saver="activation checkpointing, a smaller micro-batch with more accumulation, or shorter rows",
    ),
    Moment(
        pattern=r"in from_pretrained|in _load_pretrained_model|in load_state_dict|in _load_state_dict",
        words="while loading the model",
        phase="model",
        whole=True,
        also=("engine", "train"),
        saver="4-bit weights, or ZeRO-3, which builds a 16-bit model in shards",
    ),
    Moment(
        pattern=r"in forward\b|in _call_impl",
        words="in the forward pass",
        phase="train",
        also=("eval",),
        saver="activation checkpointing, a smaller micro-batch with more accumulation, or shorter rows",
    ),
)
"""The first that is found is the moment: a backward pass calls forward again, a step calls both."""


def phase_of(text: str) -> str | None:
    """The phase that the last marker of a text begins."""
    found = [(match.start(), phase) for pattern, phase in MARKERS for match in re.finditer(pattern, text)]
    return max(found)[1] if found else None


def phase_at(before: str, moment: Moment | None) -> str | None:
    """The phase of a failure: its traceback's own frames tell it better than the last marker, which may be old."""
    marked = phase_of(before)
    return marked if moment is None or marked in moment.also else moment.phase


def moment_of(traceback: str) -> Moment | None:
    """The part of the work that a traceback was raised in."""
    return next((moment for moment in MOMENTS if re.search(moment.pattern, traceback)), None)
