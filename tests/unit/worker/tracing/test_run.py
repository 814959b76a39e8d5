from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.traces import LORA, a_request  # noqa: E402
from tunekit.worker.tracing import run  # noqa: E402
from tunekit.worker.tracing.build import make_config  # noqa: E402
from tunekit.worker.tracing.run import depths_for, layer_period, trace  # noqa: E402

pytestmark = pytest.mark.train
DEEP = {"num_hidden_layers": 9}


@pytest.mark.parametrize("checkpointing", [True, False])
def test_the_line_through_two_depths_meets_the_whole_model(checkpointing: bool) -> None:
    request = a_request(config=DEEP, adapter=LORA, method="lora", activation_checkpointing=checkpointing)
    whole = trace(request)
    line = trace(a_request(**{**vars_of(request), "depths": (2, 3)}))
    assert (whole.depths, line.depths) == ((9,), (2, 3))
    assert line.num_layers == 9
    assert {each.name: each.count for each in line.modules} == {each.name: each.count for each in whole.modules}
    for one, other in zip(whole.phases, line.phases, strict=True):
        assert other.activation_bytes == pytest.approx(one.activation_bytes, rel=0.002)


def test_a_model_that_would_take_too_long_is_extended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SECONDS", 0.0)
    assert trace(a_request(config=DEEP)).depths == (2, 3)


def test_a_model_of_few_layers_is_traced_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SECONDS", 0.0)
    assert trace(a_request()).depths == (2,)


def test_depths_hold_every_kind_of_layer() -> None:
    kinds = (["sliding_attention"] * 3 + ["full_attention"]) * 3
    request = a_request(config={"model_type": "gemma3_text", "num_hidden_layers": 12, "layer_types": kinds})
    assert layer_period(make_config(request)) == 4
    assert depths_for(request) == (8, 12)
    assert layer_period(make_config(a_request(config=DEEP))) == 1


def test_time_and_memory_of_the_trace_itself_are_told() -> None:
    found = trace(a_request())
    assert found.seconds > 0
    assert 0 < found.rss_bytes < 3 * 1024**3


def vars_of(request: object) -> dict[str, object]:
    from dataclasses import fields

    return {field.name: getattr(request, field.name) for field in fields(request)}  # type: ignore[arg-type]
