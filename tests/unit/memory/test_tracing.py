from __future__ import annotations

from memory_jobs import job, llama, machine

from tests.traces import TRACE
from tunekit.memory.case import make_case
from tunekit.memory.tracing import activation_terms, formula_bytes, trace_request


def test_a_request_says_what_the_job_says() -> None:
    plan = job("qlora", micro=3, packing=False, zero={"stage": 3}, evaluates=True, max_seq_length=512)
    asked = trace_request(plan, "some/model", {"model_type": "llama"})
    assert (asked.micro_batch_size, asked.max_seq_length, asked.packing) == (3, 512, False)
    assert (asked.base, asked.double_quant, asked.reentrant) == ("nf4", True, True)
    assert asked.adapter == plan.adapter
    assert asked.config == {"model_type": "llama"}


def test_a_16_bit_base_is_not_asked_for_in_4_bits() -> None:
    assert trace_request(job("lora"), "m", {}).base == "none"


def test_formulas_are_given_for_the_parts_they_know() -> None:
    case = make_case(job("lora"), llama(), machine())
    found = formula_bytes(case)
    assert set(found) == {"loss", "backward"}
    terms = activation_terms(case)
    assert found["loss"] == sum(each.device_bytes for each in terms if not each.moments or "loss" in each.moments)
    assert found["backward"] > 0


def test_formulas_of_an_evaluation() -> None:
    assert formula_bytes(make_case(job("lora", evaluates=True), llama(), machine()))["eval"] > 0


def test_no_weights_or_states_are_among_the_terms() -> None:
    names = {term.name for term in activation_terms(make_case(job("full"), llama(), machine()))}
    assert "chunked loss" in names
    assert not names & {"weights", "gradients", "master weights", "optimizer states"}


def test_the_peak_is_that_of_training() -> None:
    assert TRACE.peak.name == "backward"
    assert TRACE.bytes_of("eval") == TRACE.phases[-1].activation_bytes
