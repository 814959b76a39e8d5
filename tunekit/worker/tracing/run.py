"""A trace of the whole model: all layers where time allows, else two depths and a line through them."""

from __future__ import annotations

import resource
import time
from dataclasses import replace
from typing import Any

from tunekit.memory.tracing import Trace, TracedPhase, TraceRequest
from tunekit.worker.tracing.build import cut_layers, make_config, num_layers
from tunekit.worker.tracing.step import TracedStep, trace_step
from tunekit.worker.tracing.timeline import extended

SECONDS = 15.0
"""A trace of all layers may take so long; what it will take is told from one of few layers."""
KIBIBYTE = 1024


def trace(request: TraceRequest) -> Trace:
    """Peaks of one micro-batch. UsageError: transformers cannot build the model."""
    started = time.monotonic()
    layers = num_layers(make_config(request))
    depths = request.depths or (layers,)
    if not request.depths:
        small = depths_for(request)
        if small[1] < layers:
            first = at_depth(request, small[0])
            seconds = time.monotonic() - started
            if seconds * layers / small[0] > SECONDS:
                return _line(request, small, (first, at_depth(request, small[1])), layers, started)
    if len(depths) == 1:
        return _result(at_depth(request, depths[0]), layers, depths, started)
    return _line(request, depths, tuple(at_depth(request, depth) for depth in depths), layers, started)


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


def _line(
    request: TraceRequest, depths: tuple[int, ...], steps: tuple[TracedStep, ...], layers: int, started: float
) -> Trace:
    near, far = steps
    span = (depths[0], depths[1])
    phases = tuple(
        TracedPhase(
            name=one.name,
            activation_bytes=extended(one.activation_bytes, two.activation_bytes, span, layers),
            with_gradients_bytes=extended(one.with_gradients_bytes, two.with_gradients_bytes, span, layers),
        )
        for one, two in zip(near.phases, far.phases, strict=True)
    )
    return _result(replace(far, phases=phases), layers, depths, started)


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
