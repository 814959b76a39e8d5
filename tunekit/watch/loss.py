"""Whether a loss makes sense: finite, not zero, not running away. Every rank asks the same of the same numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from tunekit.recipe.schema import WatchSection

WINDOW = 50
"""Sound losses whose median is the measure."""
LEAST = 10
"""Sound losses before one is called diverging: the first ones fall fast."""
FLOOR = 0.1
"""A median below this is taken for this: near zero, several times the median is still nothing."""

Fault = Literal["nan", "zero", "diverging"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossState:
    """What is remembered. `sound_step` is the newest logged step whose loss made sense."""

    sound: tuple[float, ...] = ()
    sound_step: int | None = None
    fault: Fault | None = None
    since: int | None = None
    """The first logged step of the faulty ones in a row."""
    count: int = 0
    worst: float = 0.0

    @property
    def proven_below(self) -> int:
        """A checkpoint of an earlier step than this one is good: its weights have given a loss that made sense."""
        return self.sound_step or 0


def follow_loss(state: LossState, step: int, loss: float, grad_norm: float | None, watch: WatchSection) -> LossState:
    """The state after this logged step."""
    fault = fault_of(state, loss, grad_norm, watch)
    if fault is None:
        return LossState(sound=(*state.sound, loss)[-WINDOW:], sound_step=step)
    again = fault == state.fault
    return replace(
        state,
        fault=fault,
        since=state.since if state.fault is not None else step,
        count=state.count + 1 if again else 1,
        worst=loss,
    )


def fault_of(state: LossState, loss: float, grad_norm: float | None, watch: WatchSection) -> Fault | None:
    """What is wrong with this loss; a gradient that is not finite spoils the weights that come of it."""
    if watch.nan_loss_steps is not None and not (math.isfinite(loss) and _is_finite(grad_norm)):
        return "nan"
    if watch.zero_loss_steps is not None and loss == 0.0:
        return "zero"
    factor = watch.diverging_factor
    if factor is not None and len(state.sound) >= LEAST and loss > factor * measure(state):
        return "diverging"
    return None


def measure(state: LossState) -> float:
    """The loss that the next one is held against."""
    return max(FLOOR, median(state.sound))


def must_stop(state: LossState, watch: WatchSection) -> bool:
    """Whether the run has gone wrong for long enough."""
    limits = {"nan": watch.nan_loss_steps, "zero": watch.zero_loss_steps, "diverging": watch.diverging_steps}
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
    text = f"the loss diverges since step {state.since}: {state.worst:.3f}, and {measure(state):.3f} was usual before"
    return text, f"{rate}, or warm up longer (train.warmup_ratio)"


def _is_finite(value: float | None) -> bool:
    return value is None or math.isfinite(value)
