from __future__ import annotations

from tests.traces import LORA, TRACE, a_request
from tunekit.memory.tracing_json import request_from_json, request_to_text, trace_from_json, trace_to_text


def test_a_request_comes_back_as_it_was() -> None:
    asked = a_request(adapter=LORA, method="lora", depths=(2, 3), config={"layer_types": ["full_attention"] * 2})
    assert request_from_json(request_to_text(asked)) == asked


def test_a_trace_comes_back_as_it_was() -> None:
    assert trace_from_json(trace_to_text(TRACE)) == TRACE
