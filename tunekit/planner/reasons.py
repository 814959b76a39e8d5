"""Why the job is as it is: a decision, with its reason and what was not taken, for every value that nobody wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tunekit.planner.answer import Answer, as_typed, decide
from tunekit.planner.batch import batch_decisions, micro_candidates
from tunekit.planner.defaults import answer_completion_only_loss, answer_loss, answer_packing
from tunekit.planner.exact import Exact
from tunekit.planner.explore import Found
from tunekit.planner.goals import SAME
from tunekit.planner.pinning import pinning
from tunekit.planner.plan import Decision
from tunekit.planner.resolve import Resolved
from tunekit.planner.search import Outcome, make_job, shortfall, try_job
from tunekit.planner.settings import zero_settings
from tunekit.planner.space import LARGEST_MICRO_BATCH
from tunekit.planner.zero import why, zero_decisions
from tunekit.recipe.job import Job
from tunekit.recipe.keys import position
from tunekit.units import format_bytes

NAMED = ("stage", "offload_optimizer", "offload_param", "bf16_states")
UNSAID = ("none", False)
CHECKPOINTING = "train.activation_checkpointing"


def decisions_of(found: Resolved) -> tuple[Decision, ...]:
    """A decision for every value the user left open, in the order of the recipe's keys."""
    made = {decision.key: decision for decision in (*found.early, *_searched(found))}
    return tuple(sorted(made.values(), key=lambda decision: position(decision.key)))


def _searched(found: Resolved) -> Iterator[Decision]:
    settled, trial = found.settled, found.trial
    job, recipe = trial.job, settled.recipe
    yield from _place_decisions(found)
    yield from zero_decisions(job.zero, trial.sizes, settled.placement)
    yield from batch_decisions(settled.wish, job.batch, micro_reason=_micro_reason(found))
    if recipe.train.activation_checkpointing is None:
        yield _checkpointing_decision(found)
    if recipe.data.packing is None:
        yield _packing_decision(found)
    if recipe.train.optimizer is None and job.optimizer != "adamw":
        yield _optimizer_decision(found)
    loss = answer_loss(recipe, settled.shape, settled.hardware, job.tokens_per_device)
    yield from _decisions((loss, answer_completion_only_loss(recipe.data)))


def _decisions(answers: Iterable[Answer[object]]) -> Iterator[Decision]:
    return (answer.decision for answer in answers if answer.decision is not None)


def _place_decisions(found: Resolved) -> Iterator[Decision]:
    trial, zero = found.trial, found.settled.recipe.zero
    if trial.rung.auto:
        yield from _rung_decisions(found)
    if trial.rung.offloads and zero.pin_memory is None:
        choice = pinning(trial.job, found.settled.shape, found.settled.hardware)
        yield decide("zero.pin_memory", trial.job.zero.pin_memory, choice.reason)
    if trial.rung.facts.offload_ratio < 1 and zero.offload_ratio is None:
        reason = "the fastest share that fits" if found.exact else "the smallest share that must leave the GPUs"
        yield decide("zero.offload_ratio", trial.job.zero.offload_ratio, reason)


def _rung_decisions(found: Resolved) -> Iterator[Decision]:
    """The preset, or stage and offloads where no preset has them."""
    trial, zero = found.trial, found.settled.recipe.zero
    reason, rejected = why(trial.rung, found.settled.hardware), tuple(_other_places(found))
    for key, value in zero_settings(trial.job):
        name = key.partition(".")[2]
        if name not in ("offload_ratio", "pin_memory") and getattr(zero, name) is None:
            yield decide(key, value, reason, rejected=rejected)
            reason, rejected = "part of the same choice", ()


def _other_places(found: Resolved) -> Iterator[str]:
    """The next best, and what did not fit on the way to it."""
    exact, outcome, mine = found.exact, found.outcome, place_name(found.trial.job)
    if exact is not None and exact.beaten is not None:
        name = place_name(exact.beaten.job)
        if name != mine:
            yield f"{name}: {exact.because}"
    tried = (*outcome.passed_over, outcome.taken) if exact else outcome.passed_over
    for other in tried:
        name = place_name(other.job)
        if name != mine and not (exact and other.fits):
            yield f"{name}: {shortfall(other)}"


def place_name(job: Job) -> str:
    """The preset, or where no preset rests everything there, stage and offloads as keys."""
    stated = {key.partition(".")[2]: value for key, value in zero_settings(job)}
    if "preset" in stated:
        return str(stated["preset"])
    words = (f"{name}={as_typed(value)}" for name, value in stated.items() if name in NAMED and value not in UNSAID)
    return " ".join(words)


def _micro_reason(found: Resolved) -> str:
    settled, micro = found.settled, found.trial.job.batch.micro_batch_size
    if len(micro_candidates(settled.wish, largest=LARGEST_MICRO_BATCH)) == 1:
        return "the only size that keeps the batch identity"
    if settled.accelerator == "cpu":
        return "a CPU is busy with one row; more would only add padding"
    if found.exact is None:
        return _ladders_micro(found.outcome, micro)
    if found.exact.best is None:
        return "the smallest: memory decides"
    return _best_micro(found, found.exact, micro)


def _ladders_micro(outcome: Outcome, micro: int) -> str:
    larger = [trial for trial in outcome.too_large if trial.job.batch.micro_batch_size > micro]
    if larger:
        nearest = larger[-1]
        return f"the largest that fits; with {nearest.job.batch.micro_batch_size} the {shortfall(nearest)}"
    return "the largest that shares the batch out evenly" if outcome.taken.fits else "the smallest: memory decides"


def _best_micro(found: Resolved, exact: Exact, micro: int) -> str:
    """Against the next larger size, or the next smaller where none is larger."""
    sizes = sorted(micro_candidates(found.settled.wish, largest=LARGEST_MICRO_BATCH))
    larger, smaller = [size for size in sizes if size > micro], [size for size in sizes if size < micro]
    twins = {each.job.batch.micro_batch_size: each for each in exact.twins("micro")}
    if larger and larger[0] not in twins:
        return f"the largest that fits; with {larger[0]} the {_short(found, _variant(found, micro=larger[0]))}"
    for size in (*larger[:1], *smaller[-1:]):
        if size in twins:
            return f"the fastest; with {size} {_against(exact, twins[size])}"
    return "the fastest that shares the batch out evenly"


def _checkpointing_decision(found: Resolved) -> Decision:
    job, exact = found.trial.job, found.exact
    if not job.activation_checkpointing:
        flop = "6 instead of 8" if job.method == "full" else "4 instead of 6"
        return decide(CHECKPOINTING, False, f"all activations fit: {flop} FLOP per parameter and token")
    if exact is not None and (twin := _twin(exact, "checkpointing")):
        return decide(CHECKPOINTING, True, f"without it {_against(exact, twin)}")
    short = _short_without_it(found)
    if not short:
        return decide(CHECKPOINTING, True, "activations are recomputed in backward; memory decides")
    gain = "1.33" if job.method == "full" else "1.5"
    reason = f"without it (up to {gain} times faster) the {short}"
    return decide(CHECKPOINTING, True, reason, rejected=(f"off: {short}",))


def _short_without_it(found: Resolved) -> str:
    if found.exact is not None:
        return _short(found, _variant(found, checkpointing=False)) if found.exact.best else ""
    kept = [trial for trial in found.outcome.too_large if not trial.job.activation_checkpointing]
    return shortfall(kept[-1]) if kept else ""


def _packing_decision(found: Resolved) -> Decision:
    """Against the same plan with the other answer where the search weighed both; else as the defaults say."""
    settled, job, exact = found.settled, found.trial.job, found.exact
    key, word = "data.packing", "padded" if job.packing else "packed"
    if exact is None or exact.best is None or settled.attention == "eager":
        told = answer_packing(settled.recipe, settled.attention, settled.accelerator, job.tokens_per_device)
        agreed = told.decision if told.value == job.packing else None
        return agreed or decide(key, job.packing, "of all plans this one comes nearest to fitting")
    if twin := _twin(exact, "packing"):
        return decide(key, job.packing, f"with {word} rows {_against(exact, twin)}")
    return decide(key, job.packing, f"with {word} rows the {_short(found, _variant(found, packing=not job.packing))}")


def _optimizer_decision(found: Resolved) -> Decision:
    job, exact = found.trial.job, found.exact
    said = "a quarter of the bytes of the moments"
    if exact is not None and (twin := _twin(exact, "optimizer")):
        return decide("train.optimizer", job.optimizer, f"{said}; with adamw {_against(exact, twin)}")
    short = _short(found, replace(job, optimizer="adamw"))
    return decide("train.optimizer", job.optimizer, f"{said}; with adamw the {short}")


def _twin(exact: Exact, name: str) -> Found | None:
    return next(exact.twins(name), None)


def _against(exact: Exact, other: Found) -> str:
    """What another plan that fits would bring."""
    mine = exact.best
    assert mine is not None
    ratio = other.speed.tokens_per_second.expected / mine.speed.tokens_per_second.expected
    more = other.memory.device.expected_bytes - mine.memory.device.expected_bytes
    if ratio * SAME < 1:
        return f"{max(1, round(100 * (1 - ratio)))} % fewer tokens/s"
    return "no more tokens/s" + (f" and {format_bytes(more)} more of every GPU" if more > 0 else "")


def _variant(
    found: Resolved, *, micro: int | None = None, checkpointing: bool | None = None, packing: bool | None = None
) -> Job:
    """The job with another choice in one place."""
    job = found.trial.job
    return make_job(
        found.settled,
        job.zero,
        micro or job.batch.micro_batch_size,
        checkpointing=job.activation_checkpointing if checkpointing is None else checkpointing,
        packing=job.packing if packing is None else packing,
    )


def _short(found: Resolved, job: Job) -> str:
    """What a job lacks that the search did not find to fit."""
    trial, settled = found.trial, replace(found.settled, optimizer=job.optimizer)
    return shortfall(try_job(settled, trial.rung, job, trial.sizes, found.trust))
