"""Laws that every estimate keeps, whatever the job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from memory_jobs import SEVEN, job, llama, machine

from tunekit.hardware.spec import Hardware
from tunekit.memory.case import make_case
from tunekit.memory.estimate import collect_terms, estimate_memory
from tunekit.memory.terms import LATER, PHASES, PLACES, MemoryEstimate, Phase, Place
from tunekit.model_shape.shape import ModelShape
from tunekit.recipe.job import Job, Quantization

MODEL_STATES = {"weights", "adapter weights", "frozen base", "4-bit base", "16-bit part of the base",
                "scales of the 4-bit base", "gradients", "master weights", "optimizer states"}  # fmt: skip
SHARDED = {
    1: {"master weights", "optimizer states"},
    2: {"master weights", "optimizer states", "gradients"},
    3: {"master weights", "optimizer states", "gradients", "weights"},
}
"""What each stage divides."""
EXACT = {
    "reduce_bucket_size": 1000,
    "prefetch_bucket_size": 1000,
    "param_persistence_threshold": 0,
    "pin_memory": False,
}


@st.composite
def shapes(draw: st.DrawFn) -> ModelShape:
    heads = draw(st.sampled_from([2, 4, 8]))
    return llama(
        layers=draw(st.integers(1, 12)),
        hidden=heads * draw(st.sampled_from([16, 32, 64])),
        heads=heads,
        kv_heads=draw(st.sampled_from([1, 2])),
        ffn=draw(st.integers(3, 60)) * 8,
        vocab=draw(st.integers(50, 5000)),
        tied=draw(st.booleans()),
    )


@st.composite
def zeros(draw: st.DrawFn) -> dict[str, Any]:
    stage = draw(st.integers(0, 3))
    places = ["none", "cpu", "nvme"]
    return {
        "stage": stage,
        "offload_optimizer": draw(st.sampled_from(places)) if stage else "none",
        "offload_param": draw(st.sampled_from(places)) if stage == 3 else "none",
        "offload_ratio": draw(st.sampled_from([1.0, 0.5])),
        "bf16_states": draw(st.booleans()),
        "pin_memory": draw(st.booleans()),
        "overlap_comm": draw(st.booleans()),
        "sub_group_size": draw(st.sampled_from([1000, 100_000, 10**9])),
        "max_reuse_distance": draw(st.sampled_from([0, 10**9])),
        "max_live_parameters": draw(st.sampled_from([1000, 10**9])),
        "zenflow": draw(st.booleans()) and stage in (1, 2),
        "fp32_gradients": draw(st.booleans()),
        "unfused_adam": draw(st.booleans()),
    }


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    method = draw(st.sampled_from(["full", "lora", "qlora"]))
    base = {"quantization": Quantization(kind=draw(st.sampled_from(["nf4", "int8"])), double_quant=draw(st.booleans()))}
    return job(
        method,
        **(base if method == "qlora" else {}),
        zero=draw(zeros()),
        ranks=draw(st.sampled_from([1, 2, 4])),
        micro=draw(st.integers(1, 4)),
        accumulate=draw(st.integers(1, 3)),
        rank=draw(st.sampled_from([1, 8, 64])),
        max_seq_length=draw(st.integers(8, 4096)),
        packing=draw(st.booleans()),
        precision=draw(st.sampled_from(["bf16", "fp16", "fp32"])),
        attention=draw(st.sampled_from(["eager", "sdpa", "flash_attention_2"])),
        optimizer=draw(st.sampled_from(["adamw", "adamw_8bit", "paged_adamw_8bit", "adafactor", "lion", "sgd"])),
        activation_checkpointing=draw(st.booleans()),
        loss=draw(st.sampled_from(["chunked", "full"])),
        evaluates=draw(st.booleans()),
        save_checkpoints=draw(st.booleans()),
        num_workers=draw(st.integers(0, 2)),
    )


gpus = st.sampled_from([0, 1, 2])


def box(cards: int, exact: bool) -> Hardware:
    """A machine, on which RAM may be locked freely or not."""
    found = machine(cards)
    return replace(found, host=replace(found.host, memlock_unlimited=exact))


def total(estimate: MemoryEstimate, place: Place, phase: Phase) -> int:
    return sum(term.bytes_in(place) for term in estimate.terms if phase in term.phases)


def expected(plan: Job, shape: ModelShape, cards: int) -> list[int]:
    found = estimate_memory(plan, shape, machine(cards))
    return [size for place in PLACES for size in (*_decided(found, place), *_by_phase(found, place))]


def _decided(found: MemoryEstimate, place: Place) -> tuple[int, int]:
    """What decides whether a job fits, and whether tightly."""
    held = getattr(found, place)
    return held.expected_bytes, held.high_bytes


def _by_phase(found: MemoryEstimate, place: Place) -> list[int]:
    return [getattr(peak, f"{place}_bytes") for peak in found.peaks]


def states(plan: Job, shape: ModelShape, names: set[str] = MODEL_STATES) -> int:
    """Bytes of model states on one device."""
    held = collect_terms(make_case(plan, shape, machine(2)))
    return sum(term.device_bytes for term in held if term.name in names)


@given(jobs(), shapes(), gpus)
@settings(max_examples=200, deadline=None)
def test_the_sum_of_the_terms_is_the_total_and_lies_in_its_band(plan: Job, shape: ModelShape, cards: int) -> None:
    found = estimate_memory(plan, shape, machine(cards))
    for place in PLACES:
        sums = {phase: total(found, place, phase) for phase in (*PHASES, *LATER)}
        for peak in found.peaks:
            assert getattr(peak, f"{place}_bytes") == sums[peak.phase]
        held = getattr(found, place)
        assert held.expected_bytes == max(sums[phase] for phase in PHASES) == sums[held.worst_phase]
        assert 0 <= held.low_bytes <= held.expected_bytes <= held.high_bytes


@given(jobs(), shapes(), gpus)
@settings(max_examples=100, deadline=None)
def test_every_term_is_banded_named_and_in_one_place(plan: Job, shape: ModelShape, cards: int) -> None:
    for term in estimate_memory(plan, shape, machine(cards)).terms:
        assert 0 <= term.low <= 1 <= term.high
        assert [term.bytes_in(place) > 0 for place in PLACES].count(True) == 1
        assert term.formula
        assert term.source


@given(jobs(), shapes(), gpus, st.sampled_from(["micro", "length", "rank"]))
@settings(max_examples=200, deadline=None)
def test_memory_never_falls_when_the_job_grows(plan: Job, shape: ModelShape, cards: int, what: str) -> None:
    if what == "micro":
        larger = replace(plan, batch=replace(plan.batch, micro_batch_size=plan.batch.micro_batch_size + 1))
    elif what == "length":
        larger = replace(plan, max_seq_length=plan.max_seq_length + 100)
    elif plan.adapter is not None:
        larger = replace(plan, adapter=replace(plan.adapter, rank=2 * plan.adapter.rank))
    else:
        return
    # Whole sub-groups stay or go with offload_ratio, and tensors outgrow the persistence threshold: both by jumps.
    steady = {"offload_ratio": 1.0, "param_persistence_threshold": 0}
    larger, plan = (replace(each, zero=replace(each.zero, **steady)) for each in (larger, plan))
    for before, after in zip(expected(plan, shape, cards), expected(larger, shape, cards), strict=True):
        assert after >= before


@given(jobs(), st.integers(1, 8), gpus)
@settings(max_examples=100, deadline=None)
def test_memory_never_falls_when_layers_are_added(plan: Job, layers: int, cards: int) -> None:
    fixed = replace(plan, zero=replace(plan.zero, offload_ratio=1.0, sub_group_size=10**9))
    small, large = (expected(fixed, llama(layers=count), cards) for count in (layers, layers + 3))
    assert all(after >= before for before, after in zip(small, large, strict=True))


@given(shapes(), st.sampled_from(["full", "lora", "qlora"]), st.sampled_from([1, 2, 3, 4, 8]), st.booleans())
@settings(max_examples=100, deadline=None)
def test_states_never_grow_with_the_stage(shape: ModelShape, method: str, ranks: int, bf16: bool) -> None:
    """But for the padding of every tensor to a multiple of the ranks."""
    sizes = [
        states(job(method, zero={**EXACT, "stage": s, "bf16_states": bf16}, ranks=ranks), shape) for s in (1, 2, 3)
    ]
    tensors = sum(each.count for each in shape.tensors) + 2 * len(SEVEN) * shape.num_layers
    padding = 16 * ranks * (tensors + 4)
    assert sizes[0] + padding >= sizes[1]
    assert sizes[1] + padding >= sizes[2]


@given(shapes(), st.sampled_from(["full", "lora", "qlora"]), st.booleans())
@settings(max_examples=50, deadline=None)
def test_one_card_sees_no_difference_between_the_stages(shape: ModelShape, method: str, wide: bool) -> None:
    zero = {**EXACT, "fp32_gradients": wide}
    sizes = [states(job(method, zero={**zero, "stage": stage}, ranks=1), shape) for stage in (0, 1, 2, 3)]
    assert max(sizes) - min(sizes) <= 64


@given(shapes(), st.sampled_from(list(SHARDED)), st.sampled_from([1, 2, 4]))
@settings(max_examples=100, deadline=None)
def test_twice_the_cards_halve_what_is_sharded(shape: ModelShape, stage: int, ranks: int) -> None:
    """But for the padding of flat groups, and in stage 3 of every tensor, to a multiple of the ranks."""
    zero = {**EXACT, "stage": stage}
    one, two = (states(job(zero=zero, ranks=count), shape, SHARDED[stage]) for count in (ranks, 2 * ranks))
    tensors = sum(each.count for each in shape.tensors)
    assert one / 2 <= two <= one / 2 + 16 * (tensors + 4)


@given(shapes(), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 4]), st.booleans())
@settings(max_examples=100, deadline=None)
def test_offload_moves_states_and_loses_none(shape: ModelShape, stage: int, ranks: int, bf16: bool) -> None:
    """Master weights and moments: as many bytes in RAM, of all ranks together, as they had on all cards together."""
    zero = {**EXACT, "stage": stage, "bf16_states": bf16}

    def held(offload: str) -> tuple[int, int]:
        terms = collect_terms(
            make_case(job(zero={**zero, "offload_optimizer": offload}, ranks=ranks), shape, machine(2))
        )
        card = sum(term.device_bytes for term in terms if term.name in ("master weights", "optimizer states"))
        ram = sum(
            term.host_bytes for term in terms if term.name in ("master weights in RAM", "optimizer states in RAM")
        )
        return ranks * card, ram

    (card, none), (gone, ram) = held("none"), held("cpu")
    assert (none, gone) == (0, 0)
    assert card == ram


@given(
    shapes(),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([1, 2, 4]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 2]),
)
@settings(max_examples=100, deadline=None)
def test_offload_moves_gradients_and_loses_none(
    shape: ModelShape, stage: int, ranks: int, bf16: bool, overlap: bool, passes: int
) -> None:
    """In elements of one rank: as many as before, and its share twice where stage 1 keeps it till the pass is over."""
    zero = {**EXACT, "stage": stage, "bf16_states": bf16, "overlap_comm": overlap}

    def held(offload: str) -> tuple[int, int]:
        plan = job(zero={**zero, "offload_optimizer": offload}, ranks=ranks, accumulate=passes)
        case = make_case(plan, shape, machine(2))
        terms = collect_terms(case)
        card = sum(term.device_bytes for term in terms if term.name == "gradients") // case.gradient_bytes
        ram = sum(term.host_bytes for term in terms if term.name == "gradients in RAM") // case.master_bytes // ranks
        return card, ram

    (card, none), (left, ram) = held("none"), held("cpu")
    padding = 16 * sum(each.count for each in shape.tensors)
    twice = ram if stage == 1 and (passes > 1 or not overlap) else 0
    assert none == 0 < ram
    assert abs(left + ram - twice - card) <= padding


@given(shapes(), st.sampled_from(["full", "lora"]), st.sampled_from([1, 2, 4]), st.booleans())
@settings(max_examples=100, deadline=None)
def test_offload_of_parameters_moves_weights_and_loses_none(
    shape: ModelShape, method: str, ranks: int, exact: bool
) -> None:
    """As many bytes in RAM as on all cards before; pinned blocks are rounded up unless RAM may be locked freely."""
    names = ("weights", "adapter weights", "frozen base", "trained weights in RAM", "frozen base in RAM")

    def held(offload: str) -> tuple[int, int]:
        zero = {**EXACT, "stage": 3, "offload_param": offload, "pin_memory": True}
        terms = collect_terms(make_case(job(method, zero=zero, ranks=ranks), shape, box(2, exact)))
        mine = [each for each in terms if each.name in names]
        return ranks * sum(each.device_bytes for each in mine), sum(each.host_bytes for each in mine)

    (card, none), (gone, ram) = held("none"), held("cpu")
    padding = 16 * ranks * sum(each.count for each in shape.tensors)
    assert (none, gone) == (0, 0)
    assert abs(ram - card) <= padding if exact else card - padding <= ram <= 2 * card + padding


@given(shapes(), st.sampled_from([1, 2]), st.booleans())
@settings(max_examples=50, deadline=None)
def test_nvme_holds_what_ram_would(shape: ModelShape, ranks: int, bf16: bool) -> None:
    """Master weights, moments and gradients: the files hold as many bytes as the buffers in RAM would."""
    zero = {**EXACT, "stage": 3, "bf16_states": bf16}

    def held(offload: str) -> int:
        plan = job(zero={**zero, "offload_optimizer": offload}, ranks=ranks)
        names = ("master weights in RAM", "optimizer states in RAM", "gradients in RAM", "swap files of NVMe offload")
        terms = collect_terms(make_case(plan, shape, machine(2)))
        return sum(term.host_bytes + term.disk_bytes for term in terms if term.name in names)

    assert abs(held("cpu") - held("nvme")) <= 16 * ranks * sum(each.count for each in shape.tensors)


@given(shapes(), st.sampled_from([1000, 20_000]), st.sampled_from([0.25, 0.5, 0.75]))
@settings(max_examples=50, deadline=None)
def test_a_partial_offload_loses_nothing_either(shape: ModelShape, size: int, ratio: float) -> None:
    zero = {**EXACT, "stage": 3, "offload_optimizer": "cpu", "sub_group_size": size}

    def held(share: float) -> int:
        terms = collect_terms(make_case(job(zero={**zero, "offload_ratio": share}), shape, machine(2)))
        names = ("master weights", "optimizer states", "master weights in RAM", "optimizer states in RAM")
        return sum(2 * term.device_bytes + term.host_bytes for term in terms if term.name in names)

    assert held(ratio) == held(1.0)
