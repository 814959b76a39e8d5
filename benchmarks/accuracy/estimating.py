"""A setting's estimate in the way its figure was read: low, expected and high bytes, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass

from accuracy.engines import engine_terms, method_term
from accuracy.reserved import OUTSIDE_BYTES, in_other_pools, program_of, reserved_beyond, runs_out
from accuracy.setting import Setting
from tunekit.memory.case import Case, make_case
from tunekit.memory.estimate import sum_up
from tunekit.memory.figures import margin
from tunekit.memory.host import CONDUCTOR_BYTES
from tunekit.memory.layer_bytes import saved_by_layers
from tunekit.memory.layer_code import widths
from tunekit.memory.terms import MemoryEstimate, MemoryTerm, Phase
from tunekit.planner.plan import Verdict
from tunekit.planner.verdict import model_demand

OPEN_READING = 0.08
"""What a unit makes that may be 1e9 or 2^30 bytes (7.4 %), or a figure that may be of tensors or of the allocator."""

OTHER_CODE = 0.04
"""What other programs' code makes that nobody counted, as a share of the estimate, either way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Bytes in the way of the reading, and what the planner would have said of the job on the card."""

    low: int
    expected: int
    high: int
    verdict: Verdict
    planner_verdict: Verdict
    """Without the replay of the allocator, which the planner does not do."""


def estimate(setting: Setting) -> Estimate:
    """The estimate of a setting."""
    case = make_case(setting.job, setting.shape, setting.hardware, setting.practice)
    collected = (*engine_terms(case, setting.engine, setting.states), *method_term(case, setting.method))
    total = sum_up(case, collected)
    low, expected, high = _read(setting, case, total, collected)
    doubt = (OPEN_READING if setting.open_reading else 0.0) + (OTHER_CODE if setting.engine != "deepspeed" else 0.0)
    # What a whole card can show ends with the card.
    low, high = min((1 - doubt) * low, expected), max((1 + doubt) * high, expected)
    planned = model_demand("device", total.device).verdict
    overflows = planned == "fits" and _overflows(setting, case, total, collected)
    return Estimate(
        low=round(low),
        expected=round(expected),
        high=round(high),
        verdict="tight" if overflows else planned,
        planner_verdict=planned,
    )


def _read(
    setting: Setting, case: Case, total: MemoryEstimate, collected: tuple[MemoryTerm, ...]
) -> tuple[float, float, float]:
    if setting.reading in ("steady", "weights", "forward", "backward"):
        phase: Phase = "save" if setting.reading == "steady" else "load"
        size = _at_rest(setting, case, collected, phase=phase) + (setting.outside_bytes or 0)
        return 0.98 * size, size, 1.03 * size
    if setting.reading == "host":
        return _on_host(setting, total)
    low, expected, high = _peak(setting, total)
    if setting.reading not in ("reserved", "device"):
        return low, expected, high
    usable = min(gpu.memory_bytes for gpu in setting.hardware.gpus)
    context = setting.outside_bytes or OUTSIDE_BYTES
    limit = usable - context
    resting = _resting(setting, case, collected)
    more = _beyond(setting, case, expected, resting, limit)
    more = max(more, resting + _left_by_upcasting(setting, case) - round(expected))
    outside = context if setting.reading == "device" else 0
    top = usable if setting.reading == "device" else limit
    return low, min(expected + more + outside, top), min(high + _doubt(setting) * more + 1.5 * outside, 1.01 * top)


def _left_by_upcasting(setting: Setting, case: Case) -> int:
    """Bytes of 16-bit embeddings and head that a quantised base's up-cast to float32 has freed, and still reserves."""
    upcast = setting.states.frozen_upcast and setting.states.base != "plain"
    return case.weight_bytes * case.inventory.num_frozen if upcast else 0


def _doubt(setting: Setting) -> float:
    """The most that is reserved beyond the peak, against what is expected.

    Rows of changing length: a run has thousands of steps, the replay 24. Growing segments: they round and align.
    """
    return 2.0 if setting.mean_length else 3.0 if setting.expandable else 1.3


def _beyond(setting: Setting, case: Case, peak: float, resting: int, limit: int) -> int:
    """Bytes reserved beyond the peak: replayed, or the model's own margin where segments can grow."""
    if setting.expandable:
        return round(margin(True, None) * (peak - resting))
    return reserved_beyond(program_of(setting, case), resting, limit) + in_other_pools(setting, case)


def _on_host(setting: Setting, total: MemoryEstimate) -> tuple[float, float, float]:
    """Low, expected and high bytes of the ranks' resident sets in a phase: all of the host but the launcher."""
    held = [term for term in total.terms if setting.phase in term.phases and term.host_bytes]
    held = [term for term in held if term.name == "processes" or not setting.at_rest]
    low, high = sum(term.low * term.host_bytes for term in held), sum(term.high * term.host_bytes for term in held)
    expected = sum(term.host_bytes for term in held) - CONDUCTOR_BYTES
    return low - CONDUCTOR_BYTES, expected, (1 + total.allocator_margin) * high - CONDUCTOR_BYTES


def _peak(setting: Setting, total: MemoryEstimate) -> tuple[float, float, float]:
    """Low, expected and high bytes of tensors in the phase that was read, or in the worst phase of training."""
    seen = [term for term in total.terms if term.pooled]
    phases: tuple[Phase, ...] = (setting.phase,) if setting.phase else ("first forward", "step", "optimizer")
    inside = max(
        ([term for term in seen if phase in term.phases] for phase in phases),
        key=lambda held: sum(term.device_bytes for term in held),
    )
    low = sum(term.low * term.device_bytes for term in inside)
    high = sum(term.high * term.device_bytes for term in inside)
    return low, float(sum(term.device_bytes for term in inside)), high


def _at_rest(setting: Setting, case: Case, collected: tuple[MemoryTerm, ...], *, phase: Phase) -> float:
    """Bytes alive at a point of a script: states, and what a forward pass has left."""
    kept = sum(term.device_bytes for term in collected if phase in term.phases and term.pooled)
    size = kept + setting.output_bytes * case.shape.vocab_size * case.tokens
    if setting.reading in ("forward", "backward"):
        size += 4 * widths(case.shape).values * case.shape.num_layers * case.tokens
    if setting.reading == "forward" and setting.gradients:
        size += saved_by_layers(case) * case.tokens
    if setting.reading == "backward":
        size += setting.states.trained_bytes * case.inventory.num_trainable
    return size


def _overflows(setting: Setting, case: Case, total: MemoryEstimate, collected: tuple[MemoryTerm, ...]) -> bool:
    """Whether segments cannot grow and the replay reserves more than the card has; not asked of a half-empty card."""
    usable = total.device.usable_bytes
    if setting.expandable or 2 * total.device.expected_bytes < usable:
        return False
    _, expected, _ = _peak(setting, total)
    limit, resting = usable - (setting.outside_bytes or OUTSIDE_BYTES), _resting(setting, case, collected)
    full = expected + _beyond(setting, case, expected, resting, limit) > limit
    return full or runs_out(program_of(setting, case), resting, limit)


def _resting(setting: Setting, case: Case, collected: tuple[MemoryTerm, ...]) -> int:
    phase: Phase = "load" if setting.job.method == "full" else "save"
    return round(_at_rest(setting, case, collected, phase=phase))
