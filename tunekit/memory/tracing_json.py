"""Requests and answers of a trace as JSON, between the command line and the process that traces."""

from __future__ import annotations

from functools import cache

from pydantic import TypeAdapter

from tunekit.memory.tracing import Trace, TraceRequest


@cache
def _requests() -> TypeAdapter[TraceRequest]:
    return TypeAdapter(TraceRequest)


@cache
def _traces() -> TypeAdapter[Trace]:
    return TypeAdapter(Trace)


def request_to_text(request: TraceRequest) -> str:
    """What to trace, as JSON."""
    return _requests().dump_json(request).decode()


def request_from_json(text: str) -> TraceRequest:
    """The request that `request_to_text` wrote."""
    return _requests().validate_json(text)


def trace_to_text(trace: Trace) -> str:
    """A trace, as JSON."""
    return _traces().dump_json(trace, indent=1).decode()


def trace_from_json(text: str) -> Trace:
    """The trace that `trace_to_text` wrote."""
    return _traces().validate_json(text)
