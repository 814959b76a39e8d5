"""What a plan says of its speed: tokens a second, the largest costs, hours and energy, and how it is known."""

from __future__ import annotations

from collections.abc import Iterator

from tunekit.hardware.power import load_watts
from tunekit.launcher.history import MeasuredBefore
from tunekit.planner.plan import Plan
from tunekit.planner.steps import FEW
from tunekit.render.plan_parts import samples_line
from tunekit.speed.run import TOLD_STEPS, energy_of, life_words, run_cost, steps_write
from tunekit.speed.terms import Band, SpeedEstimate, SpeedTerm
from tunekit.units import format_kwh, format_seconds

TOKENS_TOLD = 1_000_000
"""Where the number of steps is not known, what so many tokens take is told."""
NO_ESTIMATE = (
    "No estimate: nothing published tells how fast CPU processes train; "
    "`tunekit launch` shows it from the first steps on."
)
PROBE = "tunekit hardware probe"


def speed_lines(plan: Plan, before: MeasuredBefore | None = None) -> tuple[str, ...]:
    """The lines of the section, most important first; `before`: a run that tells what nothing published does."""
    if plan.speed is None:
        return (_as_measured(before) or NO_ESTIMATE, *_steps_alone(plan))
    speed = plan.speed
    return (
        _rate_line(plan, speed),
        *_more(plan, speed),
        _costs_line(speed),
        *_epochs_line(plan, speed),
        _run_line(plan, speed),
        *_wear(plan, speed),
        truth_line(plan),
    )


def _as_measured(before: MeasuredBefore | None) -> str:
    """What the same job did on this machine; nothing where it has not run."""
    if before is None or before.differs or not before.tokens_per_second:
        return ""
    return f"{before.tokens_per_second:,.0f} tokens/s, as the same job measured"


def _rate_line(plan: Plan, speed: SpeedEstimate) -> str:
    cards = len(plan.hardware.gpus)
    over = f" on all {cards} GPUs" if cards > 1 else ""
    rate, seconds = speed.tokens_per_second, speed.step_seconds
    return (
        f"{rate.expected:,.0f} tokens/s{over} ({rate.low:,.0f} to {rate.high:,.0f}), "
        f"{format_step(seconds.expected)} a step ({format_step(seconds.low)} to {format_step(seconds.high)})"
    )


def _costs_line(speed: SpeedEstimate) -> str:
    whole = speed.step_seconds.expected
    costs = (f"{term.name} {term.seconds / whole:.0%}" for term in speed.largest)
    return f"largest costs: {', '.join(costs)}"


def _run_line(plan: Plan, speed: SpeedEstimate) -> str:
    what, hours, kwh = told_run(plan, speed)
    return f"{what}: {_duration(hours)}, {format_kwh(kwh)} at {load_watts(plan.hardware):,} W"


def _steps_alone(plan: Plan) -> tuple[str, ...]:
    """How many steps the epochs make; nothing where nobody knows, or of hardly any, which the warnings tell."""
    steps, epochs = plan.expected_steps, plan.recipe.train.num_epochs
    if steps is None or steps < FEW:
        return ()
    return (f"{epochs:g} epoch{'' if epochs == 1 else 's'}, about {steps:,} steps",)


def _epochs_line(plan: Plan, speed: SpeedEstimate) -> tuple[str, ...]:
    what, hours, kwh = told_first(plan, speed)
    return (f"{what}: {_duration(hours)}, {format_kwh(kwh)}",) if _steps_alone(plan) else ()


def told_first(plan: Plan, speed: SpeedEstimate) -> tuple[str, Band, float]:
    """What a headline tells: the epochs where their steps are known, else as `told_run`."""
    if plan.expected_steps is None or not _steps_alone(plan):
        return told_run(plan, speed)
    run = run_cost(speed, plan.expected_steps, plan.hardware)
    return _steps_alone(plan)[0], run.hours, run.kwh.expected


def told_run(plan: Plan, speed: SpeedEstimate) -> tuple[str, Band, float]:
    """What is told of, all steps of the run or a million tokens, and the hours and expected kWh of it."""
    if speed.run is not None:
        return f"{speed.run.steps:,} steps", speed.run.hours, speed.run.kwh.expected
    hours = _hours_of(TOKENS_TOLD, speed.tokens_per_second)
    return "1 M tokens", hours, energy_of(hours, plan.hardware).expected


def _hours_of(tokens: int, rate: Band) -> Band:
    low, expected, high = (tokens / each / 3600 for each in (rate.high, rate.expected, rate.low))
    return Band(low=low, expected=expected, high=high)


def _duration(hours: Band) -> str:
    low, expected, high = (format_seconds(3600 * each) for each in (hours.low, hours.expected, hours.high))
    return f"{expected} ({low} to {high})"


def _more(plan: Plan, speed: SpeedEstimate) -> Iterator[str]:
    line = samples_line(plan.job)
    if line:
        yield line
    if speed.useful_share.expected < 1:
        yield (
            f"{speed.useful_share.expected:.0%} of a step's {speed.positions_per_step:,} positions hold its "
            f"{speed.tokens_per_step:,} tokens where lengths are spread evenly; the rest is padding"
        )


def _wear(plan: Plan, speed: SpeedEstimate) -> Iterator[str]:
    if speed.nvme_bytes_per_step:
        written = run_cost(speed, speed.run.steps if speed.run else TOLD_STEPS, plan.hardware)
        yield f"written to the drive: {steps_write(written.steps, written.nvme_bytes)}{life_words(written)}"


def truth_line(plan: Plan) -> str:
    """Whether the rates were measured on this machine, and the command that measures them."""
    speed, measured = plan.speed, plan.hardware.measured
    share = speed.measured_share if speed else 0.0
    if measured is None or not share:
        return f"rates come from data sheets and other machines; `{PROBE}` measures this one's"
    return f"{share:.0%} of the step rests on rates measured here ({PROBE}, {measured.date}), the rest on data sheets"


def format_step(seconds: float) -> str:
    """Seconds of a step: `0.19 s`, `4.2 s`, `49 s`, `3 min 05 s`."""
    if seconds >= 60:
        return format_seconds(seconds)
    return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def term_lines(term: SpeedTerm, whole: float) -> tuple[str, str, str, str]:
    """Seconds and share of the step, name, band, and formula with source."""
    return (
        f"{term.seconds:,.3f} s {term.seconds / whole:4.0%}",
        term.name,
        f"{term.kind}; {term.low:,.3f} to {term.high:,.3f} s",
        f"{term.formula}\n{term.source}",
    )
