"""`estimate_speed`: every cost of an optimizer step in seconds, and tokens per second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tunekit.hardware.spec import Hardware
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Job
from tunekit.speed import compute, stepping, traffic
from tunekit.speed.case import SpeedCase, make_case, padded_cases
from tunekit.speed.habits import WORKER, Habits
from tunekit.speed.lengths import positions_per_step, tokens_per_step, useful_share
from tunekit.speed.rates import Rates, rates_of
from tunekit.speed.terms import Band, SpeedEstimate, SpeedTerm

COMPUTE: tuple[Callable[[SpeedCase], SpeedTerm], ...] = (
    compute.matrix_products,
    compute.attention,
    compute.elementwise,
    compute.adapters,
    compute.head_and_loss,
    compute.dequantisation,
)
BETWEEN_CARDS: tuple[Callable[[SpeedCase], SpeedTerm], ...] = (traffic.gathers, traffic.reductions)
FROM_RAM: tuple[Callable[[SpeedCase], SpeedTerm], ...] = (traffic.streaming, traffic.gradients_to_ram)
"""What runs beside the computation and counts as far as it is not hidden by it."""
ONCE: tuple[Callable[[SpeedCase], SpeedTerm], ...] = (
    stepping.optimizer_on_card,
    stepping.optimizer_on_cpu,
    stepping.to_and_from_ram,
    stepping.new_weights,
    stepping.around_the_step,
)


def estimate_speed(job: Job, shape: ModelShape, hardware: Hardware) -> SpeedEstimate | None:
    """Seconds of an optimizer step and tokens per second of a resolved job. Pure; cached per model and machine.

    None for a job on CPU processes: no published rates tell how fast they train.
    """
    if job.accelerator == "cpu" or not hardware.gpus:
        return None
    return speed_of(job, shape, rates_of(hardware))


def speed_of(job: Job, shape: ModelShape, rates: Rates, habits: Habits = WORKER) -> SpeedEstimate:
    """The same from rates, and for a program with habits of its own."""
    case = make_case(job, shape, rates, habits)
    terms = tuple(term for term in collect_terms(case) if term.high > 0.0)
    seconds = Band(
        low=sum(term.low for term in terms),
        expected=sum(term.seconds for term in terms),
        high=sum(term.high for term in terms),
    )
    tokens = tokens_per_step(job, habits)
    return SpeedEstimate(
        tokens_per_second=Band(
            low=tokens / seconds.high, expected=tokens / seconds.expected, high=tokens / seconds.low
        ),
        step_seconds=seconds,
        tokens_per_step=tokens,
        positions_per_step=positions_per_step(job, habits),
        useful_share=useful_share(job, habits),
        nvme_bytes_per_step=round(stepping.nvme_traffic(case)[1]),
        terms=terms,
    )


def least_seconds(job: Job, shape: ModelShape, hardware: Hardware) -> float:
    """Expected seconds of a step that no placement of the states can save: what the cards compute."""
    case = make_case(job, shape, rates_of(hardware))
    return sum(make(case).seconds for make in COMPUTE)


def collect_terms(case: SpeedCase) -> tuple[SpeedTerm, ...]:
    """Every cost of an optimizer step; those that are hidden have no seconds."""
    ends = padded_cases(case)
    computed = tuple(_in_stages(case, _padded(make, case, ends)) for make in COMPUTE)
    busy = sum(term.seconds for term in computed)
    waiting = compute.launching(case, busy)
    transfers = [(make(case), case.rates.overlap) for make in BETWEEN_CARDS]
    transfers += [(make(case), case.rates.copy_overlap) for make in FROM_RAM]
    beside = traffic.exposed((each for each in transfers if each[0].high > 0.0), busy + waiting.seconds)
    once = (*(make(case) for make in ONCE), _padded(stepping.data_loading, case, ends))
    return (*computed, waiting, *beside, *once, *stepping.swapping(case))


def _padded(
    make: Callable[[SpeedCase], SpeedTerm], case: SpeedCase, ends: tuple[SpeedCase, SpeedCase] | None
) -> SpeedTerm:
    """A cost of positions, its band from the shortest rows that are likely to the longest."""
    term = make(case)
    return term if ends is None else replace(term, low=make(ends[0]).low, high=make(ends[1]).high)


def _in_stages(case: SpeedCase, term: SpeedTerm) -> SpeedTerm:
    """Seconds where the cards form a pipeline of p stages: (passes + p - 1) / (passes p) of one card's."""
    stages = case.habits.stages
    if stages == 1 or not case.habits.pipelined:
        return term
    share = (case.passes + stages - 1) / (case.passes * stages)
    return replace(term, seconds=term.seconds * share, low=term.low * share, high=term.high * share)
