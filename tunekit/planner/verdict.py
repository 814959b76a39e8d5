"""The verdict: what both judges say of a job, and in one sentence why.

The memory model says `fits` when even its high estimate is usable in every place, `tight` when the expected bytes are
usable but the high ones are not, `rejected` otherwise. The LLaMA-Factory table passes or does not. A plan is rejected
when either judge says no; `trust` leaves the verdict to one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from tunekit.memory.llamafactory_table import TableCheck
from tunekit.memory.terms import PLACES, MemoryEstimate, MemoryTerm, Phase, Place, PlaceEstimate
from tunekit.planner.plan import Trust, Verdict
from tunekit.units import format_bytes

Judge = Literal["model", "table"]
PLACE_NAMES: dict[Place, str] = {"device": "GPU", "host": "host RAM", "disk": "disk"}
PHASE_WORDS: dict[Phase, str] = {
    "load": "while loading",
    "first forward": "in the first forward pass",
    "step": "in a training step",
    "optimizer": "in the optimizer's step",
    "eval": "in evaluation",
    "save": "while saving",
    "resume": "when a run goes on",
    "merge": "when an adapter is merged",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one judge asks of one place, in bytes. The table has no band: its low, expected and high are one."""

    judge: Judge
    place: Place
    expected_bytes: int
    high_bytes: int
    usable_bytes: int

    @property
    def verdict(self) -> Verdict:
        """This place alone."""
        if self.expected_bytes > self.usable_bytes:
            return "rejected"
        return "tight" if self.high_bytes > self.usable_bytes else "fits"

    @property
    def missing_bytes(self) -> int:
        """Expected bytes beyond the usable ones; negative when there is room."""
        return self.expected_bytes - self.usable_bytes

    @property
    def fullness(self) -> float:
        """High bytes per usable byte."""
        return self.high_bytes / max(1, self.usable_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Both judges on one job. `worst` is the demand that decides: the most missing, or else the fullest."""

    verdict: Verdict
    worst: Demand
    demands: tuple[Demand, ...]

    @property
    def overshoot(self) -> float:
        """How far the worst place is from fitting, as a share of what is usable; 1 or less when nothing is missing."""
        return max(demand.expected_bytes / max(1, demand.usable_bytes) for demand in self.demands)


class Places(Protocol):
    """What the memory model says of each place."""

    @property
    def device(self) -> PlaceEstimate:
        """Each GPU."""

    @property
    def host(self) -> PlaceEstimate:
        """RAM."""

    @property
    def disk(self) -> PlaceEstimate:
        """The drive."""


def judge(memory: Places, table: TableCheck, trust: Trust = "both") -> Judgement:
    """The verdict of the judges that `trust` lets speak."""
    demands = tuple(demand for demand in _demands(memory, table) if trust in ("both", demand.judge))
    verdict: Verdict = "fits"
    if any(demand.verdict == "rejected" for demand in demands) or (trust != "model" and not table.passes):
        verdict = "rejected"
    elif any(demand.verdict == "tight" for demand in demands):
        verdict = "tight"
    return Judgement(verdict=verdict, worst=_worst(demands), demands=demands)


def _demands(memory: Places, table: TableCheck) -> tuple[Demand, ...]:
    found = [model_demand(place, getattr(memory, place)) for place in PLACES]
    found.append(_table_demand("device", table.device_demand_bytes, table.device_usable_bytes))
    found.append(_table_demand("host", table.host_demand_bytes, table.host_usable_bytes))
    asked = tuple(demand for demand in found if demand.expected_bytes or demand.usable_bytes)
    return asked or tuple(found)


def model_demand(place: Place, estimate: PlaceEstimate) -> Demand:
    """What the memory model asks of one place."""
    return Demand(
        judge="model",
        place=place,
        expected_bytes=estimate.expected_bytes,
        high_bytes=estimate.high_bytes,
        usable_bytes=estimate.usable_bytes,
    )


def _table_demand(place: Place, asked: int, usable: int) -> Demand:
    return Demand(judge="table", place=place, expected_bytes=asked, high_bytes=asked, usable_bytes=usable)


def _worst(demands: tuple[Demand, ...]) -> Demand:
    missing = [demand for demand in demands if demand.missing_bytes > 0]
    if missing:
        return max(missing, key=lambda demand: demand.missing_bytes)
    return max(demands, key=lambda demand: demand.fullness)


def terms_of(memory: MemoryEstimate, place: Place) -> tuple[MemoryTerm, ...]:
    """The terms that stand in the place's worst phase, largest first."""
    phase = getattr(memory, place).worst_phase
    inside = [term for term in memory.terms if phase in term.phases and term.bytes_in(place)]
    return tuple(sorted(inside, key=lambda term: -term.bytes_in(place)))


def explain_verdict(judgement: Judgement, memory: MemoryEstimate, table: TableCheck, trust: Trust) -> str:
    """One sentence: the place that decides, its phase, the bytes, and the largest term in it."""
    sentence = _sentence(judgement, memory, table)
    if trust != "both":
        sentence += f" ({_overruled(memory, table, trust)})"
    return sentence + "."


def _overruled(memory: MemoryEstimate, table: TableCheck, trust: Trust) -> str:
    ignored: Trust = "table" if trust == "model" else "model"
    said = judge(memory, table, ignored).verdict
    name = "the LLaMA-Factory table" if ignored == "table" else "the memory model"
    return f"{name} says {said} and was overruled by --trust {trust}"


def _sentence(judgement: Judgement, memory: MemoryEstimate, table: TableCheck) -> str:
    worst = judgement.worst
    name, usable = PLACE_NAMES[worst.place], format_bytes(worst.usable_bytes)
    if worst.judge == "table":
        return _table_sentence(worst, table)
    phase = PHASE_WORDS[getattr(memory, worst.place).worst_phase]
    expected, high = format_bytes(worst.expected_bytes), format_bytes(worst.high_bytes)
    if worst.verdict == "rejected":
        missing = format_bytes(worst.missing_bytes)
        largest = _largest(memory, worst.place)
        return f"The {name} needs {expected} {phase}, {missing} more than the {usable} usable; {largest}"
    if worst.verdict == "tight":
        over = format_bytes(worst.high_bytes - worst.usable_bytes)
        return f"The {name} should need {expected} of {usable} {phase}, but may need {high}, {over} too much"
    return f"The fullest place is the {name}: {expected} expected, {high} at most, of {usable} usable, {phase}"


def _largest(memory: MemoryEstimate, place: Place) -> str:
    terms = terms_of(memory, place)
    if not terms:
        return "no single term stands out"
    return f"the largest part is {terms[0].name} ({format_bytes(terms[0].bytes_in(place))})"


def _table_sentence(worst: Demand, table: TableCheck) -> str:
    name, asked, usable = PLACE_NAMES[worst.place], format_bytes(worst.expected_bytes), format_bytes(worst.usable_bytes)
    cell = f"LLaMA-Factory table ({table.row}, cell of {table.cell_gb:.1f} GB)"
    if worst.missing_bytes > 0:
        return (
            f"The {name} needs {asked} by the {cell}, {format_bytes(worst.missing_bytes)} more than the {usable} usable"
        )
    return f"The fullest place is the {name}: {asked} of {usable} usable by the {cell}"
