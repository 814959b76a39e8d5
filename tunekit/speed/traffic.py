"""What travels between cards, and between cards and RAM, while a step computes.

Symbols: N parameters, N_t trained, P ranks, b bytes per weight, w bytes per weight on the wire. Every function gives
the seconds of the whole transfer; `exposed` takes off what runs behind computation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tunekit.memory.case import bits_of
from tunekit.speed.case import SpeedCase
from tunekit.speed.compute import times
from tunekit.speed.rates import Rate
from tunekit.speed.terms import SpeedTerm

HIDING = 0.85
"""Share of the computation that transfers can run behind: the first layer's gather and the last reduction cannot."""


def weights_on_the_wire(case: SpeedCase) -> float:
    """Bytes of all weights as they are gathered: 16-bit, and half a byte each of the 4-bit ones, one of the 8-bit."""
    counts = case.counts
    return case.weight_bytes * (counts.everything - counts.quantized) + bits_of(case.job) / 8 * counts.quantized


def gathers(case: SpeedCase) -> SpeedTerm:
    """w N (P - 1) / P received, twice a pass (once where weights stay whole after forward), stage 3 and FSDP."""
    often = 1 if case.habits.keeps_gathered else case.habits.gathers
    size = weights_on_the_wire(case) * case.others if case.shards_weights else 0.0
    return _transfer(case, "gathering weights", often, size, case.rates.collective)


def streaming(case: SpeedCase) -> SpeedTerm:
    """w N / P from RAM to each card for every gather, with offload_param; from the drive, which all cards share."""
    size = weights_on_the_wire(case) / case.world_size if case.streams else 0.0
    if case.job.zero.offload_param != "nvme":
        return _transfer(case, "weights from RAM", case.habits.gathers, size, case.rates.to_gpu)
    drive = case.rates.nvme_read
    shared = replace(
        drive, value=drive.value / case.world_size, low=drive.low / case.world_size, high=drive.high / case.world_size
    )
    slower = min(shared, case.rates.to_gpu, key=lambda rate: rate.value)
    return _transfer(case, "weights from NVMe", case.habits.gathers, size, slower)


def reductions(case: SpeedCase) -> SpeedTerm:
    """b N_t (P - 1) / P a pass (stages 2, 3); twice that once a step (all-reduce: stage 0), or once (stage 1)."""
    stage, whole = case.job.zero.stage, case.habits.trained_whole
    size = (case.habits.reduce_bytes or case.weight_bytes) * case.counts.trained * case.others
    once = stage < 2 or whole
    size *= (2 if stage == 0 or whole else 1) / (case.passes if once else 1)
    return _transfer(case, "reducing gradients", 1, size, case.rates.collective)


def gradients_to_ram(case: SpeedCase) -> SpeedTerm:
    """b N_t / P a pass to RAM and back with offload_optimizer: passes are added up on the card, kept in RAM.

    Nothing where gradients go straight to the optimizer, once a step: in stage 1, which adds them up on the card, and
    for a single pass of stage 2.
    """
    stage = case.job.zero.stage
    used = stage == 3 or (stage == 2 and case.passes > 1)
    size = case.weight_bytes * case.counts.trained / case.world_size * case.offloaded if used else 0.0
    return _transfer(case, "gradients to RAM", 2, size, case.rates.from_gpu)


def _transfer(case: SpeedCase, name: str, often: int, size: float, rate: Rate) -> SpeedTerm:
    formula = f"{often} x {size / 1e9:.2f} GB a pass at {rate.value / 1e9:.1f} GB/s"
    return times(case, name, often * size, rate, formula, "DeepSpeed ZeRO, FSDP")


def exposed(transfers: Iterable[tuple[SpeedTerm, Rate]], computing: float) -> Iterator[SpeedTerm]:
    """What a step waits for: each transfer less its overlap, and all together hide no more than there is to compute.

    `computing`: seconds of the step in which cards compute or wait for kernels.
    """
    window = HIDING * computing
    left = [window, window, window]
    for term, overlap in transfers:
        low, expected, high = (
            _hide(whole, share, left, case)
            for case, (whole, share) in enumerate(
                ((term.low, overlap.high), (term.seconds, overlap.value), (term.high, overlap.low))
            )
        )
        told = f"{term.formula}, {overlap.value:.0%} behind computation"
        yield replace(term, seconds=expected, low=min(low, expected), high=max(high, expected), formula=told)


def _hide(whole: float, share: float, left: list[float], case: int) -> float:
    """Seconds that are not hidden; what hides is taken from what is left of the window."""
    hidden = min(share * whole, left[case])
    left[case] -= hidden
    return whole - hidden
