from __future__ import annotations

from dataclasses import replace

from plans import make_place

from tunekit.memory.llamafactory_table import TableCheck
from tunekit.memory.terms import MemoryEstimate, MemoryTerm, PlaceEstimate
from tunekit.planner.verdict import explain_verdict, judge, terms_of
from tunekit.units import GIB


def memory(device: PlaceEstimate, host: PlaceEstimate | None = None) -> MemoryEstimate:
    terms = tuple(
        MemoryTerm(name=name, phases=("step",), device_bytes=size * GIB, formula="f", source="s", kind="exact")
        for name, size in (("small", 1), ("weights", 9), ("activations", 4))
    )
    return MemoryEstimate(
        terms=terms,
        peaks=(),
        device=device,
        host=host or make_place(4 * GIB, 80 * GIB),
        disk=make_place(GIB, 100 * GIB),
    )


def table(asked: int = 10, host: int = 0) -> TableCheck:
    return TableCheck(
        edition="2025-03-11",
        row="LoRA 16",
        cell_gb=16.0,
        reading="",
        device_demand_bytes=asked * GIB,
        host_demand_bytes=host * GIB,
        device_usable_bytes=24 * GIB,
        host_usable_bytes=80 * GIB,
        passes=asked <= 24 and host <= 80,
    )


def test_high_estimate_inside_fits() -> None:
    judged = judge(memory(make_place(20 * GIB, 24 * GIB)), table())
    assert judged.verdict == "fits"
    assert judged.worst.place == "device"


def test_only_the_high_estimate_outside_is_tight() -> None:
    assert judge(memory(make_place(23 * GIB, 24 * GIB)), table()).verdict == "tight"


def test_expected_outside_in_any_place_is_rejected() -> None:
    judged = judge(memory(make_place(20 * GIB, 24 * GIB), make_place(90 * GIB, 80 * GIB)), table())
    assert judged.verdict == "rejected"
    assert judged.worst.place == "host"
    assert judged.worst.missing_bytes == 10 * GIB


def test_the_table_alone_can_reject() -> None:
    judged = judge(memory(make_place(10 * GIB, 24 * GIB)), table(asked=44))
    assert judged.verdict == "rejected"
    assert (judged.worst.judge, judged.worst.missing_bytes) == ("table", 20 * GIB)


def test_trust_overrules_one_judge() -> None:
    fitting, failing = memory(make_place(10 * GIB, 24 * GIB)), memory(make_place(30 * GIB, 24 * GIB))
    assert judge(fitting, table(asked=44), "model").verdict == "fits"
    assert judge(failing, table(), "table").verdict == "fits"
    assert judge(failing, table(), "model").verdict == "rejected"
    assert judge(fitting, table(asked=44), "table").verdict == "rejected"


def test_the_place_that_misses_most_decides() -> None:
    judged = judge(memory(make_place(25 * GIB, 24 * GIB), make_place(90 * GIB, 80 * GIB)), table(asked=30))
    assert (judged.worst.judge, judged.worst.place) == ("model", "host")


def test_a_machine_without_cards_has_no_gpu_to_judge() -> None:
    nothing = replace(table(), device_usable_bytes=0, device_demand_bytes=0)
    judged = judge(memory(make_place(0, 0)), nothing)
    assert judged.verdict == "fits"
    assert {demand.place for demand in judged.demands} == {"host", "disk"}


def test_overshoot_says_how_far_from_fitting() -> None:
    assert judge(memory(make_place(48 * GIB, 24 * GIB)), table()).overshoot == 2.0


def test_terms_are_those_of_the_worst_phase_largest_first() -> None:
    assert [term.name for term in terms_of(memory(make_place(20 * GIB, 24 * GIB)), "device")] == [
        "weights",
        "activations",
        "small",
    ]


def explained(estimate: MemoryEstimate, check: TableCheck, trust: str = "both") -> str:
    return explain_verdict(judge(estimate, check, trust), estimate, check, trust)  # type: ignore[arg-type]


def test_a_fit_names_the_fullest_place() -> None:
    assert explained(memory(make_place(20 * GIB, 24 * GIB)), table()) == (
        "The fullest place is the GPU: 20.0 GiB expected, 22.0 GiB at most, of 24.0 GiB usable, in a training step."
    )


def test_a_tight_plan_names_what_may_be_too_much() -> None:
    assert explained(memory(make_place(23 * GIB, 24 * GIB)), table()) == (
        "The GPU should need 23.0 GiB of 24.0 GiB in a training step, but may need 25.3 GiB, 1.3 GiB too much."
    )


def test_a_rejection_names_missing_bytes_and_the_largest_term() -> None:
    assert explained(memory(make_place(30 * GIB, 24 * GIB)), table()) == (
        "The GPU needs 30.0 GiB in a training step, 6.0 GiB more than the 24.0 GiB usable; "
        "the largest part is weights (9.0 GiB)."
    )


def test_the_table_alone_may_be_the_fullest() -> None:
    said = explain_verdict(
        judge(memory(make_place(5 * GIB, 24 * GIB)), table(asked=20), "table"),
        memory(make_place(5 * GIB, 24 * GIB)),
        table(asked=20),
        "table",
    )
    assert said.startswith("The fullest place is the GPU: 20.0 GiB of 24.0 GiB usable by the LLaMA-Factory table")


def test_a_rejection_without_terms_names_none() -> None:
    bare = replace(memory(make_place(30 * GIB, 24 * GIB)), terms=())
    assert explain_verdict(judge(bare, table()), bare, table(), "both").endswith("; no single term stands out.")


def test_a_rejection_by_the_table_names_row_and_cell() -> None:
    assert explained(memory(make_place(20 * GIB, 24 * GIB)), table(asked=44)) == (
        "The GPU needs 44.0 GiB by the LLaMA-Factory table (LoRA 16, cell of 16.0 GB), "
        "20.0 GiB more than the 24.0 GiB usable."
    )


def test_the_overruled_judge_is_named() -> None:
    text = explained(memory(make_place(20 * GIB, 24 * GIB)), table(asked=44), "model")
    assert text.endswith("(the LLaMA-Factory table says rejected and was overruled by --trust model).")
