"""A plan that a search found, as a `Candidate` that can be ranked and shown."""

from __future__ import annotations

from math import ceil

from tunekit.hardware.spec import Hardware
from tunekit.memory.terms import PlaceEstimate
from tunekit.planner.explore import Explored, Found
from tunekit.planner.quality import in_order
from tunekit.planner.search_result import Amount, Candidate
from tunekit.planner.settings import settings_of
from tunekit.speed.run import run_cost
from tunekit.speed.terms import SpeedEstimate

TOLD_TOKENS = 1_000_000
"""What hours and energy are told for where nobody says how many tokens."""


def candidate_of(found: Found, explored: Explored, hardware: Hardware, tokens: int) -> Candidate:
    """The plan with hours and energy of so many tokens."""
    job, memory, speed = found.job, found.memory, found.speed
    return Candidate(
        settings=settings_of(job),
        method=job.method,
        zero=job.zero,
        micro_batch_size=job.batch.micro_batch_size,
        activation_checkpointing=job.activation_checkpointing,
        packing=job.packing,
        optimizer=job.optimizer,
        losses=in_order(found.losses),
        verdict=found.verdict,
        device=_amount(memory.device),
        host=_amount(memory.host),
        disk=_amount(memory.disk),
        speed=speed,
        run=run_cost(speed, steps_for(tokens, speed), hardware),
        on_frontier=any(found is each for each in explored.frontier),
    )


def _amount(place: PlaceEstimate) -> Amount:
    return Amount(expected_bytes=place.expected_bytes, high_bytes=place.high_bytes, usable_bytes=place.usable_bytes)


def steps_for(tokens: int, speed: SpeedEstimate) -> int:
    """Optimizer steps that learn from so many tokens; padding is not learned from."""
    return max(1, ceil(tokens / speed.tokens_per_step))
