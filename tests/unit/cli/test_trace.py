from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.traces import TRACE
from tunekit.cli import trace as cli
from tunekit.cli.plan import Views, show_plan
from tunekit.errors import UnknownFamily, UsageError
from tunekit.memory.tracing import TraceRequest


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[TraceRequest]:
    """What was asked of the tracer, which answers at once."""
    requests: list[TraceRequest] = []

    def answer(request: TraceRequest, *, waiting: Any) -> Any:
        waiting()
        requests.append(request)
        return TRACE

    monkeypatch.setattr(cli, "run_trace", answer)
    return requests


def show(recipe: str, *overrides: str, **options: Any) -> int:
    arguments = {name: options.pop(name, default) for name, default in (("on", None), ("trust", "both"))}
    try:
        show_plan(recipe, list(overrides), **arguments, views=Views(**{"trace": True, **options}))
    except typer.Exit as ended:
        return ended.exit_code
    return 0


def strange(folder: Path) -> str:
    """A recipe of a model that transformers knows and tunekit does not."""
    model = folder / "granite"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "granite", "num_hidden_layers": 2}))
    recipe = folder / "recipe.yaml"
    recipe.write_text(f"model: {{path: {model}}}\ndata: {{path: x.jsonl}}\noutput: {{dir: {folder}/run}}\n")
    return str(recipe)


def test_the_job_of_the_plan_is_traced(asked: list[TraceRequest], capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_qlora", "train.max_seq_length=1024", "train.micro_batch_size=1") == 0
    (request,) = asked
    assert (request.max_seq_length, request.base, request.micro_batch_size) == (1024, "nf4", 1)
    assert request.config["hidden_size"] == 8192
    printed = capsys.readouterr().out
    assert "Activations traced in the model's own code" in printed
    assert printed.index("FITS") < printed.index("peak of the step") < printed.index("Next: tunekit launch")


def test_a_plan_that_is_not_to_be_traced_is_not(asked: list[TraceRequest]) -> None:
    show("codellama34b_qlora", trace=False)
    assert asked == []


def test_json_holds_the_trace(asked: list[TraceRequest], capsys: pytest.CaptureFixture[str]) -> None:
    assert show("codellama34b_qlora", json=True) == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree["trace"]["peak"]["formula_bytes"] > 0
    assert tree["verdict"] == "fits"


def test_a_rejected_plan_still_exits_with_3(asked: list[TraceRequest]) -> None:
    assert show("codellama34b_full") == 3
    assert len(asked) == 1


def test_a_model_without_a_shape_is_traced_alone(
    asked: list[TraceRequest], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(strange(tmp_path), on="dual_rtx4090") == 0
    printed = capsys.readouterr().out
    assert "no shape of a granite: no plan, only a trace" in printed
    assert "assumed: train.precision=bf16" in printed.replace("\n", " ")
    assert asked[0].config["model_type"] == "granite"


def test_a_trace_alone_as_json(asked: list[TraceRequest], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(strange(tmp_path), on="dual_rtx4090", json=True) == 0
    assert json.loads(capsys.readouterr().out)["trace"]["peak"]["formula_bytes"] is None


def test_without_a_trace_such_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownFamily):
        show(strange(tmp_path), on="dual_rtx4090", trace=False)


def test_the_plan_is_printed_before_a_trace_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise UsageError("no torch here")

    monkeypatch.setattr(cli, "run_trace", fail)
    with pytest.raises(UsageError, match="no torch here"):
        show("codellama34b_qlora")
    assert "FITS" in capsys.readouterr().out
