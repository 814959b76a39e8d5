"""Which of the plans on the frontier is recommended for a goal, and why the next one was not."""

from __future__ import annotations

from collections.abc import Sequence

from tunekit.planner.quality import MEANING, WORTH, in_order
from tunekit.planner.search_result import Candidate, Goal
from tunekit.units import format_bytes

ROOM = 0.05
"""Of a GPU: less room than that is not worth another part in RAM."""
SAME = 1.005
"""Plans that differ by less than half a percent are as good as each other: no estimate is that exact."""


def expense(candidate: Candidate, goal: Goal) -> float:
    """What a plan costs for the goal; every loss of quality counts as `WORTH` times that."""
    return plain_expense(candidate, goal) * WORTH ** len(candidate.losses)


def plain_expense(candidate: Candidate, goal: Goal) -> float:
    """Seconds per token, the share of the fullest place, or kWh of the run and of the wear of the drive."""
    if goal == "memory":
        return candidate.fullness
    if goal == "cost":
        return candidate.run.kwh.expected + candidate.run.nvme_kwh
    return candidate.seconds_per_token


def ranked(candidates: Sequence[Candidate], goal: Goal) -> tuple[Candidate, ...]:
    """The best for the goal first; of those as good as the best, what needs least of a GPU, then the simplest."""
    order = sorted(candidates, key=lambda each: expense(each, goal))
    level = SAME * expense(order[0], goal) if order else 0.0
    as_good = [each for each in order if expense(each, goal) <= level]
    least = min((each.device.expected_bytes for each in as_good), default=0)
    return (*sorted(as_good, key=lambda each: _simplicity(each, least)), *order[len(as_good) :])


def _simplicity(candidate: Candidate, least: int) -> tuple[int, int, int]:
    """Twentieths of a GPU above the least, then how much rests elsewhere, then the bytes."""
    zero, device = candidate.zero, candidate.device
    above = int((device.expected_bytes - least) / max(1.0, ROOM * device.usable_bytes))
    elsewhere = sum(place != "none" for place in (zero.offload_optimizer, zero.offload_param))
    return above, elsewhere + (zero.offload_ratio < 1), device.expected_bytes


def runner_up(order: Sequence[Candidate]) -> Candidate | None:
    """The next best that puts the states elsewhere or trains in another way."""
    best = order[0]
    return next((each for each in order[1:] if _kind(each) != _kind(best)), None)


def _kind(candidate: Candidate) -> tuple[object, ...]:
    zero = candidate.zero
    return candidate.method, zero.stage, zero.offload_optimizer, zero.offload_param, candidate.losses


def why_not(best: Candidate, other: Candidate, goal: Goal) -> str:
    """Why another plan lost against the best, with its numbers."""
    ratio = plain_expense(other, goal) / plain_expense(best, goal)
    extra = in_order(frozenset(other.losses) - frozenset(best.losses))
    if ratio < 1.0 and len(other.losses) > len(best.losses):
        meant = "; ".join(MEANING[each] for each in extra)
        return f"{_better(1 / ratio, goal)}, but it gives up more ({', '.join(extra)}: {meant})"
    if ratio <= SAME:
        told = _as_good(best, other, goal)
    elif goal == "memory":
        told = f"its fullest place is {other.fullness:.0%} full instead of {best.fullness:.0%}"
    else:
        told = _slower(best, other)
    return told + (f"; it also gives up: {', '.join(extra)}" if extra else "")


def _better(ratio: float, goal: Goal) -> str:
    words = {"speed": "times as fast", "memory": "times the room", "cost": "times cheaper"}
    return f"it is {ratio:.2f} {words[goal]}"


def _as_good(best: Candidate, other: Candidate, goal: Goal) -> str:
    words = {"speed": "no faster", "memory": "no smaller", "cost": "no cheaper"}
    more = other.device.expected_bytes - best.device.expected_bytes
    needs = f" and needs {format_bytes(more)} more of every GPU" if more > 0 else ""
    return f"it is {words[goal]} (to half a percent){needs}"


def _slower(best: Candidate, other: Candidate) -> str:
    ratio = other.seconds_per_token / best.seconds_per_token
    how = f"{ratio:.1f} times as long" if ratio >= 2 else f"{ratio - 1:.0%} longer"
    cost, share = _largest_difference(best, other)
    part = "most" if share > 0.5 else "the largest part"
    return f"it takes {how}" + (f", {part} of it for {cost}" if cost else "")


def _largest_difference(best: Candidate, other: Candidate) -> tuple[str, float]:
    """The cost that grew most, per token, and its share of all that grew; empty where none did."""
    before = {term.name: term.seconds / _tokens(best) for term in best.speed.terms}
    grown = {term.name: term.seconds / _tokens(other) - before.get(term.name, 0.0) for term in other.speed.terms}
    name = max(grown, key=lambda each: grown[each], default="")
    if not name or grown[name] <= 0:
        return "", 0.0
    return name, grown[name] / sum(more for more in grown.values() if more > 0)


def _tokens(candidate: Candidate) -> float:
    return candidate.speed.tokens_per_step
