"""A trace of the whole model: all layers where time allows, else two depths and a line through them."""

from __future__ import annotations

import resource
import time
from dataclasses import replace
from typing import Any

from tunekit.memory.tracing import Trace, TracedModule, TracedPhase, TraceRequest
from tunekit.worker.tracing.build import cut_layers, make_config, num_layers
from tunekit.worker.tracing.step import TracedStep, trace_step
from tunekit.worker.tracing.timeline import extended

SECONDS = 6.0
"""A trace of all layers may take so long; what it will take is told from the second one of few layers."""
KIBIBYTE = 1024


def trace(request: TraceRequest) -> Trace:
    """Peaks of one micro-batch. UsageError: transformers cannot build the model."""
    started = time.monotonic()
    layers = num_layers(make_config(request))
    depths = request.depths or depths_for(request)
    if len(depths) == 1 or depths[-1] >= layers:
        depth = depths[0] if len(depths) == 1 else layers
        return _result(at_depth(request, depth), layers, (depth,), started)
    near = at_depth(request, depths[0])
    again = time.monotonic()
    far = at_depth(request, depths[1])
    seconds = (time.monotonic() - again) * layers / depths[1]
    if request.depths or seconds > SECONDS:
        return _result(line_through(near, far, (depths[0], depths[1]), layers), layers, depths, started)
    return _result(at_depth(request, layers), layers, (layers,), started)


def num_layers_of(request: TraceRequest) -> int:
    """Decoder layers of the model."""
    return num_layers(make_config(request))


def depths_for(request: TraceRequest) -> tuple[int, int]:
    """Two depths whose difference holds every kind of layer equally often, after two layers of each."""
    period = layer_period(make_config(request))
    return 2 * period, 3 * period


def layer_period(config: Any) -> int:
    """Layers after which their kinds repeat, as the configuration lists them."""
    text = config.get_text_config()
    layers = num_layers(config)
    lists = [value for value in vars(text).values() if isinstance(value, (list, tuple)) and len(value) == layers]
    for period in range(1, layers):
        if all(value[place] == value[place % period] for value in lists for place in range(layers)):
            return period
    return layers


def at_depth(request: TraceRequest, layers: int) -> TracedStep:
    """The step of the model's first `layers`."""
    config = make_config(request)
    if layers != num_layers(config):
        cut_layers(config, layers)
    return trace_step(request, config)


def line_through(near: TracedStep, far: TracedStep, depths: tuple[int, int], layers: int) -> TracedStep:
    """The step at all layers: every part, and what every module holds, on the line through two depths."""

    def at_all(one: int, other: int) -> int:
        return extended(one, other, depths, layers)

    phases = tuple(
        TracedPhase(
            name=one.name,
            activation_bytes=at_all(one.activation_bytes, two.activation_bytes),
            with_gradients_bytes=at_all(one.with_gradients_bytes, two.with_gradients_bytes),
        )
        for one, two in zip(near.phases, far.phases, strict=True)
    )
    before = {each.name: each for each in near.modules}
    modules = [
        TracedModule(name=each.name, count=at_all(old.count, each.count), bytes=at_all(old.bytes, each.bytes))
        for each in far.modules
        for old in (before.get(each.name, each),)
    ]
    modules.sort(key=lambda each: -each.bytes)
    return replace(far, phases=phases, modules=tuple(modules))


def _result(step: TracedStep, layers: int, depths: tuple[int, ...], started: float) -> Trace:
    return Trace(
        phases=step.phases,
        modules=step.modules,
        num_layers=layers,
        depths=depths,
        kernels=step.kernels,
        seconds=round(time.monotonic() - started, 2),
        rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTE,
    )
