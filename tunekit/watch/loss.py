"""Whether a loss makes sense: finite, not zero, not running away. Every rank asks the same of the same numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from tunekit.recipe.schema import WatchSection

WINDOW = 50
"""Sound losses whose median is the measure."""
LEAST = 10
"""Sound losses before one is held against their median: the first ones fall fast."""
FLOOR = 0.1
"""A median below this is taken for this: near zero, several times the median is still nothing."""

STUCK_STEPS = 10
"""The same loss as the one before in so many logged steps: batches differ, so a model that learns gives others."""
SAME = 1e-6
"""Two losses nearer than this are the same."""
GUESSING = 0.98
"""Share of ln(vocabulary), the loss of a model that finds all tokens equally likely, from which one only guesses."""
KNOWING = 0.9
"""Below this share of it a model knew something once, so that guessing is a collapse and not the beginning."""

Fault = Literal["nan", "zero", "diverging", "stuck"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossState:
    """What is remembered. `sound_step` is the newest logged step whose loss made sense."""

    sound: tuple[float, ...] = ()
    sound_step: int | None = None
    lowest: float = math.inf
    """Of all sound losses."""
    usual: float = math.inf
    """The lowest median that the sound ones had: a collapse in the first steps soon is the recent median itself."""
    fault: Fault | None = None
    since: int | None = None
    """The first logged step of the faulty ones in a row."""
    count: int = 0
    worst: float = 0.0

    @property
    def proven_below(self) -> int:
        """A checkpoint of an earlier step than this one is good: its weights have given a loss that made sense."""
        return self.sound_step or 0


def state_after(losses: Iterable[float], step: int) -> LossState:
    """The state of a run that goes on at `step`, after the losses of earlier attempts."""
    state = LossState(sound_step=step)
    for loss in losses:
        state = _sound(state, step, loss) if math.isfinite(loss) else state
    return state


def follow_loss(
    state: LossState, step: int, loss: float, grad_norm: float | None, watch: WatchSection, *, vocabulary: int = 0
) -> LossState:
    """The state after this logged step; `vocabulary` is the number of tokens the model chooses among, 0: unknown."""
    fault = fault_of(state, loss, grad_norm, watch, guess=math.log(vocabulary) if vocabulary > 1 else math.inf)
    if fault is None:
        return _sound(state, step, loss)
    again = fault == state.fault
    return replace(
        state,
        fault=fault,
        since=state.since if state.fault is not None else step,
        count=state.count + 1 if again else 1,
        worst=loss,
    )


def fault_of(
    state: LossState, loss: float, grad_norm: float | None, watch: WatchSection, *, guess: float = math.inf
) -> Fault | None:
    """What is wrong with this loss; a gradient that is not finite spoils the weights that come of it.

    `guess`: the loss of a model that finds all tokens equally likely.
    """
    if watch.nan_loss_steps is not None and not (math.isfinite(loss) and _is_finite(grad_norm)):
        return "nan"
    if watch.zero_loss_steps is not None and loss == 0.0:
        return "zero"
    if watch.diverging_factor is None:
        return None
    runs_away = len(state.sound) >= LEAST and loss > watch.diverging_factor * measure(state)
    if runs_away or (state.lowest < KNOWING * guess and loss >= GUESSING * guess):
        return "diverging"
    return "stuck" if _is_stuck(state, loss, guess) else None


def measure(state: LossState) -> float:
    """The loss that the next one is held against; before there is a median, the lowest one."""
    return max(FLOOR, state.usual if math.isfinite(state.usual) else state.lowest)


def _sound(state: LossState, step: int, loss: float) -> LossState:
    sound = (*state.sound, loss)[-WINDOW:]
    usual = min(state.usual, median(sound)) if len(sound) >= LEAST else state.usual
    return LossState(sound=sound, sound_step=step, lowest=min(state.lowest, loss), usual=usual)


def _is_stuck(state: LossState, loss: float, guess: float) -> bool:
    """Whether it stays where it is, though it was lower once, or though the model only guesses."""
    before = state.worst if state.fault is not None else state.sound[-1] if state.sound else math.inf
    return abs(loss - before) <= SAME and (loss > max(FLOOR, state.lowest + SAME) or loss >= GUESSING * guess)


def must_stop(state: LossState, watch: WatchSection) -> bool:
    """Whether the run has gone wrong for long enough."""
    limits = {
        "nan": watch.nan_loss_steps,
        "zero": watch.zero_loss_steps,
        "diverging": watch.diverging_steps,
        "stuck": max(STUCK_STEPS, watch.diverging_steps),
    }
    limit = limits[state.fault] if state.fault is not None else None
    return limit is not None and state.count >= limit


def loss_text(state: LossState, *, learning_rate: float) -> tuple[str, str]:
    """What is wrong since which step, and what to change."""
    rate = f"lower train.learning_rate (it is {learning_rate:g})"
    if state.fault == "nan":
        shown = f"the loss is {state.worst:g}" if not math.isfinite(state.worst) else "the gradient is not finite"
        return f"{shown} since step {state.since}", f"{rate}, or look for a broken row in the data"
    if state.fault == "zero":
        return (
            f"the loss is exactly 0 since step {state.since}: there is nothing to learn from",
            "look at the first row above: every label may be masked; raise train.max_seq_length or see data.format",
        )
    if state.fault == "stuck":
        text = f"the loss is {state.worst:.4f} in every step since step {state.since}: the model no longer learns"
        return text, f"{rate}, or warm up longer (train.warmup_ratio)"
    text = f"the loss diverges since step {state.since}: {state.worst:.3f}, and {measure(state):.3f} was usual before"
    return text, f"{rate}, or warm up longer (train.warmup_ratio)"


def _is_finite(value: float | None) -> bool:
    return value is None or math.isfinite(value)
