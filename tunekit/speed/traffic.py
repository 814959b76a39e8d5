"""What travels between cards, and between cards and RAM, while a step computes.

Symbols: N parameters, N_t trained, P ranks, w bytes per weight on the wire. Seconds are those that computation does
not hide: the overlap is the board's, and no more than the computation itself can hide.
"""

from __future__ import annotations

from tunekit.speed.case import SpeedCase
from tunekit.speed.compute import times
from tunekit.speed.rates import Rate
from tunekit.speed.terms import SpeedTerm

_ZERO = "DeepSpeed ZeRO, FSDP"


def weights_on_the_wire(case: SpeedCase) -> float:
    """Bytes of all weights as they are gathered: 16-bit, and half a byte each of the 4-bit ones."""
    counts = case.counts
    return case.weight_bytes * (counts.everything - counts.quantized) + 0.5 * counts.quantized


def gathers(case: SpeedCase, busy: float) -> SpeedTerm:
    """w N (P - 1) / P received, twice a pass (once where weights stay whole after forward), stage 3 and FSDP."""
    often = 1 if case.habits.keeps_gathered else case.habits.gathers
    size = weights_on_the_wire(case) * case.others if case.shards_weights else 0.0
    return _exposed(
        case, "gathering weights", often * size, case.rates.collective, busy, f"{often} x {size / 1e9:.1f} GB"
    )


def streaming(case: SpeedCase, busy: float) -> SpeedTerm:
    """w N / P from RAM to each card for every gather, with offload_param."""
    often = case.habits.gathers
    size = weights_on_the_wire(case) / case.world_size if case.streams else 0.0
    return _exposed(case, "weights from RAM", often * size, case.rates.to_gpu, busy, f"{often} x {size / 1e9:.1f} GB")


def reductions(case: SpeedCase, busy: float) -> SpeedTerm:
    """b N_t (P - 1) / P a pass (stages 2, 3); twice that once a step (all-reduce: stage 0), or once (stage 1)."""
    stage = case.job.zero.stage
    size = (case.habits.reduce_bytes or case.weight_bytes) * case.counts.trained * case.others
    once = stage < 2 or case.habits.trained_whole
    amount = size * (2 if stage == 0 or case.habits.trained_whole else 1) / (case.passes if once else 1)
    formula = f"{amount / 1e9:.2f} GB a pass over {case.world_size} ranks"
    return _exposed(case, "reducing gradients", amount, case.rates.collective, busy, formula)


def gradients_to_ram(case: SpeedCase, busy: float) -> SpeedTerm:
    """b N_t / P a pass to RAM and back with offload_optimizer: passes are added up on the card, kept in RAM.

    Nothing for a single pass of stages 1 and 2, whose gradients go straight to the optimizer.
    """
    size = case.weight_bytes * case.counts.trained / case.world_size * case.offloaded
    ways = 2 if case.passes > 1 or case.job.zero.stage == 3 else 0
    formula = f"{ways} x {size / 1e9:.2f} GB a pass"
    return _exposed(case, "gradients to RAM", ways * size, case.rates.from_gpu, busy, formula)


def _exposed(case: SpeedCase, name: str, amount: float, rate: Rate, busy: float, formula: str) -> SpeedTerm:
    """The part of a transfer that the step waits for."""
    whole = times(case, name, amount, rate, f"{formula} at {rate.value / 1e9:.1f} GB/s", _ZERO)
    overlap = case.rates.overlap
    hidden = min(overlap.value * whole.seconds, HIDING * busy)
    least = max(0.0, whole.low - min(overlap.high * whole.low, HIDING * busy))
    most = whole.high - min(overlap.low * whole.high, HIDING * busy)
    return SpeedTerm(
        name=name,
        seconds=whole.seconds - hidden,
        low=min(least, whole.seconds - hidden),
        high=max(most, whole.seconds - hidden),
        formula=f"{whole.formula}, {overlap.value:.0%} behind computation",
        source=whole.source,
        kind=whole.kind,
    )


HIDING = 0.85
"""Share of the computation that transfers can run behind: the first layer's gather and the last reduction cannot."""
