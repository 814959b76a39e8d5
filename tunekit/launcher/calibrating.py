"""From what runs measured to a `Calibration`: each figure read off its own counter. Pure.

Context: what a rank holds of its card before the model comes. Kernels: what one card alone holds more in a step. NCCL:
what several cards hold beyond that. Processes: the RAM of a rank before the model comes. Margins: what the allocator
reserved beyond its tensors, where the card was nearly full; on a card with room it has no need to give blocks back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tunekit.errors import UsageError
from tunekit.hardware.calibration import BOUNDS, Calibration, fault_of
from tunekit.memory.figures import KERNELS

NEARLY_FULL = 0.85
"""Share of a card's usable bytes from which on what is reserved says what is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRun:
    """A finished run: its measured.json, and what its plan says of the job that bears on the figures."""

    name: str
    measured: Mapping[str, Any]
    world_size: int
    packing: bool
    usable_bytes: int
    """Of a card, 0 without cards."""


def calibrate(runs: Sequence[MeasuredRun], *, machine: str, known: Calibration | None, today: str) -> Calibration:
    """What is known of `machine` with what `runs` measured put in its place; the median where several tell a figure.

    Raises UsageError for a run of another machine, one without measurements, and a figure that cannot be.
    """
    for run in runs:
        _check_machine(run, machine)
    found: dict[str, float] = dict(known.figures) if known is not None else {}
    for names in (
        ("context_bytes", "rank_bytes", "packed_margin", "padded_margin"),
        ("kernel_bytes",),
        ("nccl_bytes",),
    ):
        # In this order: what one card tells of its kernels is taken off what several cards hold.
        told = [_figures(run, found) for run in runs]
        found |= {name: _middle(name, values) for name in names if (values := [t[name] for t in told if name in t])}
    _check_bounds(found, runs)
    earlier = known.runs if known is not None and set(found) - _told_names(runs, found) else ()
    sources = tuple(dict.fromkeys((*earlier, *(run.name for run in runs))))
    return Calibration(machine=machine, date=today, runs=sources, **found)  # type: ignore[arg-type]


def _figures(run: MeasuredRun, found: Mapping[str, float]) -> dict[str, float]:
    """The figures that one run tells, its worst rank's; `found` are those that are known already."""
    ranks = _ranks(run)
    figures: dict[str, float] = {"rank_bytes": max(int(rank["start"]["host_bytes"]) for rank in ranks)}
    context = max(int(rank["start"]["device_other_bytes"]) for rank in ranks)
    if not context:
        return figures
    figures["context_bytes"] = context
    more = max(0, max(int(rank["phases"]["step"]["device_other_bytes"]) for rank in ranks) - context)
    if run.world_size == 1:
        figures["kernel_bytes"] = more
    else:
        figures["nccl_bytes"] = max(0, more - int(found.get("kernel_bytes", KERNELS.bytes)))
    margin = _margin(run, ranks)
    if margin is not None:
        figures["packed_margin" if run.packing else "padded_margin"] = margin
    return figures


def _margin(run: MeasuredRun, ranks: Iterable[Mapping[str, Any]]) -> float | None:
    phases = [phase for rank in ranks for phase in rank["phases"].values()]
    full = [phase for phase in phases if phase["device_reserved_bytes"] >= NEARLY_FULL * run.usable_bytes > 0]
    ratios = [phase["device_reserved_bytes"] / phase["device_allocated_bytes"] - 1 for phase in full]
    return round(max(ratios), 4) if ratios else None


def _ranks(run: MeasuredRun) -> list[Mapping[str, Any]]:
    ranks = run.measured.get("ranks")
    if not ranks or any("start" not in rank or "step" not in rank.get("phases", {}) for rank in ranks):
        raise UsageError(
            f"{run.name}: its measured.json does not say what its ranks held at their start; run it again."
        )
    return list(ranks)


def _middle(name: str, values: Sequence[float]) -> float:
    return round(median(values)) if name.endswith("_bytes") else round(median(values), 4)


def _told_names(runs: Sequence[MeasuredRun], found: Mapping[str, float]) -> set[str]:
    return {name for run in runs for name in _figures(run, found)}


def _check_machine(run: MeasuredRun, machine: str) -> None:
    _ranks(run)
    ran_on = run.measured.get("machine")
    if ran_on != machine:
        raise UsageError(f"{run.name} was measured on {ran_on or 'an unknown machine'}; this machine is {machine}.")


def _check_bounds(found: Mapping[str, float], runs: Sequence[MeasuredRun]) -> None:
    faults = [fault for name in BOUNDS if name in found and (fault := fault_of(name, found[name]))]
    if faults:
        names = ", ".join(run.name for run in runs)
        raise UsageError(f"{names}: {'; '.join(faults)}. Nothing was written: was another program on the card?")
