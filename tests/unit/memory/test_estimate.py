from collections import Counter
from time import perf_counter

import pytest
from memory_jobs import job, llama, machine

from tunekit.memory.case import make_case
from tunekit.memory.estimate import SEVERAL, SINGLE, collect_terms, estimate_memory
from tunekit.memory.terms import LATER, PHASES, PLACES, MemoryEstimate
from tunekit.model_shape.catalogue import find

SHAPE = llama(layers=4, hidden=256, ffn=512, vocab=4096)


def device(estimate: MemoryEstimate) -> set[str]:
    """Names of what stands on a device at its worst."""
    return {term.name for term in estimate.terms if estimate.device.worst_phase in term.phases and term.device_bytes}


def test_every_term_stands_in_one_place_and_has_bytes() -> None:
    for method in ("full", "lora", "qlora"):
        for term in estimate_memory(job(method, evaluates=True), SHAPE, machine()).terms:
            assert sum(1 for place in PLACES if term.bytes_in(place)) == 1, term.name
            assert term.formula
            assert term.source


def test_every_function_of_the_model_documents_its_formula() -> None:
    for make in (*SINGLE, *SEVERAL):
        assert make.__doc__, make.__name__
    assert len({make.__name__ for make in (*SINGLE, *SEVERAL)}) == len(SINGLE) + len(SEVERAL)


def test_an_exact_term_has_no_band() -> None:
    for term in estimate_memory(job("qlora", zero={"stage": 3}), SHAPE, machine()).terms:
        assert term.kind != "exact" or (term.low, term.high) == (1.0, 1.0)


def test_the_worst_phase_stands_alone() -> None:
    """A long row peaks at the loss, a short one at the optimizer step: their terms never add up."""
    deep = llama(layers=12, hidden=256, ffn=512, vocab=512)
    long = device(
        estimate_memory(job(max_seq_length=65536, loss="full", activation_checkpointing=False), deep, machine())
    )
    tiny = {"reduce_bucket_size": 1000}
    short = device(estimate_memory(job(max_seq_length=8, loss="full", zero=tiny), deep, machine()))
    assert "logits and loss" in long
    assert "optimizer step" not in long
    assert "optimizer step" in short
    assert "logits and loss" not in short


def test_what_is_not_at_a_peak_is_listed_without_a_phase() -> None:
    terms = estimate_memory(job(max_seq_length=65536, loss="full"), SHAPE, machine()).terms
    assert [term.phases for term in terms if term.name == "layer recomputed and in backward"] == [(), ()]


def test_there_are_six_phases_and_what_may_follow() -> None:
    """The optimizer's states come with the first step; what only a later command needs decides nothing."""
    found = estimate_memory(job(evaluates=True), SHAPE, machine())
    assert [peak.phase for peak in found.peaks] == [
        *("load", "first forward", "step", "optimizer", "eval", "save", "resume", "merge")
    ]
    sizes = {peak.phase: peak.device_bytes for peak in found.peaks}
    states = next(term.device_bytes for term in found.terms if term.name == "optimizer states")
    assert 0 < sizes["first forward"] <= sizes["step"] - states
    assert found.host.worst_phase not in LATER


def test_going_on_is_weighed_where_checkpoints_are_kept() -> None:
    kept, none = (estimate_memory(job(save_checkpoints=value), SHAPE, machine()) for value in (True, False))
    host = {peak.phase: peak.host_bytes for peak in kept.peaks}
    assert host["resume"] > host["first forward"]
    assert not any("resume" in term.phases for term in none.terms)


def test_a_checkpoint_is_read_when_the_rehearsal_has_left_nothing() -> None:
    """What it reads stands beside the engine's own buffers: no averages, no gradients, no activations, no copies."""
    zero = {"stage": 2, "offload_optimizer": "cpu"}
    found = estimate_memory(job(save_checkpoints=True, zero=zero), SHAPE, machine())
    phases = {term.name: term.phases for term in found.terms}
    assert phases["checkpoint being read"] == ("resume",)
    assert {"optimizer", "save"} <= set(phases["optimizer states in RAM"]) <= {"step", "optimizer", "eval", "save"}
    at_rest = [term for term in found.terms if {"first forward", "resume"} <= set(term.phases)]
    host = {peak.phase: peak.host_bytes for peak in found.peaks}
    (read,) = (term.host_bytes for term in found.terms if term.name == "checkpoint being read")
    assert host["resume"] == read + sum(term.host_bytes for term in at_rest)


def test_evaluation_is_weighed_where_it_happens() -> None:
    quiet, evaluating = (estimate_memory(job(evaluates=value), SHAPE, machine()) for value in (False, True))
    assert quiet.peaks[PHASES.index("eval")].device_bytes == 0
    assert evaluating.peaks[PHASES.index("eval")].device_bytes > 0
    assert not any("eval" in term.phases for term in quiet.terms)


def test_high_is_the_peak_and_the_margin_and_what_lies_outside_the_allocator() -> None:
    found = estimate_memory(job("lora"), SHAPE, machine())
    inside = [term for term in found.terms if found.device.worst_phase in term.phases and term.device_bytes]
    margin = sum(term.device_bytes for term in inside if term.pooled) * found.allocator_margin
    banded = sum(term.device_bytes * term.high for term in inside)
    assert found.allocator_margin == 0.03
    assert found.device.high_bytes == pytest.approx(banded + margin, abs=2)


def test_without_cards_the_host_holds_every_rank() -> None:
    cards, none = estimate_memory(job(), SHAPE, machine(2)), estimate_memory(job(), SHAPE, machine(0))
    assert (none.device.expected_bytes, none.device.high_bytes, none.device.usable_bytes) == (0, 0, 0)
    assert not any(term.device_bytes for term in none.terms)
    on_card = {term.name: term.device_bytes for term in cards.terms if term.device_bytes}
    on_host = {term.name: term.host_bytes for term in none.terms if term.host_bytes}
    for name in ("weights", "gradients", "master weights", "optimizer states"):
        assert on_host[name] == 2 * on_card[name]
    assert not {"CUDA context", "NCCL buffers", "cuBLAS workspace"} & set(on_host)


def test_usable_bytes_come_from_the_machine() -> None:
    found = estimate_memory(job(), SHAPE, machine(2, usable=20, ram=50, disk=100))
    assert [getattr(found, place).usable_bytes >> 30 for place in PLACES] == [20, 50, 100]


def test_terms_are_named_once_per_moment() -> None:
    names = Counter(
        (term.name, term.moments, term.phases) for term in collect_terms(make_case(job(), SHAPE, machine()))
    )
    assert max(names.values()) == 1


def test_a_34b_takes_about_a_millisecond() -> None:
    """A search calls it thousands of times; the limit is wide because the machine is shared."""
    shape = find("codellama/CodeLlama-34b-hf")
    assert shape is not None
    plan = job("qlora", zero={"stage": 3})
    estimate_memory(plan, shape, machine())
    times = []
    for _ in range(30):
        start = perf_counter()
        estimate_memory(plan, shape, machine())
        times.append(perf_counter() - start)
    assert min(times) < 0.003
