"""How long a run may say nothing before somebody looks what its ranks do."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from tunekit.recipe.schema import WatchSection

UNMEASURED_SECONDS = 600.0
"""At least so long before two steps are logged: it is what a recipe has where it says nothing."""
STEPS = 10
"""Steps that a run may miss: one may be an evaluation's or a checkpoint's neighbour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """The newest sign of life, as something that changes with each, and when it came by a clock that never jumps."""

    sign: Hashable = None
    since: float = 0.0
    told: bool = False
    """Whether this silence was said already."""


def listen(silence: Silence, sign: Hashable, now: float) -> Silence:
    """The silence after one more look."""
    return silence if sign == silence.sign else Silence(sign=sign, since=now)


def limit(watch: WatchSection, step_seconds: float | None) -> float | None:
    """Seconds that may pass without a sign of life; None: nobody asks.

    Until a step is measured, nobody knows how long one takes, nor how long imports and the model do.
    """
    if watch.silent_seconds is None:
        return None
    return max(watch.silent_seconds, UNMEASURED_SECONDS if step_seconds is None else STEPS * step_seconds)
