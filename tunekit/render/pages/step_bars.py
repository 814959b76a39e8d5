"""Where the seconds of an optimizer step go: one stacked bar."""

from __future__ import annotations

from tunekit.render.pages.bars import ROOM, Bar, Chart, Mark, Palette, placed_ticks
from tunekit.render.speed_parts import format_step
from tunekit.speed.terms import SpeedEstimate

SHOWN_SHARE = 0.005
"""Costs of less than this share of the step are in the table only."""


def step_chart(speed: SpeedEstimate) -> Chart:
    """The costs of a step one after the other, against the longest it may take."""
    whole = speed.step_seconds
    sizes = {term.name: term.seconds for term in speed.terms if term.seconds >= SHOWN_SHARE * whole.expected}
    palette = Palette(largest=sizes)
    top = ROOM * whole.high
    bar = Bar(
        label="one step",
        value=format_step(whole.expected),
        share="",
        state="",
        segments=palette.stack(sizes, top, format_step),
        marked=True,
    )
    return Chart(
        title="Where a step's time goes",
        note=f"{format_step(whole.low)} to {format_step(whole.high)}",
        bars=(bar,),
        marks=(_mark("low", "at least", whole.low, top), _mark("high", "at most", whole.high, top)),
        ticks=placed_ticks(top),
        unit="s",
        legend=palette.legend(format_step),
    )


def _mark(kind: str, words: str, seconds: float, top: float) -> Mark:
    return Mark(kind=kind, at=round(100 * seconds / top, 3), text=f"{words} {format_step(seconds)}")
