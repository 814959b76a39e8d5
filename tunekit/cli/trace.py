"""`tunekit plan --trace`: the model's own code, run without weights, beside the formulas or in their place."""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import typer

from tunekit.backends.tracing import run_trace
from tunekit.hub.models import find_config
from tunekit.memory.case import make_case
from tunekit.memory.tracing import Trace, TracedName, TraceRequest, formula_bytes, trace_request
from tunekit.planner.plan import Plan
from tunekit.recipe.schema import ModelSection
from tunekit.source import find_hardware, read_source


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """A trace and what the formulas say; `formulas` is empty where tunekit does not know the model's shape."""

    trace: Trace
    formulas: dict[TracedName, int]

    def tree(self) -> dict[str, Any]:
        """For JSON."""
        from tunekit.render.trace_text import trace_tree

        return trace_tree(self.trace, self.formulas)

    def show(self) -> None:
        """For a reader."""
        from rich.console import Console

        from tunekit.render.trace_text import render_trace

        render_trace(self.trace, self.formulas, Console(highlight=False))


def trace_plan(made: Plan) -> Traced:
    """Trace what was planned. Raises what `run_trace` raises."""
    model = made.recipe.model
    request = with_code(trace_request(made.job, model.path, find_config(model.path, model.revision)), model)
    formulas = formula_bytes(make_case(made.job, made.model_shape, made.hardware))
    return Traced(trace=traced_with_spinner(request), formulas=formulas)


def show_trace_alone(recipe: str, overrides: Sequence[str], *, on: str | None, json: bool) -> None:
    """A model that tunekit has no shape of: print its trace, and that there is no plan."""
    from tunekit.planner.shapeless import request_without_shape

    read = read_source(recipe, overrides).recipe
    model = read.model
    request, assumed = request_without_shape(
        read, find_config(model.path, model.revision), find_hardware(on or read.hardware)
    )
    trace = traced_with_spinner(with_code(request, model))
    found = Traced(trace=replace(trace, notes=(*trace.notes, *assumed)), formulas={})
    if json:
        typer.echo(jsonlib.dumps({"trace": found.tree()}, indent=2))
        return
    typer.echo(f"{model.path}: tunekit has no shape of a {request.config.get('model_type')}: no plan, only a trace.")
    found.show()


def with_code(request: TraceRequest, model: ModelSection) -> TraceRequest:
    """The folder of a model that brings its own code, where the recipe trusts it."""
    if not (model.trust_remote_code and request.config.get("auto_map")):
        return request
    from tunekit.hub import local_model_dir

    folder = local_model_dir(model.path, model.revision)
    return request if folder is None else replace(request, folder=str(folder))


def traced_with_spinner(request: TraceRequest) -> Trace:
    """The trace, with its progress on a terminal."""
    from rich.console import Console

    started = time.monotonic()
    with Console(stderr=True).status("") as status:

        def waiting() -> None:
            status.update(f"tracing {request.model} in transformers' own code, {time.monotonic() - started:.0f} s")

        return run_trace(request, waiting=waiting)
