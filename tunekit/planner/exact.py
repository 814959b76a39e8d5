"""`search_exactly`: the best of every plan that a recipe leaves open, found as `tunekit fit` finds it, for speed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tunekit.hardware.spec import Hardware
from tunekit.planner.candidate import TOLD_TOKENS, candidate_of
from tunekit.planner.explore import Explored, Found, explore_for_sure
from tunekit.planner.goals import ranked, runner_up, why_not
from tunekit.planner.plan import Trust
from tunekit.planner.search import Settled, Trial, try_job
from tunekit.planner.search_result import Candidate, Goal
from tunekit.planner.space import with_optimizers
from tunekit.recipe.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """The best plan, weighed in full, and what it was chosen from.

    `beaten` is the next best that rests its states elsewhere or gives up something else; `because` is why it lost.
    """

    taken: Trial
    best: Found | None
    """None where nothing fits: then `taken` is what comes nearest."""
    fitting: tuple[Found, ...]
    beaten: Found | None = None
    because: str = ""

    def twins(self, name: str) -> Iterator[Found]:
        """What fits and differs from the best in one choice only: `micro`, `checkpointing`, `packing`, `optimizer`."""
        mine = choices(self.taken.job)
        for each in self.fitting:
            other = choices(each.job)
            if other[name] != mine[name] and {**other, name: mine[name]} == mine:
                yield each


def choices(job: Job) -> dict[str, object]:
    """What a search chooses, by name."""
    zero = job.zero
    return {
        "place": (zero.stage, zero.offload_optimizer, zero.offload_param, zero.offload_ratio, zero.bf16_states),
        "micro": job.batch.micro_batch_size,
        "checkpointing": job.activation_checkpointing,
        "packing": job.packing,
        "optimizer": job.optimizer,
    }


def search_exactly(settled: Settled, trust: Trust) -> Exact | None:
    """The plan that `tunekit fit` would recommend with all that the recipe states; None where nothing can be tried."""
    explored = explore_for_sure(with_optimizers(settled), trust)
    if not explored.frontier:
        nearest = explored.nearest
        return None if nearest is None else Exact(taken=nearest, best=None, fitting=())
    return _best(settled, explored, trust)


def _best(settled: Settled, explored: Explored, trust: Trust) -> Exact:
    order = in_order_of(explored, settled.hardware, "speed", TOLD_TOKENS)
    (first, best), found = order[0], {id(candidate): each for candidate, each in order}
    other = runner_up([candidate for candidate, _ in order])
    return Exact(
        taken=try_job(best.site.settled, best.site.rung, best.job, best.sizes, trust),
        best=best,
        fitting=explored.fitting,
        beaten=None if other is None else found[id(other)],
        because="" if other is None else why_not(first, other, "speed"),
    )


def in_order_of(explored: Explored, hardware: Hardware, goal: Goal, tokens: int) -> tuple[tuple[Candidate, Found], ...]:
    """The frontier, the best for the goal first, each as it is ranked and as it was found."""
    found = {id(candidate): (candidate, each) for candidate, each in _candidates(explored, hardware, tokens)}
    return tuple(found[id(each)] for each in ranked([candidate for candidate, _ in found.values()], goal))


def _candidates(explored: Explored, hardware: Hardware, tokens: int) -> Iterator[tuple[Candidate, Found]]:
    return ((candidate_of(each, explored, hardware, tokens), each) for each in explored.frontier)


def faster_place(settled: Settled, trial: Trial, trust: Trust) -> Found | None:
    """The fastest plan that rests its states elsewhere than the recipe says, and gives up no more than it."""
    zero = settled.recipe.zero
    elsewhere = type(zero)(nvme_path=zero.nvme_path)
    free = replace(settled, recipe=settled.recipe.model_copy(update={"zero": elsewhere}))
    mine = next(iter(explore_for_sure((settled,), trust).fitting), None)
    if mine is None or trial.problems:
        return None
    equal = (each for each in explore_for_sure((free,), trust).fitting if each.losses <= mine.losses)
    return min(equal, key=lambda each: (each.order, each.memory.device.expected_bytes), default=None)
