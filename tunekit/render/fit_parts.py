"""What a search has to say, in words and numbers but without any layout."""

from __future__ import annotations

from dataclasses import dataclass

from tunekit.planner.fit_recipe import EXAMPLE_DATA
from tunekit.planner.goals import ranked
from tunekit.planner.quality import MEANING, WORTH, in_order
from tunekit.planner.search_result import Candidate, SearchResult
from tunekit.recipe.job import Zero
from tunekit.render.plan_parts import METHOD_NAMES, samples_line
from tunekit.render.speed_parts import truth_line
from tunekit.speed.run import life_words
from tunekit.units import GB, GIB, format_count, format_kwh, format_seconds

MOST_ROWS = 10
NO_RESUME = "no resume"
"""A run that stops is lost: reading its checkpoint would take more RAM than there is."""
_GOALS = {
    "speed": "the fastest",
    "memory": "what leaves most room",
    "cost": "what takes the least energy and wear",
}
_PLACE = {"cpu": "in RAM", "nvme": "on NVMe"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    candidate: Candidate
    hours: str


def headline(found: SearchResult) -> str:
    """What was searched for, in one short line."""
    model = found.model_shape.name.rstrip("/").rpartition("/")[2]
    if found.recommended is None:
        return f"{model} on {found.hardware.name}"
    return f"{METHOD_NAMES[found.recommended.method]} of {model} on {found.hardware.name}"


def rows(found: SearchResult) -> tuple[Row, ...]:
    """The best plan of each placement on the frontier, the fastest first; the best for the goal are never left out."""
    best: dict[tuple[object, ...], Candidate] = {}
    for each in ranked(found.frontier, found.goal):
        zero = each.zero
        place = (each.method, each.losses, zero.stage, zero.offload_optimizer, zero.offload_param)
        best.setdefault(place, each)
    chosen = sorted(tuple(best.values())[:MOST_ROWS], key=lambda each: each.seconds_per_token)
    return tuple(Row(candidate=each, hours=duration(3600 * each.run.hours.expected)) for each in chosen)


def duration(seconds: float) -> str:
    """Hours in a narrow column: `42 s`, `4.6 min`, `13 min`, `8.3 h`, `12 d`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.{0 if seconds >= 600 else 1}f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 72 * 3600 else f"{seconds / 86400:.0f} d"


def hours_title(found: SearchResult) -> str:
    """What the last column is for."""
    return f"{format_count(found.tokens).replace('.0 ', ' ')} tok."


def placement(candidate: Candidate) -> str:
    """How a plan trains and where its states rest."""
    method = METHOD_NAMES[candidate.method].replace(" fine-tuning", "")
    return ", ".join((method, f"ZeRO-{candidate.zero.stage}", *_offloads(candidate.zero)))


def passes(candidate: Candidate) -> str:
    """How a card works through its rows."""
    rows = f"{candidate.micro_batch_size} row{'s' if candidate.micro_batch_size > 1 else ''} a pass"
    kept = "recomputed" if candidate.activation_checkpointing else "activations kept"
    return f"{rows}, {kept}, {'packed' if candidate.packing else 'not packed'}"


def _offloads(zero: Zero) -> list[str]:
    found = []
    if zero.offload_param != "none":
        found.append(f"weights {_PLACE[zero.offload_param]}")
    if zero.offload_optimizer != "none":
        share = "" if zero.offload_ratio == 1 else f"{zero.offload_ratio:.0%} of "
        found.append(f"{share}optimizer {_PLACE[zero.offload_optimizer]}")
    return found


def gives_up(candidate: Candidate) -> str:
    """What the plan gives up, in a few words."""
    return f"gives up: {', '.join(candidate.losses)}" if candidate.losses else "gives up nothing"


def recommended_lines(found: SearchResult, best: Candidate) -> tuple[tuple[str, str], ...]:
    """Labelled lines about the recommended plan."""
    rate, run = best.speed.tokens_per_second, best.run
    return (
        ("Plan", f"{placement(best)}; {passes(best)}"),
        (
            "Memory",
            f"each GPU {best.device.expected_bytes / GIB:.1f} (at most {best.device.high_bytes / GIB:.1f}) of "
            f"{best.device.usable_bytes / GIB:.1f} GiB, RAM {best.host.expected_bytes / GIB:.1f} (at most "
            f"{best.host.high_bytes / GIB:.1f}) of {best.host.usable_bytes / GIB:.1f} GiB",
        ),
        ("Speed", f"{rate.expected:,.0f} tokens/s ({rate.low:,.0f} to {rate.high:,.0f})"),
        *_samples(found),
        (
            "Run",
            f"{format_count(found.tokens)} tokens ({found.tokens_said or 'of any data'}): "
            f"{format_seconds(3600 * run.hours.expected)} ({format_seconds(3600 * run.hours.low)} to "
            f"{format_seconds(3600 * run.hours.high)}), {format_kwh(run.kwh.expected)}",
        ),
        *_wear(best),
        *_money(found, best),
        ("Quality", gives_up(best) + (f"; {NO_RESUME}" if found.no_resume else "")),
        ("Keys", best.typed),
    )


def cost_words(found: SearchResult, candidate: Candidate) -> str:
    """Money of a plan: `2.13`; empty where it is not the goal."""
    cost = found.cost(candidate)
    return "" if cost is None else format_money(cost)


def format_money(amount: float) -> str:
    """`0.046`, `2.13`, `1,530.00`."""
    return f"{amount:.3f}" if amount < 0.1 else f"{amount:,.2f}"


def _money(found: SearchResult, best: Candidate) -> tuple[tuple[str, str], ...]:
    if found.hourly is None:
        return ()
    return (("Cost", f"{cost_words(found, best)} {found.hourly.currency}: {found.hourly.said}{_worn(found, best)}"),)


def _worn(found: SearchResult, best: Candidate) -> str:
    """What of the money is the drive's, or that it is not in it."""
    worn = found.wear(best)
    if worn is None:
        unknown = "price" if best.run.nvme_life else "endurance_tb"
        return f"; wear of the drive is not in it: the hardware file says no `{unknown}` of it"
    return f"; {format_money(worn)} of it is wear of the drive" if worn else ""


def _wear(best: Candidate) -> tuple[tuple[str, str], ...]:
    run = best.run
    if not run.nvme_bytes:
        return ()
    return (("Drive", f"{run.nvme_bytes / GB / 1000:,.1f} TB written to it{life_words(run)}"),)


def _samples(found: SearchResult) -> tuple[tuple[str, str], ...]:
    if found.plan is None:
        return ()
    stands_in = found.recipe.data.path == EXAMPLE_DATA and not found.tokens_said.startswith(EXAMPLE_DATA)
    return (("Samples", samples_line(found.plan.job) + ("; --data FILE reads yours" if stands_in else "")),)


def given_up(found: SearchResult) -> tuple[tuple[str, str], ...]:
    """What plans of the table give up in quality, and the recommended one in safety, with what it means."""
    losses = {loss for row in rows(found) for loss in row.candidate.losses}
    meant = tuple((str(loss), MEANING[loss]) for loss in in_order(frozenset(losses)))
    if len({row.candidate.losses for row in rows(found)}) > 1:
        meant += (
            ("the rule", f"each of these must make a plan {WORTH:g} times as good for {found.goal}, or it is left"),
        )
    return (*meant, (NO_RESUME, f"{found.no_resume}; the recipe saves no checkpoints")) if found.no_resume else meant


def count_line(found: SearchResult) -> str:
    """How much was searched."""
    searched = f"Searched {found.plans:,} plans for {_GOALS[found.goal]}"
    if not found.weighed:
        return f"{searched}: the LLaMA-Factory table rules out all of them."
    return f"{searched}: {found.weighed:,} were weighed, the table or a lighter plan rules out the others."


def truth(found: SearchResult) -> str:
    """Whether the rates were measured on this machine."""
    return truth_line(found.plan) if found.plan is not None else ""
